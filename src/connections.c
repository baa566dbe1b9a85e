#include "connections.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "address.h"
#include "clock.h"

/* Records that connections_evict() looks at, so that what it costs does not grow with the list. */
enum { LOOKS_MAX = 16 };

/* Milliseconds in which a client that is there sends its next request. */
enum { SPARED = 10 };

/* Milliseconds after a request in which it is looked whether the client has left: two looks or
 * more. Not at those that have been idle for longer, who are the many. */
enum { FRESH = 3000 };

/* How many connections an address has. */
struct connection_peer {
    struct address_key key; /* first: a key alone is compared with it */
    size_t open;
};

void connections_init(struct connections *connections, size_t max_per_peer)
{
    *connections = (struct connections){.max_per_peer = max_per_peer};
    pthread_mutex_init(&connections->lock, NULL);
}

static int compare_peers(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct address_key));
}

/* Finds the peer of an address, or makes one. Returns NULL when there is no memory. */
static struct connection_peer *find_peer(struct connections *connections,
                                         const struct sockaddr *address)
{
    const struct address_key key = address_key(address);
    struct connection_peer *const *node =
        (struct connection_peer *const *)tfind(&key, &connections->peers, compare_peers);
    struct connection_peer *peer = NULL;

    if (node != NULL)
        return *node;
    peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return NULL;
    peer->key = key;
    if (tsearch(peer, &connections->peers, compare_peers) != NULL)
        return peer;
    free(peer);
    return NULL;
}

/* Takes one connection from a peer, which goes with its last. */
static void leave_peer(struct connections *connections, struct connection_peer *peer)
{
    if (peer == NULL || --peer->open > 0)
        return;
    (void)tdelete(peer, &connections->peers, compare_peers);
    free(peer);
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

static void take_off(struct connections *connections, const struct connection *connection)
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

/* Counts a connection for its address. Returns false when that has as many as it may have, or there
 * is no memory. */
static bool join_peer(struct connections *connections, struct connection *connection,
                      const struct sockaddr *address)
{
    struct connection_peer *peer = NULL;

    if (connections->max_per_peer == 0)
        return true;
    peer = find_peer(connections, address);
    if (peer == NULL || peer->open == connections->max_per_peer)
        return false;
    peer->open++;
    connection->peer = peer;
    return true;
}

/* True when the kernel has bytes for the client that it has not taken. */
static bool has_unread_answer(int socket)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;

    return getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
           info.tcpi_unacked + info.tcpi_notsent_bytes > 0;
}

static void shut_down(struct connections *connections, struct connection *connection)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    connection->is_shut_down = true;
    connections->closing++;
    if (has_unread_answer(connection->socket))
        (void)setsockopt(connection->socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    (void)shutdown(connection->socket, SHUT_RDWR);
}

struct connection *connections_add(struct connections *connections, int socket,
                                   const struct sockaddr *address)
{
    struct connection *connection = calloc(1, sizeof *connection);

    if (connection == NULL)
        (void)shutdown(socket, SHUT_RDWR);
    pthread_mutex_lock(&connections->lock);
    connections->opened++;
    if (connection != NULL) {
        connection->socket = socket;
        connection->accepted = monotonic_milliseconds();
        atomic_init(&connection->done, connection->accepted);
        link_first(connections, connection);
        connections->open++;
        connection->is_refused = !join_peer(connections, connection, address);
        if (connection->is_refused)
            shut_down(connections, connection);
    }
    pthread_mutex_unlock(&connections->lock);
    return connection;
}

void connections_remove(struct connections *connections, struct connection *connection)
{
    if (connection == NULL)
        return;
    pthread_mutex_lock(&connections->lock);
    take_off(connections, connection);
    connections->open--;
    if (connection->is_shut_down)
        connections->closing--;
    leave_peer(connections, connection->peer);
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
    static const char empty_line[] = {'\r', '\n'}; /* is skipped, and in no head's size */
    const uint64_t read = atomic_load(&connection->read);
    struct tcp_info info = {0};
    socklen_t size = sizeof info;

    return getsockopt(connection->socket, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
           info.tcpi_bytes_received > read + sizeof empty_line;
}

/* In this order: a request that is read between two looks is seen by the one or the other. */
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

/* Looks at what has come on a connection and was not read: more than 0 bytes, 0 for its end, -1 for
 * neither. It does not wait, so it may be called with the lock held. */
static ssize_t peek(int socket)
{
    char byte = 0;

    /* NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection) */
    return recv(socket, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
}

/* True when the client has ended its side, its thread has read all, and it has taken all. */
static bool has_left(const struct connection *connection)
{
    return peek(connection->socket) == 0 && !has_unread_answer(connection->socket);
}

size_t connections_shutdown_overdue(struct connections *connections, int64_t before)
{
    const int64_t fresh = monotonic_milliseconds() - FRESH;
    size_t count = 0;

    pthread_mutex_lock(&connections->lock);
    for (struct connection *at = connections->first; at != NULL; at = at->next) {
        const int64_t done = atomic_load(&at->done);

        if (at->is_shut_down)
            continue;
        if (done <= before) {
            shut_down(connections, at);
            count++;
        } else if (done > fresh && has_left(at)) {
            /* Not at first sight: its thread may be about to answer. */
            if (at->left == done)
                shut_down(connections, at);
            at->left = done;
        }
    }
    pthread_mutex_unlock(&connections->lock);
    return count;
}

/* True when it is the turn of its thread, however long that has not run: to read what has come, or
 * to answer a request whose head is complete. A client that drips a head, or does not read an
 * answer, has the turn itself. */
static bool is_served(const struct connection *connection)
{
    if (!atomic_load(&connection->in_request))
        return peek(connection->socket) > 0;
    return !connection_has_more(connection) && !has_unread_answer(connection->socket);
}

/* Looks at some records from the end of the list, and puts them at its begin, so that the next look
 * sees others. Returns that which has completed no request for longest, or NULL when none may be
 * shut down. */
static struct connection *find_oldest(struct connections *connections, int64_t before)
{
    struct connection *oldest = NULL;
    int64_t least = before + 1;

    for (size_t looks = 0; looks < LOOKS_MAX && looks < connections->open; looks++) {
        struct connection *at = connections->last;
        const int64_t done = atomic_load(&at->done);

        take_off(connections, at);
        link_first(connections, at);
        if (at->is_shut_down || done >= least || is_served(at))
            continue;
        oldest = at;
        least = done;
    }
    return oldest;
}

bool connections_evict(struct connections *connections, size_t limit)
{
    const int64_t before = monotonic_milliseconds() - SPARED;
    struct connection *oldest = NULL;

    pthread_mutex_lock(&connections->lock);
    if (connections->open - connections->closing > limit)
        oldest = find_oldest(connections, before);
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
