/* What happens on a connection: keep-alive, pipelining, split packets, limits, and the access log.
 */
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "documents.h"
#include "process.h"

#define GET_HEALTHZ "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct client_answer ALIVE = {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, false, false};
static const struct client_answer ALIVE_CLOSE = {"200 OK",    TYPE_JSON, NULL,
                                                 DOCUMENT_OK, true,      false};

/* Reads one answer and compares it. */
static void expect_next(int client, const struct client_answer *answer)
{
    char *expected = client_print_answer(answer);
    char *actual = client_receive(client, answer->is_head);

    assert_string_equal(actual, expected);
    free(expected);
    free(actual);
}

static void connection_serves_many_requests(void **state)
{
    static const char *const arguments[] = {"--port=0", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int client = client_connect(port);

    (void)state;
    for (int i = 0; i < 1000; i++)
        client_expect_answer(client, GET_HEALTHZ, &ALIVE);
    (void)close(client);
    process_stop(process);
}

static void connection_survives_errors_of_well_formed_requests(void **state)
{
    static const char *const arguments[] = {"--port=0", "--access-log=off", NULL};
    const struct client_answer not_found = {"404 Not Found",    TYPE_PROBLEM, NULL,
                                            DOCUMENT_NOT_FOUND, false,        false};
    const struct client_answer head = {"404 Not Found",    TYPE_PROBLEM, NULL,
                                       DOCUMENT_NOT_FOUND, false,        true};
    const struct client_answer not_allowed = {"405 Method Not Allowed", TYPE_PROBLEM, ALLOW_READ,
                                              DOCUMENT_NOT_ALLOWED,     false,        false};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int client = client_connect(port);

    (void)state;
    client_expect_answer(client, "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", &not_found);
    client_expect_answer(client, "HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", &head);
    client_expect_answer(client, "POST /readyz HTTP/1.1\r\nHost: a\r\n\r\n", &not_allowed);
    client_expect_answer(client, GET_HEALTHZ, &ALIVE);
    (void)close(client);
    process_stop(process);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    static const char *const arguments[] = {"--port=0", NULL};
    const struct client_answer head = {"200 OK", TYPE_JSON, NULL, DOCUMENT_READY, false, true};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int client = client_connect(port);

    (void)state;
    client_send_text(client, GET_HEALTHZ "HEAD /readyz HTTP/1.1\r\nHost: a\r\n\r\n" GET_HEALTHZ
                                         "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: "
                                         "close\r\n\r\n");
    expect_next(client, &ALIVE);
    expect_next(client, &head);
    expect_next(client, &ALIVE);
    expect_next(client, &ALIVE_CLOSE);
    client_expect_closed(client);
    (void)close(client);
    process_stop(process);
}

static void request_may_come_a_byte_at_a_time(void **state)
{
    static const char *const arguments[] = {"--port=0", NULL};
    static const char request[] = "\r\n" GET_HEALTHZ;
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int client = client_connect(port);

    (void)state;
    for (size_t i = 0; i < sizeof request - 1; i++) {
        assert_true(client_is_quiet(client));
        client_send(client, request + i, 1);
    }
    expect_next(client, &ALIVE);
    (void)close(client);
    process_stop(process);
}

static void close_is_kept_when_the_client_asks_for_it(void **state)
{
    static const char *const arguments[] = {"--port=0", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    int client = client_connect(port);

    (void)state;
    client_expect_answer(client, "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                         &ALIVE_CLOSE);
    (void)close(client);
    client = client_connect(port);
    client_expect_answer(client, "GET /healthz HTTP/1.0\r\n\r\n", &ALIVE_CLOSE);
    (void)close(client);
    client = client_connect(port);
    client_expect(client, "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                  "HTTP/1.1 200 OK\r\nDate: DATE\r\nConnection: Keep-Alive\r\n"
                  "Content-Type: application/json\r\nCache-Control: no-store\r\n"
                  "X-Content-Type-Options: nosniff\r\nContent-Length: 16\r\n\r\n" DOCUMENT_OK);
    client_expect_answer(client, GET_HEALTHZ, &ALIVE);
    (void)close(client);
    process_stop(process);
}

/* Makes a request whose head has `size` bytes, by way of a long target or a long field. */
static char *print_request(size_t size, const char *before, const char *after)
{
    char *request = malloc(size + 1);

    assert_non_null(request);
    memset(request, 'a', size);
    memcpy(request, before, strlen(before));
    memcpy(request + size - strlen(after), after, strlen(after) + 1);
    return request;
}

/* One such request crashed libmicrohttpd 1.0.0 to 1.0.5: the last argument of the query has no "=",
 * no field follows, and little of the connection's memory is left. */
static void long_query_without_value_or_fields_is_survived(void **state)
{
    static const char *const arguments[] = {"--port=0", "--access-log=off", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);

    (void)state;
    for (size_t size = 500; size < 9000; size += 100) {
        const int client = client_connect(port);
        char *request = print_request(size, "GET /version?", " HTTP/1.1\r\n\r\n");
        char *answer = NULL;

        client_send_text(client, request);
        answer = client_receive(client, false);
        assert_true(strncmp(answer, "HTTP/1.1 4", 10) == 0);
        client_expect_closed(client);
        free(answer);
        free(request);
        (void)close(client);
    }
    process_stop(process);
}

/* Replaces the number of microseconds that a request took. */
static void replace_duration(char *line)
{
    static const char name[] = "\"duration_us\":";
    char *at = strstr(line, name);
    size_t digits = 0;

    assert_non_null(at);
    at += strlen(name);
    digits = strspn(at, "0123456789");
    assert_true(digits > 0);
    *at = 'N';
    memmove(at + 1, at + digits, strlen(at + digits) + 1);
}

/* Finds the line of a request in the log that has `text`, and replaces its times. The caller frees
 * it. */
static char *find_line(struct process *process, const char *text)
{
    const char *at = process_wait_for(process, text);
    const char *line = at;
    const char *end = strchr(at, '\n');
    char *copy = NULL;

    assert_non_null(end);
    while (line > process->stderr_text && line[-1] != '\n')
        line--;
    copy = strndup(line, (size_t)(end - line));
    assert_non_null(copy);
    assert_true(strlen(copy) > strlen("{\"time\":\"0000-00-00T00:00:00.000Z\","));
    memcpy(copy, "{\"time\":\"0000-00-00T00:00:00.000Z\",", 35);
    replace_duration(copy);
    return copy;
}

static void expect_line(struct process *process, const char *text, const char *expected)
{
    char *line = find_line(process, text);

    assert_string_equal(line, expected);
    free(line);
}

#define LOGGED(level, method, path, status, bytes)                                                 \
    "{\"time\":\"0000-00-00T00:00:00.000Z\",\"level\":\"" level                                    \
    "\",\"msg\":\"request\",\"remote\":\"127.0.0.1\",\"method\":\"" method "\",\"path\":\"" path   \
    "\",\"status\":" status ",\"bytes\":" bytes ",\"duration_us\":N}"

static void access_log_escapes_what_the_client_sent(void **state)
{
    static const char *const arguments[] = {"--port=0", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const char *const requests[] = {
        "GET /a\"b\\c HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\x1b[31m\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ /n HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /malformed HTTP/1.1\r\nHost : a\r\n\r\n",
        "POST /posted HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        const int client = client_connect(port);

        client_send_text(client, requests[i]);
        free(client_receive(client, false));
        (void)close(client);
    }
    expect_line(process, "/a", LOGGED("warn", "GET", "/a\\\"b\\\\c", "400", "154"));
    expect_line(process, "[31m", LOGGED("warn", "GET", "/\\u001b[31m\\u00ff", "400", "154"));
    expect_line(process, "/n", LOGGED("warn", "ABCDEFGHIJKLMNO", "/n", "501", "131"));
    expect_line(process, "/malformed", LOGGED("warn", "-", "/malformed", "400", "0"));
    expect_line(process, "/posted", LOGGED("warn", "POST", "/posted", "413", "117"));
    process_stop(process);
}

/* Sends requests that each setting treats differently, and stops. Returns how many lines were
 * logged of requests; they end with `last`. */
static size_t count_logged(const char *setting, const char *last)
{
    const char *const arguments[] = {"--port=0", setting, NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int client = client_connect(port);
    size_t count = 0;

    client_send_text(client, "GET /version HTTP/1.1\r\nHost: a\r\n\r\n" GET_HEALTHZ
                             "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
                             "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    for (int i = 0; i < 4; i++)
        free(client_receive(client, false));
    client_expect_closed(client);
    (void)close(client);
    process_signal(process, SIGTERM);
    assert_int_equal(process_wait(process), 0);
    for (const char *at = process->stderr_text; (at = strstr(at, "\"msg\":\"request\"")); at++)
        count++;
    assert_true((strstr(process->stderr_text, last) != NULL) == (count > 0));
    process_end(process);
    return count;
}

static void access_log_has_what_the_setting_says(void **state)
{
    (void)state;
    assert_int_equal(count_logged("--access-log=off", "/nowhere"), 0);
    assert_int_equal(count_logged("--access-log=errors", "/nowhere"), 1);
    assert_int_equal(count_logged("--access-log=all", "/nowhere"), 2); /* not the probes */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connection_serves_many_requests),
        cmocka_unit_test(connection_survives_errors_of_well_formed_requests),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(request_may_come_a_byte_at_a_time),
        cmocka_unit_test(close_is_kept_when_the_client_asks_for_it),
        cmocka_unit_test(long_query_without_value_or_fields_is_survived),
        cmocka_unit_test(access_log_escapes_what_the_client_sent),
        cmocka_unit_test(access_log_has_what_the_setting_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
