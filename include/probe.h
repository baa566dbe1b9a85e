/* The health check: asks a server on this host whether it is ready. */
#ifndef VERSIOND_PROBE_H
#define VERSIOND_PROBE_H

#include <stddef.h>

#include "config.h"

/* Asks the server that runs with the same settings for /readyz, below the base path if there is
 * one, and waits at most 3 seconds in all. A server that listens on all addresses is asked at
 * 127.0.0.1. Returns 0 when it answers 200. Otherwise returns -1 and writes into `error` (of `size`
 * bytes) whom it asked and what went wrong, on one line without a newline. */
int probe_readiness(const struct config *config, char *error, size_t size);

#endif
