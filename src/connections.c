#include "connections.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "clock.h"

/* Number of candidates for eviction. Bounded, so that its cost does not grow with the list. */
enum { CANDIDATES_MAX = 16 };

/* An active client sends its next request within this time, in milliseconds. */
enum { ACTIVE_TIME = 10 };

/* How long after a request abandoned connections are looked for, in milliseconds: at least two
 * checks. Connections that have been idle for longer, usually most of them, cost nothing. */
enum { ABANDONED_TIME = 3000 };

void connections_init(struct connections *connections)
{
    *connections = (struct connections){0};
    pthread_mutex_init(&connections->lock, NULL);
}

static void link_first(struct connections *connections, struct connection *connection)
{
    connection->previous = NULL;
    connection->next = connections->first;
    if (connections->first != NULL)
        connections->first->previous = connection;
    else
        connections->last = connection;
    connections->first = connection;
}

static void unlink_record(struct connections *connections, const struct connection *connection)
{
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        connections->first = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    else
        connections->last = connection->previous;
}

/* Returns true if the kernel holds data that the client has not acknowledged. */
static bool has_unread_response(int socket)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;

    return getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
           info.tcpi_unacked + info.tcpi_notsent_bytes > 0;
}

static void shut_down(struct connections *connections, struct connection *connection)
{
    static const struct linger reset = {.l_onoff = 1, .l_linger = 0};

    connection->is_shut_down = true;
    connections->closing++;
    if (has_unread_response(connection->socket))
        (void)setsockopt(connection->socket, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    (void)shutdown(connection->socket, SHUT_RDWR);
}

struct connection *connections_add(struct connections *connections, int socket)
{
    struct connection *connection = calloc(1, sizeof *connection);

    if (connection == NULL)
        (void)shutdown(socket, SHUT_RDWR);
    pthread_mutex_lock(&connections->lock);
    connections->opened++;
    if (connection != NULL) {
        connection->socket = socket;
        connection->accepted = monotonic_milliseconds();
        atomic_init(&connection->completed, connection->accepted);
        link_first(connections, connection);
        connections->open++;
    }
    pthread_mutex_unlock(&connections->lock);
    return connection;
}

void connections_remove(struct connections *connections, struct connection *connection)
{
    if (connection == NULL)
        return;
    pthread_mutex_lock(&connections->lock);
    unlink_record(connections, connection);
    connections->open--;
    if (connection->is_shut_down)
        connections->closing--;
    pthread_mutex_unlock(&connections->lock);
    free(connection);
}

uint64_t connections_opened(struct connections *connections)
{
    uint64_t opened = 0;

    pthread_mutex_lock(&connections->lock);
    opened = connections->opened;
    pthread_mutex_unlock(&connections->lock);
    return opened;
}

bool connection_has_more(const struct connection *connection)
{
    static const char empty_line[] = {'\r', '\n'}; /* skipped, and not part of any head */
    const uint64_t read = atomic_load(&connection->read);
    struct tcp_info info = {0};
    socklen_t size = sizeof info;

    return getsockopt(connection->socket, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
           info.tcpi_bytes_received > read + sizeof empty_line;
}

/* Checked in this order, so that a request read between the two checks is seen by one of them. */
static bool is_idle(const struct connection *connection)
{
    return !connection_has_more(connection) && !atomic_load(&connection->in_request);
}

size_t connections_shutdown_idle(struct connections *connections, int64_t accepted)
{
    size_t open = 0;

    pthread_mutex_lock(&connections->lock);
    open = connections->open;
    for (struct connection *at = connections->first; at != NULL; at = at->next) {
        if (at->accepted <= accepted && is_idle(at))
            (void)shutdown(at->socket, SHUT_RDWR);
    }
    pthread_mutex_unlock(&connections->lock);
    return open;
}

/* Returns a positive number if unread data has arrived, 0 at the end of the stream, and -1 if
 * neither. Does not block, so it may be called with the lock held. */
static ssize_t peek(int socket)
{
    char byte = 0;

    /* NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection) */
    return recv(socket, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
}

/* Returns true if the client has closed its side and everything has been read and received. */
static bool is_abandoned(const struct connection *connection)
{
    return peek(connection->socket) == 0 && !has_unread_response(connection->socket);
}

size_t connections_shutdown_overdue(struct connections *connections, int64_t before)
{
    const int64_t recent = monotonic_milliseconds() - ABANDONED_TIME;
    size_t count = 0;

    pthread_mutex_lock(&connections->lock);
    for (struct connection *at = connections->first; at != NULL; at = at->next) {
        const int64_t completed = atomic_load(&at->completed);

        if (at->is_shut_down)
            continue;
        if (completed <= before) {
            shut_down(connections, at);
            count++;
        } else if (completed > recent && is_abandoned(at)) {
            /* Only the second time: the thread may be about to respond. */
            if (at->abandoned == completed)
                shut_down(connections, at);
            at->abandoned = completed;
        }
    }
    pthread_mutex_unlock(&connections->lock);
    return count;
}

/* Returns true if the connection waits for its thread, to read data or to answer a complete head,
 * and false if it waits for the client, to finish a head or to read a response. */
static bool waits_for_thread(const struct connection *connection)
{
    if (!atomic_load(&connection->in_request))
        return peek(connection->socket) > 0;
    return !connection_has_more(connection) && !has_unread_response(connection->socket);
}

/* Examines some records at the end of the list and moves them to the front, so that the next call
 * sees others. Returns the one whose last request completed longest ago and at or before `before`,
 * or NULL if none qualifies. */
static struct connection *find_candidate(struct connections *connections, int64_t before)
{
    struct connection *oldest = NULL;
    int64_t oldest_time = before + 1;

    for (size_t i = 0; i < CANDIDATES_MAX && i < connections->open; i++) {
        struct connection *at = connections->last;
        const int64_t completed = atomic_load(&at->completed);

        unlink_record(connections, at);
        link_first(connections, at);
        if (at->is_shut_down || completed >= oldest_time || waits_for_thread(at))
            continue;
        oldest = at;
        oldest_time = completed;
    }
    return oldest;
}

bool connections_evict(struct connections *connections, size_t limit)
{
    const int64_t before = monotonic_milliseconds() - ACTIVE_TIME;
    struct connection *oldest = NULL;

    pthread_mutex_lock(&connections->lock);
    if (connections->open - connections->closing > limit)
        oldest = find_candidate(connections, before);
    if (oldest != NULL)
        shut_down(connections, oldest);
    pthread_mutex_unlock(&connections->lock);
    return oldest != NULL;
}

size_t connections_count(struct connections *connections)
{
    size_t count = 0;

    pthread_mutex_lock(&connections->lock);
    count = connections->open - connections->closing;
    pthread_mutex_unlock(&connections->lock);
    return count;
}
