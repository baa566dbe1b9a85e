/* The settings: one table for parsing, validation, --help and the documentation. */
#ifndef VERSIOND_CONFIG_H
#define VERSIOND_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What the program does. If flags ask for several, the last in this list wins. */
enum config_action {
    CONFIG_SERVE,
    CONFIG_HEALTHCHECK,
    CONFIG_LICENSES,
    CONFIG_VERSION,
    CONFIG_HELP
};

enum access_log { ACCESS_LOG_OFF, ACCESS_LOG_ERRORS, ACCESS_LOG_ALL };

/* Validated settings. Strings belong to the program's arguments or environment. */
struct config {
    const char *address;       /* a literal IPv4 or IPv6 address; NULL: see listener_open() */
    const char *base_path;     /* see parse_base_path(); NULL: none */
    uint32_t port;             /* 0 to 65535; 0: any free port */
    uint32_t threads;          /* 1 to 256; 0: one per available CPU */
    uint32_t max_connections;  /* 1 to 1000000; 0: 10000, or fewer if open files are limited */
    uint32_t request_deadline; /* milliseconds, 1 second to 10 minutes */
    uint32_t drain_delay;      /* milliseconds, 0 to 10 minutes */
    uint32_t shutdown_timeout; /* milliseconds, 0 to 10 minutes */
    uint32_t access_log;       /* enum access_log */
    uint32_t access_log_rate;  /* lines per second, 0 to 1000000; 0: no limit */
    uint32_t sandbox;          /* enum sandbox_mode */
    uint32_t log_format;       /* enum log_format */
    uint32_t log_level;        /* enum log_level */
    uint32_t action;           /* enum config_action */
};

/* How a value is parsed. */
enum setting_kind {
    SETTING_ACTION, /* takes no value */
    SETTING_ADDRESS,
    SETTING_BASE_PATH,
    SETTING_NUMBER,
    SETTING_DURATION,
    SETTING_CHOICE,
};

/* A row of the table. */
struct setting {
    const char *flag; /* with its two dashes */
    char letter;      /* short flag, or 0 */
    enum setting_kind kind;
    const char *variable;      /* environment variable; NULL for actions */
    const char *value;         /* placeholder for the value in --help; NULL for actions */
    const char *fallback;      /* default value; NULL: determined at start */
    const char *fallback_text; /* describes the default if `fallback` is NULL */
    uint32_t lowest;           /* of a number; of a duration in milliseconds, whole seconds */
    uint32_t highest;          /* the same, whole minutes; the enum config_action of an action */
    const char *choices[5];    /* words by value; "" cannot be chosen */
    size_t offset;             /* of the member of struct config: a string for SETTING_ADDRESS and
                                * SETTING_BASE_PATH, a uint32_t for the others */
    const char *help;
};

/* Returns the table and stores the number of its rows in `*count`. */
const struct setting *config_settings(size_t *count);

/* Writes the allowed values of a setting to `out`, as a phrase that can follow "is not". `size` is
 * at least CONFIG_ALLOWED_MAX. */
enum { CONFIG_ALLOWED_MAX = 160 };
void config_print_allowed(char *out, size_t size, const struct setting *setting);

/* Reads the settings from main()'s `argc` and `argv`, then from the environment, then from the
 * defaults. The first source that has a setting wins; only the winning value is validated. All
 * flags are validated. The environment is ignored if flags ask for --help, --version or --licenses.
 * If a flag or value is invalid, returns false and writes its name, the value and the allowed
 * values to `error`, on one line without a newline. */
enum { CONFIG_ERROR_MAX = 512 };
bool config_read(struct config *config, int argc, char *const argv[], char error[CONFIG_ERROR_MAX]);

/* Prints the text of --help. `name` is the name of the program. The caller checks `stream` for
 * errors. */
void config_print_help(FILE *stream, const char *name);

#endif
