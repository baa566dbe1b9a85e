#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "escape.h"
#include "parse.h"

enum { TEN_MINUTES = 10 * 60 * 1000 };

/* The rows of each kind. `member` is the member of struct config. */
/* clang-format off */
#define TEXT(letter_, flag_, variable_, value_, kind_, member, fallback_, help_)                   \
    {                                                                                              \
        .letter = (letter_), .flag = (flag_), .variable = (variable_), .value = (value_),          \
        .kind = (kind_), .offset = offsetof(struct config, member), .fallback_text = (fallback_),  \
        .help = (help_)                                                                            \
    }
#define NUMBER(letter_, flag_, variable_, member, lowest_, highest_, fallback_, text_, help_)      \
    {                                                                                              \
        .letter = (letter_), .flag = (flag_), .variable = (variable_), .value = "N",               \
        .kind = SETTING_NUMBER, .offset = offsetof(struct config, member), .lowest = (lowest_),    \
        .highest = (highest_), .fallback = (fallback_), .fallback_text = (text_), .help = (help_)  \
    }
#define DURATION(flag_, variable_, member, lowest_, fallback_, help_)                              \
    {                                                                                              \
        .flag = (flag_), .variable = (variable_), .value = "T", .kind = SETTING_DURATION,          \
        .offset = offsetof(struct config, member), .lowest = (lowest_), .highest = TEN_MINUTES,    \
        .fallback = (fallback_), .help = (help_)                                                   \
    }
#define CHOICE(flag_, variable_, value_, member, fallback_, text_, help_, ...)                     \
    {                                                                                              \
        .flag = (flag_), .variable = (variable_), .value = (value_), .kind = SETTING_CHOICE,       \
        .offset = offsetof(struct config, member), .fallback = (fallback_),                        \
        .fallback_text = (text_), .help = (help_), .choices = {                                    \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define ACTION(letter_, flag_, action_, help_)                                                     \
    {                                                                                              \
        .letter = (letter_), .flag = (flag_), .kind = SETTING_ACTION, .highest = (action_),        \
        .offset = offsetof(struct config, action), .help = (help_)                                 \
    }
/* clang-format on */

static const struct setting SETTINGS[] = {
    TEXT('a', "--address", "ADDRESS", "ADDR", SETTING_ADDRESS, address, "all interfaces",
         "listen address"),
    NUMBER('p', "--port", "PORT", port, 0, 65535, "5000", NULL, "listen port, 0 for any free one"),
    NUMBER('t', "--threads", "THREADS", threads, 1, 256, NULL, "available CPUs", "worker threads"),
    NUMBER(0, "--max-connections", "MAX_CONNECTIONS", max_connections, 1, 1000000, NULL,
           "up to 10000", "open connections"),
    DURATION("--request-deadline", "REQUEST_DEADLINE", request_deadline, 1000, "30s",
             "close slow clients"),
    DURATION("--drain-delay", "DRAIN_DELAY", drain_delay, 0, "0s", "keep serving after SIGTERM"),
    DURATION("--shutdown-timeout", "SHUTDOWN_TIMEOUT", shutdown_timeout, 0, "8s",
             "then finish requests"),
    TEXT(0, "--base-path", "BASE_PATH", "PATH", SETTING_BASE_PATH, base_path, "none",
         "also serve under this prefix"),
    CHOICE("--access-log", "ACCESS_LOG", "WHAT", access_log, "errors", NULL,
           "off, errors, or all requests", "off", "errors", "all"),
    NUMBER(0, "--access-log-rate", "ACCESS_LOG_RATE", access_log_rate, 0, 1000000, "1000", NULL,
           "lines per second, 0: all"),
    CHOICE("--sandbox", "SANDBOX", "MODE", sandbox, "auto", NULL, "require, auto, or off",
           "require", "auto", "off"),
    CHOICE("--log-format", "LOG_FORMAT", "FORMAT", log_format, NULL, "json, text on a terminal",
           "json or text", "", "json", "text"),
    CHOICE("--log-level", "LOG_LEVEL", "LEVEL", log_level, "info", NULL,
           "error, warn, info, or debug", "error", "warn", "info", "debug"),
    ACTION(0, "--healthcheck", CONFIG_HEALTHCHECK, "exit 0 if the local server is ready"),
    ACTION(0, "--licenses", CONFIG_LICENSES, "write the licenses to stdout, gzipped"),
    ACTION('V', "--version", CONFIG_VERSION, "print version information and exit"),
    ACTION('h', "--help", CONFIG_HELP, "print this help and exit"),
};

enum { SETTING_COUNT = sizeof SETTINGS / sizeof *SETTINGS };

const struct setting *config_settings(size_t *count)
{
    *count = SETTING_COUNT;
    return SETTINGS;
}

static uint32_t *number_member(struct config *config, const struct setting *setting)
{
    return (uint32_t *)(void *)((char *)config + setting->offset);
}

static const char **text_member(struct config *config, const struct setting *setting)
{
    return (const char **)(void *)((char *)config + setting->offset);
}

void config_print_allowed(char *out, size_t size, const struct setting *setting)
{
    size_t used = 0;
    size_t first = 0;

    switch (setting->kind) {
    case SETTING_ACTION:
        out[0] = '\0';
        break;
    case SETTING_ADDRESS:
        (void)snprintf(out, size, "an IPv4 or IPv6 address, such as 127.0.0.1 or ::1");
        break;
    case SETTING_BASE_PATH:
        (void)snprintf(out, size,
                       "a path such as /some/prefix: at most %d bytes, no trailing '/', segments "
                       "of letters, digits and -._~",
                       PARSE_BASE_PATH_MAX);
        break;
    case SETTING_NUMBER:
        (void)snprintf(out, size, "an integer from %" PRIu32 " to %" PRIu32, setting->lowest,
                       setting->highest);
        break;
    case SETTING_DURATION:
        (void)snprintf(out, size,
                       "a duration from %" PRIu32 "s to %" PRIu32 "m, with a unit: ms, s, m or h",
                       setting->lowest / 1000, setting->highest / 60000);
        break;
    case SETTING_CHOICE:
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

/* Stores `value` in its member. Returns false if it is not allowed. */
static bool read_value(struct config *config, const struct setting *setting, const char *value)
{
    struct sockaddr_storage address;
    socklen_t size = 0;

    switch (setting->kind) {
    case SETTING_ACTION:
        if (setting->highest > config->action)
            config->action = setting->highest;
        return true;
    case SETTING_ADDRESS:
        *text_member(config, setting) = value;
        return address_parse(value, 0, &address, &size);
    case SETTING_BASE_PATH:
        *text_member(config, setting) = value;
        return parse_base_path(value);
    case SETTING_NUMBER:
        return parse_number(value, setting->lowest, setting->highest,
                            number_member(config, setting));
    case SETTING_DURATION:
        return parse_duration(value, setting->lowest, setting->highest,
                              number_member(config, setting));
    default:
        return read_choice(setting, value, number_member(config, setting));
    }
}

/* Writes "flag: problem" to `error`. Returns false. */
static bool reject(char error[CONFIG_ERROR_MAX], const char *flag, const char *problem)
{
    (void)snprintf(error, CONFIG_ERROR_MAX, "%s: %s", flag, problem);
    return false;
}

/* Reads a value from `source`, a flag or an environment variable. Returns false and writes `error`
 * if it is not allowed. */
static bool take_value(struct config *config, const struct setting *setting, const char *source,
                       const char *value, char error[CONFIG_ERROR_MAX])
{
    char shown[128];
    char allowed[CONFIG_ALLOWED_MAX];

    if (read_value(config, setting, value))
        return true;
    escape_bytes(shown, sizeof shown, value, strlen(value), ESCAPE_TEXT);
    config_print_allowed(allowed, sizeof allowed, setting);
    (void)snprintf(error, CONFIG_ERROR_MAX, "%s: '%s' is not %s", source, shown, allowed);
    return false;
}

/* Writes "'argument': problem" to `error`, escaped. Returns false. */
static bool reject_argument(char error[CONFIG_ERROR_MAX], const char *argument)
{
    char shown[128];

    escape_bytes(shown, sizeof shown, argument, strlen(argument), ESCAPE_TEXT);
    (void)snprintf(error, CONFIG_ERROR_MAX, "'%s': %s; see --help", shown,
                   argument[0] == '-' ? "unknown flag" : "unexpected argument");
    return false;
}

/* Finds the row for an argument. Stores the value that is part of the argument ("--port=1", "-p1")
 * in `*value`, or NULL. Returns NULL if no row has this flag. */
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

/* Reads all flags, and marks the rows that they gave. Returns false and writes `error` if one is
 * invalid. */
static bool read_flags(struct config *config, bool given[SETTING_COUNT], int argc,
                       char *const argv[], char error[CONFIG_ERROR_MAX])
{
    for (int i = 1; i < argc; i++) {
        const char *value = NULL;
        const struct setting *setting = find_flag(argv[i], &value);

        if (setting == NULL)
            return reject_argument(error, argv[i]);
        if (given[setting - SETTINGS])
            return reject(error, setting->flag, "specified more than once");
        given[setting - SETTINGS] = true;
        if (setting->kind == SETTING_ACTION && value != NULL)
            return reject(error, setting->flag, "takes no value");
        if (setting->kind != SETTING_ACTION && value == NULL && ++i == argc)
            return reject(error, setting->flag, "requires a value");
        if (setting->kind != SETTING_ACTION && value == NULL)
            value = argv[i];
        if (!take_value(config, setting, setting->flag, value, error))
            return false;
    }
    return true;
}

/* Reads the settings that no flag gave from the environment, or else takes the default. */
static bool read_environment(struct config *config, const bool given[SETTING_COUNT],
                             char error[CONFIG_ERROR_MAX])
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &SETTINGS[i];
        const char *value = NULL;

        if (given[i] || setting->kind == SETTING_ACTION)
            continue;
        value = getenv(setting->variable);
        if (value == NULL)
            value = setting->fallback;
        if (value != NULL && !take_value(config, setting, setting->variable, value, error))
            return false;
    }
    return true;
}

bool config_read(struct config *config, int argc, char *const argv[], char error[CONFIG_ERROR_MAX])
{
    bool given[SETTING_COUNT] = {false};

    *config = (struct config){0};
    if (!read_flags(config, given, argc, argv, error))
        return false;
    return config->action >= CONFIG_LICENSES || read_environment(config, given, error);
}

/* Prints one line: flag, description, environment variable and default. */
static void print_setting(FILE *stream, const struct setting *setting)
{
    const char letter[] = {'-', setting->letter, ',', '\0'};
    const char *value = setting->value != NULL ? setting->value : "";
    const int width = 20 - (int)strlen(setting->flag);

    (void)fprintf(stream, "  %-3s %s %-*s %s", setting->letter ? letter : "", setting->flag, width,
                  value, setting->help);
    if (setting->variable != NULL)
        (void)fprintf(stream, " [%s] (%s)", setting->variable,
                      setting->fallback != NULL ? setting->fallback : setting->fallback_text);
    (void)fputc('\n', stream);
}

void config_print_help(FILE *stream, const char *name)
{
    (void)fprintf(stream,
                  "Usage: %s [OPTION]...\n"
                  "Serve the build information compiled into this program over HTTP.\n\n"
                  "Options override the environment variable in brackets, which overrides the\n"
                  "default in parentheses.\n\n",
                  name);
    for (size_t i = 0; i < SETTING_COUNT; i++)
        print_setting(stream, &SETTINGS[i]);
    (void)fputs(
        "\nDurations take a unit: 500ms, 30s, 2m, 1h. A listening socket passed by systemd\n"
        "(LISTEN_FDS) replaces --address and --port.\n"
        "Exit status: 0 after a clean stop, 1 after a failure, 2 for an invalid setting.\n",
        stream);
}
