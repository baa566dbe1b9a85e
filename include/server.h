/* The HTTP server: libmicrohttpd on a listening socket, with what every request goes through. */
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

/* How many connections each thread may have beyond its part of those that the settings allow, until
 * others are closed in their place. Each is a descriptor. */
enum { SERVER_SPARE_CONNECTIONS = 4 };

struct server;

/* What a server is made of. All of it stays the caller's, and outlives the server. */
struct server_parts {
    const struct config *config; /* with its numbers of threads and connections found out, not 0 */
    const struct handlers *handlers;
    struct log *log;
    struct metrics *metrics;
    int listener;   /* the server's from now on: closed by server_stop() */
    bool is_shared; /* the listener is another process', too: only closed here, never shut down */
};

/* Starts the threads that accept and serve connections; they have the signal mask of the caller.
 * Returns NULL when libmicrohttpd cannot start (no memory, threads or descriptors; it does not
 * say). Then the process can only end: libmicrohttpd may or may not have closed the listener.
 * When libmicrohttpd cannot go on later, a line of the log says so, and the process ends with exit
 * code 1. */
struct server *server_start(const struct server_parts *parts);

/* Closes the connections that have completed no request for as long as the setting says, at most a
 * second later, and those that are too many. To be called as long as the server runs; returns in
 * how many milliseconds again, 1 to 1000. */
int64_t server_sweep(struct server *server);

/* From now on the server is not ready, and every answer ends its connection, but for requests that
 * are followed by another one that has arrived. */
void server_drain(struct server *server);

/* Stops accepting. To be called once, and server_close_idle() after it until nothing is left:
 * connections that the kernel has completed are still served, as far as the limit of connections
 * has or gets room for them; then the kernel refuses further ones. Those of a shared listener stay
 * with it, and further ones too, for the process that accepts next. */
void server_stop_accepting(struct server *server);

/* After server_stop_accepting(): closes the connections that were accepted at or before `accepted`
 * (milliseconds of CLOCK_MONOTONIC) and are idle. Returns how many are left: open, or known to wait
 * for room. */
size_t server_close_idle(struct server *server, int64_t accepted);

/* What libmicrohttpd's threads call instead of accept4() (see the Makefile), of which it has
 * arguments and results. When descriptors or memory are short it counts that, has one old
 * connection closed if there is one, and waits a millisecond; then errno is EAGAIN. From other
 * errors libmicrohttpd would ask again at once, without end, or no more. To be called only while a
 * server runs. */
int server_accept(int listener, struct sockaddr *address, socklen_t *size, int flags);

/* Ends all connections, whatever they are at, and the threads, and frees the server. */
void server_stop(struct server *server);

#endif
