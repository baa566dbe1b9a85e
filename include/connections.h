/* The open connections: a record each, in a list. Knows no MHD.
 * A connection that is shut down while its client has not read an answer ends with a reset, which
 * throws that answer away: else the kernel would keep it for minutes. */
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

/* A connection serves one request at a time, so its record holds that request too. The thread that
 * serves the connection is the only one to use what is not atomic and not the list's. */
struct connection {
    struct connection *previous; /* the list's, under its lock, as are those up to `socket` */
    struct connection *next;
    struct connection_peer *peer;    /* NULL when connections by address are not limited */
    int64_t accepted;                /* when, in milliseconds of CLOCK_MONOTONIC */
    bool is_shut_down;               /* refused, overdue, left or in the way of others */
    int64_t left;                    /* `done` when its client was found to have left, or 0 */
    int socket;                      /* open as long as the record is in the list */
    bool is_refused;                 /* its address has enough connections: not to be served */
    atomic_int_fast64_t done;        /* when the last request was completed, or `accepted` */
    atomic_bool in_request;          /* from the request line to the end of the answer */
    atomic_uint_fast64_t read;       /* bytes of the requests whose heads are complete */
    struct metrics_thread *counters; /* of the thread */
    int64_t started;                 /* when the request line had come, nanoseconds of that clock */
    size_t sent;                     /* bytes of the body of the answer */
    bool is_judged;                  /* the head of the request is complete, and `request` too */
    size_t head;                     /* its bytes, when it is complete */
    bool has_long_target;            /* most of what a connection has room for */
    struct request request;
    char method[16];           /* as it came, cut, for the log */
    char target[LOG_TEXT_MAX]; /* the same */
};

/* All members are under `lock`. */
struct connections {
    pthread_mutex_t lock;
    struct connection *first;
    struct connection *last;
    void *peers;         /* a tree of struct connection_peer */
    size_t max_per_peer; /* 0: no limit */
    size_t open;         /* in the list */
    size_t closing;      /* of these, shut down; their threads take them off the list */
    uint64_t opened;     /* ever */
};

/* Sets up an empty list, which must not move afterwards. More than `max_per_peer` connections of
 * one address are refused; 0: never. */
void connections_init(struct connections *connections, size_t max_per_peer);

/* Adds a record for a connection that was accepted just now from `address`. When that has as many
 * connections as it may have, the record says so, and the socket is shut down.
 * Returns NULL when there is no memory: then the socket is shut down, too. The connection counts as
 * opened all the same. */
struct connection *connections_add(struct connections *connections, int socket,
                                   const struct sockaddr *address);

/* Takes a record off the list and frees it; NULL is ignored. To be called before its socket is
 * closed: then no other socket can have got its number while the record names it. */
void connections_remove(struct connections *connections, struct connection *connection);

/* How many were ever added. */
uint64_t connections_opened(struct connections *connections);

/* True when the kernel has received more on the connection than complete request heads and one
 * empty line, which some clients send beside a request (RFC 9112, section 2.2): the begin of
 * another request, of at least three bytes. A second empty line counts as such a begin. Where the
 * kernel cannot say (it can since Linux 4.1), false. */
bool connection_has_more(const struct connection *connection);

/* Shuts down the sockets of the connections that were accepted at or before `accepted`
 * (milliseconds of CLOCK_MONOTONIC) and are idle: no request in flight, none begun. Their threads
 * then close them. Returns how many connections are open, those included. */
size_t connections_shutdown_idle(struct connections *connections, int64_t accepted);

/* Shuts down the sockets of the connections that have completed no request since `before`
 * (milliseconds of CLOCK_MONOTONIC), whatever they are at. Their threads then close them. Returns
 * how many that were; each is counted once.
 * Also shuts down those whose clients have ended their side and taken all they were sent, when that
 * was so at the call before, too, and no request was completed since: libmicrohttpd does not
 * always see an end that comes with the last bytes. Only in the first 3 seconds after a request or
 * the begin of the connection. These are not counted. So to be called about once a second. */
size_t connections_shutdown_overdue(struct connections *connections, int64_t before);

/* Makes room: when more than `limit` connections are open, those that are shut down not among them,
 * shuts down one that has completed no request for long. It looks at 16 at most, so it is not
 * always the very one that has waited longest. Spared are those that were opened or completed a
 * request in the last 10 milliseconds, and those that wait for their thread: it is to read or to
 * answer. Returns true when one was shut down; false when none had to be, or may be just now. */
bool connections_evict(struct connections *connections, size_t limit);

/* How many are open, those that are shut down not among them. */
size_t connections_count(struct connections *connections);

#endif
