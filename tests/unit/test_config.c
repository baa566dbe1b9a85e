#include "test.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "log.h"
#include "sandbox.h"
#include "text.h"

enum { ARGUMENTS_MAX = 32, TEXT_SIZE = 4096, COLUMNS = 80, SCREEN = 45 };

static const struct config DEFAULTS = {
    .port = 5000,
    .request_deadline = 30000,
    .shutdown_timeout = 8000,
    .access_log = ACCESS_LOG_ERRORS,
    .access_log_rate = 1000,
    .sandbox = SANDBOX_AUTO,
    .log_format = LOG_FORMAT_AUTO,
    .log_level = LOG_INFO,
    .action = CONFIG_SERVE,
};

static size_t setting_count;
static const struct setting *settings;

static int set_up(void **state)
{
    (void)state;
    settings = config_settings(&setting_count);
    for (size_t i = 0; i < setting_count; i++) {
        if (settings[i].variable != NULL)
            assert_int_equal(unsetenv(settings[i].variable), 0);
    }
    return 0;
}

static const struct setting *find_setting(const char *flag)
{
    for (size_t i = 0; i < setting_count; i++) {
        if (strcmp(settings[i].flag, flag) == 0)
            return &settings[i];
    }
    fail_msg("no setting %s", flag);
    return NULL;
}

/* Reads the settings from the arguments, a list that ends with NULL, and the environment. */
static bool read_config(struct config *config, const char *const *arguments, char *error)
{
    static char program[] = "versiond";
    char *argv[ARGUMENTS_MAX] = {program};
    int argc = 1;

    for (; arguments[argc - 1] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)arguments[argc - 1];
    assert_true(argc < ARGUMENTS_MAX);
    memset(error, '?', CONFIG_ERROR_MAX);
    memset(config, 0xaa, sizeof *config);
    return config_read(config, argc, argv, error);
}

/* Prints all members, text or number. */
static void print_config(char text[TEXT_SIZE], const struct config *config)
{
    size_t used = 0;

    for (size_t i = 0; i < setting_count; i++) {
        const struct setting *setting = &settings[i];
        const char *member = (const char *)config + setting->offset;
        const char *string = NULL;
        uint32_t number = 0;

        if (setting->kind == SETTING_ADDRESS || setting->kind == SETTING_BASE_PATH)
            memcpy((void *)&string, member, sizeof string);
        else
            memcpy(&number, member, sizeof number);
        used += (size_t)snprintf(text + used, TEXT_SIZE - used, "%s %u %s\n", setting->flag, number,
                                 string == NULL ? "-" : string);
    }
}

static void expect_config(const char *const *arguments, const struct config *expected)
{
    struct config config;
    char error[CONFIG_ERROR_MAX];
    char text[TEXT_SIZE];
    char expected_text[TEXT_SIZE];

    if (!read_config(&config, arguments, error))
        fail_msg("rejected: %s", error);
    print_config(text, &config);
    print_config(expected_text, expected);
    assert_text_equal(text, expected_text);
}

static void expect_error(const char *const *arguments, const char *expected)
{
    struct config config;
    char error[CONFIG_ERROR_MAX];

    if (read_config(&config, arguments, error))
        fail_msg("accepted instead of: %s", expected);
    assert_string_equal(error, expected);
}

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const char *const NONE[] = {NULL};

/* The contract of the table. A variable is the flag in upper case. */
static void every_row_is_complete_and_unique(void **state)
{
    (void)state;
    for (size_t i = 0; i < setting_count; i++) {
        const struct setting *row = &settings[i];
        const bool is_action = row->kind == SETTING_ACTION;
        char allowed[CONFIG_ALLOWED_MAX] = "?";

        config_print_allowed(allowed, sizeof allowed, row);
        assert_int_equal(allowed[0] == '\0', is_action);
        assert_int_equal(strncmp(row->flag, "--", 2), 0);
        assert_non_null(row->help);
        assert_true((row->variable == NULL) == is_action && (row->value == NULL) == is_action);
        assert_true((row->fallback != NULL) + (row->fallback_text != NULL) == !is_action);
        assert_true(row->lowest <= row->highest);
        assert_true(row->offset + sizeof(uint32_t) <= sizeof(struct config));
        for (size_t k = 2; !is_action && k <= strlen(row->flag); k++)
            assert_int_equal(row->variable[k - 2],
                             row->flag[k] == '-' ? '_' : toupper(row->flag[k]));
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(row->flag, settings[k].flag);
            assert_true(row->letter == '\0' || row->letter != settings[k].letter);
            assert_true(is_action || row->offset != settings[k].offset);
        }
    }
}

static void defaults_apply_without_settings(void **state)
{
    char *const argv[] = {NULL};
    char error[CONFIG_ERROR_MAX];
    struct config config;

    (void)state;
    expect_config(NONE, &DEFAULTS);
    assert_true(config_read(&config, 0, argv, error));
    assert_uint_equal(config.port, 5000);
}

/* An allowed value, and what it becomes: `text`, or `number` if that is NULL. */
static const struct accepted {
    const char *flag;
    const char *value;
    const char *text;
    uint32_t number;
} ACCEPTED[] = {
    {"--address", "127.0.0.1", "127.0.0.1", 0},
    {"--address", "2001:db8::1", "2001:db8::1", 0},
    {"--port", "0", NULL, 0},
    {"--port", "65535", NULL, 65535},
    {"--threads", "1", NULL, 1},
    {"--threads", "256", NULL, 256},
    {"--max-connections", "1", NULL, 1},
    {"--max-connections", "1000000", NULL, 1000000},
    {"--request-deadline", "1s", NULL, 1000},
    {"--request-deadline", "10m", NULL, 600000},
    {"--drain-delay", "0ms", NULL, 0},
    {"--drain-delay", "10m", NULL, 600000},
    {"--shutdown-timeout", "0s", NULL, 0},
    {"--shutdown-timeout", "600000ms", NULL, 600000},
    {"--base-path", "/some/prefix", "/some/prefix", 0},
    {"--access-log", "off", NULL, ACCESS_LOG_OFF},
    {"--access-log", "errors", NULL, ACCESS_LOG_ERRORS},
    {"--access-log", "all", NULL, ACCESS_LOG_ALL},
    {"--access-log-rate", "0", NULL, 0},
    {"--access-log-rate", "1000000", NULL, 1000000},
    {"--sandbox", "require", NULL, SANDBOX_REQUIRE},
    {"--sandbox", "auto", NULL, SANDBOX_AUTO},
    {"--sandbox", "off", NULL, SANDBOX_OFF},
    {"--log-format", "json", NULL, LOG_FORMAT_JSON},
    {"--log-format", "text", NULL, LOG_FORMAT_TEXT},
    {"--log-level", "error", NULL, LOG_ERROR},
    {"--log-level", "warn", NULL, LOG_WARN},
    {"--log-level", "info", NULL, LOG_INFO},
    {"--log-level", "debug", NULL, LOG_DEBUG},
};

/* Returns the defaults with one setting changed. */
static struct config config_with(const struct accepted *row)
{
    struct config config = DEFAULTS;
    char *member = (char *)&config + find_setting(row->flag)->offset;

    if (row->text != NULL)
        memcpy(member, (const void *)&row->text, sizeof row->text);
    else
        memcpy(member, &row->number, sizeof row->number);
    return config;
}

static void every_setting_is_read_in_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < setting_count; i++) {
        bool is_listed = settings[i].kind == SETTING_ACTION;

        for (size_t k = 0; k < COUNT_OF(ACCEPTED); k++)
            is_listed |= strcmp(ACCEPTED[k].flag, settings[i].flag) == 0;
        if (!is_listed)
            fail_msg("add %s to ACCEPTED", settings[i].flag);
    }
    for (size_t i = 0; i < COUNT_OF(ACCEPTED); i++) {
        const struct accepted *row = &ACCEPTED[i];
        const struct setting *setting = find_setting(row->flag);
        const struct config expected = config_with(row);
        const char letter[] = {'-', setting->letter, '\0'};
        char joined[128];

        expect_config(ARGUMENTS(row->flag, row->value), &expected);
        (void)snprintf(joined, sizeof joined, "%s=%s", row->flag, row->value);
        expect_config(ARGUMENTS(joined), &expected);
        if (setting->letter != '\0') {
            expect_config(ARGUMENTS(letter, row->value), &expected);
            (void)snprintf(joined, sizeof joined, "%s%s", letter, row->value);
            expect_config(ARGUMENTS(joined), &expected);
        }
        assert_int_equal(setenv(setting->variable, row->value, 1), 0);
        expect_config(NONE, &expected);
        assert_int_equal(unsetenv(setting->variable), 0);
    }
}

#define INTEGER(from, to) "an integer from " from " to " to
#define UP_TO_10M(from) "a duration from " from " to 10m, with a unit: ms, s, m or h"
#define ADDRESS "an IPv4 or IPv6 address, such as 127.0.0.1 or ::1"
#define BASE_PATH                                                                                  \
    "a path such as /some/prefix: at most 128 bytes, no trailing '/', segments of letters, "       \
    "digits and -._~"

static void invalid_value_is_rejected_by_name(void **state)
{
    static const struct {
        const char *flag;
        const char *value;
        const char *allowed;
    } rows[] = {
        {"--address", "", ADDRESS},
        {"--address", "localhost", ADDRESS},
        {"--port", "", INTEGER("0", "65535")},
        {"--port", "65536", INTEGER("0", "65535")},
        {"--port", "=1", INTEGER("0", "65535")},
        {"--threads", "0", INTEGER("1", "256")},
        {"--threads", "257", INTEGER("1", "256")},
        {"--max-connections", "0", INTEGER("1", "1000000")},
        {"--max-connections", "1000001", INTEGER("1", "1000000")},
        {"--access-log-rate", "1000001", INTEGER("0", "1000000")},
        {"--request-deadline", "999ms", UP_TO_10M("1s")},
        {"--request-deadline", "11m", UP_TO_10M("1s")},
        {"--drain-delay", "600001ms", UP_TO_10M("0s")},
        {"--drain-delay", "5", UP_TO_10M("0s")},
        {"--shutdown-timeout", "1h", UP_TO_10M("0s")},
        {"--base-path", "", BASE_PATH},
        {"--base-path", "/a/", BASE_PATH},
        {"--access-log", "", "one of off, errors, all"},
        {"--access-log", "ALL", "one of off, errors, all"},
        {"--sandbox", "on", "one of require, auto, off"},
        {"--log-format", "", "one of json, text"},
        {"--log-format", "auto", "one of json, text"},
        {"--log-level", "trace", "one of error, warn, info, debug"},
    };
    char expected[CONFIG_ERROR_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *variable = find_setting(rows[i].flag)->variable;

        (void)snprintf(expected, sizeof expected, "%s: '%s' is not %s", rows[i].flag, rows[i].value,
                       rows[i].allowed);
        expect_error(ARGUMENTS(rows[i].flag, rows[i].value), expected);
        (void)snprintf(expected, sizeof expected, "%s: '%s' is not %s", variable, rows[i].value,
                       rows[i].allowed);
        assert_int_equal(setenv(variable, rows[i].value, 1), 0);
        expect_error(NONE, expected);
        assert_int_equal(unsetenv(variable), 0);
    }
}

/* As much of an argument as an error shows. */
#define LONG                                                                                       \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"                             \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void malformed_arguments_are_rejected(void **state)
{
    static const struct {
        const char *arguments[3];
        const char *error;
    } rows[] = {
        {{"--port"}, "--port: requires a value"},
        {{"-p"}, "--port: requires a value"},
        {{"--threads=1", "--log-level"}, "--log-level: requires a value"},
        {{"--port=1", "--port=1"}, "--port: specified more than once"},
        {{"-p1", "--port=2"}, "--port: specified more than once"},
        {{"-h", "--help"}, "--help: specified more than once"},
        {{"--help=yes"}, "--help: takes no value"},
        {{"--healthcheck="}, "--healthcheck: takes no value"},
        {{"-Vx"}, "--version: takes no value"},
        {{"--frobnicate"}, "'--frobnicate': unknown flag; see --help"},
        {{"--por=1"}, "'--por=1': unknown flag; see --help"},
        {{"--ports=1"}, "'--ports=1': unknown flag; see --help"},
        {{"--"}, "'--': unknown flag; see --help"},
        {{"-"}, "'-': unknown flag; see --help"},
        {{"-x"}, "'-x': unknown flag; see --help"},
        {{"-\x1b[2J"}, "'-\\x1b[2J': unknown flag; see --help"},
        {{"serve"}, "'serve': unexpected argument; see --help"},
        {{""}, "'': unexpected argument; see --help"},
        {{LONG "y"}, "'" LONG "': unexpected argument; see --help"},
        {{"port=1"}, "'port=1': unexpected argument; see --help"},
        {{"--port=1\n'\xff"}, "--port: '1\\x0a\\'\\xff' is not an integer from 0 to 65535"},
        {{"-p", "--help"}, "--port: '--help' is not an integer from 0 to 65535"},
        {{"--help", "--port=x"}, "--port: 'x' is not an integer from 0 to 65535"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_error(rows[i].arguments, rows[i].error);
}

static void flag_overrides_variable_and_its_value_is_not_validated(void **state)
{
    struct config expected = DEFAULTS;

    (void)state;
    expected.port = 1;
    assert_int_equal(setenv("PORT", "wrong", 1), 0);
    expect_config(ARGUMENTS("--port=1"), &expected);
    expect_error(NONE, "PORT: 'wrong' is not an integer from 0 to 65535");
}

static void last_action_in_the_list_wins_and_may_ignore_the_environment(void **state)
{
    static const struct {
        const char *arguments[3];
        enum config_action action;
    } rows[] = {
        {{"--licenses"}, CONFIG_LICENSES},
        {{"--version"}, CONFIG_VERSION},
        {{"-V"}, CONFIG_VERSION},
        {{"--help"}, CONFIG_HELP},
        {{"-h"}, CONFIG_HELP},
        {{"--version", "--healthcheck"}, CONFIG_VERSION},
        {{"--licenses", "--version"}, CONFIG_VERSION},
        {{"--help", "--version"}, CONFIG_HELP},
    };
    struct config config;
    char error[CONFIG_ERROR_MAX];

    (void)state;
    assert_true(read_config(&config, ARGUMENTS("--healthcheck"), error));
    assert_int_equal(config.action, CONFIG_HEALTHCHECK);
    assert_int_equal(setenv("PORT", "wrong", 1), 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_true(read_config(&config, rows[i].arguments, error));
        assert_int_equal(config.action, rows[i].action);
    }
    expect_error(ARGUMENTS("--healthcheck"), "PORT: 'wrong' is not an integer from 0 to 65535");
}

static void help_lists_every_setting_on_one_screen(void **state)
{
    char help[TEXT_SIZE] = "";
    FILE *stream = fmemopen(help, sizeof help, "w");
    size_t lines = 0;

    (void)state;
    assert_non_null(stream);
    config_print_help(stream, "program");
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(strncmp(help, "Usage: program [OPTION]...\n", 27), 0);
    for (const char *line = help; *line != '\0'; line += strcspn(line, "\n") + 1) {
        assert_true(strcspn(line, "\n") <= COLUMNS);
        lines++;
    }
    assert_true(lines <= SCREEN);
    for (size_t i = 0; i < setting_count; i++) {
        const struct setting *row = &settings[i];
        const char letter[] = {'-', row->letter, ',', '\0'};
        char defaults[128] = "";
        char line[256];

        if (row->variable != NULL)
            (void)snprintf(defaults, sizeof defaults, " [%s] (%s)", row->variable,
                           row->fallback == NULL ? row->fallback_text : row->fallback);
        (void)snprintf(line, sizeof line, "\n  %-3s %s %-*s %s%s\n",
                       row->letter == '\0' ? "" : letter, row->flag, 20 - (int)strlen(row->flag),
                       row->value == NULL ? "" : row->value, row->help, defaults);
        if (strstr(help, line) == NULL)
            fail_msg("no line '%s' in:\n%s", line, help);
    }
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_row_is_complete_and_unique),
        CASE(defaults_apply_without_settings),
        CASE(every_setting_is_read_in_every_form),
        CASE(invalid_value_is_rejected_by_name),
        CASE(malformed_arguments_are_rejected),
        CASE(flag_overrides_variable_and_its_value_is_not_validated),
        CASE(last_action_in_the_list_wins_and_may_ignore_the_environment),
        CASE(help_lists_every_setting_on_one_screen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
