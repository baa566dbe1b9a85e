#include "connections.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

int64_t monotonic_milliseconds(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void connections_init(struct connections *connections)
{
    *connections = (struct connections){.first = NULL};
    pthread_mutex_init(&connections->lock, NULL);
}

struct connection *connections_add(struct connections *connections, int socket)
{
    struct connection *connection = calloc(1, sizeof *connection);

    pthread_mutex_lock(&connections->lock);
    connections->opened++;
    if (connection != NULL) {
        connection->socket = socket;
        connection->accepted = monotonic_milliseconds();
        connection->next = connections->first;
        if (connections->first != NULL)
            connections->first->previous = connection;
        connections->first = connection;
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
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        connections->first = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    connections->open--;
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
    struct tcp_info info = {0};
    socklen_t size = sizeof info;

    return getsockopt(connection->socket, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
           info.tcpi_bytes_received > atomic_load(&connection->read) + sizeof empty_line;
}

static bool is_idle(const struct connection *connection)
{
    return !atomic_load(&connection->in_request) && !connection_has_more(connection);
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
