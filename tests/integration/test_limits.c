/* Behavior at every limit: connections, descriptors, time. */
#include "test.h"

#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "documents.h"
#include "inspect.h"
#include "process.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define EVICTED "http_connections_evicted_total"
#define FAILURES "http_accept_failures_total"
#define OVERDUE "http_connections_overdue_total"

static const struct client_answer ALIVE = {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, false, false};

/* Opens connections that send part of a request and never the rest. The server may already have
 * evicted one when it sends. */
static void open_slow(uint16_t port, int *clients, size_t count)
{
    static const char part[] = "GET /version HTTP/1.1\r\nHost: a\r\nX: ";

    for (size_t i = 0; i < count; i++) {
        clients[i] = client_connect(port);
        (void)client_offer(clients[i], part, strlen(part), strlen(part));
    }
}

static void close_all(const int *clients, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)close(clients[i]);
}

/* Sends a request on a new connection and returns the response. Retries if the connection ends
 * without one, as HTTP clients do: a connection whose request arrives more than 10 ms late may be
 * evicted. The caller frees the response. */
static char *request_with_retries(uint16_t port, const char *request)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    struct pollfd response = {.events = POLLIN};
    char *text = NULL;
    char byte = 0;

    while (text == NULL) {
        response.fd = client_connect(port);
        (void)client_offer(response.fd, request, strlen(request), strlen(request));
        assert_true(monotonic_milliseconds() < deadline);
        assert_int_equal(poll(&response, 1, PATIENCE), 1);
        if (recv(response.fd, &byte, 1, MSG_PEEK) > 0)
            text = client_receive(response.fd, false);
        (void)close(response.fd);
    }
    return text;
}

static double read_series_with_retries(uint16_t port, const char *series)
{
    char *response = request_with_retries(port, GET("/metrics"));
    const double value = inspect_series(response, series);

    free(response);
    return value;
}

/* Checks that new clients are served while `slow` slow clients occupy every connection and none of
 * them is near its deadline. */
static void check_eviction(const char *threads, const char *limit, size_t slow)
{
    enum { PROBES = 30 };
    const char *const arguments[] = {"--port=0", "--request-deadline=10m", threads, limit, NULL};
    const double most = strtod(strchr(limit, '=') + 1, NULL);
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    int clients[100];
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    size_t closed = 0;

    print_message("%s %s\n", threads, limit);
    open_slow(port, clients, slow);
    for (size_t i = 0; i < PROBES; i++) {
        char *response = request_with_retries(port, GET("/healthz"));

        assert_non_null(strstr(response, DOCUMENT_OK));
        free(response);
    }
    /* More connections than the limit are open only while all of them are busy. */
    while (read_series_with_retries(port, EVICTED) < 1 ||
           read_series_with_retries(port, "http_connections_open") > most)
        assert_true(monotonic_milliseconds() < deadline);
    for (size_t i = 0; i < slow; i++)
        closed += !client_is_quiet(clients[i]);
    assert_true(closed >= 1);
    assert_true(read_series_with_retries(port, OVERDUE) == 0);
    close_all(clients, slow);
    process_stop(process);
}

static void serves_new_clients_at_the_connection_limit(void **state)
{
    (void)state;
    check_eviction("--threads=1", "--max-connections=1", 1);
    check_eviction("--threads=1", "--max-connections=2", 2);
    check_eviction("--threads=2", "--max-connections=2", 2);
    check_eviction("--threads=4", "--max-connections=4", 100);
    check_eviction("--threads=16", "--max-connections=16", 16);
    check_eviction("--threads=7", "--max-connections=20", 80);
    check_eviction("--threads=2", "--max-connections=100", 100);
}

/* More requests arrive at once than connections are allowed. A request is lost only if its thread
 * is preempted between reading and registering it (docs/reliability.md): once or twice on a busy
 * machine.
 */
static void answers_a_burst_above_the_connection_limit(void **state)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    static const char status[] = "HTTP/1.1 200 OK\r\n";
    static const char *const arguments[] = {"--port=0", "--threads=2", "--max-connections=5", NULL};
    int clients[100];
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    size_t lost = 0;

    (void)state;
    if (process_has_runner())
        skip(); /* valgrind preempts threads there for long */
    process_signal(process, SIGSTOP);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        clients[i] = client_connect(port);
        client_send_text(clients[i], request);
    }
    process_signal(process, SIGCONT);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        size_t length = 0;
        char *received = client_receive_rest(clients[i], &length);

        if (received == NULL || length == 0)
            lost++;
        else
            assert_memory_equal(received, status, sizeof status - 1);
        free(received);
        (void)close(clients[i]);
    }
    assert_true(lost <= 5);
    process_stop(process);
}

/* Sets the process's limit of open files. Returns the previous limit. */
static rlim_t limit_files(const struct process *process, rlim_t files)
{
    struct rlimit before = {0};
    struct rlimit limit = {0};

    assert_int_equal(prlimit(process->pid, RLIMIT_NOFILE, NULL, &before), 0);
    limit = before;
    limit.rlim_cur = files;
    assert_int_equal(prlimit(process->pid, RLIMIT_NOFILE, &limit, NULL), 0);
    return before.rlim_cur;
}

/* Each thread may fail to accept once per millisecond. The CPU time is only printed: on a busy
 * machine a spinning thread uses little of it, too. */
static void waits_without_spinning_when_out_of_descriptors(void **state)
{
    static const char *const arguments[] = {"--port=0", "--threads=2", "--request-deadline=10m",
                                            NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int idle = client_connect(port); /* may be evicted: it has sent nothing */
    const int active = client_connect(port);
    int waiting = -1;
    int64_t start = 0;
    double took = 0;
    double failures = 0;
    double cpu = 0;
    rlim_t files = 0;

    (void)state;
    if (process_has_runner())
        skip(); /* the runner uses descriptors, too */
    client_expect_answer(active, GET("/healthz"), &ALIVE);
    client_wait_for_series(active, "http_connections_open", 2, 2);
    cpu = client_read_series(active, "process_cpu_seconds_total");
    start = monotonic_milliseconds();
    files = limit_files(process, 3);
    waiting = client_connect(port);
    client_send_text(waiting, GET("/healthz"));
    client_wait_for_series(active, FAILURES, 50, HUGE_VAL);
    client_expect_closed(idle);
    failures = client_read_series(active, FAILURES);
    took = (double)(monotonic_milliseconds() - start);
    cpu = client_read_series(active, "process_cpu_seconds_total") - cpu;
    print_message("%.0f failures, %.0f ms of CPU in %.0f ms\n", failures, cpu * 1000, took);
    assert_true(failures <= (took + 2) * 2);
    assert_true(client_read_series(active, EVICTED) == 1); /* only one: that did not help */
    assert_true(client_is_quiet(waiting));
    (void)limit_files(process, files);
    client_expect_answer(waiting, "", &ALIVE);
    client_expect_answer(active, GET("/healthz"), &ALIVE);
    (void)close(idle);
    (void)close(active);
    (void)close(waiting);
    process_stop(process);
}

/* The end of the stream may arrive with the last bytes, where libmicrohttpd can miss it. */
static void answers_and_closes_half_closed_connections(void **state)
{
    static const char *const arguments[] = {"--port=0", "--request-deadline=10m", NULL};
    static const char *const requests[] = {GET("/healthz"), "GET /healthz HTTP/1.1\r\nHo", "GE",
                                           ""};
    enum { CLIENTS = 40 };
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    int clients[CLIENTS];

    (void)state;
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = client_connect(port);
        client_send_text(clients[i], requests[i % COUNT_OF(requests)]);
        assert_int_equal(shutdown(clients[i], SHUT_WR), 0);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        if (i % COUNT_OF(requests) == 0)
            client_expect_answer(clients[i], "", &ALIVE);
        client_expect_closed(clients[i]);
    }
    close_all(clients, CLIENTS);
    process_stop(process);
}

/* A way to occupy a connection: what the client sends first, and what it then sends ten times per
 * second. */
struct slow {
    const char *name;
    const char *first;
    const char *repeated; /* NULL: nothing */
};

/* Lets every client send its repeated bytes until the server has closed all of their connections.
 * Meanwhile a busy client keeps completing requests on its own. */
static void drip_until_closed(const int *clients, const struct slow *rows, size_t count, int busy)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    struct pollfd ends[32];
    size_t open = count;

    assert_true(count <= COUNT_OF(ends));
    for (size_t i = 0; i < count; i++)
        ends[i] = (struct pollfd){.fd = clients[i], .events = POLLRDHUP};
    while (open > 0) {
        (void)poll(ends, count, 100);
        for (size_t i = 0; i < count; i++) {
            if (ends[i].fd < 0)
                continue;
            if (ends[i].revents != 0) {
                ends[i].fd = -1;
                open--;
                continue;
            }
            if (monotonic_milliseconds() > deadline)
                fail_msg("a client that %s keeps its connection", rows[i].name);
            if (rows[i].repeated != NULL)
                (void)client_offer(clients[i], rows[i].repeated, strlen(rows[i].repeated), 2);
        }
        client_expect_answer(busy, GET("/healthz"), &ALIVE);
    }
}

static void closes_connections_without_a_completed_request_at_the_deadline(void **state)
{
    static const char *const arguments[] = {"--port=0", "--request-deadline=3s", NULL};
    /* libmicrohttpd may close the first ones before the deadline. */
    enum { MALFORMED = 4 };
    static const struct slow rows[] = {
        {"drips empty lines", "", "\r\n"},
        {"drips line feeds", "\r\n", "\n"},
        {"drips empty lines after a response", GET("/healthz"), "\r\n"},
        {"drips the version", "GET / HTTP/1.", "1"},
        {"sends nothing", "", NULL},
        {"drips the method", "", "G"},
        {"drips the target", "GET /", "a"},
        {"drips a header name", "GET / HTTP/1.1\r\n", "a"},
        {"drips a header value", "GET / HTTP/1.1\r\nHost: a\r\nX: ", "a"},
        {"drips headers", "GET / HTTP/1.1\r\nHost: a\r\n", "X: a\r\n"},
        {"omits the last byte", "GET / HTTP/1.1\r\nHost: a\r\n\r", NULL},
        {"is idle after a response", GET("/healthz"), NULL},
        {"drips the next request", GET("/healthz"), "G"},
    };
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int64_t start = monotonic_milliseconds();
    const int busy = client_connect(port);
    const unsigned count = COUNT_OF(rows);
    int clients[COUNT_OF(rows)];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        clients[i] = client_connect(port);
        client_send_text(clients[i], rows[i].first);
        if (strncmp(rows[i].first, "GET /healthz", 12) == 0)
            client_expect_answer(clients[i], "", &ALIVE);
    }
    drip_until_closed(clients, rows, COUNT_OF(rows), busy);
    assert_true(monotonic_milliseconds() - start >= 3000);
    close_all(clients, COUNT_OF(rows));
    client_wait_for_series(busy, OVERDUE, count - MALFORMED, count);
    client_wait_for_series(busy, "http_connections_open", 1, 1);
    (void)close(busy);
    process_stop(process);
}

/* Returns true while the kernel has a connection with the local port `port` and the remote port
 * `peer` in one of its tables ("0: 0100007F:1F90 0100007F:D431 01 ..."). One in FIN-WAIT-2 does not
 * count: it has sent everything. */
static bool has_socket(uint16_t port, uint16_t peer)
{
    static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
    bool found = false;

    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        FILE *table = fopen(tables[i], "re");
        char line[512];

        while (table != NULL && fgets(line, sizeof line, table) != NULL) {
            unsigned own = 0;
            unsigned other = 0;
            unsigned state = 0;

            /* NOLINTNEXTLINE(cert-err34-c): the kernel's numbers fit */
            if (sscanf(line, "%*d: %*[^:]:%x %*[^:]:%x %x", &own, &other, &state) == 3 &&
                own == port && other == peer)
                found |= state != TCP_FIN_WAIT2;
        }
        if (table != NULL)
            (void)fclose(table);
    }
    return found;
}

static uint16_t port_of(int client)
{
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;

    assert_int_equal(getsockname(client, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

/* Connects with a receive buffer that holds only part of a response. */
static int connect_with_small_buffer(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int small = 1;
    const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&address, sizeof address), 0);
    return client;
}

/* Checks that nothing is left of a client that requests the largest response and reads none of it:
 * once, or until the server reads no more requests. The head is large, but that is not why the
 * response ends early, so the request is not logged as refused. */
static void expect_nothing_left(bool repeats)
{
    static const char *const arguments[] = {"--port=0", "--request-deadline=1s", NULL};
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    char request[8192];
    const size_t size = (size_t)snprintf(
        request, sizeof request, "GET /openapi.json HTTP/1.1\r\nHost: a\r\nX: %07200d\r\n\r\n", 0);
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int client = connect_with_small_buffer(port);

    assert_true(has_socket(port_of(client), port)); /* finds the client's end, too */
    (void)client_offer(client, request, size, size);
    while (repeats && send(client, request, size, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        assert_true(monotonic_milliseconds() < deadline);
    while (has_socket(port, port_of(client)))
        assert_true(monotonic_milliseconds() < deadline);
    (void)close(client);
    process_signal(process, SIGTERM);
    assert_int_equal(process_wait(process), 0);
    assert_null(strstr(process->stderr_text, "\"msg\":\"request\""));
    process_end(process);
}

static void leaves_nothing_in_the_kernel_for_clients_that_do_not_read(void **state)
{
    (void)state;
    expect_nothing_left(false);
    expect_nothing_left(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_new_clients_at_the_connection_limit),
        cmocka_unit_test(answers_a_burst_above_the_connection_limit),
        cmocka_unit_test(waits_without_spinning_when_out_of_descriptors),
        cmocka_unit_test(answers_and_closes_half_closed_connections),
        cmocka_unit_test(closes_connections_without_a_completed_request_at_the_deadline),
        cmocka_unit_test(leaves_nothing_in_the_kernel_for_clients_that_do_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
