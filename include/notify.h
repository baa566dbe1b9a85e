/* What a service manager such as systemd is told about the process: sd_notify(3). */
#ifndef VERSIOND_NOTIFY_H
#define VERSIOND_NOTIFY_H

#include <stdint.h>

#include "log.h"

/* Connects to the datagram socket that NOTIFY_SOCKET names: a path, or '@' and an abstract name. To
 * be called before the sandbox is entered, which allows no connecting. Returns the descriptor,
 * which is the caller's, or -1 when nobody is to be told: without the variable, or when it cannot
 * be done, of which a line of the log says why. */
int notify_open(struct log *log);

/* Tell the manager that the service is ready, and the version that it serves; that it stops, which
 * takes at most so many milliseconds (0 to 4294967295): for so long the manager then waits, also
 * where its own limit is shorter. With a `notifier` of -1 they do nothing. They wait at most a
 * second, when the manager does not read; a line of the log says when it was not told. */
void notify_ready(int notifier, const char *version, struct log *log);
void notify_stopping(int notifier, uint32_t milliseconds, struct log *log);

#endif
