/* Opens the listening socket, or takes over one from a service manager. */
#ifndef VERSIOND_LISTENER_H
#define VERSIOND_LISTENER_H

#include <stddef.h>
#include <stdint.h>

/* Opens a listening TCP socket, non-blocking and close-on-exec, with the longest backlog that the
 * kernel allows. `address` is a literal IPv4 or IPv6 address; "::" also accepts IPv4 clients. NULL
 * means "::", or "0.0.0.0" if the host has no IPv6. Port 0 selects a free port.
 * Returns a descriptor that the caller closes, or a negative errno, such as -EADDRINUSE,
 * -EADDRNOTAVAIL (no interface has the address) or -EACCES (the port is privileged). */
int listener_open(const char *address, uint16_t port);

/* Takes over the listening socket passed by a service manager such as systemd (sd_listen_fds(3)):
 * LISTEN_PID is the ID of this process, LISTEN_FDS is 1, and descriptor 3 is a listening TCP
 * socket. Makes it non-blocking and close-on-exec, and keeps all other options. The manager passes
 * the same socket to the next process, so whoever closes it must not shut it down first. Returns a
 * descriptor that the caller closes; -ENOENT if no socket was passed to this process (LISTEN_PID or
 * LISTEN_FDS is not set, or LISTEN_PID is another process); or -EINVAL if something else was
 * passed, and writes what to `error` (of `size` bytes), on one line without a newline. */
int listener_take(char *error, size_t size);

#endif
