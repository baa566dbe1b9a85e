/* What happens at every limit: connections, connections of an address, descriptors, time. */
#include "test.h"

#include <arpa/inet.h>
#include <dirent.h>
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

static const struct client_answer ALIVE = {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, false, false};

/* Opens connections that begin a request and never end it. On a slow machine the server may have
 * closed one already, for another. */
static void open_slow(uint16_t port, int *clients, size_t count)
{
    static const char begin[] = "GET /version HTTP/1.1\r\nHost: a\r\nX: ";

    for (size_t i = 0; i < count; i++) {
        clients[i] = client_connect(port);
        (void)send(clients[i], begin, strlen(begin), MSG_NOSIGNAL);
    }
}

static void close_all(const int *clients, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)close(clients[i]);
}

/* How many have been closed by the server. */
static size_t count_closed(const int *clients, size_t count)
{
    size_t closed = 0;

    for (size_t i = 0; i < count; i++)
        closed += !client_is_quiet(clients[i]);
    return closed;
}

/* Asks for something on a connection of its own; when that ends without an answer, again, as HTTP
 * clients do: on a slow machine more than ten milliseconds may pass before it has asked, and at a
 * limit of two there is hardly anybody else to be closed. */
static char *ask(uint16_t port, const char *request)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    struct pollfd answer = {.events = POLLIN};
    char *text = NULL;
    char byte = 0;

    while (text == NULL) {
        answer.fd = client_connect(port);
        (void)send(answer.fd, request, strlen(request), MSG_NOSIGNAL);
        assert_true(monotonic_milliseconds() < deadline);
        assert_int_equal(poll(&answer, 1, PATIENCE), 1);
        if (recv(answer.fd, &byte, 1, MSG_PEEK) > 0)
            text = client_receive(answer.fd, false);
        (void)close(answer.fd);
    }
    return text;
}

static double ask_series(uint16_t port, const char *series)
{
    char *answer = ask(port, GET("/metrics"));
    const double value = inspect_series(answer, series);

    free(answer);
    return value;
}

static void expect_alive(uint16_t port)
{
    char *answer = ask(port, GET("/healthz"));
    char *expected = client_print_answer(&ALIVE);

    assert_string_equal(answer, expected);
    free(answer);
    free(expected);
}

/* With more slow clients than there may be connections, and the deadline far away, each new client
 * is served. */
static void expect_room(const char *threads, const char *limit, size_t slow)
{
    enum { PROBES = 30 };
    const char *const arguments[] = {"--port=0", "--request-deadline=10m", threads, limit, NULL};
    const double most = strtod(strchr(limit, '=') + 1, NULL);
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    int clients[100];
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);

    print_message("%s %s\n", threads, limit);
    open_slow(port, clients, slow);
    for (size_t i = 0; i < PROBES; i++)
        expect_alive(port);
    /* Above the limit only for as long as all are busy. */
    while (ask_series(port, EVICTED) < 1 || ask_series(port, "http_connections_open") > most)
        assert_true(monotonic_milliseconds() < deadline);
    assert_true(count_closed(clients, slow) >= 1);
    assert_true(ask_series(port, "http_connections_overdue_total") == 0);
    close_all(clients, slow);
    process_stop(process);
}

static void at_the_limit_new_clients_are_served(void **state)
{
    (void)state;
    expect_room("--threads=1", "--max-connections=1", 1);
    expect_room("--threads=1", "--max-connections=2", 2);
    expect_room("--threads=2", "--max-connections=2", 2);
    expect_room("--threads=4", "--max-connections=4", 100);
    expect_room("--threads=16", "--max-connections=16", 16);
    expect_room("--threads=7", "--max-connections=20", 80);
    expect_room("--threads=2", "--max-connections=100", 100);
}

/* The others come one after the other, and it asks between any two. */
static void at_the_limit_active_clients_stay(void **state)
{
    static const char *const arguments[] = {"--port=0", "--request-deadline=10m", "--threads=2",
                                            "--max-connections=40", NULL};
    int clients[200];
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int active = client_connect(port);

    (void)state;
    client_expect_answer(active, GET("/healthz"), &ALIVE);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        open_slow(port, clients + i, 1);
        client_wait_for_series(active, "http_connections_accepted_total", (double)i + 2, HUGE_VAL);
    }
    client_wait_for_series(active, EVICTED, 100, HUGE_VAL);
    client_expect_answer(active, GET("/healthz"), &ALIVE);
    close_all(clients, COUNT_OF(clients));
    (void)close(active);
    process_stop(process);
}

/* More requests at once than there may be connections: those that have arrived are answered, but
 * where a thread stands still between reading a request and knowing it (docs/limits.md), which on
 * a busy machine may be once or twice. */
static void burst_above_the_limit_is_answered(void **state)
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
        skip(); /* a thread of valgrind stands still there for long */
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

/* Opens a connection from an address of the loopback interface. */
static int connect_from(const char *address, uint16_t port)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(inet_pton(AF_INET, address, &from.sin_addr), 1);
    assert_int_equal(bind(client, (const struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&to, sizeof to), 0);
    return client;
}

static void at_the_limit_of_an_address_others_are_served(void **state)
{
    static const char *const arguments[] = {"--port=0", "--max-connections-per-ip=3", NULL};
    int slow[3];
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    int refused = -1;
    int other = -1;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(slow); i++) {
        slow[i] = connect_from("127.0.0.2", port);
        client_send_text(slow[i], "GET /version HTTP/1.1\r\n");
    }
    other = connect_from("127.0.0.1", port);
    client_expect_answer(other, GET("/healthz"), &ALIVE);
    client_wait_for_series(other, "http_connections_open", 4, 4);
    refused = connect_from("127.0.0.2", port);
    client_expect_closed(refused);
    client_wait_for_series(other, "http_connections_refused_total", 1, 1);
    assert_int_equal(count_closed(slow, COUNT_OF(slow)), 0);
    assert_true(client_read_series(other, EVICTED) == 0);
    close_all(slow, COUNT_OF(slow));
    (void)close(refused);
    (void)close(other);
    process_stop(process);
}

/* Lets the process have `files` descriptors, or as many as before. Returns what it could have. */
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

/* How often the threads of the process have waited for something, in all. */
static long count_waits(const struct process *process)
{
    char path[64];
    DIR *tasks = NULL;
    long total = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/task", process->pid);
    tasks = opendir(path);
    assert_non_null(tasks);
    for (const struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
        char name[512];
        char line[256];
        FILE *file = NULL;

        (void)snprintf(name, sizeof name, "%s/%s/status", path, task->d_name);
        file = fopen(name, "re");
        while (file != NULL && fgets(line, sizeof line, file) != NULL) {
            if (strncmp(line, "voluntary_ctxt_switches:", 24) == 0)
                total += strtol(line + 24, NULL, 10);
        }
        if (file != NULL)
            (void)fclose(file);
    }
    (void)closedir(tasks);
    return total;
}

/* Checks that there was no more than one failure in a millisecond and thread since `began`. The CPU
 * time is for the reader: where other programs take the CPU, a thread that spins has little of it,
 * too. */
static void expect_no_spin(int client, int threads, int64_t began, double cpu)
{
    const double failures = client_read_series(client, FAILURES);
    const double took = (double)(monotonic_milliseconds() - began);

    print_message("%.0f failures, %.0f ms of CPU in %.0f ms\n", failures,
                  (client_read_series(client, "process_cpu_seconds_total") - cpu) * 1000, took);
    assert_true(failures >= 1);
    assert_true(failures <= (took + 2) * threads);
}

static void short_of_descriptors_clients_are_served_and_nothing_spins(void **state)
{
    static const char *const arguments[] = {"--port=0", "--threads=2", "--request-deadline=10m",
                                            NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int idle = client_connect(port); /* has nothing to read: may be closed */
    const int active = client_connect(port);
    int waiting = -1;
    int64_t began = 0;
    double cpu = 0;
    rlim_t files = 0;

    (void)state;
    if (process_has_runner())
        skip(); /* it takes from the limit */
    client_expect_answer(active, GET("/healthz"), &ALIVE);
    client_wait_for_series(active, "http_connections_open", 2, 2);
    cpu = client_read_series(active, "process_cpu_seconds_total");
    began = monotonic_milliseconds();
    files = limit_files(process, 3);
    waiting = client_connect(port);
    client_send_text(waiting, GET("/healthz"));
    client_wait_for_series(active, FAILURES, 50, HUGE_VAL);
    client_expect_closed(idle);
    expect_no_spin(active, 2, began, cpu);
    assert_true(client_read_series(active, EVICTED) == 1); /* it did not help: no other */
    assert_true(client_is_quiet(waiting));
    (void)limit_files(process, files);
    client_expect_answer(waiting, "", &ALIVE);
    client_expect_answer(active, GET("/healthz"), &ALIVE);
    (void)close(idle);
    (void)close(active);
    (void)close(waiting);
    process_stop(process);
}

/* With idle ones among the others, each newcomer has one of them closed. */
static void short_of_descriptors_new_clients_are_served_in_the_place_of_idle_ones(void **state)
{
    enum { PROBES = 20, SLOW = 40 };
    static const char *const arguments[] = {"--port=0", "--threads=2", "--request-deadline=10m",
                                            NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int active = client_connect(port);
    int slow[SLOW];
    int probes[PROBES];

    (void)state;
    if (process_has_runner())
        skip(); /* it takes from the limit */
    client_expect_answer(active, GET("/healthz"), &ALIVE);
    open_slow(port, slow, SLOW);
    client_wait_for_series(active, "http_connections_open", SLOW + 1, SLOW + 1);
    (void)limit_files(process, (rlim_t)client_read_series(active, "process_open_fds"));
    for (int i = 0; i < PROBES; i++) {
        probes[i] = client_connect(port);
        client_expect_answer(probes[i], GET("/healthz"), &ALIVE);
        client_expect_answer(active, GET("/healthz"), &ALIVE);
    }
    assert_true(client_read_series(active, FAILURES) >= 1);
    assert_true(client_read_series(active, EVICTED) >= PROBES - 1);
    close_all(probes, PROBES);
    close_all(slow, COUNT_OF(slow));
    (void)close(active);
    process_stop(process);
}

/* Nobody is there whose end could make the server look again. */
static void first_connection_without_a_descriptor_is_served_when_there_is_one(void **state)
{
    static const char *const arguments[] = {"--port=0", "--threads=2", NULL};
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    const int64_t began = monotonic_milliseconds();
    const long waits = count_waits(process);
    int waiting = -1;
    rlim_t files = 0;

    (void)state;
    if (process_has_runner())
        skip(); /* it takes from the limit */
    files = limit_files(process, 3);
    waiting = client_connect(port);
    client_send_text(waiting, GET("/healthz"));
    while (count_waits(process) < waits + 50) /* one that spins does not wait */
        assert_true(monotonic_milliseconds() < deadline);
    assert_true(client_is_quiet(waiting));
    (void)limit_files(process, files);
    client_expect_answer(waiting, "", &ALIVE);
    expect_no_spin(waiting, 2, began, 0);
    (void)close(waiting);
    process_stop(process);
}

/* Ways to hold a connection. Each sends what it has to say when it begins, and then a byte over and
 * over until the server ends the connection; without a byte it only waits. */
struct slow {
    const char *name;
    const char *begin;
    const char *byte;
};

/* Sends a byte ten times a second until the connection ends. */
static void drip(int client, const struct slow *slow)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    struct pollfd end = {.fd = client, .events = POLLRDHUP};

    while (poll(&end, 1, 100) == 0) {
        if (monotonic_milliseconds() > deadline)
            fail_msg("%s: holds its connection", slow->name);
        if (slow->byte != NULL)
            (void)send(client, slow->byte, strlen(slow->byte), MSG_NOSIGNAL);
    }
}

/* Its end may come with the last bytes, which libmicrohttpd may not see. */
static void client_that_ends_its_side_is_answered_and_let_go(void **state)
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

static void no_client_holds_a_connection_beyond_the_deadline(void **state)
{
    static const char *const arguments[] = {"--port=0", "--request-deadline=1s", NULL};
    static const struct slow rows[] = {
        {"says nothing", "", NULL},
        {"drips empty lines", "", "\r\n"},
        {"drips line feeds", "\r\n", "\n"},
        {"drips the method", "", "G"},
        {"drips the target", "GET /", "a"},
        {"drips the version", "GET / HTTP/1.", "1"},
        {"drips the name of a field", "GET / HTTP/1.1\r\n", "a"},
        {"drips the value of a field", "GET / HTTP/1.1\r\nHost: a\r\nX: ", "a"},
        {"drips fields", "GET / HTTP/1.1\r\nHost: a\r\n", "X: a\r\n"},
        {"has the end of the head missing", "GET / HTTP/1.1\r\nHost: a\r\n\r", NULL},
        {"is idle after an answer", GET("/healthz"), NULL},
        {"drips empty lines after an answer", GET("/healthz"), "\r\n"},
        {"drips the next request", GET("/healthz"), "G"},
    };
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    int clients[COUNT_OF(rows)];
    int after = -1;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        clients[i] = client_connect(port);
        client_send_text(clients[i], rows[i].begin);
        if (strncmp(rows[i].begin, "GET /healthz", 12) == 0)
            client_expect_answer(clients[i], "", &ALIVE);
    }
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        drip(clients[i], &rows[i]);
    close_all(clients, COUNT_OF(rows));
    after = client_connect(port);
    client_wait_for_series(after, "http_connections_open", 1, 1);
    (void)close(after);
    process_stop(process);
}

/* True while the kernel has a connection with this port of its own and that of the peer, in one of
 * its tables ("0: 0100007F:1F90 0100007F:D431 01 ..."), but for one that has sent everything and
 * waits for the client's end (FIN-WAIT-2): so it is where nothing was sent in time. */
static bool has_socket(uint16_t port, uint16_t peer)
{
    static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
    bool found = false;

    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        FILE *table = fopen(tables[i], "re");
        char line[512];

        while (table != NULL && fgets(line, sizeof line, table) != NULL) {
            const char *own = strchr(line, ':');
            const char *other = NULL;
            char *state = NULL;

            own = own == NULL ? NULL : strchr(own + 1, ':');
            other = own == NULL ? NULL : strchr(own + 1, ':');
            if (other != NULL && strtoul(own + 1, NULL, 16) == port &&
                strtoul(other + 1, &state, 16) == peer)
                found |= strtoul(state, NULL, 16) != TCP_FIN_WAIT2;
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

/* A client that asks for the largest answer and does not read it: once, or until the server takes
 * no more requests. When its time is up, not even the kernel keeps what it was sent. */
static void expect_nothing_left(bool is_asking_on)
{
    static const char *const arguments[] = {"--port=0", "--request-deadline=1s", NULL};
    static const char request[] = GET("/openapi.json");
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    const int small = 1;
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&address, sizeof address), 0);
    while (!has_socket(port, port_of(client)))
        assert_true(monotonic_milliseconds() < deadline);
    client_send_text(client, request);
    while (is_asking_on && send(client, request, sizeof request - 1, MSG_DONTWAIT) > 0)
        assert_true(monotonic_milliseconds() < deadline);
    while (has_socket(port, port_of(client)))
        assert_true(monotonic_milliseconds() < deadline);
    (void)close(client);
    process_stop(process);
}

static void client_that_reads_no_answer_leaves_nothing_in_the_kernel(void **state)
{
    (void)state;
    expect_nothing_left(false);
    expect_nothing_left(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_the_limit_new_clients_are_served),
        cmocka_unit_test(at_the_limit_active_clients_stay),
        cmocka_unit_test(burst_above_the_limit_is_answered),
        cmocka_unit_test(at_the_limit_of_an_address_others_are_served),
        cmocka_unit_test(short_of_descriptors_clients_are_served_and_nothing_spins),
        cmocka_unit_test(short_of_descriptors_new_clients_are_served_in_the_place_of_idle_ones),
        cmocka_unit_test(first_connection_without_a_descriptor_is_served_when_there_is_one),
        cmocka_unit_test(client_that_ends_its_side_is_answered_and_let_go),
        cmocka_unit_test(no_client_holds_a_connection_beyond_the_deadline),
        cmocka_unit_test(client_that_reads_no_answer_leaves_nothing_in_the_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
