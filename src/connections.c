#include "connections.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "address.h"
#include "clock.h"

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
    connection->next = connections->first;
    if (connections->first != NULL)
        connections->first->previous = connection;
    connections->first = connection;
    connections->open++;
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

static void shut_down(struct connection *connection)
{
    connection->is_shut_down = true;
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
        connection->is_refused = !join_peer(connections, connection, address);
        if (connection->is_refused)
            shut_down(connection);
    }
    pthread_mutex_unlock(&connections->lock);
    return connection;
}

void connections_remove(struct connections *connections, struct connection *connection)
{
    if (connection == NULL)
        return;
    pthread_mutex_lock(&connections->lock);
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        connections->first = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    connections->open--;
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

size_t connections_shutdown_overdue(struct connections *connections, int64_t before)
{
    size_t count = 0;

    pthread_mutex_lock(&connections->lock);
    for (struct connection *at = connections->first; at != NULL; at = at->next) {
        if (at->is_shut_down || atomic_load(&at->done) > before)
            continue;
        shut_down(at);
        count++;
    }
    pthread_mutex_unlock(&connections->lock);
    return count;
}
