/* The program from outside: flags, environment, output, exit codes. */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "config.h"
#include "documents.h"
#include "file.h"
#include "process.h"

#define GET_READYZ "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct client_answer READY = {"200 OK", TYPE_JSON, NULL, DOCUMENT_READY, false, false};

static void help_goes_to_stdout(void **state)
{
    static const char *const flags[] = {"--help", "-h"};
    char help[16 * 1024] = "";
    FILE *stream = fmemopen(help, sizeof help, "w");

    (void)state;
    assert_non_null(stream);
    config_print_help(stream, NAME);
    assert_int_equal(fclose(stream), 0);
    for (size_t i = 0; i < COUNT_OF(flags); i++)
        process_expect((const char *const[]){flags[i], NULL}, NULL, 0, help, "");
    /* Help is what somebody needs whose environment is wrong. */
    process_expect((const char *const[]){"--version", "--help", NULL},
                   (const char *const[]){"PORT=x", NULL}, 0, help, "");
}

static void version_goes_to_stdout(void **state)
{
    static const char expected[] = NAME " " VERSION "\ncommit " COMMIT ", " BUILD_DATE "\n";

    (void)state;
    process_expect((const char *const[]){"--version", NULL}, NULL, 0, expected, "");
    process_expect((const char *const[]){"-V", NULL}, NULL, 0, expected, "");
}

static void fill_stdout(void)
{
    if (dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO) < 0)
        _exit(126);
}

static void output_that_cannot_be_written_fails(void **state)
{
    static const char *const flags[] = {"--help", "--version"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        struct process *process =
            process_start_with((const char *const[]){flags[i], NULL}, NULL, fill_stdout);

        assert_int_equal(process_wait(process), 1);
        assert_string_equal(process->stderr_text, NAME ": cannot write to stdout\n");
        process_end(process);
    }
}

static void wrong_setting_exits_2_with_one_line(void **state)
{
    static const struct {
        const char *argument;
        const char *variable;
        const char *error;
    } rows[] = {
        {"--port=65536", NULL, "--port: '65536' is not a whole number from 0 to 65535"},
        {"--port=", NULL, "--port: '' is not a whole number from 0 to 65535"},
        {"-p", NULL, "--port: needs a value"},
        {NULL, "PORT=tcp://10.0.0.1:80",
         "PORT: 'tcp://10.0.0.1:80' is not a whole number from 0 to 65535"},
        {NULL, "PORT=", "PORT: '' is not a whole number from 0 to 65535"},
        {NULL, "ADDRESS=localhost",
         "ADDRESS: 'localhost' is not an IPv4 or IPv6 address, such as 127.0.0.1 or ::1"},
        {NULL, "DRAIN_DELAY=5",
         "DRAIN_DELAY: '5' is not a duration from 0s to 10m, with a unit: ms, s, m or h"},
        {"--log-format=xml", NULL, "--log-format: 'xml' is not one of json, text"},
        {"--frobnicate", NULL, "'--frobnicate': unknown flag; --help lists what there is"},
        {"serve", NULL, "'serve': only flags are taken; --help lists them"},
        {"", NULL, "'': only flags are taken; --help lists them"},
        {"--help=yes", NULL, "--help: takes no value"},
        {"a\nb\x1b[2J", NULL, "'a\\x0ab\\x1b[2J': only flags are taken; --help lists them"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *const arguments[] = {rows[i].argument, NULL};
        const char *const environment[] = {rows[i].variable, NULL};
        char expected[256];

        print_message("%s\n", rows[i].error);
        (void)snprintf(expected, sizeof expected, NAME ": %s\n", rows[i].error);
        process_expect(arguments, environment, 2, "", expected);
    }
}

static void duplicate_flag_exits_2(void **state)
{
    (void)state;
    process_expect((const char *const[]){"-p1", "--port=1", NULL}, NULL, 2, "",
                   NAME ": --port: given twice\n");
}

static void environment_is_used_and_flag_beats_it(void **state)
{
    static const char *const arguments[] = {"--base-path=/flag", NULL};
    static const char *const environment[] = {"PORT=0", "BASE_PATH=not a path", NULL};
    struct process *process = process_start(arguments, environment);
    const uint16_t port = process_wait_for_port(process);
    const int client = client_connect(port);

    (void)state;
    client_expect_answer(client, "GET /flag/readyz HTTP/1.1\r\nHost: a\r\n\r\n", &READY);
    (void)close(client);
    process_stop(process);
}

/* Checks that `line` is an entire line of the log but for its time, and that it comes. */
static void wait_for_line(struct process *process, const char *line)
{
    char rest[512];

    (void)snprintf(rest, sizeof rest, "Z\",%s\n", line);
    (void)process_wait_for(process, rest);
}

static bool ends_with(const char *text, const char *end)
{
    return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

static void port_in_use_exits_1_and_says_so(void **state)
{
    static const char *const arguments[] = {"--port=0", NULL};
    uint16_t port = 0;
    struct process *first = process_serve(arguments, &port);
    struct process *second = NULL;
    char flag[32];
    char line[256];

    (void)state;
    (void)snprintf(flag, sizeof flag, "--port=%u", (unsigned)port);
    (void)snprintf(line, sizeof line,
                   "\"level\":\"error\",\"msg\":\"cannot listen\",\"address\":\"::\",\"port\":%u,"
                   "\"error\":\"Address ",
                   (unsigned)port);
    second = process_start((const char *const[]){flag, NULL}, NULL);
    (void)process_wait_for(second, line);
    assert_int_equal(process_wait(second), 1);
    /* The libc's words: glibc's and musl's. */
    assert_true(ends_with(second->stderr_text, "\"Address already in use\"}\n") ||
                ends_with(second->stderr_text, "\"Address in use\"}\n"));
    process_end(second);
    process_stop(first);
}

static void address_of_another_host_exits_1_and_says_so(void **state)
{
    static const char *const arguments[] = {"--address=192.0.2.1", "--port=0", "--log-format=text",
                                            NULL};
    struct process *process = process_start(arguments, NULL);

    (void)state;
    (void)process_wait_for(process, "Z error cannot listen address='192.0.2.1' port=0 error='");
    assert_int_equal(process_wait(process), 1);
    process_end(process);
}

static void become_nobody(void)
{
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        _exit(126);
}

/* Below the first port that needs no privilege; 0 when none needs one. */
static unsigned privileged_port(void)
{
    const long first = file_read_number("/proc/sys/net/ipv4/ip_unprivileged_port_start", 1024);

    return first > 1 ? (unsigned)first - 1 : 0;
}

static void privileged_port_exits_1_and_says_so(void **state)
{
    const unsigned port = privileged_port();
    struct process *process = NULL;
    char flag[32];
    char line[256];

    (void)state;
    if (port == 0)
        skip(); /* here every port is for everybody */
    (void)snprintf(flag, sizeof flag, "--port=%u", port);
    (void)snprintf(line, sizeof line,
                   "\"level\":\"error\",\"msg\":\"cannot listen\",\"address\":\"::\",\"port\":%u,"
                   "\"error\":\"Permission denied\"}",
                   port);
    process = process_start_with((const char *const[]){flag, NULL}, NULL, become_nobody);
    wait_for_line(process, line);
    assert_int_equal(process_wait(process), 1);
    process_end(process);
}

static void lower_file_limit(void)
{
    const struct rlimit limit = {.rlim_cur = 40, .rlim_max = 40};

    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        _exit(126);
}

static void low_file_limit_lowers_the_default_of_connections(void **state)
{
    static const char *const arguments[] = {"--port=0", "--threads=2", NULL};
    struct process *process = NULL;

    (void)state;
    if (process_has_runner())
        skip(); /* it takes from the limit */
    process = process_start_with(arguments, NULL, lower_file_limit);
    (void)process_wait_for_port(process);
    (void)process_wait_for(process, "\"threads\":2,\"max_connections\":12,\"version\"");
    process_stop(process);
}

static void more_connections_than_files_exits_1_and_says_so(void **state)
{
    static const char *const arguments[] = {"--port=0", "--threads=2", "--max-connections=13",
                                            NULL};
    struct process *process = NULL;

    (void)state;
    if (process_has_runner())
        skip(); /* it takes from the limit */
    process = process_start_with(arguments, NULL, lower_file_limit);
    wait_for_line(process, "\"level\":\"error\",\"msg\":\"the limit of open files is too low\","
                           "\"limit\":40,\"threads\":2,\"max_connections\":13}");
    assert_int_equal(process_wait(process), 1);
    process_end(process);
}

static void check_health(uint16_t port, int code, const char *error)
{
    char flag[32];

    (void)snprintf(flag, sizeof flag, "--port=%u", (unsigned)port);
    process_expect((const char *const[]){"--healthcheck", flag, NULL}, NULL, code, "", error);
}

static void healthcheck_follows_the_server(void **state)
{
    static const char *const arguments[] = {"--port=0", "--drain-delay=10m", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    char draining[128];
    char gone[128];

    (void)state;
    (void)snprintf(draining, sizeof draining, NAME ": 127.0.0.1, port %u: answered 503\n",
                   (unsigned)port);
    (void)snprintf(gone, sizeof gone, NAME ": 127.0.0.1, port %u: Connection refused\n",
                   (unsigned)port);
    check_health(port, 0, "");
    process_signal(process, SIGTERM);
    (void)process_wait_for(process, "\"msg\":\"draining\"");
    check_health(port, 1, draining);
    process_signal(process, SIGTERM);
    assert_int_equal(process_wait(process), 1);
    process_end(process);
    check_health(port, 1, gone);
    check_health(0, 1, NAME ": port 0 names no server: give the port that it listens on\n");
}

static void server_writes_nothing_to_stdout_and_two_events_at_least(void **state)
{
    static const char *const arguments[] = {"--port=0", "--log-format=text", NULL};
    struct process *process = process_start(arguments, NULL);

    (void)state;
    (void)process_wait_for(process, "Z info  listening address='");
    process_signal(process, SIGTERM);
    assert_int_equal(process_wait(process), 0);
    assert_non_null(strstr(process->stderr_text, "Z info  draining signal='SIGTERM' "
                                                 "drain_delay_ms=0 shutdown_timeout_ms=8000\n"));
    assert_non_null(strstr(process->stderr_text, "Z info  stopped\n"));
    assert_string_equal(process->stdout_text, "");
    process_end(process);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_goes_to_stdout),
        cmocka_unit_test(version_goes_to_stdout),
        cmocka_unit_test(output_that_cannot_be_written_fails),
        cmocka_unit_test(wrong_setting_exits_2_with_one_line),
        cmocka_unit_test(duplicate_flag_exits_2),
        cmocka_unit_test(environment_is_used_and_flag_beats_it),
        cmocka_unit_test(port_in_use_exits_1_and_says_so),
        cmocka_unit_test(address_of_another_host_exits_1_and_says_so),
        cmocka_unit_test(privileged_port_exits_1_and_says_so),
        cmocka_unit_test(low_file_limit_lowers_the_default_of_connections),
        cmocka_unit_test(more_connections_than_files_exits_1_and_says_so),
        cmocka_unit_test(healthcheck_follows_the_server),
        cmocka_unit_test(server_writes_nothing_to_stdout_and_two_events_at_least),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
