/* Graceful shutdown: no request that has arrived is lost. */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "documents.h"
#include "process.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct client_answer ALIVE = {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, false, false};
static const struct client_answer ALIVE_CLOSE = {"200 OK",    TYPE_JSON, NULL,
                                                 DOCUMENT_OK, true,      false};
static const struct client_answer DRAINING_CLOSE = {"503 Service Unavailable", TYPE_JSON, NULL,
                                                    DOCUMENT_DRAINING,         true,      false};

/* A timeout long enough to fail any test in which the shutdown waits for it. */
static const char *const PATIENT[] = {"--port=0", "--shutdown-timeout=10m", NULL};

static void drain(struct process *process)
{
    process_signal(process, SIGTERM);
    (void)process_wait_for(process, "\"msg\":\"draining\"");
}

static void expect_exit(struct process *process, int code)
{
    assert_int_equal(process_wait(process), code);
    process_end(process);
}

static void serves_requests_during_the_drain_delay(void **state)
{
    static const char *const arguments[] = {"--port=0", "--drain-delay=10m", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int before = client_connect(port);
    int after = -1;

    (void)state;
    client_expect_answer(before, GET("/healthz"), &ALIVE);
    drain(process);
    client_expect_answer(before, GET("/healthz"), &ALIVE_CLOSE);
    after = client_connect(port);
    client_expect_answer(after, GET("/readyz"), &DRAINING_CLOSE);
    (void)close(before);
    (void)close(after);
    process_signal(process, SIGTERM);
    (void)process_wait_for(process, "\"msg\":\"second signal, exiting immediately\"");
    expect_exit(process, 1);
}

static void answers_pipelined_requests_before_closing(void **state)
{
    static const char *const arguments[] = {"--port=0", "--drain-delay=10m", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int client = client_connect(port);
    char *open_response = client_print_answer(&ALIVE);
    char *last_response = client_print_answer(&ALIVE_CLOSE);
    char *responses[3];

    (void)state;
    drain(process);
    client_send_text(client, GET("/healthz") GET("/healthz") GET("/healthz"));
    for (size_t i = 0; i < COUNT_OF(responses); i++)
        responses[i] = client_receive(client, false);
    client_expect_closed(client);
    assert_string_equal(responses[0], open_response);
    assert_string_equal(responses[1], open_response);
    assert_string_equal(responses[2], last_response);
    for (size_t i = 0; i < COUNT_OF(responses); i++)
        free(responses[i]);
    free(open_response);
    free(last_response);
    (void)close(client);
    process_signal(process, SIGTERM);
    expect_exit(process, 1);
}

/* Waits until the kernel refuses connections, because the server has stopped accepting. A
 * connection that the kernel is completing at that moment is reset. */
static void wait_until_refused(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    bool is_refused = false;

    while (!is_refused) {
        const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(client >= 0);
        assert_true(monotonic_milliseconds() < deadline);
        if (connect(client, (const struct sockaddr *)&address, sizeof address) != 0) {
            is_refused = errno == ECONNREFUSED;
            assert_true(is_refused || errno == ECONNRESET);
        }
        (void)close(client);
    }
}

/* Sends the first `length` bytes of a request, and the rest once the server has stopped accepting.
 */
static void expect_finished(size_t length)
{
    static const char request[] = GET("/healthz");
    uint16_t port = 0;
    struct process *process = process_serve(PATIENT, &port);
    const int client = client_connect(port);

    print_message("%zu bytes before the shutdown\n", length);
    client_expect_answer(client, GET("/healthz"), &ALIVE);
    client_send(client, request, length);
    drain(process);
    wait_until_refused(port);
    assert_true(client_is_quiet(client));
    client_expect_answer(client, request + length, &ALIVE_CLOSE);
    (void)close(client);
    expect_exit(process, 0);
}

static void finishes_requests_in_flight(void **state)
{
    (void)state;
    expect_finished(strlen("GET"));                                  /* after the method */
    expect_finished(strlen("GET /hea"));                             /* within the target */
    expect_finished(strlen("GET /healthz HTTP/1.1\r\nHost: a"));     /* within the headers */
    expect_finished(strlen("GET /healthz HTTP/1.1\r\nHost: a\r\n")); /* before the empty line */
}

static void closes_idle_connections(void **state)
{
    uint16_t port = 0;
    struct process *process = process_serve(PATIENT, &port);
    const int used = client_connect(port);
    const int silent = client_connect(port);

    (void)state;
    client_expect_answer(used, GET("/healthz"), &ALIVE);
    drain(process);
    client_expect_closed(used);
    client_expect_closed(silent);
    (void)close(used);
    (void)close(silent);
    expect_exit(process, 0);
}

/* Some clients send an empty line before or after a request. */
static void closes_connections_idle_after_an_empty_line(void **state)
{
    uint16_t port = 0;
    struct process *process = process_serve(PATIENT, &port);
    const int before = client_connect(port);
    const int after = client_connect(port);

    (void)state;
    client_expect_answer(before, "\r\n" GET("/healthz"), &ALIVE);
    client_expect_answer(after, GET("/healthz") "\r\n", &ALIVE);
    drain(process);
    client_expect_closed(before);
    client_expect_closed(after);
    (void)close(before);
    (void)close(after);
    expect_exit(process, 0);
}

static void closes_after_a_request_with_an_empty_line(void **state)
{
    static const char *const arguments[] = {"--port=0", "--drain-delay=10m", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int client = client_connect(port);

    (void)state;
    drain(process);
    client_expect_answer(client, "\r\n" GET("/healthz"), &ALIVE_CLOSE);
    (void)close(client);
    process_signal(process, SIGTERM);
    expect_exit(process, 1);
}

/* Checks that requests are answered that arrive while the process is stopped, on connections that
 * it has and in the backlog, and that it sees together with SIGTERM. */
static void expect_backlog_answered(const char *const *arguments, size_t size)
{
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int accepted = client_connect(port);
    const int idle = client_connect(port);
    int waiting[20];

    client_expect_answer(accepted, GET("/healthz"), &ALIVE);
    client_expect_answer(idle, GET("/healthz"), &ALIVE);
    process_signal(process, SIGSTOP);
    client_send_text(accepted, GET("/healthz"));
    for (size_t i = 0; i < size; i++) {
        waiting[i] = client_connect(port);
        client_send_text(waiting[i], GET("/healthz"));
    }
    process_signal(process, SIGTERM);
    process_signal(process, SIGCONT);
    for (size_t i = 0; i < size; i++) {
        char *response = client_receive(waiting[i], false);

        assert_memory_equal(response, "HTTP/1.1 200 OK\r\n", 17);
        free(response);
        client_expect_closed(waiting[i]);
        (void)close(waiting[i]);
    }
    free(client_receive(accepted, false));
    client_expect_closed(accepted);
    client_expect_closed(idle);
    (void)close(accepted);
    (void)close(idle);
    expect_exit(process, 0);
}

static void answers_requests_that_arrived_before_the_signal(void **state)
{
    static const char *const limited[] = {"--port=0", "--threads=2", "--max-connections=2",
                                          "--shutdown-timeout=10m", NULL};

    (void)state;
    expect_backlog_answered(PATIENT, 20);
    expect_backlog_answered(limited, 20); /* more than the limit permits at once */
}

/* "stopped" is logged only after the last connection was closed. */
static void closes_requests_in_flight_at_the_timeout(void **state)
{
    enum { CLIENTS = 200 };
    static const char *const arguments[] = {"--port=0", "--shutdown-timeout=1ms", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    int clients[CLIENTS];

    (void)state;
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = client_connect(port);
        client_expect_answer(clients[i], GET("/healthz"), &ALIVE);
        client_send_text(clients[i], "GET /");
    }
    process_signal(process, SIGTERM);
    (void)process_wait_for(process, "\"msg\":\"stopped\"");
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_false(client_is_quiet(clients[i]));
        client_expect_closed(clients[i]);
        (void)close(clients[i]);
    }
    assert_non_null(
        strstr(process->stderr_text,
               "\"msg\":\"shutdown timeout, closing connections\",\"connections\":200}\n"));
    expect_exit(process, 0);
}

static void second_signal_closes_requests_in_flight(void **state)
{
    uint16_t port = 0;
    struct process *process = process_serve(PATIENT, &port);
    const int client = client_connect(port);

    (void)state;
    client_expect_answer(client, GET("/healthz"), &ALIVE);
    client_send_text(client, "GET /");
    drain(process);
    wait_until_refused(port);
    process_signal(process, SIGINT);
    client_expect_closed(client);
    (void)close(client);
    expect_exit(process, 1);
}

/* A client that repeats a request until a response has Connection: close. */
struct loader {
    pthread_t thread;
    uint16_t port;
    atomic_uint responses;
    atomic_bool has_close;
};

static void *load(void *cls)
{
    struct loader *loader = cls;
    const int client = client_connect(loader->port);

    while (!atomic_load(&loader->has_close)) {
        char *response = NULL;

        client_send_text(client, GET("/version"));
        response = client_receive(client, false); /* fails the test if there is none */
        assert_memory_equal(response, "HTTP/1.1 200 OK\r\n", 17);
        atomic_store(&loader->has_close, strstr(response, "\r\nConnection: close\r\n") != NULL);
        atomic_fetch_add(&loader->responses, 1);
        free(response);
    }
    client_expect_closed(client);
    (void)close(client);
    return NULL;
}

static void shutdown_under_load_loses_no_request(void **state)
{
    enum { LOADERS = 32, WARM = 100 };
    uint16_t port = 0;
    struct process *process = process_serve(PATIENT, &port);
    struct loader *loaders = calloc(LOADERS, sizeof *loaders);

    (void)state;
    assert_non_null(loaders);
    for (size_t i = 0; i < LOADERS; i++) {
        loaders[i].port = port;
        assert_int_equal(pthread_create(&loaders[i].thread, NULL, load, &loaders[i]), 0);
    }
    for (size_t i = 0; i < LOADERS; i++) {
        while (atomic_load(&loaders[i].responses) < WARM)
            (void)sched_yield();
    }
    process_signal(process, SIGTERM);
    for (size_t i = 0; i < LOADERS; i++) {
        assert_int_equal(pthread_join(loaders[i].thread, NULL), 0);
        assert_true(atomic_load(&loaders[i].has_close));
    }
    free(loaders);
    expect_exit(process, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_requests_during_the_drain_delay),
        cmocka_unit_test(answers_pipelined_requests_before_closing),
        cmocka_unit_test(finishes_requests_in_flight),
        cmocka_unit_test(closes_idle_connections),
        cmocka_unit_test(closes_connections_idle_after_an_empty_line),
        cmocka_unit_test(closes_after_a_request_with_an_empty_line),
        cmocka_unit_test(answers_requests_that_arrived_before_the_signal),
        cmocka_unit_test(closes_requests_in_flight_at_the_timeout),
        cmocka_unit_test(second_signal_closes_requests_in_flight),
        cmocka_unit_test(shutdown_under_load_loses_no_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
