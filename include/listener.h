/* The listening socket. */
#ifndef VERSIOND_LISTENER_H
#define VERSIOND_LISTENER_H

#include <stdint.h>

/* Opens a listening TCP socket, non-blocking and closed on exec, with the longest backlog that the
 * kernel allows. `address` is a literal IPv4 or IPv6 address; "::" takes IPv4 clients too. NULL is
 * "::", or "0.0.0.0" where the host has no IPv6. `port` 0 picks a free one.
 * Returns the descriptor, which is the caller's, or a negative errno, such as -EADDRINUSE,
 * -EADDRNOTAVAIL (no interface has the address) and -EACCES (a port that needs a privilege). */
int listener_open(const char *address, uint16_t port);

#endif
