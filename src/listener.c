#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "parse.h"

/* The first passed descriptor (SD_LISTEN_FDS_START). */
enum { PASSED = 3 };

/* Required properties of a passed socket. */
static const struct {
    int option;
    int value;
    char problem[40];
} REQUIRED[] = {
    {SO_TYPE, SOCK_STREAM, "is not a stream socket: SO_TYPE"},
    {SO_PROTOCOL, IPPROTO_TCP, "is not a TCP socket: SO_PROTOCOL"},
    {SO_ACCEPTCONN, 1, "is not listening: SO_ACCEPTCONN"},
};

/* Sets the options that must be set before binding. SO_REUSEADDR allows a restart while connections
 * are in TIME_WAIT; unlike SO_REUSEPORT it does not allow a second listener. Returns 0 or a
 * negative errno. */
static int set_options(int listener, int family)
{
    const int on = 1;
    const int off = 0;

    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        return -errno;
    if (family == AF_INET6 && setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0)
        return -errno;
    return 0;
}

/* Binds and listens. Returns 0 or a negative errno. */
static int bind_and_listen(int listener, const struct sockaddr_storage *address, socklen_t size)
{
    int result = set_options(listener, address->ss_family);

    if (result < 0)
        return result;
    if (bind(listener, (const struct sockaddr *)address, size) < 0)
        return -errno;
    if (listen(listener, INT_MAX) < 0)
        return -errno;
    return 0;
}

static int open_at(const char *text, uint16_t port)
{
    struct sockaddr_storage address;
    socklen_t size = 0;
    int listener = -1;
    int result = 0;

    if (!address_parse(text, port, &address, &size))
        return -EINVAL;
    listener = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (listener < 0)
        return -errno;
    result = bind_and_listen(listener, &address, size);
    if (result < 0) {
        (void)close(listener);
        return result;
    }
    return listener;
}

int listener_open(const char *address, uint16_t port)
{
    int listener = 0;

    if (address != NULL)
        return open_at(address, port);
    listener = open_at("::", port);
    /* The errors of a kernel without IPv6, and with IPv6 disabled. */
    if (listener == -EAFNOSUPPORT || listener == -EADDRNOTAVAIL)
        return open_at("0.0.0.0", port);
    return listener;
}

/* Checks LISTEN_PID and LISTEN_FDS. Returns the same as listener_take(). */
static int check_variables(char *error, size_t size)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    uint32_t number = 0;

    if (pid == NULL || count == NULL)
        return -ENOENT;
    if (!parse_number(pid, 1, INT_MAX, &number)) {
        (void)snprintf(error, size, "LISTEN_PID: '%s' is not a process id", pid);
        return -EINVAL;
    }
    if (number != (uint32_t)getpid())
        return -ENOENT;
    if (strcmp(count, "1") == 0)
        return PASSED;
    (void)snprintf(error, size, "LISTEN_FDS: '%s' is not 1", count);
    return -EINVAL;
}

int listener_take(char *error, size_t size)
{
    const int listener = check_variables(error, size);

    if (listener < 0)
        return listener;
    for (size_t i = 0; i < sizeof REQUIRED / sizeof *REQUIRED; i++) {
        int value = 0;
        socklen_t length = sizeof value;

        if (getsockopt(listener, SOL_SOCKET, REQUIRED[i].option, &value, &length) < 0) {
            (void)snprintf(error, size, "descriptor %d: %s", listener, strerror(errno));
            return -EINVAL;
        }
        if (value != REQUIRED[i].value) {
            (void)snprintf(error, size, "descriptor %d %s is %d", listener, REQUIRED[i].problem,
                           value);
            return -EINVAL;
        }
    }
    /* Neither fails for an open descriptor. The flags that F_SETFL clears do not affect a listening
     * socket. */
    (void)fcntl(listener, F_SETFD, FD_CLOEXEC);
    (void)fcntl(listener, F_SETFL, O_NONBLOCK);
    return listener;
}
