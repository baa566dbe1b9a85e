/* Counts requests and connections, and prints the counters for Prometheus. Independent of
 * libmicrohttpd. */
#ifndef VERSIOND_METRICS_H
#define VERSIOND_METRICS_H

#include <stdint.h>

#include "build_info.h"
#include "log.h"
#include "request.h"
#include "routes.h"
#include "usage.h"

struct metrics;

/* The counters of one thread. Only that thread writes them, and they share no cache line with those
 * of another thread: counting takes no lock and never waits for another CPU. */
struct metrics_thread;

/* What is printed in addition to the counters. The members belong to the caller and must outlive
 * the metrics. */
struct metrics_parts {
    const struct build_info *info;
    struct log *log;
    struct usage *usage;
    unsigned threads;         /* number of threads that will count, at least 1 */
    uint32_t max_connections; /* the limit in force */
};

/* Rare events. */
enum metrics_event {
    METRICS_FAILED,         /* request not answered because memory ran out */
    METRICS_REFUSED,        /* connection closed immediately because memory ran out */
    METRICS_OVERDUE,        /* connection closed because no request completed in time */
    METRICS_EVICTED,        /* connection closed to make room for another */
    METRICS_ACCEPT_FAILURE, /* accept() failed for lack of descriptors or memory */
};

/* Creates counters that are all 0. Returns NULL if out of memory. The caller frees them with
 * metrics_free() once no thread counts any more. */
struct metrics *metrics_create(const struct metrics_parts *parts);

/* Frees the counters of all threads. NULL is ignored. */
void metrics_free(struct metrics *metrics);

/* Returns the counters of the calling thread, owned by `metrics`. Never fails; if more threads call
 * this than were announced, the surplus ones share counters, and some counts are lost. */
struct metrics_thread *metrics_thread(struct metrics *metrics);

/* Returns the number of the thread that the counters belong to, 0 to threads - 1. */
unsigned metrics_thread_number(const struct metrics *metrics, const struct metrics_thread *thread);

/* Counts an accepted connection, and a closed one. */
void metrics_count_accepted(struct metrics_thread *thread);
void metrics_count_closed(struct metrics_thread *thread);

/* Counts a request that was answered with `status`, `nanoseconds` after its request line arrived.
 * `route` is NULL for an unknown path. Unknown paths share one label, and so do all methods and
 * statuses that the program does not use: clients cannot create new series. */
void metrics_count_request(struct metrics_thread *thread, const struct route *route,
                           enum method method, unsigned status, int64_t nanoseconds);

/* Counts `number` events, from any thread. */
void metrics_count(struct metrics *metrics, enum metrics_event event, uint64_t number);

/* Prints all metrics in the Prometheus text format, version 0.0.4. Returns NULL if out of memory;
 * the caller frees the string with free(). Events counted by other threads during the call may or
 * may not be included. */
char *metrics_print(struct metrics *metrics);

#endif
