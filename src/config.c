#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "escape.h"
#include "log.h"
#include "parse.h"

enum kind {
    KIND_ACTION,
    KIND_ADDRESS,
    KIND_PREFIXES,
    KIND_BASE_PATH,
    KIND_NUMBER,
    KIND_DURATION,
    KIND_CHOICE,
};

/* A row of the table. The member of struct config at `offset` is a text for KIND_ADDRESS and
 * KIND_BASE_PATH, a list for KIND_PREFIXES, and a uint32_t for the others. */
struct setting {
    const char *flag;           /* with its two dashes */
    char letter;                /* the short flag, or 0 */
    enum kind kind;             /* how a value is read */
    const char *variable;       /* of the environment; NULL for actions */
    const char *value;          /* what --help calls the value; NULL for actions */
    const char *fallback;       /* the default as it would be given; NULL: found out at start */
    const char *shown_fallback; /* what --help says of the default, where `fallback` is NULL */
    uint32_t lowest;            /* of a number, or of a duration: milliseconds, whole seconds */
    uint32_t highest;           /* the same, whole minutes; or the action of KIND_ACTION */
    const char *choices[5];     /* the words of KIND_CHOICE by value; "" cannot be given */
    size_t offset;
    const char *help;
};

enum { TEN_MINUTES = 10 * 60 * 1000 };

static const struct setting SETTINGS[] = {
    {.flag = "--address",
     .letter = 'a',
     .kind = KIND_ADDRESS,
     .variable = "ADDRESS",
     .value = "ADDRESS",
     .shown_fallback = "::, both families; 0.0.0.0 where the host has no IPv6",
     .offset = offsetof(struct config, address),
     .help = "address to listen on"},
    {.flag = "--port",
     .letter = 'p',
     .kind = KIND_NUMBER,
     .variable = "PORT",
     .value = "NUMBER",
     .fallback = "5000",
     .highest = 65535,
     .offset = offsetof(struct config, port),
     .help = "port to listen on; 0 picks a free one, and the log says which"},
    {.flag = "--threads",
     .letter = 't',
     .kind = KIND_NUMBER,
     .variable = "THREADS",
     .value = "NUMBER",
     .shown_fallback = "the CPUs that the process may use",
     .lowest = 1,
     .highest = 256,
     .offset = offsetof(struct config, threads),
     .help = "worker threads, never more than connections"},
    {.flag = "--max-connections",
     .kind = KIND_NUMBER,
     .variable = "MAX_CONNECTIONS",
     .value = "NUMBER",
     .shown_fallback = "10000, less where the limit of open files is lower",
     .lowest = 1,
     .highest = 1000000,
     .offset = offsetof(struct config, max_connections),
     .help =
         "open connections; for one more, the one longest without a completed request is closed"},
    {.flag = "--max-connections-per-ip",
     .kind = KIND_NUMBER,
     .variable = "MAX_CONNECTIONS_PER_IP",
     .value = "NUMBER",
     .fallback = "0",
     .highest = 1000000,
     .offset = offsetof(struct config, max_connections_per_ip),
     .help = "open connections of one address, further ones are closed; 0 is no limit"},
    {.flag = "--request-deadline",
     .kind = KIND_DURATION,
     .variable = "REQUEST_DEADLINE",
     .value = "DURATION",
     .fallback = "30s",
     .lowest = 1000,
     .highest = TEN_MINUTES,
     .offset = offsetof(struct config, request_deadline),
     .help = "a connection that completes no request for this long is closed, at most 1s later"},
    {.flag = "--drain-delay",
     .kind = KIND_DURATION,
     .variable = "DRAIN_DELAY",
     .value = "DURATION",
     .fallback = "0s",
     .highest = TEN_MINUTES,
     .offset = offsetof(struct config, drain_delay),
     .help = "after SIGTERM, keep serving (not ready) this long"},
    {.flag = "--shutdown-timeout",
     .kind = KIND_DURATION,
     .variable = "SHUTDOWN_TIMEOUT",
     .value = "DURATION",
     .fallback = "8s",
     .highest = TEN_MINUTES,
     .offset = offsetof(struct config, shutdown_timeout),
     .help = "then wait at most this long for requests in flight"},
    {.flag = "--base-path",
     .kind = KIND_BASE_PATH,
     .variable = "BASE_PATH",
     .value = "PATH",
     .shown_fallback = "none",
     .offset = offsetof(struct config, base_path),
     .help = "serve everything below this prefix too"},
    {.flag = "--access-log",
     .kind = KIND_CHOICE,
     .variable = "ACCESS_LOG",
     .value = "WHAT",
     .fallback = "errors",
     .choices = {"off", "errors", "all"},
     .offset = offsetof(struct config, access_log),
     .help = "requests to log; errors are statuses from 400; successes of probes and /metrics are "
             "never logged"},
    {.flag = "--access-log-rate",
     .kind = KIND_NUMBER,
     .variable = "ACCESS_LOG_RATE",
     .value = "NUMBER",
     .fallback = "1000",
     .highest = 1000000,
     .offset = offsetof(struct config, access_log_rate),
     .help = "most requests to log in a second, the next line counts the others; 0 is no limit"},
    {.flag = "--trusted-proxies",
     .kind = KIND_PREFIXES,
     .variable = "TRUSTED_PROXIES",
     .value = "LIST",
     .shown_fallback = "none",
     .offset = offsetof(struct config, trusted_proxies),
     .help = "who is believed what X-Forwarded-For says, for the access log"},
    {.flag = "--sandbox",
     .kind = KIND_CHOICE,
     .variable = "SANDBOX",
     .value = "MODE",
     .fallback = "auto",
     .choices = {"require", "auto", "off"},
     .offset = offsetof(struct config, sandbox),
     .help = "give up files, programs and new connections once started: all of it or no start, "
             "what the kernel has of it, or nothing"},
    {.flag = "--log-format",
     .kind = KIND_CHOICE,
     .variable = "LOG_FORMAT",
     .value = "FORMAT",
     .shown_fallback = "json; text on a terminal",
     .choices = {"", "json", "text"},
     .offset = offsetof(struct config, log_format),
     .help = "how the log is written, to stderr"},
    {.flag = "--log-level",
     .kind = KIND_CHOICE,
     .variable = "LOG_LEVEL",
     .value = "LEVEL",
     .fallback = "info",
     .choices = {"error", "warn", "info", "debug"},
     .offset = offsetof(struct config, log_level),
     .help = "least level to log"},
    {.flag = "--healthcheck",
     .kind = KIND_ACTION,
     .highest = CONFIG_HEALTHCHECK,
     .offset = offsetof(struct config, action),
     .help = "ask the server with these settings on this host for /readyz; exit 0 or 1"},
    {.flag = "--licenses",
     .kind = KIND_ACTION,
     .highest = CONFIG_LICENSES,
     .offset = offsetof(struct config, action),
     .help = "write the licences of what is in this program to stdout, as a gzip file, and exit"},
    {.flag = "--version",
     .letter = 'V',
     .kind = KIND_ACTION,
     .highest = CONFIG_VERSION,
     .offset = offsetof(struct config, action),
     .help = "say which build this is, and exit"},
    {.flag = "--help",
     .letter = 'h',
     .kind = KIND_ACTION,
     .highest = CONFIG_HELP,
     .offset = offsetof(struct config, action),
     .help = "say this, and exit"},
};

enum { SETTING_COUNT = sizeof SETTINGS / sizeof *SETTINGS, ALLOWED_MAX = 160 };

/* The types of members that `offset` can name. */
static uint32_t *member_number(struct config *config, const struct setting *setting)
{
    return (uint32_t *)(void *)((char *)config + setting->offset);
}

static const char **member_text(struct config *config, const struct setting *setting)
{
    return (const char **)(void *)((char *)config + setting->offset);
}

static struct address_prefixes *member_prefixes(struct config *config,
                                                const struct setting *setting)
{
    return (struct address_prefixes *)(void *)((char *)config + setting->offset);
}

/* Writes what a setting's value may be, to follow "is not" and to stand in a table. */
static void print_allowed(char *out, size_t size, const struct setting *setting)
{
    size_t used = 0;
    size_t first = 0;

    switch (setting->kind) {
    case KIND_ADDRESS:
        (void)snprintf(out, size, "an IPv4 or IPv6 address, such as 127.0.0.1 or ::1");
        break;
    case KIND_PREFIXES:
        (void)snprintf(out, size,
                       "a list of at most %d addresses and prefixes with commas between them, such "
                       "as 10.0.0.0/8,::1",
                       ADDRESS_PREFIXES_MAX);
        break;
    case KIND_BASE_PATH:
        (void)snprintf(out, size,
                       "a path such as /some/prefix: at most %d bytes, no '/' at its end, segments "
                       "of letters, digits and -._~",
                       PARSE_BASE_PATH_MAX);
        break;
    case KIND_NUMBER:
        (void)snprintf(out, size, "a whole number from %" PRIu32 " to %" PRIu32, setting->lowest,
                       setting->highest);
        break;
    case KIND_DURATION:
        (void)snprintf(out, size,
                       "a duration from %" PRIu32 "s to %" PRIu32 "m, with a unit: ms, s, m or h",
                       setting->lowest / 1000, setting->highest / 60000);
        break;
    default:
        first = setting->choices[0][0] == '\0' ? 1 : 0;
        used = (size_t)snprintf(out, size, "one of");
        for (size_t i = first; setting->choices[i] != NULL; i++)
            used += (size_t)snprintf(out + used, size - used, "%s %s", i > first ? "," : "",
                                     setting->choices[i]);
    }
}

static bool read_choice(const struct setting *setting, const char *value, uint32_t *choice)
{
    for (uint32_t i = 0; setting->choices[i] != NULL; i++) {
        if (value[0] != '\0' && strcmp(value, setting->choices[i]) == 0) {
            *choice = i;
            return true;
        }
    }
    return false;
}

/* Reads `value` into its member. Returns false when it is not allowed. */
static bool read_value(struct config *config, const struct setting *setting, const char *value)
{
    struct sockaddr_storage address;
    socklen_t size = 0;

    switch (setting->kind) {
    case KIND_ACTION:
        if (setting->highest > config->action)
            config->action = setting->highest;
        return true;
    case KIND_ADDRESS:
        *member_text(config, setting) = value;
        return address_parse(value, 0, &address, &size);
    case KIND_PREFIXES:
        return address_parse_prefixes(value, member_prefixes(config, setting));
    case KIND_BASE_PATH:
        *member_text(config, setting) = value;
        return parse_base_path(value);
    case KIND_NUMBER:
        return parse_number(value, setting->lowest, setting->highest,
                            member_number(config, setting));
    case KIND_DURATION:
        return parse_duration(value, setting->lowest, setting->highest,
                              member_number(config, setting));
    default:
        return read_choice(setting, value, member_number(config, setting));
    }
}

/* Writes "'value': complaint", the value escaped, and returns -EINVAL. */
static int refuse_argument(char *error, size_t size, const char *argument, const char *complaint)
{
    char shown[128];

    escape_bytes(shown, sizeof shown, argument, strlen(argument), ESCAPE_TEXT);
    (void)snprintf(error, size, "'%s': %s", shown, complaint);
    return -EINVAL;
}

static int refuse_flag(char *error, size_t size, const char *flag, const char *complaint)
{
    (void)snprintf(error, size, "%s: %s", flag, complaint);
    return -EINVAL;
}

/* Reads a value that `source` (a flag or a variable) gave. Returns 0, or -EINVAL with `error`. */
static int take_value(struct config *config, const struct setting *setting, const char *source,
                      const char *value, char *error, size_t size)
{
    char shown[128];
    char allowed[ALLOWED_MAX];

    if (read_value(config, setting, value))
        return 0;
    escape_bytes(shown, sizeof shown, value, strlen(value), ESCAPE_TEXT);
    print_allowed(allowed, sizeof allowed, setting);
    (void)snprintf(error, size, "%s: '%s' is not %s", source, shown, allowed);
    return -EINVAL;
}

/* Finds the row that an argument names. `*value` becomes the value that is part of the argument
 * ("--port=1", "-p1"), or NULL. Returns NULL when no row has such a flag. */
static const struct setting *find_flag(const char *argument, const char **value)
{
    const size_t length = strcspn(argument, "=");

    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &SETTINGS[i];

        if (strlen(setting->flag) == length && strncmp(argument, setting->flag, length) == 0) {
            *value = argument[length] == '=' ? argument + length + 1 : NULL;
            return setting;
        }
        if (setting->letter != '\0' && argument[0] == '-' && argument[1] == setting->letter) {
            *value = argument[2] != '\0' ? argument + 2 : NULL;
            return setting;
        }
    }
    return NULL;
}

/* Reads all flags, and marks the rows that they gave. Returns 0, or -EINVAL with `error`. */
static int read_flags(struct config *config, bool given[SETTING_COUNT], int argc,
                      char *const argv[], char *error, size_t size)
{
    for (int i = 1; i < argc; i++) {
        const char *value = NULL;
        const struct setting *setting = find_flag(argv[i], &value);
        int result = 0;

        if (setting == NULL)
            return refuse_argument(error, size, argv[i],
                                   argv[i][0] == '-' ? "unknown flag; --help lists what there is"
                                                     : "only flags are taken; --help lists them");
        if (given[setting - SETTINGS])
            return refuse_flag(error, size, setting->flag, "given twice");
        given[setting - SETTINGS] = true;
        if (setting->kind == KIND_ACTION && value != NULL)
            return refuse_flag(error, size, setting->flag, "takes no value");
        if (setting->kind != KIND_ACTION && value == NULL && ++i == argc)
            return refuse_flag(error, size, setting->flag, "needs a value");
        if (setting->kind != KIND_ACTION && value == NULL)
            value = argv[i];
        result = take_value(config, setting, setting->flag, value, error, size);
        if (result < 0)
            return result;
    }
    return 0;
}

/* Reads what no flag gave: from the environment, else the default. */
static int read_rest(struct config *config, const bool given[SETTING_COUNT], char *error,
                     size_t size)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &SETTINGS[i];
        const char *value = NULL;
        int result = 0;

        if (given[i] || setting->kind == KIND_ACTION)
            continue;
        value = getenv(setting->variable);
        if (value == NULL)
            value = setting->fallback;
        if (value == NULL)
            continue;
        result = take_value(config, setting, setting->variable, value, error, size);
        if (result < 0)
            return result;
    }
    return 0;
}

int config_read(struct config *config, int argc, char *const argv[], char *error, size_t size)
{
    bool given[SETTING_COUNT] = {false};
    int result = 0;

    *config = (struct config){0};
    result = read_flags(config, given, argc, argv, error, size);
    if (result < 0 || config->action >= CONFIG_LICENSES)
        return result;
    return read_rest(config, given, error, size);
}

void config_print_help(FILE *stream, const char *name)
{
    (void)fprintf(stream,
                  "Usage: %s [FLAG]...\n"
                  "Answers GET /version with the version, commit and description of its build.\n\n"
                  "A flag beats the variable in [brackets], which beats the default.\n\n",
                  name);
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &SETTINGS[i];
        const char *fallback =
            setting->fallback != NULL ? setting->fallback : setting->shown_fallback;
        const char letter[] = {'-', setting->letter, ',', '\0'};

        (void)fprintf(stream, "  %-3s %s%s%s\n        %s\n", setting->letter ? letter : "",
                      setting->flag, setting->value ? " " : "",
                      setting->value ? setting->value : "", setting->help);
        if (setting->variable != NULL) {
            char allowed[ALLOWED_MAX];

            print_allowed(allowed, sizeof allowed, setting);
            (void)fprintf(stream, "        %s\n        [%s], default: %s\n", allowed,
                          setting->variable, fallback);
        }
    }
    (void)fprintf(stream,
                  "\nA listening socket that systemd passes (LISTEN_FDS) is taken instead of "
                  "--address and --port.\n"
                  "Exit status: 0 after a clean stop, 1 when something failed, "
                  "2 for a wrong setting.\n");
}

void config_print_markdown(FILE *stream)
{
    (void)fprintf(stream, "| Flag | Variable | Default | Allowed | Meaning |\n"
                          "| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &SETTINGS[i];
        char allowed[ALLOWED_MAX] = "";

        if (setting->letter != '\0')
            (void)fprintf(stream, "| `-%c`, `%s` | ", setting->letter, setting->flag);
        else
            (void)fprintf(stream, "| `%s` | ", setting->flag);
        if (setting->variable == NULL) {
            (void)fprintf(stream, "| | | %s |\n", setting->help);
            continue;
        }
        print_allowed(allowed, sizeof allowed, setting);
        if (setting->fallback != NULL)
            (void)fprintf(stream, "`%s` | `%s` | %s | %s |\n", setting->variable, setting->fallback,
                          allowed, setting->help);
        else
            (void)fprintf(stream, "`%s` | %s | %s | %s |\n", setting->variable,
                          setting->shown_fallback, allowed, setting->help);
    }
}
