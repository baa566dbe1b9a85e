/* The command line: flags, environment, output, exit codes. */
#include "test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client.h"
#include "config.h"
#include "documents.h"
#include "listener.h"
#include "parse.h"
#include "process.h"

#define GET_READYZ "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct client_answer READY = {"200 OK", TYPE_JSON, NULL, DOCUMENT_READY, false, false};

static void help_is_printed_to_stdout(void **state)
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
    /* --help works even if the environment is invalid. */
    process_expect((const char *const[]){"--version", "--help", NULL},
                   (const char *const[]){"PORT=x", NULL}, 0, help, "");
}

static void version_is_printed_to_stdout(void **state)
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

static void exits_1_if_stdout_cannot_be_written(void **state)
{
    static const char *const flags[] = {"--help", "--version", "--licenses"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        struct process *process =
            process_start_with((const char *const[]){flags[i], NULL}, NULL, fill_stdout);

        assert_int_equal(process_wait(process), 1);
        assert_string_equal(process->stderr_text, NAME ": cannot write to stdout\n");
        process_end(process);
    }
}

static void invalid_setting_exits_2_with_one_line(void **state)
{
    static const struct {
        const char *argument;
        const char *variable;
        const char *error;
    } rows[] = {
        {"--port=65536", NULL, "--port: '65536' is not an integer from 0 to 65535"},
        {NULL, "PORT=tcp://10.0.0.1:80",
         "PORT: 'tcp://10.0.0.1:80' is not an integer from 0 to 65535"},
        {"a\nb\x1b[2J", NULL, "'a\\x0ab\\x1b[2J': unexpected argument; see --help"},
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

/* The value is truncated, the name of the setting and the allowed values never are. */
static void errors_are_complete_for_the_longest_values(void **state)
{
    size_t count = 0;
    const struct setting *settings = config_settings(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        char argument[512] = "";
        const char *const arguments[] = {argument, NULL};
        char allowed[CONFIG_ALLOWED_MAX];
        char expected[1024];

        if (settings[i].kind == SETTING_ACTION)
            continue;
        memset(argument, 'x', sizeof argument - 1);
        (void)snprintf(expected, sizeof expected, "%s=", settings[i].flag);
        memcpy(argument, expected, strlen(expected));
        config_print_allowed(allowed, sizeof allowed, &settings[i]);
        (void)snprintf(expected, sizeof expected, NAME ": %s: '%.127s' is not %s\n",
                       settings[i].flag, argument + 256, allowed);
        process_expect(arguments, NULL, 2, "", expected);
    }
}

/* The 404 response names the longest base path. */
static void flag_overrides_environment(void **state)
{
    static const char *const environment[] = {"PORT=0", "BASE_PATH=not a path", NULL};
    char flag[sizeof "--base-path=" + PARSE_BASE_PATH_MAX] = "--base-path=/";
    const char *const arguments[] = {flag, NULL};
    char request[512];
    char end[512];
    char *response = NULL;
    struct process *process = NULL;
    int client = -1;

    (void)state;
    memset(flag + strlen(flag), 'b', sizeof flag - 1 - strlen(flag));
    process = process_start(arguments, environment);
    client = client_connect(process_wait_for_port(process));
    (void)snprintf(request, sizeof request, "GET %s/readyz HTTP/1.1\r\nHost: a\r\n\r\n",
                   strchr(flag, '/'));
    client_expect_answer(client, request, &READY);
    client_send_text(client, "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    response = client_receive(client, false);
    (void)snprintf(end, sizeof end, "/openapi.json, and the same under %s.\"}\n",
                   strchr(flag, '/'));
    assert_non_null(strstr(response, end));
    free(response);
    (void)close(client);
    process_stop(process);
}

/* Waits for the program to log `text` and to exit with status 1. Frees the process. */
static void expect_failure(struct process *process, const char *text)
{
    (void)process_wait_for(process, text);
    assert_int_equal(process_wait(process), 1);
    process_end(process);
}

static void port_in_use_exits_1(void **state)
{
    static const char *const arguments[] = {"--port=0", NULL};
    uint16_t port = 0;
    struct process *first = process_serve(arguments, &port);
    struct process *second = NULL;
    char flag[32];
    char line[256];

    (void)state;
    (void)snprintf(flag, sizeof flag, "--port=%u", (unsigned)port);
    /* glibc continues with "already in use", musl with "in use". */
    (void)snprintf(line, sizeof line,
                   "Z\",\"level\":\"error\",\"msg\":\"cannot listen\",\"address\":\"::\","
                   "\"port\":%u,\"error\":\"Address ",
                   (unsigned)port);
    second = process_start((const char *const[]){flag, NULL}, NULL);
    (void)process_wait_for(second, line);
    expect_failure(second, " in use\"}\n");
    process_stop(first);
}

static void address_of_another_host_exits_1(void **state)
{
    static const char *const arguments[] = {"--address=192.0.2.1", "--port=0", "--log-format=text",
                                            NULL};

    (void)state;
    expect_failure(process_start(arguments, NULL),
                   "Z error cannot listen address='192.0.2.1' port=0 error='");
}

static void lower_file_limit(void)
{
    const struct rlimit limit = {.rlim_cur = 40, .rlim_max = 40};

    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        _exit(126);
}

static void low_file_limit_lowers_max_connections(void **state)
{
    static const char *const arguments[] = {"--port=0", "--threads=2", NULL};
    static const char *const too_many[] = {"--port=0", "--threads=2", "--max-connections=13", NULL};
    struct process *process = NULL;

    (void)state;
    if (process_has_runner())
        skip(); /* the runner uses descriptors, too */
    process = process_start_with(arguments, NULL, lower_file_limit);
    (void)process_wait_for_port(process);
    (void)process_wait_for(process, "\"threads\":2,\"max_connections\":12,\"version\"");
    process_stop(process);
    expect_failure(process_start_with(too_many, NULL, lower_file_limit),
                   "Z\",\"level\":\"error\",\"msg\":\"the open-file limit is too low\","
                   "\"limit\":40,\"threads\":2,\"max_connections\":13}\n");
}

static int passed_listener;
static char passed_pid[32]; /* set in the process that becomes the program */

static void pass_listener(void)
{
    if (dup2(passed_listener, 3) != 3 || fcntl(3, F_SETFD, 0) != 0)
        _exit(126);
    (void)snprintf(passed_pid, sizeof passed_pid, "LISTEN_PID=%d", (int)getpid());
}

/* The socket remains open for the next process. */
static void passed_socket_is_served_and_not_shut_down(void **state)
{
    static const struct {
        const char *count;
        const char *level;
        int code;
        const char *log;
    } rows[] = {
        {"LISTEN_FDS=1", "LOG_LEVEL=info", 0, "\"socket\":\"passed\"}\n"},
        {"LISTEN_FDS=1", "LOG_LEVEL=error", 0, ""},
        {"LISTEN_FDS=2", "LOG_LEVEL=info", 1,
         "Z\",\"level\":\"error\",\"msg\":\"cannot use the socket passed by the service manager\","
         "\"error\":\"LISTEN_FDS: '2' is not 1\","
         "\"allowed\":\"LISTEN_FDS=1 and a listening TCP socket\"}\n"},
    };
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;

    (void)state;
    passed_listener = listener_open("127.0.0.1", 0);
    assert_int_equal(getsockname(passed_listener, (struct sockaddr *)&address, &size), 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *const environment[] = {rows[i].count, rows[i].level, passed_pid, NULL};
        const int client = client_connect(ntohs(address.sin_port));
        struct process *process = process_start_with(NULL, environment, pass_listener);

        if (rows[i].code == 0) {
            client_expect_answer(client, GET_READYZ, &READY);
            process_signal(process, SIGTERM);
        }
        assert_int_equal(process_wait(process), rows[i].code);
        assert_non_null(strstr(process->stderr_text, rows[i].log));
        assert_int_equal(process->stderr_text[0] == '\0', rows[i].log[0] == '\0');
        process_end(process);
        (void)close(client);
    }
    (void)close(passed_listener);
}

static void expect_health(uint16_t port, int code, const char *error)
{
    char flag[32];

    (void)snprintf(flag, sizeof flag, "--port=%u", (unsigned)port);
    process_expect((const char *const[]){"--healthcheck", flag, NULL}, NULL, code, "", error);
}

static void healthcheck_reports_readiness(void **state)
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
    expect_health(port, 0, "");
    process_signal(process, SIGTERM);
    (void)process_wait_for(process, "\"msg\":\"draining\"");
    expect_health(port, 1, draining);
    process_signal(process, SIGTERM);
    assert_int_equal(process_wait(process), 1);
    process_end(process);
    expect_health(port, 1, gone);
    expect_health(0, 1, NAME ": cannot health-check port 0; pass the port it listens on\n");
}

static void server_logs_lifecycle_to_stderr_only(void **state)
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
        cmocka_unit_test(help_is_printed_to_stdout),
        cmocka_unit_test(version_is_printed_to_stdout),
        cmocka_unit_test(exits_1_if_stdout_cannot_be_written),
        cmocka_unit_test(invalid_setting_exits_2_with_one_line),
        cmocka_unit_test(errors_are_complete_for_the_longest_values),
        cmocka_unit_test(flag_overrides_environment),
        cmocka_unit_test(port_in_use_exits_1),
        cmocka_unit_test(address_of_another_host_exits_1),
        cmocka_unit_test(low_file_limit_lowers_max_connections),
        cmocka_unit_test(passed_socket_is_served_and_not_shut_down),
        cmocka_unit_test(healthcheck_reports_readiness),
        cmocka_unit_test(server_logs_lifecycle_to_stderr_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
