/* Notifies a service manager such as systemd of the state of the process (sd_notify(3)). */
#ifndef VERSIOND_NOTIFY_H
#define VERSIOND_NOTIFY_H

#include <stdint.h>

#include "log.h"

/* Connects to the datagram socket named by NOTIFY_SOCKET: a path, or '@' and an abstract name. Call
 * this before entering the sandbox, which denies connect(). Returns a descriptor that the caller
 * closes, or -1 if there is no manager to notify: the variable is not set, or connecting failed,
 * which is logged. */
int notify_open(struct log *log);

/* Tells the manager that the service is ready, and which version it serves. Waits at most one
 * second if the manager does not read. Logs a failure. Does nothing if `notifier` is -1. */
void notify_ready(int notifier, const char *version, struct log *log);

/* Tells the manager that the service is stopping, which takes at most `milliseconds`: the manager
 * waits that long even if its own timeout is shorter. Otherwise like notify_ready(). */
void notify_stopping(int notifier, uint32_t milliseconds, struct log *log);

#endif
