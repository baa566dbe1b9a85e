#include "server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "connections.h"
#include "dispatch.h"

#if MHD_VERSION < 0x01001000
#error "libmicrohttpd 1.0.10 or later is required: one request crashes 1.0.0 to 1.0.9"
#endif

/* Memory per connection, which also limits the head of a request: see docs/http.md. */
enum { CONNECTION_MEMORY = 8 * 1024 };

/* As strict as the protocol requires, without rejecting what browsers send. */
enum { CLIENT_DISCIPLINE = 1 };

/* How long to wait for a thread to open a connection that was handed over, in milliseconds. It
 * takes microseconds, unless the thread is at its limit: then it drops the connection silently. */
enum { HAND_OVER_TIMEOUT = 250 };

/* Time between sweeps, in milliseconds: normally; above half of the connection limit; and above the
 * limit, where all connections were active at the last sweep. Overdue connections are looked for at
 * OVERDUE_INTERVAL, because that examines every connection. */
enum { OVERDUE_INTERVAL = 1000, SWEEP_INTERVAL = 50, CROWDED_INTERVAL = 10 };

/* A sweep is this late, in milliseconds, only if the whole process was stopped or suspended. */
enum { STANDSTILL = 1000 };

/* Delay after a failed accept4(), in milliseconds. It avoids a busy loop, and is short because it
 * also delays the thread's other connections. */
enum { SHORTAGE_PAUSE = 1 };

struct server {
    struct MHD_Daemon *daemon;
    int listener;
    int64_t next_sweep;         /* when the next sweep is due */
    int64_t next_overdue;       /* when to look for overdue connections again */
    int64_t resumed;            /* when a standstill ended, or the time of the first sweep */
    bool is_shared;             /* another process may accept from the listener later */
    bool has_backlog;           /* accepting has stopped, and the backlog may not be empty */
    uint64_t handed_over;       /* value of connections_opened() once the threads have opened all
                                 * connections that were handed over */
    int64_t hand_over_deadline; /* when to stop waiting for that */
    atomic_bool has_evicted;    /* for a connection that is still to be accepted */
    struct dispatch dispatch;
};

/* Logs a fatal error of libmicrohttpd and exits, where the library would call abort(). The library
 * is built without messages, so `reason` is empty. */
static void panic(void *cls, const char *file, unsigned line, const char *reason)
{
    const char *error = strerror(errno);

    (void)reason;
    log_write(cls, LOG_ERROR, "fatal error in libmicrohttpd",
              (const struct log_field[]){{.name = "file", .text = file},
                                         {.name = "line", .number = line},
                                         {.name = "error", .text = error}},
              3);
    _exit(EXIT_FAILURE);
}

/* The server that server_accept() belongs to. A process has only one. */
static struct server *running;

/* Returns true for the errors of accept4() that mean lack of descriptors or memory. */
static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

/* Evicts one connection in favor of one that cannot be accepted. Only one at a time: the shortage
 * may be system-wide. */
static void evict_one(struct server *server)
{
    if (atomic_exchange(&server->has_evicted, true))
        return;
    if (connections_evict(&server->dispatch.connections, 0))
        metrics_count(server->dispatch.metrics, METRICS_EVICTED, 1);
    else
        atomic_store(&server->has_evicted, false);
}

int server_accept(int listener, struct sockaddr *address, socklen_t *size, int flags)
{
    struct server *server = running;
    const int socket = accept4(listener, address, size, flags);

    if (socket >= 0 && atomic_load(&server->has_evicted))
        atomic_store(&server->has_evicted, false);
    if (socket >= 0 || !is_shortage(errno))
        return socket;
    metrics_count(server->dispatch.metrics, METRICS_ACCEPT_FAILURE, 1);
    evict_one(server);
    (void)poll(NULL, 0, SHORTAGE_PAUSE);
    errno = EAGAIN;
    return -1;
}

struct server *server_start(const struct server_parts *parts)
{
    const struct config *config = parts->config;
    const unsigned user_timeout = 2 * config->request_deadline; /* milliseconds */
    struct server *server = calloc(1, sizeof *server);
    struct dispatch *dispatch = NULL;

    if (server == NULL)
        return NULL;
    dispatch = &server->dispatch;
    server->listener = parts->listener;
    server->is_shared = parts->is_shared;
    dispatch->config = config;
    dispatch->handlers = parts->handlers;
    dispatch->log = parts->log;
    dispatch->metrics = parts->metrics;
    connections_init(&dispatch->connections);
    MHD_set_panic_func(panic, parts->log);
    running = server; /* before any thread starts */
    /* Accepted connections inherit this limit on how long the kernel keeps data that a vanished
     * client does not acknowledge. At twice the deadline, clients that are merely slow are found
     * overdue, and counted, first. If the kernel refuses the option, it keeps the data for minutes.
     */
    (void)setsockopt(parts->listener, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout,
                     sizeof user_timeout);
    /* clang-format off */
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, dispatch_request, dispatch,
        MHD_OPTION_LISTEN_SOCKET, parts->listener,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)config->threads,
        MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(config->max_connections + config->threads * SERVER_SPARE_CONNECTIONS),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CLIENT_DISCIPLINE_LVL, CLIENT_DISCIPLINE,
        MHD_OPTION_NOTIFY_CONNECTION, dispatch_connection, dispatch,
        MHD_OPTION_URI_LOG_CALLBACK, dispatch_target, dispatch,
        MHD_OPTION_NOTIFY_COMPLETED, dispatch_completed, dispatch,
        MHD_OPTION_END);
    /* clang-format on */
    if (server->daemon != NULL)
        return server;
    free(server);
    return NULL;
}

void server_drain(struct server *server)
{
    atomic_store(&server->dispatch.draining, true);
}

/* Shuts down overdue connections, at most once per OVERDUE_INTERVAL. */
static void sweep_overdue(struct server *server, int64_t now)
{
    struct dispatch *dispatch = &server->dispatch;
    int64_t before = now - dispatch->config->request_deadline;

    if (now < server->next_overdue)
        return;
    server->next_overdue = now + OVERDUE_INTERVAL;
    /* After a standstill every deadline starts again, so that the threads have as long as usual to
     * read the requests that have arrived meanwhile. */
    if (before < server->resumed)
        before = INT64_MIN;
    metrics_count(dispatch->metrics, METRICS_OVERDUE,
                  connections_shutdown_overdue(&dispatch->connections, before));
}

int64_t server_sweep(struct server *server)
{
    struct dispatch *dispatch = &server->dispatch;
    const size_t limit = dispatch->config->max_connections;
    /* Read once: the process may be stopped between any two instructions. */
    const int64_t now = monotonic_milliseconds();
    int64_t interval = 0;
    size_t count = 0;

    if (now >= server->next_sweep + STANDSTILL)
        server->resumed = now;
    sweep_overdue(server, now);
    while (connections_evict(&dispatch->connections, limit))
        metrics_count(dispatch->metrics, METRICS_EVICTED, 1);
    count = connections_count(&dispatch->connections);
    interval = server->next_overdue - now;
    if (count > limit)
        interval = CROWDED_INTERVAL;
    else if (count > limit / 2)
        interval = SWEEP_INTERVAL;
    server->next_sweep = now + interval;
    return interval;
}

/* Returns the number of connections that were handed over and that no thread has opened yet. Counts
 * them only until the deadline, since a thread at its limit drops a connection silently. */
static uint64_t count_waiting(struct server *server)
{
    const uint64_t opened = connections_opened(&server->dispatch.connections);

    if (opened >= server->handed_over || monotonic_milliseconds() >= server->hand_over_deadline)
        server->handed_over = opened;
    return server->handed_over - opened;
}

/* Returns true if another connection can be handed over. The library divides its limit among the
 * threads, and which thread gets a connection is only known once it is opened, so near the limit
 * connections are handed over one at a time. Uses the library's own count, which its limit applies
 * to: a connection is removed from the list slightly earlier. */
static bool has_capacity(struct server *server)
{
    const uint64_t waiting = count_waiting(server);
    const unsigned counted =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;

    return waiting == 0 ? counted < server->dispatch.config->max_connections
                        : counted + waiting < server->dispatch.config->max_connections / 2;
}

/* Hands connections from the kernel's backlog over to libmicrohttpd, as far as the limit permits.
 * Shuts the listener down once the backlog is empty, but does not close it: threads may still use
 * the descriptor. */
static void hand_over_backlog(struct server *server)
{
    while (server->has_backlog && has_capacity(server)) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        const int socket = accept4(server->listener, (struct sockaddr *)&address, &size,
                                   SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (socket < 0 && errno != EAGAIN)
            return; /* aborted by the client, or out of descriptors: retried at the next call */
        if (socket < 0) {
            server->has_backlog = false;
            (void)shutdown(server->listener, SHUT_RDWR);
        } else if (MHD_add_connection(server->daemon, socket, (struct sockaddr *)&address, size) ==
                   MHD_YES) {
            server->handed_over++;
            server->hand_over_deadline = monotonic_milliseconds() + HAND_OVER_TIMEOUT;
        }
    }
}

void server_stop_accepting(struct server *server)
{
    (void)MHD_quiesce_daemon(server->daemon);
    server->has_backlog = !server->is_shared;
    hand_over_backlog(server);
}

size_t server_close_idle(struct server *server, int64_t accepted)
{
    uint64_t waiting = 0;

    hand_over_backlog(server);
    /* First, so that a connection opened between the two counts is counted twice, not missed. */
    waiting = count_waiting(server);
    return connections_shutdown_idle(&server->dispatch.connections, accepted) + waiting +
           (server->has_backlog ? 1 : 0);
}

void server_stop(struct server *server)
{
    /* Otherwise MHD_stop_daemon() closes the listener, too, if the server still accepts. */
    (void)MHD_quiesce_daemon(server->daemon);
    MHD_stop_daemon(server->daemon);
    (void)close(server->listener);
    free(server);
}
