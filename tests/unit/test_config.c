#include "test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "log.h"
#include "sandbox.h"

enum { ERROR_SIZE = 512, ARGUMENTS_MAX = 32, TEXT_SIZE = 16 * 1024, ALL_SIZE = 2 * TEXT_SIZE };

/* The settings, as they are promised to users. */
struct setting {
    const char *flag;
    const char *letter; /* with its dash, or NULL */
    const char *variable;
    const char *value;    /* what --help calls it */
    const char *fallback; /* the default */
    const char *allowed;
    bool fallback_is_a_value; /* else it is words */
    enum { MEMBER_NUMBER, MEMBER_TEXT, MEMBER_PREFIXES } member;
    size_t offset; /* of the member of struct config */
};

enum index {
    ADDRESS,
    PORT,
    THREADS,
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_PER_IP,
    REQUEST_DEADLINE,
    DRAIN_DELAY,
    SHUTDOWN_TIMEOUT,
    BASE_PATH,
    ACCESS_LOG,
    ACCESS_LOG_RATE,
    TRUSTED_PROXIES,
    SANDBOX,
    LOG_FORMAT,
    LOG_LEVEL,
    HEALTHCHECK, /* the first that takes no value */
    LICENSES,
    PRINT_VERSION,
    PRINT_HELP,
    SETTING_COUNT,
};

enum { VALUE_COUNT = HEALTHCHECK };

static const struct setting SETTINGS[SETTING_COUNT] = {
    [ADDRESS] = {"--address", "-a", "ADDRESS", "ADDRESS",
                 "::, both families; 0.0.0.0 where the host has no IPv6",
                 "an IPv4 or IPv6 address, such as 127.0.0.1 or ::1", false, MEMBER_TEXT,
                 offsetof(struct config, address)},
    [PORT] = {"--port", "-p", "PORT", "NUMBER", "5000", "a whole number from 0 to 65535", true,
              MEMBER_NUMBER, offsetof(struct config, port)},
    [THREADS] = {"--threads", "-t", "THREADS", "NUMBER", "the CPUs that the process may use",
                 "a whole number from 1 to 256", false, MEMBER_NUMBER,
                 offsetof(struct config, threads)},
    [MAX_CONNECTIONS] = {"--max-connections", NULL, "MAX_CONNECTIONS", "NUMBER",
                         "10000, less where the limit of open files is lower",
                         "a whole number from 1 to 1000000", false, MEMBER_NUMBER,
                         offsetof(struct config, max_connections)},
    [MAX_CONNECTIONS_PER_IP] = {"--max-connections-per-ip", NULL, "MAX_CONNECTIONS_PER_IP",
                                "NUMBER", "0", "a whole number from 0 to 1000000", true,
                                MEMBER_NUMBER, offsetof(struct config, max_connections_per_ip)},
    [REQUEST_DEADLINE] = {"--request-deadline", NULL, "REQUEST_DEADLINE", "DURATION", "30s",
                          "a duration from 1s to 10m, with a unit: ms, s, m or h", true,
                          MEMBER_NUMBER, offsetof(struct config, request_deadline)},
    [DRAIN_DELAY] = {"--drain-delay", NULL, "DRAIN_DELAY", "DURATION", "0s",
                     "a duration from 0s to 10m, with a unit: ms, s, m or h", true, MEMBER_NUMBER,
                     offsetof(struct config, drain_delay)},
    [SHUTDOWN_TIMEOUT] = {"--shutdown-timeout", NULL, "SHUTDOWN_TIMEOUT", "DURATION", "8s",
                          "a duration from 0s to 10m, with a unit: ms, s, m or h", true,
                          MEMBER_NUMBER, offsetof(struct config, shutdown_timeout)},
    [BASE_PATH] = {"--base-path", NULL, "BASE_PATH", "PATH", "none",
                   "a path such as /some/prefix: at most 128 bytes, no '/' at its end, segments of "
                   "letters, digits and -._~",
                   false, MEMBER_TEXT, offsetof(struct config, base_path)},
    [ACCESS_LOG] = {"--access-log", NULL, "ACCESS_LOG", "WHAT", "errors", "one of off, errors, all",
                    true, MEMBER_NUMBER, offsetof(struct config, access_log)},
    [ACCESS_LOG_RATE] = {"--access-log-rate", NULL, "ACCESS_LOG_RATE", "NUMBER", "1000",
                         "a whole number from 0 to 1000000", true, MEMBER_NUMBER,
                         offsetof(struct config, access_log_rate)},
    [TRUSTED_PROXIES] = {"--trusted-proxies", NULL, "TRUSTED_PROXIES", "LIST", "none",
                         "a list of at most 16 addresses and prefixes with commas between them, "
                         "such as 10.0.0.0/8,::1",
                         false, MEMBER_PREFIXES, offsetof(struct config, trusted_proxies)},
    [SANDBOX] = {"--sandbox", NULL, "SANDBOX", "MODE", "auto", "one of require, auto, off", true,
                 MEMBER_NUMBER, offsetof(struct config, sandbox)},
    [LOG_FORMAT] = {"--log-format", NULL, "LOG_FORMAT", "FORMAT", "json; text on a terminal",
                    "one of json, text", false, MEMBER_NUMBER, offsetof(struct config, log_format)},
    [LOG_LEVEL] = {"--log-level", NULL, "LOG_LEVEL", "LEVEL", "info",
                   "one of error, warn, info, debug", true, MEMBER_NUMBER,
                   offsetof(struct config, log_level)},
    [HEALTHCHECK] = {.flag = "--healthcheck"},
    [LICENSES] = {.flag = "--licenses"},
    [PRINT_VERSION] = {.flag = "--version", .letter = "-V"},
    [PRINT_HELP] = {.flag = "--help", .letter = "-h"},
};

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

static int clear_environment(void **state)
{
    (void)state;
    for (size_t i = 0; i < VALUE_COUNT; i++) {
        if (unsetenv(SETTINGS[i].variable) != 0)
            return -1;
    }
    return 0;
}

static void set_variable(const char *name, const char *value)
{
    assert_int_equal(setenv(name, value, 1), 0);
}

/* Reads the settings from the arguments (NULL at the end) and the environment. */
static int read_config(struct config *config, const char *const *arguments, char *error)
{
    static char program[] = "versiond";
    char *argv[ARGUMENTS_MAX] = {program};
    int argc = 1;

    for (; arguments[argc - 1] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)arguments[argc - 1];
    assert_true(argc < ARGUMENTS_MAX);
    memset(error, '?', ERROR_SIZE);
    memset(config, 0xaa, sizeof *config);
    return config_read(config, argc, argv, error, ERROR_SIZE);
}

/* Writes the prefixes, each as its bytes in hex digits and its bits. */
static void describe_prefixes(const struct address_prefixes *prefixes, char text[TEXT_SIZE])
{
    size_t used = 0;

    text[0] = '\0';
    assert_true(prefixes->count <= ADDRESS_PREFIXES_MAX);
    for (unsigned i = 0; i < prefixes->count; i++) {
        for (size_t j = 0; j < sizeof prefixes->items[i].key.bytes; j++)
            used += (size_t)snprintf(text + used, TEXT_SIZE - used, "%02x",
                                     prefixes->items[i].key.bytes[j]);
        used += (size_t)snprintf(text + used, TEXT_SIZE - used, "/%u ", prefixes->items[i].bits);
    }
}

static void describe(const struct config *config, char text[ALL_SIZE])
{
    char proxies[TEXT_SIZE];

    describe_prefixes(&config->trusted_proxies, proxies);
    (void)snprintf(text, ALL_SIZE,
                   "address %s, base path %s, port %u, threads %u, connections %u, per IP %u, "
                   "deadline %u, drain %u, shutdown %u, access log %u, rate %u, proxies %s, "
                   "sandbox %u, format %u, level %u, action %u",
                   config->address ? config->address : "none",
                   config->base_path ? config->base_path : "none", config->port, config->threads,
                   config->max_connections, config->max_connections_per_ip,
                   config->request_deadline, config->drain_delay, config->shutdown_timeout,
                   config->access_log, config->access_log_rate, proxies, config->sandbox,
                   config->log_format, config->log_level, config->action);
}

static void expect_config(const char *const *arguments, const struct config *expected)
{
    struct config config;
    char actual_text[ALL_SIZE];
    char expected_text[ALL_SIZE];
    char error[ERROR_SIZE];

    if (read_config(&config, arguments, error) != 0)
        fail_msg("refused: %s", error);
    describe(&config, actual_text);
    describe(expected, expected_text);
    assert_string_equal(actual_text, expected_text);
}

static void expect_error(const char *const *arguments, const char *expected)
{
    struct config config;
    char error[ERROR_SIZE];

    if (read_config(&config, arguments, error) != -EINVAL)
        fail_msg("accepted instead of: %s", expected);
    assert_string_equal(error, expected);
}

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const char *const NONE[] = {NULL};

static void config_without_settings_is_the_default(void **state)
{
    (void)state;
    expect_config(NONE, &DEFAULTS);
}

static void config_without_even_a_program_name_is_the_default(void **state)
{
    char *const argv[] = {NULL};
    char error[ERROR_SIZE];
    struct config config;

    (void)state;
    assert_int_equal(config_read(&config, 0, argv, error, sizeof error), 0);
    assert_uint_equal(config.port, 5000);
}

static void config_has_every_setting_of_flags(void **state)
{
    static const struct config expected = {
        .address = "127.0.0.1",
        .base_path = "/base",
        .port = 8080,
        .threads = 2,
        .max_connections = 3,
        .max_connections_per_ip = 4,
        .request_deadline = 7000,
        .drain_delay = 5000,
        .shutdown_timeout = 6,
        .access_log = ACCESS_LOG_ALL,
        .access_log_rate = 8,
        .trusted_proxies = {{{{{[10] = 0xff, 0xff, 10}}, 104}, {{{[15] = 1}}, 128}}, 2},
        .sandbox = SANDBOX_OFF,
        .log_format = LOG_FORMAT_TEXT,
        .log_level = LOG_DEBUG,
        .action = CONFIG_HEALTHCHECK,
    };

    (void)state;
    expect_config(ARGUMENTS("-a127.0.0.1", "--port=8080", "-t", "2", "--max-connections", "3",
                            "--healthcheck", "--max-connections-per-ip=4", "--drain-delay=5s",
                            "--shutdown-timeout=6ms", "--request-deadline=7s",
                            "--access-log-rate=8", "--trusted-proxies=10.0.0.0/8,::1",
                            "--base-path=/base", "--access-log=all", "--log-format=text",
                            "--log-level=debug", "--sandbox=off"),
                  &expected);
}

/* A value that is allowed, and what it becomes: `text` where it is not NULL, else `number`. */
struct accepted {
    enum index setting;
    const char *value;
    const char *text;
    uint32_t number;
};

static const struct accepted ACCEPTED[] = {
    {ADDRESS, "127.0.0.1", "127.0.0.1", 0},
    {ADDRESS, "0.0.0.0", "0.0.0.0", 0},
    {ADDRESS, "::", "::", 0},
    {ADDRESS, "2001:db8::1", "2001:db8::1", 0},
    {PORT, "0", NULL, 0},
    {PORT, "1", NULL, 1},
    {PORT, "65535", NULL, 65535},
    {THREADS, "1", NULL, 1},
    {THREADS, "256", NULL, 256},
    {MAX_CONNECTIONS, "1", NULL, 1},
    {MAX_CONNECTIONS, "1000000", NULL, 1000000},
    {MAX_CONNECTIONS_PER_IP, "0", NULL, 0},
    {MAX_CONNECTIONS_PER_IP, "1000000", NULL, 1000000},
    {REQUEST_DEADLINE, "1s", NULL, 1000},
    {REQUEST_DEADLINE, "1000ms", NULL, 1000},
    {REQUEST_DEADLINE, "1001ms", NULL, 1001},
    {REQUEST_DEADLINE, "10m", NULL, 600000},
    {REQUEST_DEADLINE, "600000ms", NULL, 600000},
    {DRAIN_DELAY, "0ms", NULL, 0},
    {DRAIN_DELAY, "1500ms", NULL, 1500},
    {DRAIN_DELAY, "10m", NULL, 600000},
    {SHUTDOWN_TIMEOUT, "0s", NULL, 0},
    {SHUTDOWN_TIMEOUT, "600000ms", NULL, 600000},
    {BASE_PATH, "/a", "/a", 0},
    {BASE_PATH, "/some/prefix", "/some/prefix", 0},
    {ACCESS_LOG, "off", NULL, ACCESS_LOG_OFF},
    {ACCESS_LOG, "errors", NULL, ACCESS_LOG_ERRORS},
    {ACCESS_LOG, "all", NULL, ACCESS_LOG_ALL},
    {ACCESS_LOG_RATE, "0", NULL, 0},
    {ACCESS_LOG_RATE, "1", NULL, 1},
    {ACCESS_LOG_RATE, "1000000", NULL, 1000000},
    {TRUSTED_PROXIES, "0.0.0.0/0", NULL, 0},
    {TRUSTED_PROXIES, "10.0.0.0/8,2001:db8::/32,::1", NULL, 0},
    {TRUSTED_PROXIES,
     "1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8,1.1.1.9,"
     "::1,::2,::3,::4,::5,::6,::7",
     NULL, 0},
    {SANDBOX, "require", NULL, SANDBOX_REQUIRE},
    {SANDBOX, "auto", NULL, SANDBOX_AUTO},
    {SANDBOX, "off", NULL, SANDBOX_OFF},
    {LOG_FORMAT, "json", NULL, LOG_FORMAT_JSON},
    {LOG_FORMAT, "text", NULL, LOG_FORMAT_TEXT},
    {LOG_LEVEL, "error", NULL, LOG_ERROR},
    {LOG_LEVEL, "warn", NULL, LOG_WARN},
    {LOG_LEVEL, "info", NULL, LOG_INFO},
    {LOG_LEVEL, "debug", NULL, LOG_DEBUG},
};

/* The default settings, but for this one. */
static struct config config_with(const struct accepted *row)
{
    const struct setting *setting = &SETTINGS[row->setting];
    struct config config = DEFAULTS;
    char *member = (char *)&config + setting->offset;

    if (setting->member == MEMBER_TEXT)
        memcpy(member, (const void *)&row->text, sizeof row->text);
    else if (setting->member == MEMBER_PREFIXES)
        assert_true(address_parse_prefixes(row->value, &config.trusted_proxies));
    else
        memcpy(member, &row->number, sizeof row->number);
    return config;
}

static void flag_in_every_form_gives_its_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ACCEPTED); i++) {
        const struct setting *setting = &SETTINGS[ACCEPTED[i].setting];
        const struct config expected = config_with(&ACCEPTED[i]);
        char joined[256];

        (void)snprintf(joined, sizeof joined, "%s=%s", setting->flag, ACCEPTED[i].value);
        expect_config(ARGUMENTS(joined), &expected);
        expect_config(ARGUMENTS(setting->flag, ACCEPTED[i].value), &expected);
        if (setting->letter == NULL)
            continue;
        (void)snprintf(joined, sizeof joined, "%s%s", setting->letter, ACCEPTED[i].value);
        expect_config(ARGUMENTS(joined), &expected);
        expect_config(ARGUMENTS(setting->letter, ACCEPTED[i].value), &expected);
    }
}

static void variable_gives_its_value(void **state)
{
    for (size_t i = 0; i < COUNT_OF(ACCEPTED); i++) {
        const struct config expected = config_with(&ACCEPTED[i]);

        set_variable(SETTINGS[ACCEPTED[i].setting].variable, ACCEPTED[i].value);
        expect_config(NONE, &expected);
        assert_int_equal(clear_environment(state), 0);
    }
}

static void flag_beats_its_variable(void **state)
{
    static const char *const others[VALUE_COUNT] = {
        "::1",    "2",   "2", "2",   "2",   "2s",   "2s",   "2s",
        "/other", "off", "2", "::2", "off", "json", "warn",
    };

    for (size_t i = 0; i < COUNT_OF(ACCEPTED); i++) {
        const struct setting *setting = &SETTINGS[ACCEPTED[i].setting];
        const struct config expected = config_with(&ACCEPTED[i]);

        set_variable(setting->variable, others[ACCEPTED[i].setting]);
        expect_config(ARGUMENTS(setting->flag, ACCEPTED[i].value), &expected);
        assert_int_equal(clear_environment(state), 0);
    }
}

static void variable_that_a_flag_beats_is_not_checked(void **state)
{
    const struct config expected = config_with(&(struct accepted){PORT, NULL, NULL, 80});

    (void)state;
    set_variable("PORT", "tcp://10.0.0.1:80");
    expect_config(ARGUMENTS("--port=80"), &expected);
}

static void value_that_is_not_allowed_is_refused(void **state)
{
    static const struct {
        enum index setting;
        const char *value;
    } rows[] = {
        {ADDRESS, ""},
        {ADDRESS, "localhost"},
        {ADDRESS, "127.0.0.1:80"},
        {ADDRESS, "[::1]"},
        {PORT, ""},
        {PORT, "65536"},
        {PORT, "-1"},
        {PORT, "http"},
        {PORT, "tcp://10.0.0.1:80"},
        {THREADS, ""},
        {THREADS, "0"},
        {THREADS, "257"},
        {MAX_CONNECTIONS, ""},
        {MAX_CONNECTIONS, "0"},
        {MAX_CONNECTIONS, "1000001"},
        {MAX_CONNECTIONS_PER_IP, ""},
        {MAX_CONNECTIONS_PER_IP, "1000001"},
        {REQUEST_DEADLINE, ""},
        {REQUEST_DEADLINE, "30"},
        {REQUEST_DEADLINE, "0s"},
        {REQUEST_DEADLINE, "999ms"},
        {REQUEST_DEADLINE, "600001ms"},
        {REQUEST_DEADLINE, "601s"},
        {DRAIN_DELAY, ""},
        {DRAIN_DELAY, "5"},
        {DRAIN_DELAY, "600001ms"},
        {SHUTDOWN_TIMEOUT, ""},
        {SHUTDOWN_TIMEOUT, "0"},
        {SHUTDOWN_TIMEOUT, "601s"},
        {BASE_PATH, ""},
        {BASE_PATH, "/"},
        {BASE_PATH, "a"},
        {ACCESS_LOG, ""},
        {ACCESS_LOG, "on"},
        {ACCESS_LOG, "ALL"},
        {ACCESS_LOG, "al"},
        {ACCESS_LOG, "all "},
        {ACCESS_LOG_RATE, ""},
        {ACCESS_LOG_RATE, "-1"},
        {ACCESS_LOG_RATE, "1000001"},
        {ACCESS_LOG_RATE, "1000/s"},
        {TRUSTED_PROXIES, ""},
        {TRUSTED_PROXIES, "none"},
        {TRUSTED_PROXIES, "proxy.example"},
        {TRUSTED_PROXIES, "10.0.0.1/8"},
        {TRUSTED_PROXIES, "10.0.0.0/33"},
        {TRUSTED_PROXIES, "::1, ::2"},
        {TRUSTED_PROXIES, "::1,"},
        {TRUSTED_PROXIES, "::1,::1,::1,::1,::1,::1,::1,::1,::1,::1,::1,::1,::1,::1,::1,::1,::1"},
        {SANDBOX, ""},
        {SANDBOX, "on"},
        {LOG_FORMAT, ""},
        {LOG_FORMAT, "auto"},
        {LOG_LEVEL, ""},
        {LOG_LEVEL, "warning"},
        {LOG_LEVEL, "2"},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct setting *setting = &SETTINGS[rows[i].setting];
        char expected[ERROR_SIZE];

        (void)snprintf(expected, sizeof expected, "%s: '%s' is not %s", setting->flag,
                       rows[i].value, setting->allowed);
        expect_error(ARGUMENTS(setting->flag, rows[i].value), expected);
        (void)snprintf(expected, sizeof expected, "%s: '%s' is not %s", setting->variable,
                       rows[i].value, setting->allowed);
        set_variable(setting->variable, rows[i].value);
        expect_error(NONE, expected);
        assert_int_equal(clear_environment(state), 0);
    }
}

static void value_that_is_empty_or_odd_in_a_joined_form_is_refused(void **state)
{
    (void)state;
    expect_error(ARGUMENTS("--port="), "--port: '' is not a whole number from 0 to 65535");
    expect_error(ARGUMENTS("--port==1"), "--port: '=1' is not a whole number from 0 to 65535");
    expect_error(ARGUMENTS("-p=1"), "--port: '=1' is not a whole number from 0 to 65535");
    expect_error(ARGUMENTS("-port"), "--port: 'ort' is not a whole number from 0 to 65535");
    expect_error(ARGUMENTS("-p", ""), "--port: '' is not a whole number from 0 to 65535");
}

static void value_may_look_like_a_flag(void **state)
{
    (void)state;
    expect_error(ARGUMENTS("--port", "--threads=1"),
                 "--port: '--threads=1' is not a whole number from 0 to 65535");
    expect_error(ARGUMENTS("-t", "--help"),
                 "--threads: '--help' is not a whole number from 1 to 256");
}

static void flag_without_its_value_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < VALUE_COUNT; i++) {
        char expected[ERROR_SIZE];

        (void)snprintf(expected, sizeof expected, "%s: needs a value", SETTINGS[i].flag);
        expect_error(ARGUMENTS(SETTINGS[i].flag), expected);
        expect_error(ARGUMENTS("--healthcheck", SETTINGS[i].flag), expected);
        if (SETTINGS[i].letter != NULL)
            expect_error(ARGUMENTS(SETTINGS[i].letter), expected);
    }
}

static void flag_given_twice_is_refused(void **state)
{
    (void)state;
    expect_error(ARGUMENTS("--port=1", "--port=1"), "--port: given twice");
    expect_error(ARGUMENTS("--port", "1", "--port", "2"), "--port: given twice");
    expect_error(ARGUMENTS("-p1", "--threads=1", "--port=1"), "--port: given twice");
    expect_error(ARGUMENTS("-p1", "-p", "1"), "--port: given twice");
    expect_error(ARGUMENTS("--log-level=info", "--log-level"), "--log-level: given twice");
    expect_error(ARGUMENTS("--healthcheck", "--healthcheck"), "--healthcheck: given twice");
    expect_error(ARGUMENTS("-h", "--help"), "--help: given twice");
}

static void flag_that_takes_no_value_is_refused_with_one(void **state)
{
    (void)state;
    expect_error(ARGUMENTS("--help=1"), "--help: takes no value");
    expect_error(ARGUMENTS("--help="), "--help: takes no value");
    expect_error(ARGUMENTS("-hV"), "--help: takes no value");
    expect_error(ARGUMENTS("-V1"), "--version: takes no value");
    expect_error(ARGUMENTS("--version=1"), "--version: takes no value");
    expect_error(ARGUMENTS("--healthcheck=yes"), "--healthcheck: takes no value");
    expect_error(ARGUMENTS("--help", "yes"), "'yes': only flags are taken; --help lists them");
}

static void flag_of_another_name_is_refused(void **state)
{
    static const char *const flags[] = {
        "-",
        "--",
        "---",
        "--=",
        "--=1",
        "-=",
        "-x",
        "-x1",
        "-P",
        "-P1",
        "-H",
        "-v",
        "-?",
        "--x",
        "--por",
        "--por=1",
        "--ports",
        "--ports=1",
        "--PORT",
        "--Port=1",
        "--port1",
        "--port 1",
        "---port",
        "--p",
        "--p=1",
        "--log",
        "--version2",
        "--no-help",
        "--max",
        "--max-connections-per",
        "--max-connections-per-ips",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        char expected[ERROR_SIZE];

        (void)snprintf(expected, sizeof expected, "'%s': unknown flag; --help lists what there is",
                       flags[i]);
        expect_error(ARGUMENTS(flags[i]), expected);
        expect_error(ARGUMENTS("--port=1", flags[i], "1"), expected);
    }
}

static void argument_that_is_no_flag_is_refused(void **state)
{
    static const char *const arguments[] = {"",       " ",     "5000", "port",
                                            "port=1", "serve", " -p1", "help"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(arguments); i++) {
        char expected[ERROR_SIZE];

        (void)snprintf(expected, sizeof expected, "'%s': only flags are taken; --help lists them",
                       arguments[i]);
        expect_error(ARGUMENTS(arguments[i]), expected);
        expect_error(ARGUMENTS("--port", "1", arguments[i]), expected);
    }
}

static void error_names_the_first_wrong_setting(void **state)
{
    (void)state;
    set_variable("LOG_LEVEL", "loud");
    set_variable("THREADS", "many");
    expect_error(ARGUMENTS("--log-format=xml", "--nonsense"),
                 "--log-format: 'xml' is not one of json, "
                 "text");
    expect_error(ARGUMENTS("--port=1"), "THREADS: 'many' is not a whole number from 1 to 256");
}

static void error_shows_hostile_value_on_one_line(void **state)
{
    (void)state;
    expect_error(ARGUMENTS("--port=1\n\x1b[2J'\\\xff"),
                 "--port: '1\\x0a\\x1b[2J\\'\\\\\\xff' is not a whole number from 0 to 65535");
    expect_error(ARGUMENTS("--\n\x1b[2J"),
                 "'--\\x0a\\x1b[2J': unknown flag; --help lists what there is");
    expect_error(ARGUMENTS("\xc3\xa9"), "'\\xc3\\xa9': only flags are taken; --help lists them");
    set_variable("LOG_LEVEL", "info\n");
    expect_error(NONE, "LOG_LEVEL: 'info\\x0a' is not one of error, warn, info, debug");
}

static void error_of_long_value_shows_its_beginning(void **state)
{
    char value[1001] = "";
    char expected[ERROR_SIZE];

    (void)state;
    memset(value, 'a', sizeof value - 1);
    (void)snprintf(expected, sizeof expected, "--base-path: '%.127s' is not %s", value,
                   SETTINGS[BASE_PATH].allowed);
    expect_error(ARGUMENTS("--base-path", value), expected);
    (void)snprintf(expected, sizeof expected, "'%.127s': only flags are taken; --help lists them",
                   value);
    expect_error(ARGUMENTS(value), expected);
}

static void error_without_room_is_cut(void **state)
{
    static const char *const rows[][2] = {
        {"--port=x", "--port: '"},
        {"--port", "--port: n"},
        {"stray", "'stray': "},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        static char program[] = "versiond";
        char *const argv[] = {program, (char *)(uintptr_t)rows[i][0], NULL};
        char error[16];
        char expected[16];
        struct config config;

        memset(error, '?', sizeof error);
        memset(expected, '?', sizeof expected);
        memcpy(expected, rows[i][1], 10);
        assert_int_equal(config_read(&config, 2, argv, error, 10), -EINVAL);
        assert_memory_equal(error, expected, sizeof error);
    }
}

static void expect_action(const char *const *arguments, enum config_action action)
{
    struct config config;
    char error[ERROR_SIZE];

    if (read_config(&config, arguments, error) != 0)
        fail_msg("refused: %s", error);
    assert_uint_equal(config.action, action);
}

static void list_that_is_not_allowed_leaves_no_proxy_trusted(void **state)
{
    static char program[] = "versiond";
    static char flag[] = "--trusted-proxies=::1,nope";
    char *const argv[] = {program, flag, NULL};
    char error[ERROR_SIZE];
    struct config config;

    (void)state;
    assert_int_equal(config_read(&config, 2, argv, error, sizeof error), -EINVAL);
    assert_uint_equal(config.trusted_proxies.count, 0);
}

static void action_is_the_highest_that_is_asked_for(void **state)
{
    (void)state;
    expect_action(NONE, CONFIG_SERVE);
    expect_action(ARGUMENTS("--healthcheck"), CONFIG_HEALTHCHECK);
    expect_action(ARGUMENTS("--version"), CONFIG_VERSION);
    expect_action(ARGUMENTS("-V"), CONFIG_VERSION);
    expect_action(ARGUMENTS("--help"), CONFIG_HELP);
    expect_action(ARGUMENTS("-h"), CONFIG_HELP);
    expect_action(ARGUMENTS("--healthcheck", "-V"), CONFIG_VERSION);
    expect_action(ARGUMENTS("-V", "--healthcheck"), CONFIG_VERSION);
    expect_action(ARGUMENTS("-h", "-V", "--healthcheck"), CONFIG_HELP);
    expect_action(ARGUMENTS("-V", "-p1", "-h"), CONFIG_HELP);
    expect_action(ARGUMENTS("--licenses", "--healthcheck"), CONFIG_LICENSES);
    expect_action(ARGUMENTS("--licenses", "-V"), CONFIG_VERSION);
}

static void action_that_only_prints_reads_no_environment(void **state)
{
    (void)state;
    set_variable("PORT", "wrong");
    expect_action(ARGUMENTS("--help"), CONFIG_HELP);
    expect_action(ARGUMENTS("--version"), CONFIG_VERSION);
    expect_action(ARGUMENTS("--licenses"), CONFIG_LICENSES);
    expect_error(ARGUMENTS("--healthcheck"), "PORT: 'wrong' is not a whole number from 0 to 65535");
}

/* What a printer writes. Returns a text that the caller frees. */
static char *print(void (*printer)(FILE *stream))
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    assert_non_null(stream);
    printer(stream);
    assert_int_equal(fclose(stream), 0);
    return text;
}

/* What the table in Markdown says that a setting means. Returns a text that the caller frees. */
static char *find_meaning(const struct setting *setting)
{
    char *markdown = print(config_print_markdown);
    char cell[64];
    char *line = NULL;
    char *meaning = NULL;

    (void)snprintf(cell, sizeof cell, "`%s` |", setting->flag);
    line = strstr(markdown, cell);
    if (line == NULL)
        fail_msg("%s is not in the table", setting->flag);
    line[strcspn(line, "\n")] = '\0';
    assert_true(strlen(line) > strlen(" |"));
    line[strlen(line) - strlen(" |")] = '\0';
    meaning = strdup(strrchr(line, '|') + strlen("| "));
    free(markdown);
    if (meaning == NULL || meaning[0] == '\0')
        fail_msg("%s has no meaning", setting->flag);
    return meaning;
}

static void print_expected_row(FILE *stream, const struct setting *setting)
{
    char *meaning = find_meaning(setting);
    const char *quote = setting->fallback_is_a_value ? "`" : "";

    (void)fputs("| ", stream);
    if (setting->letter != NULL)
        (void)fprintf(stream, "`%s`, ", setting->letter);
    if (setting->variable != NULL)
        (void)fprintf(stream, "`%s` | `%s` | %s%s%s | %s | %s |\n", setting->flag,
                      setting->variable, quote, setting->fallback, quote, setting->allowed,
                      meaning);
    else
        (void)fprintf(stream, "`%s` | | | | %s |\n", setting->flag, meaning);
    free(meaning);
}

static void print_expected_markdown(FILE *stream)
{
    (void)fputs("| Flag | Variable | Default | Allowed | Meaning |\n"
                "| --- | --- | --- | --- | --- |\n",
                stream);
    for (size_t i = 0; i < SETTING_COUNT; i++)
        print_expected_row(stream, &SETTINGS[i]);
}

static void print_expected_help(FILE *stream)
{
    (void)fputs("Usage: versiond [FLAG]...\n"
                "Answers GET /version with the version, commit and description of its build.\n\n"
                "A flag beats the variable in [brackets], which beats the default.\n\n",
                stream);
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &SETTINGS[i];
        char *meaning = find_meaning(setting);

        (void)fprintf(stream, "  %s%s %s%s%s\n        %s\n",
                      setting->letter ? setting->letter : "  ", setting->letter ? "," : " ",
                      setting->flag, setting->value ? " " : "",
                      setting->value ? setting->value : "", meaning);
        if (setting->variable != NULL)
            (void)fprintf(stream, "        %s\n        [%s], default: %s\n", setting->allowed,
                          setting->variable, setting->fallback);
        free(meaning);
    }
    (void)fputs(
        "\nA listening socket that systemd passes (LISTEN_FDS) is taken instead of --address "
        "and --port.\n"
        "Exit status: 0 after a clean stop, 1 when something failed, "
        "2 for a wrong setting.\n",
        stream);
}

static void print_help(FILE *stream)
{
    config_print_help(stream, "versiond");
}

static void expect_same(void (*actual)(FILE *stream), void (*expected)(FILE *stream))
{
    char *actual_text = print(actual);
    char *expected_text = print(expected);

    assert_string_equal(actual_text, expected_text);
    free(actual_text);
    free(expected_text);
}

static void markdown_has_every_setting_in_a_row(void **state)
{
    (void)state;
    expect_same(config_print_markdown, print_expected_markdown);
}

static void help_has_every_setting_with_what_the_markdown_says(void **state)
{
    (void)state;
    expect_same(print_help, print_expected_help);
}

#define CLEAN(test) cmocka_unit_test_setup_teardown(test, clear_environment, clear_environment)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLEAN(config_without_settings_is_the_default),
        CLEAN(config_without_even_a_program_name_is_the_default),
        CLEAN(config_has_every_setting_of_flags),
        CLEAN(flag_in_every_form_gives_its_value),
        CLEAN(variable_gives_its_value),
        CLEAN(flag_beats_its_variable),
        CLEAN(variable_that_a_flag_beats_is_not_checked),
        CLEAN(value_that_is_not_allowed_is_refused),
        CLEAN(value_that_is_empty_or_odd_in_a_joined_form_is_refused),
        CLEAN(value_may_look_like_a_flag),
        CLEAN(flag_without_its_value_is_refused),
        CLEAN(flag_given_twice_is_refused),
        CLEAN(flag_that_takes_no_value_is_refused_with_one),
        CLEAN(flag_of_another_name_is_refused),
        CLEAN(argument_that_is_no_flag_is_refused),
        CLEAN(error_names_the_first_wrong_setting),
        CLEAN(error_shows_hostile_value_on_one_line),
        CLEAN(error_of_long_value_shows_its_beginning),
        CLEAN(error_without_room_is_cut),
        CLEAN(list_that_is_not_allowed_leaves_no_proxy_trusted),
        CLEAN(action_is_the_highest_that_is_asked_for),
        CLEAN(action_that_only_prints_reads_no_environment),
        CLEAN(markdown_has_every_setting_in_a_row),
        CLEAN(help_has_every_setting_with_what_the_markdown_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
