/* The listening socket. */
#ifndef VERSIOND_LISTENER_H
#define VERSIOND_LISTENER_H

#include <stddef.h>
#include <stdint.h>

/* Opens a listening TCP socket, non-blocking and closed on exec, with the longest backlog that the
 * kernel allows. `address` is a literal IPv4 or IPv6 address; "::" takes IPv4 clients too. NULL is
 * "::", or "0.0.0.0" where the host has no IPv6. `port` 0 picks a free one.
 * Returns the descriptor, which is the caller's, or a negative errno, such as -EADDRINUSE,
 * -EADDRNOTAVAIL (no interface has the address) and -EACCES (a port that needs a privilege). */
int listener_open(const char *address, uint16_t port);

/* Takes the listening socket that a service manager such as systemd has passed (sd_listen_fds(3)):
 * LISTEN_PID is this process, LISTEN_FDS is 1, and descriptor 3 a TCP socket that listens. It
 * becomes non-blocking and closed on exec. All else stays as the manager has set it, which keeps
 * the socket and gives it to the next process: who closes it must not shut it down before.
 * Returns the descriptor, which is the caller's; -ENOENT when none was passed to this process, that
 * is without LISTEN_PID or LISTEN_FDS or with the LISTEN_PID of another one; or, when something
 * else was passed, -EINVAL, and writes into `error` (of `size` bytes) what, on one line without a
 * newline. The variables stay: the program starts no other that would see them. */
int listener_take(char *error, size_t size);

#endif
