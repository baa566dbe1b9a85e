/* The life of the process: signals, and the order of a stop. */
#ifndef VERSIOND_LIFECYCLE_H
#define VERSIOND_LIFECYCLE_H

#include "config.h"
#include "log.h"
#include "server.h"

/* Prepares the process for its signals: SIGTERM, SIGINT and SIGHUP wait for lifecycle_run(), in
 * this thread and in those that it starts later; SIGPIPE is ignored (a client that is gone is an
 * error of its connection), and so are SIGXFSZ (a log file at its limit) and SIGCHLD, so that
 * as process 1 it leaves no zombies. SIGHUP stays ignored when it was at the start of the process,
 * as nohup(1) does. Returns 0, or a negative errno when signals cannot be blocked. */
int lifecycle_block_signals(void);

/* Waits for a signal, then tells `notifier` (of notify_open(), or -1), and stops the server's work:
 * not ready for the drain delay, no new connections after it, at most the shutdown timeout for
 * requests in flight. The server is still to be freed with server_stop(). Idle connections are
 * closed when they had a quarter of a second to send a request that was on its way. Returns 0 when
 * that was done, also when the timeout ended it, and 1 when a second signal did, or when the kernel
 * does not let us wait for signals. */
int lifecycle_run(struct server *server, const struct config *config, struct log *log,
                  int notifier);

#endif
