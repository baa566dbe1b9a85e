/* Graceful shutdown: no request that has arrived is lost. */
#include "test.h"

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
#include <sys/un.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "documents.h"
#include "inspect.h"
#include "process.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct client_answer ALIVE = {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, false, false};
static const struct client_answer ALIVE_CLOSE = {"200 OK",    TYPE_JSON, NULL,
                                                 DOCUMENT_OK, true,      false};
static const struct client_answer DRAINING_CLOSE = {"503 Service Unavailable", TYPE_JSON, NULL,
                                                    DOCUMENT_DRAINING,         true,      false};

/* A timeout long enough to fail any test in which the shutdown waits for it. */
static const char *const PATIENT[] = {"--port=0", "--shutdown-timeout=10m", NULL};

#define LINE(level, text) "{\"time\":\"TIME\",\"level\":\"" level "\",\"msg\":\"" text "}\n"
#define DRAINING(delay, timeout)                                                                   \
    LINE("info", "draining\",\"signal\":\"SIGTERM\",\"drain_delay_ms\":" #delay                    \
                 ",\"shutdown_timeout_ms\":" #timeout)
#define SECOND LINE("warn", "second signal, exiting immediately\"")
#define TIMED_OUT(count)                                                                           \
    LINE("warn", "shutdown timeout, closing connections\",\"connections\":" #count)
#define STOPPED LINE("info", "stopped\"")

static void drain(struct process *process)
{
    process_signal(process, SIGTERM);
    (void)process_wait_for(process, "\"msg\":\"draining\"");
}

/* Waits for the process to exit with `code`, and checks what it has logged since it was listening.
 */
static void expect_exit(struct process *process, int code, const char *lines)
{
    const int actual = process_wait(process);

    inspect_replace_times(process->stderr_text);
    assert_string_equal(strchr(process->stderr_text, '\n') + 1, lines);
    assert_int_equal(actual, code);
    process_end(process);
}

/* All pipelined requests are answered, and an empty line is no request. */
static void serves_requests_during_the_drain_delay(void **state)
{
    static const char *const arguments[] = {"--port=0", "--drain-delay=10m", "--access-log=off",
                                            NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int before = client_connect(port);
    int after = -1;

    (void)state;
    client_expect_answer(before, GET("/healthz"), &ALIVE);
    drain(process);
    client_expect_answer(before, GET("/healthz") GET("/healthz") GET("/healthz"), &ALIVE);
    client_expect_answer(before, "", &ALIVE);
    client_expect_answer(before, "", &ALIVE_CLOSE);
    after = client_connect(port);
    client_expect_answer(after, "\r\n" GET("/readyz"), &DRAINING_CLOSE);
    (void)close(before);
    (void)close(after);
    process_signal(process, SIGTERM);
    expect_exit(process, 1, DRAINING(600000, 8000) SECOND STOPPED);
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

/* What a client sends before the signal, and once the server refuses connections. */
static void finishes_requests_and_closes_idle_connections(void **state)
{
    static const struct {
        const char *before;
        const char *after; /* completes a request; NULL: nothing */
        int second;        /* signal instead; 0: none */
    } rows[] = {
        {GET("/healthz") "GET", " /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        {GET("/healthz") "GET /hea", "lthz HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        {GET("/healthz") "GET /healthz HTTP/1.1\r\nHost: a", "\r\n\r\n", 0},
        {GET("/healthz") "GET /healthz HTTP/1.1\r\nHost: a\r\n", "\r\n", 0},
        {GET("/healthz") "GET /", NULL, SIGINT},
        {"", NULL, 0},
        {GET("/healthz"), NULL, 0},
        {"\r\n" GET("/healthz"), NULL, 0}, /* some clients send empty lines */
        {GET("/healthz") "\r\n", NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint16_t port = 0;
        struct process *process = process_serve(PATIENT, &port);
        const int client = client_connect(port);

        print_message("%s\n", rows[i].before);
        client_send_text(client, rows[i].before);
        if (strstr(rows[i].before, GET("/healthz")) != NULL)
            client_expect_answer(client, "", &ALIVE);
        drain(process);
        if (rows[i].after != NULL || rows[i].second != 0) {
            wait_until_refused(port);
            assert_true(client_is_quiet(client));
        }
        if (rows[i].second != 0)
            process_signal(process, rows[i].second);
        if (rows[i].after != NULL)
            client_expect_answer(client, rows[i].after, &ALIVE_CLOSE);
        client_expect_closed(client);
        (void)close(client);
        if (rows[i].second == 0)
            expect_exit(process, 0, DRAINING(0, 600000) STOPPED);
        else
            expect_exit(process, 1, DRAINING(0, 600000) SECOND STOPPED);
    }
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
    expect_exit(process, 0, DRAINING(0, 600000) STOPPED);
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
    expect_exit(process, 0, DRAINING(0, 1) TIMED_OUT(200) STOPPED);
}

/* A service manager kills a service that takes longer to stop than it has announced. */
static void notifies_the_service_manager(void **state)
{
    static const char *const arguments[] = {"--port=0", "--drain-delay=20ms",
                                            "--shutdown-timeout=3s", NULL};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof address.sun_family; /* the kernel chooses a name of five characters */
    const int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char variable[32];
    const char *const environment[] = {variable, NULL};
    struct process *process = NULL;
    char text[256] = "";

    (void)state;
    assert_int_equal(bind(manager, (const struct sockaddr *)&address, size), 0);
    size = sizeof address;
    assert_int_equal(getsockname(manager, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(variable, sizeof variable, "NOTIFY_SOCKET=@%.5s", address.sun_path + 1);
    process = process_start(arguments, environment);
    (void)process_wait_for_port(process);
    process_signal(process, SIGTERM);
    expect_exit(process, 0, DRAINING(20, 3000) STOPPED);
    assert_true(recv(manager, text, sizeof text, MSG_DONTWAIT) > 0);
    assert_memory_equal(text, "READY=1\n", strlen("READY=1\n"));
    memset(text, 0, sizeof text);
    assert_true(recv(manager, text, sizeof text - 1, MSG_DONTWAIT) > 0);
    assert_string_equal(text, "STOPPING=1\nSTATUS=Draining\nEXTEND_TIMEOUT_USEC=8020000");
    (void)close(manager);
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
    expect_exit(process, 0, DRAINING(0, 600000) STOPPED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_requests_during_the_drain_delay),
        cmocka_unit_test(finishes_requests_and_closes_idle_connections),
        cmocka_unit_test(answers_requests_that_arrived_before_the_signal),
        cmocka_unit_test(closes_requests_in_flight_at_the_timeout),
        cmocka_unit_test(notifies_the_service_manager),
        cmocka_unit_test(shutdown_under_load_loses_no_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
