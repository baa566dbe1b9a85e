/* The settings: one table, from which parsing, checking, --help and the README's table are made. */
#ifndef VERSIOND_CONFIG_H
#define VERSIOND_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "address.h"

/* What to do; when flags ask for several, the highest. */
enum config_action {
    CONFIG_SERVE,
    CONFIG_HEALTHCHECK,
    CONFIG_LICENSES,
    CONFIG_VERSION,
    CONFIG_HELP
};

enum access_log { ACCESS_LOG_OFF, ACCESS_LOG_ERRORS, ACCESS_LOG_ALL };

/* The settings, checked. Texts belong to the program's arguments and environment. */
struct config {
    const char *address;   /* a literal IPv4 or IPv6 address; NULL: as listener_open() takes it */
    const char *base_path; /* as parse_base_path() allows; NULL: none */
    uint32_t port;         /* 0 to 65535; 0: any free port */
    uint32_t threads;      /* 1 to 256; 0: as many as the process has CPUs */
    uint32_t max_connections;        /* 1 to 1000000; 0: 10000, or what the file limit allows */
    uint32_t max_connections_per_ip; /* 0 to 1000000; 0: no limit */
    uint32_t request_deadline;       /* milliseconds, 1 second to 10 minutes */
    uint32_t drain_delay;            /* milliseconds, 0 to 10 minutes */
    uint32_t shutdown_timeout;       /* milliseconds, 0 to 10 minutes */
    uint32_t access_log;             /* an enum access_log */
    uint32_t access_log_rate;        /* lines a second, 0 to 1000000; 0: no limit */
    struct address_prefixes trusted_proxies; /* may be empty */
    uint32_t sandbox;                        /* an enum sandbox_mode */
    uint32_t log_format;                     /* an enum log_format */
    uint32_t log_level;                      /* an enum log_level */
    uint32_t action;                         /* an enum config_action */
};

/* Reads the settings from `argc` and `argv`, which are main's, then from the environment, then from
 * the defaults: the first that gives one decides, and only the value that decides is checked. When
 * the flags, which are all checked, ask for --help, --version or --licenses, the environment is not
 * read.
 * Returns 0. When a flag or a value is wrong, returns -EINVAL and writes into `error` (of `size`
 * bytes) its name, the value and what is allowed, on one line without a newline. */
int config_read(struct config *config, int argc, char *const argv[], char *error, size_t size);

/* Writes the text of --help to `stream`; `name` is the program's. Errors are the stream's. */
void config_print_help(FILE *stream, const char *name);

/* Writes the table of settings in Markdown to `stream`. Errors are the stream's. */
void config_print_markdown(FILE *stream);

#endif
