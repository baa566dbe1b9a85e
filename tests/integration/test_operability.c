/* What operators see: metrics and the access log. */
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "documents.h"
#include "inspect.h"
#include "process.h"

#define REQUEST(line) line " HTTP/1.1\r\nHost: a\r\n\r\n"
#define REQUESTS(path, code)                                                                       \
    "http_requests_total{path=\"" path "\",method=\"GET\",code=\"" code "\"}"

/* Sends a request and checks the status of the response, for example "200 OK". */
static void expect_status(int client, const char *request, const char *status)
{
    char *response = NULL;

    client_send_text(client, request);
    response = client_receive(client, false);
    assert_memory_equal(response, "HTTP/1.1 ", 9);
    assert_memory_equal(response + 9, status, strlen(status));
    free(response);
}

/* Many connections, so that every thread counts. A request is counted once its response has been
 * sent, which may be after the client has read it. */
static void metrics_count_responses_and_refusals(void **state)
{
    static const char *const arguments[] = {"--port=0", "--threads=3", "--access-log=off", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int reader = client_connect(port);
    char *response = NULL;

    (void)state;
    assert_true(client_read_series(reader, "http_requests_malformed_total") == 0);
    for (int i = 0; i < 30; i++) {
        const int client = client_connect(port);

        expect_status(client, REQUEST("GET /healthz"), "200 OK");
        expect_status(client, REQUEST("GET /healthz"), "200 OK");
        expect_status(client, REQUEST("GET /nowhere"), "404 Not Found");
        expect_status(client, "GET /healthz HTTP/9.1\r\nHost: a\r\n\r\n", "505 ");
        client_expect_closed(client);
        (void)close(client);
    }
    client_wait_for_series(reader, REQUESTS("/healthz", "200"), 60, 60);
    client_wait_for_series(reader, REQUESTS("other", "404"), 30, 30);
    client_wait_for_series(reader, "http_requests_malformed_total", 30, 30);
    assert_true(client_read_series(reader, "http_request_duration_seconds_count") >= 90);
    assert_true(client_read_series(reader, "http_connections_accepted_total") >= 31);
    assert_true(client_read_series(reader, "process_resident_memory_bytes") > 0);
    assert_true(client_read_series(reader, "process_open_fds") > 3);
    client_send_text(reader, REQUEST("GET /metrics"));
    response = client_receive(reader, false);
    assert_non_null(
        strstr(response, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    free(response);
    (void)close(reader);
    process_stop(process);
}

/* Sends logged requests, all of which are answered, until `count` lines have been dropped for
 * `reason`. Then checks that the next line written has the number of them in `field`. */
static void drop_lines(const char *setting, const char *reason, double count, const char *field)
{
    const char *const arguments[] = {"--port=0", "--access-log=all", setting, NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int client = client_connect(port);
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    char series[64];

    (void)snprintf(series, sizeof series, "log_lines_dropped_total{reason=\"%s\"}", reason);
    while (client_read_series(client, series) < count) {
        assert_true(monotonic_milliseconds() < deadline);
        for (int i = 0; i < 100; i++)
            expect_status(client, REQUEST("GET /nowhere"), "404 Not Found");
    }
    (void)close(client);
    (void)process_wait_for(process, "\"msg\":\"request\""); /* reads the log from here on */
    process_signal(process, SIGTERM);
    (void)process_wait_for(process, field);
    assert_int_equal(process_wait(process), 0);
    process_end(process);
}

static void drops_lines_if_nobody_reads_the_log(void **state)
{
    (void)state;
    drop_lines("--access-log-rate=0", "slow_reader", 1, "\"dropped\":");
}

static void drops_lines_above_the_rate_limit(void **state)
{
    (void)state;
    drop_lines("--access-log-rate=5", "rate_limit", 100, "\"limited\":");
}

/* Replaces the digits after each occurrence of `name` by N. */
static void replace_numbers(char *log, const char *name)
{
    for (char *at = log; (at = strstr(at, name)) != NULL;) {
        size_t digits = 0;

        at += strlen(name);
        digits = strspn(at, "0123456789");
        assert_true(digits > 0);
        *at = 'N';
        memmove(at + 1, at + digits, strlen(at + digits) + 1);
    }
}

static void access_log_escapes_requests(void **state)
{
    static const char *const arguments[] = {"--port=0", NULL};
    static const struct {
        const char *request;
        const char *method;
        const char *path;
        int status;
        size_t bytes;
    } rows[] = {
        {REQUEST("GET /a\"b\\c"), "GET", "/a\\\"b\\\\c", 400, sizeof DOCUMENT_BAD_TARGET - 1},
        {REQUEST("GET /\x1b[31m\xff"), "GET", "/\\u001b[31m\\u00ff", 400,
         sizeof DOCUMENT_BAD_TARGET - 1},
        {REQUEST("ABCDEFGHIJKLMNOPQRSTUVWXYZ /n"), "ABCDEFGHIJKLMNO", "/n", 501,
         sizeof DOCUMENT_NOT_IMPLEMENTED - 1},
        {"GET /malformed HTTP/1.1\r\nHost : a\r\n\r\n", "-", "/malformed", 400, 0},
        {"POST /posted HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", "POST", "/posted", 413,
         sizeof DOCUMENT_BODY - 1},
    };
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const int client = client_connect(port);

        expect_status(client, rows[i].request, "");
        (void)close(client);
    }
    process_signal(process, SIGTERM);
    assert_int_equal(process_wait(process), 0);
    inspect_replace_times(process->stderr_text);
    replace_numbers(process->stderr_text, "\"duration_us\":");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char line[512];

        (void)snprintf(line, sizeof line,
                       "{\"time\":\"TIME\",\"level\":\"warn\",\"msg\":\"request\",\"remote\":"
                       "\"127.0.0.1\",\"method\":\"%s\",\"path\":\"%s\",\"status\":%d,"
                       "\"bytes\":%zu,\"duration_us\":N}\n",
                       rows[i].method, rows[i].path, rows[i].status, rows[i].bytes);
        if (strstr(process->stderr_text, line) == NULL)
            fail_msg("the log lacks %sit has %s", line, process->stderr_text);
    }
    process_end(process);
}

/* Successful probes are never logged. */
static void access_log_has_the_requests_of_its_setting(void **state)
{
    static const struct {
        const char *setting;
        size_t lines;
    } rows[] = {{"--access-log=off", 0}, {"--access-log=errors", 1}, {"--access-log=all", 2}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *const arguments[] = {"--port=0", rows[i].setting, NULL};
        uint16_t port = 0;
        struct process *process = process_serve(arguments, &port);
        const int client = client_connect(port);
        size_t lines = 0;

        expect_status(client, REQUEST("GET /version"), "200 OK");
        expect_status(client, REQUEST("GET /healthz"), "200 OK");
        expect_status(client, REQUEST("GET /readyz"), "200 OK");
        expect_status(client, REQUEST("GET /nowhere"), "404 Not Found");
        (void)close(client);
        process_signal(process, SIGTERM);
        assert_int_equal(process_wait(process), 0);
        for (const char *at = process->stderr_text; (at = strstr(at, "\"msg\":\"request\"")); at++)
            lines++;
        assert_int_equal(lines, rows[i].lines);
        assert_true((strstr(process->stderr_text, "/nowhere") != NULL) == (lines > 0));
        process_end(process);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_count_responses_and_refusals),
        cmocka_unit_test(drops_lines_if_nobody_reads_the_log),
        cmocka_unit_test(drops_lines_above_the_rate_limit),
        cmocka_unit_test(access_log_escapes_requests),
        cmocka_unit_test(access_log_has_the_requests_of_its_setting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
