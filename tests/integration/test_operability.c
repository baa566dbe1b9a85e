/* What operators see: metrics and the access log. */
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "documents.h"
#include "inspect.h"
#include "log.h"
#include "process.h"
#include "text.h"

#define REQUEST(line) line " HTTP/1.1\r\nHost: a\r\n\r\n"
#define REQUESTS(path, code)                                                                       \
    "http_requests_total{path=\"" path "\",method=\"GET\",code=\"" code "\"}"

/* Size of a header that leaves libmicrohttpd no memory for the head of the response. */
enum { NEARLY_TOO_LARGE = 7900 };

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

/* Replaces the digits after each occurrence of `name` by N. Returns the sum of the numbers. */
static double replace_numbers(char *log, const char *name)
{
    double sum = 0;

    for (char *at = log; (at = strstr(at, name)) != NULL;) {
        char *end = NULL;

        at += strlen(name);
        sum += (double)strtoul(at, &end, 10);
        assert_true(end > at);
        *at = 'N';
        memmove(at + 1, end, strlen(end) + 1);
    }
    return sum;
}

/* The requests of the rows follow each other on one connection, until a response closes it: nothing
 * of one is logged with the next. */
static void access_log_describes_each_request(void **state)
{
    static const char *const arguments[] = {"--port=0", "--threads=1", NULL};
    char long_agent[1024];
    char longer_agent[1024];
    char cut_agent[1024];
    char cut_longer_agent[1024];
    char large[16 * 1024];
    const struct {
        const char *request;
        const char *method;
        const char *path;
        int status;
        size_t bytes;
        const char *headers;
    } rows[] = {
        {"BREW /a HTTP/1.1\r\nHost: a\r\nuser-AGENT: x\"\r\n\r\n", "BREW", "/a", 501,
         sizeof DOCUMENT_NOT_IMPLEMENTED - 1, ",\"user_agent\":\"x\\\"\""},
        {"HEAD /b HTTP/1.1\r\nHost: a\r\nX-User-Agent: x\r\nUser: x\r\n\r\n", "HEAD", "/b", 404, 0,
         ""},
        {"BREW /c HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: b\r\nUser-Agent: c\r\n"
         "X-Forwarded-For: d\r\n\r\n",
         "BREW", "/c", 501, sizeof DOCUMENT_NOT_IMPLEMENTED - 1,
         ",\"forwarded_for\":\"b, d\",\"user_agent\":\"c\""},
        {long_agent, "BREW", "/d", 501, sizeof DOCUMENT_NOT_IMPLEMENTED - 1, cut_agent},
        {longer_agent, "BREW", "/e", 501, sizeof DOCUMENT_NOT_IMPLEMENTED - 1, cut_longer_agent},
        {REQUEST("ABCDEFGHIJKLMNOPQRSTUVWXYZ /n"), "ABCDEFGHIJKLMNO", "/n", 501,
         sizeof DOCUMENT_NOT_IMPLEMENTED - 1, ""},
        {"GET /malformed HTTP/1.1\r\nHost : a\r\n\r\n", "-", "/malformed", 400, 0, ""},
        {REQUEST("GET /a\"b\\c"), "GET", "/a\\\"b\\\\c", 400, sizeof DOCUMENT_BAD_TARGET - 1, ""},
        {REQUEST("GET /\x1b[31m\xff"), "GET", "/\\u001b[31m\\u00ff", 400,
         sizeof DOCUMENT_BAD_TARGET - 1, ""},
        {"POST /posted HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", "POST", "/posted", 413,
         sizeof DOCUMENT_BODY - 1, ""},
        {large, "GET", "/large", 431, sizeof DOCUMENT_REFUSED - 1, ""},
    };
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    int client = client_connect(port);
    char expected[16 * 1024] = "";
    const size_t count = COUNT_OF(rows);
    double duration = 0;

    (void)state;
    (void)snprintf(long_agent, sizeof long_agent,
                   "BREW /d HTTP/1.1\r\nHost: a\r\nUser-Agent: %0*d\r\nUser-Agent: bc\r\n\r\n",
                   LOG_TEXT_MAX - 4, 0);
    (void)snprintf(cut_agent, sizeof cut_agent, ",\"user_agent\":\"%0*d, b\"", LOG_TEXT_MAX - 4, 0);
    (void)snprintf(longer_agent, sizeof longer_agent,
                   "BREW /e HTTP/1.1\r\nHost: a\r\nUser-Agent: %0*d\r\nUser-Agent: b\r\n\r\n",
                   LOG_TEXT_MAX, 0);
    (void)snprintf(cut_longer_agent, sizeof cut_longer_agent, ",\"user_agent\":\"%0*d\"",
                   LOG_TEXT_MAX - 1, 0);
    (void)snprintf(large, sizeof large, "GET /large HTTP/1.1\r\nHost: a\r\nX: %0*d\r\n\r\n",
                   NEARLY_TOO_LARGE, 0);
    for (size_t i = 0; i < count; i++) {
        const size_t used = strlen(expected);
        char *response = NULL;

        client_send_text(client, rows[i].request);
        response = client_receive(client, rows[i].method[0] == 'H');
        if (strstr(response, "\r\nConnection: close\r\n") != NULL) {
            (void)close(client);
            client = client_connect(port);
        }
        free(response);
        (void)snprintf(expected + used, sizeof expected - used,
                       "{\"time\":\"TIME\",\"level\":\"warn\",\"msg\":\"request\",\"remote\":"
                       "\"127.0.0.1\",\"method\":\"%s\",\"path\":\"%s\",\"status\":%d,"
                       "\"bytes\":%zu,\"duration_us\":N%s}\n",
                       rows[i].method, rows[i].path, rows[i].status, rows[i].bytes,
                       rows[i].headers);
    }
    duration = client_read_series(client, "http_request_duration_seconds_sum") * 1e6;
    (void)close(client);
    process_signal(process, SIGTERM);
    assert_int_equal(process_wait(process), 0);
    inspect_replace_times(process->stderr_text);
    /* The log has whole microseconds. */
    duration -= replace_numbers(process->stderr_text, "\"duration_us\":");
    assert_true(duration >= -1 && duration <= (double)count + 1);
    *strstr(process->stderr_text, "{\"time\":\"TIME\",\"level\":\"info\",\"msg\":\"draining\"") =
        '\0';
    assert_text_equal(strchr(process->stderr_text, '\n') + 1, expected);
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
        cmocka_unit_test(access_log_describes_each_request),
        cmocka_unit_test(access_log_has_the_requests_of_its_setting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
