/* Open connections: one record each, kept in a list. Independent of libmicrohttpd.
 *
 * Shutting down a connection whose client has not read its response resets it, which discards the
 * response. Otherwise the kernel would keep the data for minutes. */
#ifndef VERSIOND_CONNECTIONS_H
#define VERSIOND_CONNECTIONS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "handlers.h"
#include "log.h"
#include "metrics.h"

/* A connection, and its current request: a connection serves one request at a time. The members up
 * to `socket` are protected by the list's lock, atomic members may be read by any thread, and the
 * rest belongs to the thread that serves the connection. */
struct connection {
    struct connection *previous;
    struct connection *next;
    int64_t accepted;                /* milliseconds of CLOCK_MONOTONIC */
    bool is_shut_down;               /* overdue, abandoned or evicted */
    int64_t abandoned;               /* `completed` when the client was first seen gone, or 0 */
    int socket;                      /* open while the record is in the list */
    atomic_int_fast64_t completed;   /* when the last request completed, or `accepted` */
    atomic_bool in_request;          /* from the request line to the end of the response */
    atomic_uint_fast64_t read;       /* total size of complete request heads, in bytes */
    struct metrics_thread *counters; /* of the thread */
    unsigned thread;                 /* its number */
    int64_t started;                 /* arrival of the request line, nanoseconds of that clock */
    size_t sent;                     /* size of the response body, in bytes */
    bool has_head;                   /* the head is complete, and `request` and `head` are set */
    size_t head;                     /* size of the head, in bytes */
    bool has_long_target;            /* the target takes most of the connection's memory */
    struct request request;
    char method[16];           /* as sent, truncated, for the log */
    char target[LOG_TEXT_MAX]; /* the same */
};

/* All members are protected by `lock`. */
struct connections {
    pthread_mutex_t lock;
    struct connection *first;
    struct connection *last;
    size_t open;     /* number of records */
    size_t closing;  /* number of records that are shut down, until their threads remove them */
    uint64_t opened; /* total number of connections so far */
};

/* Sets up an empty list, which must not move afterwards. */
void connections_init(struct connections *connections);

/* Adds a record for a connection that was just accepted. Returns NULL if out of memory; the socket
 * is then shut down. Either way the connection counts as opened. */
struct connection *connections_add(struct connections *connections, int socket);

/* Removes and frees a record. NULL is ignored. Call it before closing the socket, so that no other
 * connection can be given the same descriptor while the record still names it. */
void connections_remove(struct connections *connections, struct connection *connection);

/* Returns the total number of connections added so far. */
uint64_t connections_opened(struct connections *connections);

/* Returns true if the kernel has received at least three bytes beyond the complete request heads:
 * the beginning of another request. Two bytes may be the empty line that some clients send between
 * requests (RFC 9112, section 2.2). A second empty line counts as the beginning of a request.
 * Returns false if the kernel does not report the number of bytes (before Linux 4.1). */
bool connection_has_more(const struct connection *connection);

/* Shuts down the connections that were accepted at or before `accepted` (milliseconds of
 * CLOCK_MONOTONIC) and are idle: no request is in progress or has begun to arrive. Their threads
 * then close them. Returns the number of open connections, including those. */
size_t connections_shutdown_idle(struct connections *connections, int64_t accepted);

/* Shuts down the connections that have completed no request since `before` (milliseconds of
 * CLOCK_MONOTONIC), whatever they are doing. Their threads then close them. Returns their number;
 * each is counted once.
 * Also shuts down, without counting them, connections whose clients have closed their side and
 * received everything, if that was already so at the previous call and no request completed since:
 * libmicrohttpd can miss an end that arrives together with the last bytes. This is checked only
 * during the first 3 seconds after a request or after the connection was accepted.
 * Call this about once a second. */
size_t connections_shutdown_overdue(struct connections *connections, int64_t before);

/* Shuts down one connection if more than `limit` are open, not counting those already shut down: of
 * 16 candidates, the one whose last request completed longest ago. Connections that were accepted
 * or completed a request in the last 10 ms are spared, and so are those whose thread has something
 * to read or to answer. Returns true if a connection was shut down. */
bool connections_evict(struct connections *connections, size_t limit);

/* Returns the number of open connections, not counting those that are shut down. */
size_t connections_count(struct connections *connections);

#endif
