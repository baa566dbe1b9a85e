#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "clock.h"
#include "parse.h"

enum { TIMEOUT = 3000, REQUEST_MAX = PARSE_BASE_PATH_MAX + 128 };

static const char STATUS_LINE[] = "HTTP/1.1 200 ";

/* Waits for `events`, at most until `deadline`. Returns 0 or a negative errno. */
static int wait_for(int socket, short events, int64_t deadline)
{
    struct pollfd ready = {.fd = socket, .events = events};
    const int64_t left = deadline - monotonic_milliseconds();
    const int result = poll(&ready, 1, left > 0 ? (int)left : 0);

    if (result < 0)
        return -errno;
    return result == 0 ? -ETIMEDOUT : 0;
}

/* Connects before the deadline. Returns 0 or a negative errno. */
static int connect_to(int socket, const struct sockaddr_storage *address, socklen_t size,
                      int64_t deadline)
{
    int failure = 0;
    socklen_t length = sizeof failure;
    int result = 0;

    if (connect(socket, (const struct sockaddr *)address, size) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -errno;
    result = wait_for(socket, POLLOUT, deadline);
    if (result < 0)
        return result;
    if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &failure, &length) < 0)
        return -errno;
    return -failure;
}

/* Sends the request, which fits into any socket buffer, and reads the first `size` bytes of the
 * response. Returns the number of bytes read, or a negative errno. */
static ssize_t exchange(int socket, const char *request, char *response, size_t size,
                        int64_t deadline)
{
    size_t used = 0;

    if (send(socket, request, strlen(request), MSG_NOSIGNAL) < 0)
        return -errno;
    while (used < size) {
        const int result = wait_for(socket, POLLIN, deadline);
        ssize_t n = 0;

        if (result < 0)
            return result;
        n = recv(socket, response + used, size - used, 0);
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    return (ssize_t)used;
}

/* Connects, sends the request and checks the status line. Returns 0, or -1 and writes the reason to
 * `error`. */
static int check(int socket, const struct sockaddr_storage *address, socklen_t size,
                 const char *request, char *error, size_t error_size)
{
    const int64_t deadline = monotonic_milliseconds() + TIMEOUT;
    char response[sizeof STATUS_LINE - 1];
    ssize_t length = connect_to(socket, address, size, deadline);

    if (length == 0)
        length = exchange(socket, request, response, sizeof response, deadline);
    if (length < 0) {
        (void)snprintf(error, error_size, "%s", strerror((int)-length));
        return -1;
    }
    if (length == sizeof response && memcmp(response, STATUS_LINE, sizeof response) == 0)
        return 0;
    if (length == sizeof response && memcmp(response, STATUS_LINE, 9) == 0)
        (void)snprintf(error, error_size, "answered %.3s", response + 9);
    else
        (void)snprintf(error, error_size, "did not answer with HTTP/1.1");
    return -1;
}

int probe_readiness(const struct config *config, char *error, size_t size)
{
    const bool is_any = config->address == NULL || strcmp(config->address, "::") == 0 ||
                        strcmp(config->address, "0.0.0.0") == 0;
    const char *host = is_any ? "127.0.0.1" : config->address;
    const char *base_path = config->base_path == NULL ? "" : config->base_path;
    struct sockaddr_storage address;
    socklen_t address_size = 0;
    char request[REQUEST_MAX];
    char reason[64];
    int descriptor = -1;
    int result = -1;

    if (config->port == 0) {
        (void)snprintf(error, size, "cannot health-check port 0; pass the port it listens on");
        return -1;
    }
    if (!address_parse(host, (uint16_t)config->port, &address, &address_size)) {
        (void)snprintf(error, size, "%s: not an address", host);
        return -1;
    }
    (void)snprintf(request, sizeof request,
                   "GET %s/readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                   base_path);
    descriptor = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) {
        (void)snprintf(error, size, "cannot create a socket: %s", strerror(errno));
        return -1;
    }
    result = check(descriptor, &address, address_size, request, reason, sizeof reason);
    if (result < 0)
        (void)snprintf(error, size, "%s, port %u: %s", host, (unsigned)config->port, reason);
    (void)close(descriptor);
    return result;
}
