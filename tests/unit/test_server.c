/* The server with its threads, on a clock that the test moves, and failures of its parts that no
 * client can provoke. */
/* wraps: calloc accept4 close shutdown reply_queue MHD_add_connection MHD_set_panic_func _exit */
/* wraps: monotonic_milliseconds monotonic_nanoseconds */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "documents.h"
#include "failing.h"
#include "inspect.h"
#include "listener.h"
#include "reply.h"
#include "server.h"

static atomic_int_fast64_t now; /* milliseconds, for the server */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint failed_closes;
static atomic_bool ignores_shutdown;
static enum MHD_Result added; /* result of MHD_add_connection() */
static MHD_PanicCallback panic;
static void *panic_cls;
static jmp_buf exited;

int __real_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_shutdown(int fd, int how);
int __wrap_shutdown(int fd, int how);
enum MHD_Result __wrap_MHD_add_connection(struct MHD_Daemon *daemon, int socket,
                                          const struct sockaddr *address, socklen_t size);
void __wrap_MHD_set_panic_func(MHD_PanicCallback callback, void *cls);
_Noreturn void __wrap__exit(int status);
int64_t __real_monotonic_milliseconds(void);
int64_t __wrap_monotonic_milliseconds(void);
int64_t __wrap_monotonic_nanoseconds(void);

FAILING_WRAPPER(void *, calloc, NULL, (size_t count, size_t size), (count, size))
FAILING_WRAPPER(bool, reply_queue, false,
                (const struct reply *reply, struct MHD_Connection *connection, bool close,
                 size_t *size),
                (reply, connection, close, size))

/* With a lock, so that no call is in progress once the gate is closed. */
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    int result = 0;
    int error = 0;

    pthread_mutex_lock(&gate);
    result = failing_call("accept4") ? -1 : __real_accept4(fd, address, size, flags);
    error = errno;
    pthread_mutex_unlock(&gate);
    errno = error;
    return result;
}

int __wrap_close(int fd)
{
    const int result = __real_close(fd);

    if (result != 0)
        atomic_fetch_add(&failed_closes, 1);
    return result;
}

int __wrap_shutdown(int fd, int how)
{
    return atomic_load(&ignores_shutdown) ? 0 : __real_shutdown(fd, how);
}

/* Drops the connection, as a thread at its limit does, and as the library does if it fails. */
enum MHD_Result __wrap_MHD_add_connection(struct MHD_Daemon *daemon, int socket,
                                          const struct sockaddr *address, socklen_t size)
{
    (void)daemon;
    (void)address;
    (void)size;
    (void)close(socket);
    return added;
}

void __wrap_MHD_set_panic_func(MHD_PanicCallback callback, void *cls)
{
    panic = callback;
    panic_cls = cls;
}

void __wrap__exit(int status)
{
    longjmp(exited, status); /* never 0 here */
}

int64_t __wrap_monotonic_milliseconds(void)
{
    return atomic_load(&now);
}

int64_t __wrap_monotonic_nanoseconds(void)
{
    return atomic_load(&now) * 1000000;
}

static const struct build_info INFO = {.name = "example",
                                       .version = "1.2.3",
                                       .commit = "0123",
                                       .description = "An example",
                                       .build_date = "2026-11-22T09:00:00Z"};

/* A server and its parts. */
static struct config config;
static struct log logger;
static int log_pipe[2];
static struct usage usage;
static struct metrics *metrics;
static struct handlers *handlers;
static struct server_parts parts;
static struct server *server;
static uint16_t port;
static size_t descriptors;

static void open_listener(void)
{
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;

    parts.listener = listener_open("127.0.0.1", 0);
    assert_int_equal(getsockname(parts.listener, (struct sockaddr *)&address, &size), 0);
    port = ntohs(address.sin_port);
    failing_arm_others("", 1, 0, 0);
}

static int set_up(void **state)
{
    (void)state;
    descriptors = inspect_count_descriptors();
    atomic_store(&now, 123456789);
    added = MHD_YES;
    config = (struct config){.threads = 2, .max_connections = 100, .request_deadline = 30000};
    assert_int_equal(pipe2(log_pipe, O_CLOEXEC), 0);
    log_init(&logger, log_pipe[1], LOG_FORMAT_JSON, LOG_DEBUG);
    usage_open(&usage, "/proc/self", 1024);
    metrics = metrics_create(&(const struct metrics_parts){&INFO, &logger, &usage, 2, 100});
    handlers = handlers_create(&(const struct route_context){&INFO, metrics}, NULL, 2);
    assert_non_null(handlers);
    parts = (struct server_parts){&config, handlers, &logger, metrics, -1, false};
    open_listener();
    return 0;
}

/* No descriptor may be closed twice: another thread could have reused its number. */
static void stop_server(void)
{
    atomic_store(&failed_closes, 0);
    if (server != NULL)
        server_stop(server);
    server = NULL;
    assert_uint_equal(atomic_load(&failed_closes), 0);
}

static int tear_down(void **state)
{
    (void)state;
    stop_server();
    handlers_free(handlers);
    metrics_free(metrics);
    usage_close(&usage);
    (void)close(log_pipe[0]);
    (void)close(log_pipe[1]);
    assert_uint_equal(inspect_count_descriptors(), descriptors);
    return 0;
}

static void start_server(void)
{
    server = server_start(&parts);
    assert_non_null(server);
}

#define OVERDUE "http_connections_overdue_total"
#define EVICTED "http_connections_evicted_total"
#define FAILURES "http_accept_failures_total"
#define FAILED "http_requests_failed_total"
#define REFUSED "http_connections_refused_total"
#define COMPLETED "http_request_duration_seconds_count"

static unsigned long count(const char *series)
{
    return inspect_metric(metrics, series);
}

static void wait_for_count(const char *series, unsigned long value)
{
    const int64_t deadline = __real_monotonic_milliseconds() + PATIENCE;

    while (count(series) != value) {
        assert_true(__real_monotonic_milliseconds() < deadline);
        (void)sched_yield();
    }
}

/* Opens a connection and waits until the server has completed a request on it. */
static int connect_and_request(void)
{
    static const struct client_answer alive = {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, 0, 0};
    const unsigned long before = count(COMPLETED);
    const int client = client_connect(port);

    client_expect_answer(client, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", &alive);
    wait_for_count(COMPLETED, before + 1);
    return client;
}

/* Opens connections that no thread accepts. */
static void fill_backlog(int *clients, size_t size)
{
    pthread_mutex_lock(&gate);
    failing_arm_others("accept4", 1, UINT_MAX, EAGAIN);
    pthread_mutex_unlock(&gate);
    for (size_t i = 0; i < size; i++)
        clients[i] = client_connect(port);
}

static void close_all(const int *clients, size_t size)
{
    for (size_t i = 0; i < size; i++)
        (void)close(clients[i]);
}

/* The library makes the second allocation. */
static void fails_to_start_without_memory(void **state)
{
    (void)state;
    for (unsigned nth = 1; nth <= 2; nth++) {
        failing_arm("calloc", nth, ENOMEM);
        assert_null(server_start(&parts));
        assert_true(failing_has_failed());
    }
    (void)close(parts.listener);
}

/* Sends a request on a connection that is accepted only then. Returns true if it is answered before
 * the connection ends. */
static bool is_answered(void)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    size_t length = 0;
    char *response = NULL;
    int client = -1;

    pthread_mutex_lock(&gate);
    client = client_connect(port);
    client_send_text(client, request);
    pthread_mutex_unlock(&gate);
    response = client_receive_rest(client, &length);
    free(response);
    (void)close(client);
    return response != NULL && length > 0;
}

/* The request is the first of its kind, and no other connection ends that could wake a thread. */
static void failures_are_counted_and_end_one_connection_at_most(void **state)
{
    static const char *const all[] = {FAILURES, FAILED, REFUSED};
    static const struct {
        const char *function;
        unsigned times;
        int error;
        bool is_answered;
        const char *series; /* NULL: none */
    } rows[] = {
        {"accept4", 3, EMFILE, true, FAILURES},   {"accept4", 1, ENFILE, true, FAILURES},
        {"accept4", 1, ENOMEM, true, FAILURES},   {"accept4", 1, ENOBUFS, true, FAILURES},
        {"accept4", 1, ECONNABORTED, true, NULL}, {"accept4", 1, EINTR, true, NULL},
        {"accept4", 1, EAGAIN, true, NULL},       {"reply_queue", 1, 0, false, FAILED},
    };

    (void)state;
    start_server();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        unsigned long before[COUNT_OF(all)];

        print_message("%s: %s\n", rows[i].function, strerror(rows[i].error));
        for (size_t j = 0; j < COUNT_OF(all); j++)
            before[j] = count(all[j]);
        failing_arm_others(rows[i].function, 1, rows[i].times, rows[i].error);
        assert_int_equal(is_answered(), rows[i].is_answered);
        assert_true(failing_others_have_failed());
        for (size_t j = 0; j < COUNT_OF(all); j++)
            assert_uint_equal(count(all[j]) - before[j],
                              all[j] == rows[i].series ? rows[i].times : 0);
        assert_true(is_answered());
    }
}

/* One of the allocations is the record, without which a connection is refused, even if its request
 * is read. */
static void connections_without_memory_are_refused(void **state)
{
    (void)state;
    start_server();
    for (unsigned long round = 1; round <= 2; round++) {
        bool has_failed = true;

        atomic_store(&ignores_shutdown, round == 2);
        for (unsigned nth = 1; has_failed; nth++) {
            bool answered = false;

            failing_arm_others("calloc", nth, 1, ENOMEM);
            answered = is_answered();
            has_failed = failing_others_have_failed();
            assert_int_equal(answered, !has_failed);
        }
        assert_uint_equal(count(REFUSED), round);
        wait_for_count("http_connections_open", 0);
        assert_uint_equal(count(COMPLETED), round);
    }
    atomic_store(&ignores_shutdown, false);
}

/* Sweeps once per second, except during a standstill after the first sweep. */
static void closes_overdue_connections(void **state)
{
    static const struct {
        int64_t standstill;
        int64_t overdue; /* when the connection is closed */
    } rows[] = {{0, 30000}, {1999, 30999}, {2000, 32000}, {30000, 60000}, {3600000, 3630000}};

    (void)state;
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        const int64_t began = atomic_load(&now);
        unsigned timeout = 0;
        socklen_t size = sizeof timeout;
        int client = -1;

        start_server();
        (void)getsockopt(parts.listener, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, &size);
        assert_uint_equal(timeout, 60000); /* how long the kernel keeps data */
        client = connect_and_request();
        assert_int_equal(server_sweep(server), 1000);
        atomic_fetch_add(&now, rows[row].standstill);
        (void)server_sweep(server);
        while (count(OVERDUE) == row) {
            atomic_fetch_add(&now, 1000);
            assert_int_equal(server_sweep(server), 1000);
        }
        assert_int_equal(atomic_load(&now) - began, rows[row].overdue);
        client_expect_closed(client);
        (void)close(client);
        stop_server();
        open_listener();
    }
    (void)close(parts.listener);
}

static void sweeps_more_often_near_the_limit(void **state)
{
    int clients[6];

    (void)state;
    config.max_connections = 2;
    start_server();
    clients[0] = connect_and_request();
    assert_int_equal(server_sweep(server), 1000);
    atomic_fetch_add(&now, 999);
    assert_int_equal(server_sweep(server), 1);
    for (size_t i = 1; i < 5; i++)
        clients[i] = connect_and_request();
    assert_uint_equal(count(EVICTED), 1);       /* the first */
    assert_int_equal(server_sweep(server), 10); /* the others are active */
    atomic_fetch_add(&now, 10);
    assert_int_equal(server_sweep(server), 50);
    assert_uint_equal(count(EVICTED), 3);
    atomic_fetch_add(&now, 10);
    clients[5] = connect_and_request();
    assert_uint_equal(count(EVICTED), 4);
    close_all(clients, COUNT_OF(clients));
}

/* Fails to accept, as a thread of libmicrohttpd may. */
static void accept_without_descriptors(void)
{
    failing_arm("accept4", 1, EMFILE);
    assert_int_equal(server_accept(parts.listener, NULL, NULL, SOCK_CLOEXEC), -1);
    assert_int_equal(errno, EAGAIN);
}

static void shortage_evicts_one_connection_until_one_is_accepted(void **state)
{
    int clients[3];

    (void)state;
    start_server();
    clients[0] = connect_and_request();
    clients[1] = connect_and_request();
    accept_without_descriptors();
    assert_uint_equal(count(EVICTED), 0); /* both are active */
    atomic_fetch_add(&now, 10);
    accept_without_descriptors();
    accept_without_descriptors();
    assert_uint_equal(count(EVICTED), 1);
    clients[2] = connect_and_request();
    accept_without_descriptors();
    assert_uint_equal(count(EVICTED), 2);
    close_all(clients, COUNT_OF(clients));
}

/* With six connections in the backlog, and threads that open none of those handed over. */
static void hands_over_what_the_limit_permits(void **state)
{
    static const struct {
        uint32_t limit;
        bool has_open; /* a connection */
        enum MHD_Result added;
        int error;      /* of the first two calls of accept4() */
        size_t left[3]; /* at first, after 249 ms and after 250 ms */
    } rows[] = {
        {1, false, MHD_YES, 0, {2, 2, 2}},        {2, false, MHD_YES, 0, {2, 2, 2}},
        {4, false, MHD_YES, 0, {3, 3, 3}},        {8, false, MHD_YES, 0, {5, 5, 2}},
        {100, false, MHD_YES, 0, {6, 6, 0}},      {1, true, MHD_YES, 0, {2, 2, 2}},
        {4, true, MHD_YES, 0, {3, 3, 3}},         {100, false, MHD_NO, 0, {0, 0, 0}},
        {100, false, MHD_YES, EMFILE, {1, 6, 6}}, {100, false, MHD_YES, ECONNABORTED, {1, 6, 6}},
    };

    (void)state;
    config.threads = 1;
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        int clients[6];
        int open = -1;

        config.max_connections = rows[row].limit;
        added = rows[row].added;
        start_server();
        if (rows[row].has_open)
            open = connect_and_request();
        fill_backlog(clients, COUNT_OF(clients));
        failing_arm("accept4", rows[row].error == 0 ? 0 : 1, rows[row].error);
        server_stop_accepting(server);
        failing_arm("accept4", rows[row].error == 0 ? 0 : 1, rows[row].error);
        for (size_t i = 0; i < COUNT_OF(rows[row].left); i++) {
            print_message("row %zu, check %zu\n", row, i);
            assert_uint_equal(server_close_idle(server, INT64_MIN), rows[row].left[i]);
            atomic_fetch_add(&now, i == 0 ? 249 : 1);
        }
        stop_server();
        close_all(clients, COUNT_OF(clients));
        if (open >= 0)
            (void)close(open);
        open_listener();
    }
    (void)close(parts.listener);
}

/* Connections from before and from after the end, whether or not the server has stopped accepting.
 */
static void leaves_connections_in_a_shared_backlog(void **state)
{
    (void)state;
    parts.is_shared = true;
    for (int stops_accepting = 0; stops_accepting < 2; stops_accepting++) {
        const int shared = fcntl(parts.listener, F_DUPFD_CLOEXEC, 0);
        int clients[3];

        start_server();
        fill_backlog(&clients[0], 1);
        if (stops_accepting) {
            server_stop_accepting(server);
            assert_uint_equal(server_close_idle(server, INT64_MIN), 0);
        }
        fill_backlog(&clients[1], 1);
        stop_server();
        fill_backlog(&clients[2], 1);
        for (size_t i = 0; i < COUNT_OF(clients); i++)
            assert_int_equal(close(__real_accept4(shared, NULL, NULL, SOCK_NONBLOCK)), 0);
        close_all(clients, COUNT_OF(clients));
        (void)close(shared);
        open_listener();
    }
    (void)close(parts.listener);
}

static void logs_a_fatal_error_of_the_library(void **state)
{
    char text[512] = "";
    int status = 0;

    (void)state;
    start_server();
    status = setjmp(exited);
    if (status == 0) {
        errno = ENOMEM;
        panic(panic_cls, "daemon.c", 6440, NULL);
    }
    assert_int_equal(status, 1);
    assert_true(read(log_pipe[0], text, sizeof text - 1) > 0);
    inspect_replace_times(text);
    assert_string_equal(
        text, "{\"time\":\"TIME\",\"level\":\"error\",\"msg\":\"fatal error in libmicrohttpd\","
              "\"file\":\"daemon.c\",\"line\":6440,\"error\":\"Cannot allocate memory\"}\n");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fails_to_start_without_memory),
        TEST(failures_are_counted_and_end_one_connection_at_most),
        TEST(connections_without_memory_are_refused),
        TEST(closes_overdue_connections),
        TEST(sweeps_more_often_near_the_limit),
        TEST(shortage_evicts_one_connection_until_one_is_accepted),
        TEST(hands_over_what_the_limit_permits),
        TEST(leaves_connections_in_a_shared_backlog),
        TEST(logs_a_fatal_error_of_the_library),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
