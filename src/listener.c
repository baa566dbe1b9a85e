#include "listener.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"

/* Sets the options that must be set before binding. SO_REUSEADDR lets a restart take the port over
 * from connections in TIME_WAIT; unlike SO_REUSEPORT it lets no second listener in. */
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
    /* What a kernel without IPv6 says, and one on which it is switched off. */
    if (listener == -EAFNOSUPPORT || listener == -EADDRNOTAVAIL)
        return open_at("0.0.0.0", port);
    return listener;
}
