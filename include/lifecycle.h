/* The process's signals, and its graceful shutdown. */
#ifndef VERSIOND_LIFECYCLE_H
#define VERSIOND_LIFECYCLE_H

#include "config.h"
#include "log.h"
#include "server.h"

/* Blocks SIGTERM, SIGINT and SIGHUP for lifecycle_run(), in this thread and in those that it starts
 * later. SIGHUP stays ignored if it already was, as under nohup(1). Ignores SIGPIPE (writing to a
 * closed connection is an ordinary error), SIGXFSZ (so is a log file at its size limit) and SIGCHLD
 * (so that process 1 of a container leaves no zombies). Returns 0, or a negative errno if signals
 * cannot be blocked. */
int lifecycle_block_signals(void);

/* Runs until a signal arrives, then tells `notifier` (from notify_open(), or -1) and shuts down:
 * not ready during the drain delay, then no new connections, and at most the shutdown timeout for
 * requests in flight. Idle connections are closed once they have had 250 ms to deliver a request
 * that was on its way. The caller still has to call server_stop(). Returns 0 after a shutdown, even
 * if the timeout ended it, and 1 if a second signal ended it or if waiting for signals is not
 * permitted. */
int lifecycle_run(struct server *server, const struct config *config, struct log *log,
                  int notifier);

#endif
