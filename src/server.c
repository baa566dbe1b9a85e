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

#if MHD_VERSION >= 0x01000000 && MHD_VERSION < 0x01001000
#error "one request crashes libmicrohttpd 1.0.0 to 1.0.9: 1.0.10 or later is needed"
#elif MHD_VERSION < 0x01001000
#error "libmicrohttpd 1.0.10 or later is needed"
#endif

/* What a connection costs, and what bounds the head of a request: see docs/design.md. */
enum { CONNECTION_MEMORY = 8 * 1024 };

/* As strict as the protocol asks of a server, without breaking what browsers send. */
enum { CLIENT_DISCIPLINE = 1 };

/* A thread takes a connection over within microseconds, or drops it when it is at its limit, which
 * it tells nobody. Milliseconds. */
enum { HAND_OVER_TIMEOUT = 250 };

/* Milliseconds between looks for connections that are overdue, all of which are looked at; for too
 * many, when there may soon be; and while there are too many, since all were busy. */
enum { OVERDUE_INTERVAL = 1000, SWEEP_INTERVAL = 50, CROWDED_INTERVAL = 10 };

/* Milliseconds to wait when a connection cannot be accepted. The thread's other connections wait,
 * too: so no longer than it takes not to be busy. */
enum { SHORTAGE_PAUSE = 1 };

struct server {
    struct MHD_Daemon *daemon;
    int listener;
    int64_t next_overdue; /* when to look for those again */
    bool is_shared;       /* the listener, with a process that may accept from it later */
    bool has_backlog;     /* accepting has stopped, and the kernel has connections for us */
    uint64_t handed_over; /* how many are opened when the threads have taken what they were given */
    int64_t hand_over_deadline; /* when not to wait for that any longer */
    atomic_bool has_made_room;  /* for a connection that has not been accepted yet */
    struct dispatch dispatch;
};

/* What libmicrohttpd does when it cannot go on, instead of abort(): says so, and ends the process.
 * It is built without texts, so its reason is where it stands. */
static void panic(void *cls, const char *file, unsigned line, const char *reason)
{
    const char *error = strerror(errno);

    (void)reason;
    log_write(cls, LOG_ERROR, "libmicrohttpd cannot go on",
              (const struct log_field[]){{.name = "file", .text = file},
                                         {.name = "line", .number = line},
                                         {.name = "error", .text = error}},
              3);
    _exit(EXIT_FAILURE);
}

/* The one that server_accept() works for: a process has one. */
static struct server *running;

/* True for what accept4() says when the process or the system has no more of something. */
static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

/* Has one connection closed for one that cannot be accepted: no further one until that has helped,
 * as what is short may not be ours. */
static void make_room(struct server *server)
{
    if (atomic_exchange(&server->has_made_room, true))
        return;
    if (connections_evict(&server->dispatch.connections, 0))
        metrics_count_evicted(server->dispatch.metrics);
    else
        atomic_store(&server->has_made_room, false);
}

int server_accept(int listener, struct sockaddr *address, socklen_t *size, int flags)
{
    struct server *server = running;
    const int socket = accept4(listener, address, size, flags);

    if (socket >= 0 && atomic_load(&server->has_made_room))
        atomic_store(&server->has_made_room, false);
    if (socket >= 0 || !is_shortage(errno))
        return socket;
    metrics_count_accept_failure(server->dispatch.metrics);
    make_room(server);
    (void)poll(NULL, 0, SHORTAGE_PAUSE);
    errno = EAGAIN;
    return -1;
}

struct server *server_start(const struct server_parts *parts)
{
    const struct config *config = parts->config;
    const unsigned kept = 2 * config->request_deadline; /* milliseconds */
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
    connections_init(&dispatch->connections, config->max_connections_per_ip);
    MHD_set_panic_func(panic, parts->log);
    running = server; /* before there are threads */
    /* Connections have it from the listener: what a client that is gone was sent is not kept for
     * longer. Twice the deadline, so that who does not read is found overdue, and counted, before.
     * A kernel that does not know it (before Linux 2.6.37) keeps it for minutes. */
    (void)setsockopt(parts->listener, IPPROTO_TCP, TCP_USER_TIMEOUT, &kept, sizeof kept);
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

int64_t server_sweep(struct server *server)
{
    struct dispatch *dispatch = &server->dispatch;
    const size_t limit = dispatch->config->max_connections;
    const int64_t now = monotonic_milliseconds();
    size_t count = 0;

    if (now >= server->next_overdue) {
        server->next_overdue = now + OVERDUE_INTERVAL;
        metrics_count_overdue(dispatch->metrics, connections_shutdown_overdue(
                                                     &dispatch->connections,
                                                     now - dispatch->config->request_deadline));
    }
    while (connections_evict(&dispatch->connections, limit))
        metrics_count_evicted(dispatch->metrics);
    count = connections_count(&dispatch->connections);
    if (count > limit)
        return CROWDED_INTERVAL;
    return count > limit / 2 ? SWEEP_INTERVAL : server->next_overdue - now;
}

/* How many connections were handed over that no thread has opened yet. A thread at its limit drops
 * a connection without a word: after the deadline that is not waited for. */
static uint64_t count_waiting(struct server *server)
{
    const uint64_t opened = connections_opened(&server->dispatch.connections);

    if (opened >= server->handed_over || monotonic_milliseconds() >= server->hand_over_deadline)
        server->handed_over = opened;
    return server->handed_over - opened;
}

/* True when a thread can take one more connection. Near the limit, which is divided among the
 * threads, only one at a time is handed over: which thread gets it shows only when it has it. What
 * the library counts is what its limit goes by; a connection leaves our list a little earlier. */
static bool has_room(struct server *server)
{
    const uint64_t waiting = count_waiting(server);
    const unsigned counted =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;

    return waiting == 0 ? counted < server->dispatch.config->max_connections
                        : counted + waiting < server->dispatch.config->max_connections / 2;
}

/* Gives libmicrohttpd the connections that the kernel has completed and no thread has accepted, as
 * far as there is room; when none is left, the kernel stops listening. The descriptor must stay:
 * threads may still name it. */
static void hand_over_backlog(struct server *server)
{
    while (server->has_backlog && has_room(server)) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        const int socket = accept4(server->listener, (struct sockaddr *)&address, &size,
                                   SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (socket < 0 && errno != EAGAIN)
            return; /* that one is gone, or descriptors are short: again at the next look */
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
    /* In this order: a connection that is opened meanwhile is counted twice rather than not. */
    waiting = count_waiting(server);
    return connections_shutdown_idle(&server->dispatch.connections, accepted) + waiting +
           (server->has_backlog ? 1 : 0);
}

void server_stop(struct server *server)
{
    /* If it still accepts: a daemon that does closes the listener too. */
    (void)MHD_quiesce_daemon(server->daemon);
    MHD_stop_daemon(server->daemon);
    (void)close(server->listener);
    free(server);
}
