/* What a stop does to requests and connections: nothing that was sent is lost. */
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

/* A time-out that would fail the test if a stop waited for it. */
static const char *const PATIENT[] = {"--port=0", "--shutdown-timeout=10m", NULL};

static void drain(struct process *process)
{
    process_signal(process, SIGTERM);
    (void)process_wait_for(process, "\"msg\":\"draining\"");
}

static void end(struct process *process, int code)
{
    assert_int_equal(process_wait(process), code);
    process_end(process);
}

static void while_the_delay_lasts_requests_are_served_and_connections_closed(void **state)
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
    end(process, 1);
}

static void pipelined_requests_that_have_arrived_are_answered_before_the_close(void **state)
{
    static const char *const arguments[] = {"--port=0", "--drain-delay=10m", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int client = client_connect(port);
    char *open_answer = client_print_answer(&ALIVE);
    char *last_answer = client_print_answer(&ALIVE_CLOSE);
    char *answers[3];

    (void)state;
    drain(process);
    client_send_text(client, GET("/healthz") GET("/healthz") GET("/healthz"));
    for (size_t i = 0; i < COUNT_OF(answers); i++)
        answers[i] = client_receive(client, false);
    client_expect_closed(client);
    assert_string_equal(answers[0], open_answer);
    assert_string_equal(answers[1], open_answer);
    assert_string_equal(answers[2], last_answer);
    for (size_t i = 0; i < COUNT_OF(answers); i++)
        free(answers[i]);
    free(open_answer);
    free(last_answer);
    (void)close(client);
    process_signal(process, SIGTERM);
    end(process, 1);
}

/* Waits until the kernel refuses connections: the server has stopped accepting. One that it
 * completes before is ended without an answer, as nothing was sent on it; one that it was
 * completing at that moment is reset. */
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

/* Begins a request with its first `length` bytes, asks for the stop, and ends the request when the
 * server accepts no more connections. */
static void expect_finished(size_t length)
{
    static const char request[] = GET("/healthz");
    uint16_t port = 0;
    struct process *process = process_serve(PATIENT, &port);
    const int client = client_connect(port);

    print_message("%zu bytes before the stop\n", length);
    client_expect_answer(client, GET("/healthz"), &ALIVE);
    client_send(client, request, length);
    drain(process);
    wait_until_refused(port);
    assert_true(client_is_quiet(client));
    client_expect_answer(client, request + length, &ALIVE_CLOSE);
    (void)close(client);
    end(process, 0);
}

static void request_in_flight_is_finished(void **state)
{
    (void)state;
    expect_finished(strlen("GET"));                                  /* after the method */
    expect_finished(strlen("GET /hea"));                             /* within the target */
    expect_finished(strlen("GET /healthz HTTP/1.1\r\nHost: a"));     /* within the fields */
    expect_finished(strlen("GET /healthz HTTP/1.1\r\nHost: a\r\n")); /* before the empty line */
}

static void idle_connections_are_closed(void **state)
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
    end(process, 0);
}

/* Some clients send an empty line before or after a request: it begins none. */
static void connection_with_an_empty_line_is_idle(void **state)
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
    end(process, 0);
}

static void answer_to_a_request_after_an_empty_line_says_close(void **state)
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
    end(process, 1);
}

/* The process stands still while they come, so that it sees all of it at once: more requests than
 * it may have connections, and the stop. */
static void requests_above_the_limit_are_answered_before_the_end(void **state)
{
    static const char *const arguments[] = {"--port=0", "--threads=2", "--max-connections=2",
                                            "--shutdown-timeout=10m", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    int idle[2];
    int waiting[20];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(idle); i++) {
        idle[i] = client_connect(port);
        client_expect_answer(idle[i], GET("/healthz"), &ALIVE);
    }
    process_signal(process, SIGSTOP);
    for (size_t i = 0; i < COUNT_OF(waiting); i++) {
        waiting[i] = client_connect(port);
        client_send_text(waiting[i], GET("/healthz"));
    }
    process_signal(process, SIGTERM);
    process_signal(process, SIGCONT);
    for (size_t i = 0; i < COUNT_OF(waiting); i++) {
        char *answer = client_receive(waiting[i], false);

        assert_true(strncmp(answer, "HTTP/1.1 200 OK\r\n", 17) == 0);
        free(answer);
        client_expect_closed(waiting[i]);
        (void)close(waiting[i]);
    }
    for (size_t i = 0; i < COUNT_OF(idle); i++) {
        client_expect_closed(idle[i]);
        (void)close(idle[i]);
    }
    end(process, 0);
}

static void request_beyond_the_timeout_is_cut(void **state)
{
    static const char *const arguments[] = {"--port=0", "--shutdown-timeout=1ms", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int client = client_connect(port);

    (void)state;
    client_expect_answer(client, GET("/healthz"), &ALIVE);
    client_send_text(client, "GET /");
    drain(process);
    client_expect_closed(client);
    (void)close(client);
    (void)process_wait_for(
        process, "\"msg\":\"shutdown timeout, closing connections\",\"connections\":1}\n");
    end(process, 0);
}

static void second_signal_cuts_requests_in_flight(void **state)
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
    end(process, 1);
}

/* Requests that came while the process stood still, some on connections that no thread has
 * accepted, and then the stop: the kernel shows the process all of it at once. */
static void requests_that_arrived_before_the_stop_are_answered(void **state)
{
    enum { CLIENTS = 20 };
    uint16_t port = 0;
    struct process *process = process_serve(PATIENT, &port);
    int clients[CLIENTS];
    int accepted = client_connect(port);

    (void)state;
    client_expect_answer(accepted, GET("/healthz"), &ALIVE);
    process_signal(process, SIGSTOP);
    client_send_text(accepted, GET("/healthz"));
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = client_connect(port);
        client_send_text(clients[i], GET("/healthz"));
    }
    process_signal(process, SIGTERM);
    process_signal(process, SIGCONT);
    for (size_t i = 0; i < CLIENTS; i++) {
        char *answer = client_receive(clients[i], false);

        assert_true(strncmp(answer, "HTTP/1.1 200 OK\r\n", 17) == 0);
        free(answer);
        client_expect_closed(clients[i]);
        (void)close(clients[i]);
    }
    free(client_receive(accepted, false));
    client_expect_closed(accepted);
    (void)close(accepted);
    end(process, 0);
}

/* A client that asks over and over until it is told that the connection closes. */
struct loader {
    pthread_t thread;
    uint16_t port;
    atomic_uint answers;
    atomic_bool was_told; /* the last answer said "Connection: close" */
};

static void *load(void *cls)
{
    struct loader *loader = cls;
    const int client = client_connect(loader->port);

    while (!atomic_load(&loader->was_told)) {
        char *answer = NULL;

        client_send_text(client, GET("/version"));
        answer = client_receive(client, false); /* fails the test when there is none */
        assert_true(strncmp(answer, "HTTP/1.1 200 OK\r\n", 17) == 0);
        atomic_store(&loader->was_told, strstr(answer, "\r\nConnection: close\r\n") != NULL);
        atomic_fetch_add(&loader->answers, 1);
        free(answer);
    }
    client_expect_closed(client);
    (void)close(client);
    return NULL;
}

static void stop_under_load_loses_no_request(void **state)
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
        while (atomic_load(&loaders[i].answers) < WARM)
            (void)sched_yield();
    }
    process_signal(process, SIGTERM);
    for (size_t i = 0; i < LOADERS; i++) {
        assert_int_equal(pthread_join(loaders[i].thread, NULL), 0);
        assert_true(atomic_load(&loaders[i].was_told));
    }
    free(loaders);
    end(process, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_the_delay_lasts_requests_are_served_and_connections_closed),
        cmocka_unit_test(pipelined_requests_that_have_arrived_are_answered_before_the_close),
        cmocka_unit_test(request_in_flight_is_finished),
        cmocka_unit_test(idle_connections_are_closed),
        cmocka_unit_test(connection_with_an_empty_line_is_idle),
        cmocka_unit_test(answer_to_a_request_after_an_empty_line_says_close),
        cmocka_unit_test(requests_above_the_limit_are_answered_before_the_end),
        cmocka_unit_test(request_beyond_the_timeout_is_cut),
        cmocka_unit_test(second_signal_cuts_requests_in_flight),
        cmocka_unit_test(requests_that_arrived_before_the_stop_are_answered),
        cmocka_unit_test(stop_under_load_loses_no_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
