/* The health check: queries the readiness of a server on this host. */
#ifndef VERSIOND_PROBE_H
#define VERSIOND_PROBE_H

#include <stddef.h>

#include "config.h"

/* Requests /readyz, under the base path if there is one, from the server running with the same
 * settings, within 3 seconds. If it listens on all addresses, connects to 127.0.0.1. Returns 0 if
 * the status code is 200. Otherwise returns -1 and writes the address and the reason to `error` (of
 * `size` bytes), on one line without a newline. */
int probe_readiness(const struct config *config, char *error, size_t size);

#endif
