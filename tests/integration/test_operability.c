/* What operators see and set: metrics, the access log when nobody reads it or everybody writes it,
 * limits by address and by time. */
#include "test.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "documents.h"
#include "inspect.h"
#include "process.h"

#define GET_HEALTHZ "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_NOWHERE "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_METRICS "GET /metrics HTTP/1.1\r\nHost: a\r\n"

static const struct client_answer ALIVE = {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, false, false};
static const struct client_answer NOT_FOUND = {"404 Not Found",    TYPE_PROBLEM, NULL,
                                               DOCUMENT_NOT_FOUND, false,        false};

/* Asks for /metrics on a connection of its own, with further `fields`. The caller frees the answer.
 */
static char *scrape(uint16_t port, const char *fields)
{
    const int client = client_connect(port);
    char request[512];
    char *answer = NULL;

    (void)snprintf(request, sizeof request, GET_METRICS "%s\r\n", fields);
    client_send_text(client, request);
    answer = client_receive(client, false);
    (void)close(client);
    return answer;
}

/* The value of a series, which must be there. */
static double read_series(uint16_t port, const char *series)
{
    char *answer = scrape(port, "");
    const double value = inspect_series(answer, series);

    if (value < 0)
        fail_msg("no %s in %s", series, answer);
    free(answer);
    return value;
}

/* Waits until a series has at least this value. */
static void wait_for_series(uint16_t port, const char *series, double value)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;

    while (read_series(port, series) < value) {
        if (monotonic_milliseconds() > deadline)
            fail_msg("%s stays below %f", series, value);
    }
}

static void metrics_count_what_was_answered(void **state)
{
    static const char *const arguments[] = {"--port=0", "--threads=3", "--access-log=off", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);

    (void)state;
    for (int i = 0; i < 30; i++) { /* on many connections, so that all threads count */
        const int client = client_connect(port);

        client_expect_answer(client, GET_HEALTHZ, &ALIVE);
        client_expect_answer(client, GET_HEALTHZ, &ALIVE);
        client_expect_answer(client, GET_NOWHERE, &NOT_FOUND);
        (void)close(client);
    }
    /* A request is counted when its answer has been sent, which may be after it was read. */
    wait_for_series(port, "http_requests_total{path=\"/healthz\",method=\"GET\",code=\"200\"}", 60);
    wait_for_series(port, "http_requests_total{path=\"other\",method=\"GET\",code=\"404\"}", 30);
    assert_true(read_series(port, "http_request_duration_seconds_count") >= 90);
    assert_true(read_series(port, "http_connections_accepted_total") >= 30);
    assert_true(read_series(port, "process_resident_memory_bytes") > 0);
    assert_true(read_series(port, "process_open_fds") > 3);
    process_stop(process);
}

static void metrics_have_both_formats(void **state)
{
    static const char *const arguments[] = {"--port=0", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    char *text = scrape(port, "");
    char *openmetrics = scrape(port, "Accept: application/openmetrics-text;version=1.0.0;q=0.5,"
                                     "text/plain;version=0.0.4;q=0.3,*/*;q=0.1\r\n");

    (void)state;
    assert_non_null(strstr(text, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_null(strstr(text, "# EOF"));
    assert_non_null(strstr(openmetrics, "\r\nContent-Type: application/openmetrics-text; "
                                        "version=1.0.0; charset=utf-8\r\n"));
    assert_string_equal(openmetrics + strlen(openmetrics) - strlen("\n# EOF\n"), "\n# EOF\n");
    free(text);
    free(openmetrics);
    process_stop(process);
}

static void malformed_request_is_counted(void **state)
{
    static const char *const arguments[] = {"--port=0", "--access-log=off", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int client = client_connect(port);
    char *answer = NULL;

    (void)state;
    assert_true(read_series(port, "http_requests_malformed_total") == 0);
    client_send_text(client, "GET /healthz HTTP/9.1\r\nHost: a\r\n\r\n");
    answer = client_receive(client, false);
    client_expect_closed(client);
    (void)close(client);
    free(answer);
    assert_true(read_series(port, "http_requests_malformed_total") == 1);
    process_stop(process);
}

static void address_has_only_so_many_connections(void **state)
{
    static const char *const arguments[] = {"--port=0", "--max-connections-per-ip=2", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int first = client_connect(port);
    const int second = client_connect(port);
    int third = -1;

    (void)state;
    client_expect_answer(first, GET_HEALTHZ, &ALIVE);
    client_expect_answer(second, GET_HEALTHZ, &ALIVE);
    third = client_connect(port);
    client_expect_closed(third);
    (void)close(third);
    client_expect_answer(first, GET_HEALTHZ, &ALIVE);
    (void)close(second);
    /* There is room again as soon as the server has seen that. */
    for (const int64_t deadline = monotonic_milliseconds() + PATIENCE;;) {
        char byte = 0;

        assert_true(monotonic_milliseconds() < deadline);
        third = client_connect(port);
        client_send_text(third, GET_HEALTHZ);
        if (read(third, &byte, 1) == 1)
            break;
        (void)close(third);
    }
    (void)close(first);
    (void)close(third);
    process_stop(process);
}

/* Sends a byte of a head that never ends ten times a second, until the connection ends. */
static void drip(int client)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    struct pollfd end = {.fd = client, .events = POLLIN};

    client_send_text(client, "GET /healthz HTTP/1.1\r\nHost: a\r\nX: ");
    while (poll(&end, 1, 100) == 0) {
        assert_true(monotonic_milliseconds() < deadline);
        (void)send(client, "x", 1, MSG_NOSIGNAL);
    }
    client_expect_closed(client);
}

static void slow_and_idle_clients_are_closed_at_the_deadline(void **state)
{
    static const char *const arguments[] = {"--port=0", "--request-deadline=2s", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int64_t began = monotonic_milliseconds();
    const int dripping = client_connect(port);
    const int silent = client_connect(port);
    const int idle = client_connect(port);

    (void)state;
    client_expect_answer(idle, GET_HEALTHZ, &ALIVE);
    drip(dripping);
    client_expect_closed(silent);
    client_expect_closed(idle);
    assert_true(monotonic_milliseconds() - began >= 2000);
    wait_for_series(port, "http_connections_overdue_total", 3); /* counted when all are shut down */
    assert_true(read_series(port, "http_connections_overdue_total") == 3);
    (void)close(dripping);
    (void)close(silent);
    (void)close(idle);
    process_stop(process);
}

/* A connection that completes requests is not overdue, however long it lasts. */
static void busy_client_outlives_the_deadline(void **state)
{
    static const char *const arguments[] = {"--port=0", "--request-deadline=2s", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int busy = client_connect(port);
    const int silent = client_connect(port);
    struct pollfd end = {.fd = silent, .events = POLLIN};

    (void)state;
    do {
        client_expect_answer(busy, GET_HEALTHZ, &ALIVE);
    } while (poll(&end, 1, 10) == 0);
    client_expect_closed(silent);
    client_expect_answer(busy, GET_HEALTHZ, &ALIVE);
    (void)close(busy);
    (void)close(silent);
    process_stop(process);
}

/* Asks for what is logged until so many lines are left out for a reason, all of which is answered;
 * then the next line that is written says how many, in `field`. */
static void leave_lines_out(const char *setting, const char *reason, double count,
                            const char *field)
{
    const char *const arguments[] = {"--port=0", "--access-log=all", setting, NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int client = client_connect(port);
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    char series[64];

    (void)snprintf(series, sizeof series, "log_lines_dropped_total{reason=\"%s\"}", reason);
    while (read_series(port, series) < count) {
        assert_true(monotonic_milliseconds() < deadline);
        for (int i = 0; i < 100; i++)
            client_expect_answer(client, GET_NOWHERE, &NOT_FOUND);
    }
    (void)close(client);
    (void)process_wait_for(process, "\"msg\":\"request\""); /* from here on somebody reads */
    process_signal(process, SIGTERM);
    (void)process_wait_for(process, field);
    assert_int_equal(process_wait(process), 0);
    process_end(process);
}

static void nobody_reads_the_log_and_all_is_served(void **state)
{
    (void)state;
    leave_lines_out("--access-log-rate=0", "slow_reader", 1, "\"dropped\":");
}

static void flood_of_requests_is_no_flood_of_lines(void **state)
{
    (void)state;
    leave_lines_out("--access-log-rate=5", "rate_limit", 100, "\"limited\":");
}

static void log_says_for_whom_a_trusted_proxy_asks(void **state)
{
    static const char *const trusting[] = {"--port=0", "--access-log=all",
                                           "--trusted-proxies=10.0.0.0/8,127.0.0.1", NULL};
    static const char *const others[] = {"--port=0", "--access-log=all",
                                         "--trusted-proxies=10.0.0.0/8", NULL};
    static const char request[] =
        "GET /version HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n"
        "User-Agent: \"me\"\r\nX-Forwarded-For: 192.0.2.2\r\n\r\n";
    const char *const *const runs[] = {trusting, others};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(runs); i++) {
        uint16_t port = 0;
        struct process *process = process_serve(runs[i], &port);
        const int client = client_connect(port);

        client_send_text(client, request);
        free(client_receive(client, false));
        (void)process_wait_for(process, "\"user_agent\":\"\\\"me\\\"\"}\n");
        if (i == 0)
            assert_non_null(strstr(process->stderr_text,
                                   "\"forwarded_for\":\"192.0.2.1, 192.0.2.2\",\"user_agent\""));
        else
            assert_null(strstr(process->stderr_text, "forwarded_for"));
        (void)close(client);
        process_stop(process);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_count_what_was_answered),
        cmocka_unit_test(metrics_have_both_formats),
        cmocka_unit_test(malformed_request_is_counted),
        cmocka_unit_test(address_has_only_so_many_connections),
        cmocka_unit_test(slow_and_idle_clients_are_closed_at_the_deadline),
        cmocka_unit_test(busy_client_outlives_the_deadline),
        cmocka_unit_test(nobody_reads_the_log_and_all_is_served),
        cmocka_unit_test(flood_of_requests_is_no_flood_of_lines),
        cmocka_unit_test(log_says_for_whom_a_trusted_proxy_asks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
