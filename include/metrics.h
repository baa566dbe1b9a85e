/* The counters of a server, and their exposition for Prometheus. Knows no MHD. */
#ifndef VERSIOND_METRICS_H
#define VERSIOND_METRICS_H

#include <stdint.h>

#include "build_info.h"
#include "log.h"
#include "request.h"
#include "router.h"
#include "usage.h"

struct metrics;

/* The counters of one thread. Only that thread writes them, and they share no cache line with those
 * of another, so counting takes no lock and waits for no other CPU. */
struct metrics_thread;

/* What is exposed beside the counters. All of it stays the caller's, and outlives the metrics. */
struct metrics_parts {
    const struct build_info *info;
    struct log *log;
    struct usage *usage;
    unsigned threads;         /* that will count, at least 1 */
    uint32_t max_connections; /* as they are limited */
};

/* The text format of Prometheus, version 0.0.4, and OpenMetrics 1.0. */
enum metrics_format { METRICS_TEXT, METRICS_OPENMETRICS };

/* Makes counters that are all 0. Returns NULL when there is no memory. The caller frees them with
 * metrics_free() when no thread counts any more. */
struct metrics *metrics_create(const struct metrics_parts *parts);

/* Frees the counters of all threads; NULL is ignored. */
void metrics_free(struct metrics *metrics);

/* The counters of the calling thread, which are `metrics`'. Never fails; when more threads ask than
 * were said, the last ones share, and some of what they count is lost. */
struct metrics_thread *metrics_thread(struct metrics *metrics);

/* Counts a connection that was accepted, and one that is closed. */
void metrics_count_accepted(struct metrics_thread *thread);
void metrics_count_closed(struct metrics_thread *thread);

/* Counts a request that was answered with `status`, `nanoseconds` after its request line had come.
 * `route` is NULL for a path that none has: those share one label, and so do all methods and
 * statuses that no answer of ours has, so strangers cannot make series. */
void metrics_count_request(struct metrics_thread *thread, const struct route *route,
                           enum method method, unsigned status, int64_t nanoseconds);

/* Count what happens rarely, in any thread: requests that got no answer as there was no memory for
 * it; connections that were refused, because their address has as many as it may have or there is
 * no memory; those closed because no request was completed in time, and those closed to make room
 * for others; and times that a connection could not be accepted, as descriptors or memory were
 * short. */
void metrics_count_failed(struct metrics *metrics);
void metrics_count_refused(struct metrics *metrics);
void metrics_count_overdue(struct metrics *metrics, uint64_t connections);
void metrics_count_evicted(struct metrics *metrics);
void metrics_count_accept_failure(struct metrics *metrics);

/* Writes all of it. Returns NULL when there is no memory. The caller owns the text and frees it
 * with free(). Other threads may count meanwhile: what they have counted may or may not be in it.
 */
char *metrics_print(struct metrics *metrics, enum metrics_format format);

/* The media type of a format, with its parameters. */
const char *metrics_media_type(enum metrics_format format);

#endif
