/* The HTTP server: libmicrohttpd on a listening socket, with the callbacks of dispatch.h. */
#ifndef VERSIOND_SERVER_H
#define VERSIOND_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "config.h"
#include "handlers.h"
#include "log.h"
#include "metrics.h"

/* Number of connections that each thread can hold beyond its share of the connection limit, until
 * others are evicted. Each needs a descriptor. */
enum { SERVER_SPARE_CONNECTIONS = 4 };

struct server;

/* What a server is made of. The members belong to the caller and must outlive the server. */
struct server_parts {
    const struct config *config; /* with threads and max_connections resolved (non-zero) */
    const struct handlers *handlers;
    struct log *log;
    struct metrics *metrics;
    int listener;   /* owned by the server from now on; server_stop() closes it */
    bool is_shared; /* another process also has the listener: only close it, never shut it down */
};

/* Starts the threads that accept and serve connections. They inherit the caller's signal mask.
 * Returns NULL if libmicrohttpd cannot start, for lack of memory, threads or descriptors; it does
 * not report which. The process must then exit, since libmicrohttpd may or may not have closed the
 * listener. If libmicrohttpd later fails fatally, that is logged and the process exits with
 * status 1. */
struct server *server_start(const struct server_parts *parts);

/* Shuts down connections that have completed no request within the request deadline, at most one
 * second late, and evicts connections above the limit. If the process was stopped or suspended for
 * a second or longer, all deadlines start again. Call this while the server is running. Returns the
 * time until the next call, 1 to 1000 milliseconds. */
int64_t server_sweep(struct server *server);

/* Makes the server not ready. From now on each response closes its connection, unless the next
 * request has already begun to arrive. */
void server_drain(struct server *server);

/* Stops accepting. Call it once, and then server_close_idle() until nothing is left. Connections in
 * the kernel's backlog are still served, as the connection limit permits; then the kernel refuses
 * new ones. If the listener is shared, they stay in the backlog for the process that accepts next,
 * and new ones are queued there, too. */
void server_stop_accepting(struct server *server);

/* Closes the connections that were accepted at or before `accepted` (milliseconds of
 * CLOCK_MONOTONIC) and are idle. Call it after server_stop_accepting(). Returns how many
 * connections are left: open, handed over to a thread, or at least one in the backlog. */
size_t server_close_idle(struct server *server, int64_t accepted);

/* Replaces accept4() in libmicrohttpd (see the Makefile), with the same arguments and results. If
 * descriptors or memory are short, counts that, evicts a connection if it can, waits a millisecond,
 * and fails with EAGAIN: after other errors libmicrohttpd would retry endlessly, or never again.
 * Call it only while a server is running. */
int server_accept(int listener, struct sockaddr *address, socklen_t *size, int flags);

/* Ends all connections, whatever they are doing, stops the threads, and frees the server. */
void server_stop(struct server *server);

#endif
