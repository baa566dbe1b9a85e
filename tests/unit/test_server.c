/* wraps: calloc accept4 MHD_add_connection MHD_set_panic_func _exit */
/* wraps: monotonic_milliseconds monotonic_nanoseconds */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "documents.h"
#include "failing.h"
#include "inspect.h"
#include "listener.h"
#include "server.h"

static pthread_t test_thread;
static atomic_int_fast64_t now; /* milliseconds, for the server */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static bool is_gate_closed;   /* the server's threads accept nothing */
static int accept_error;      /* of the test's next accept4(); 0: none */
static enum MHD_Result added; /* result of MHD_add_connection() */
static MHD_PanicCallback panic;
static void *panic_cls;
static jmp_buf exited;

int __real_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
enum MHD_Result __wrap_MHD_add_connection(struct MHD_Daemon *daemon, int socket,
                                          const struct sockaddr *address, socklen_t size);
void __wrap_MHD_set_panic_func(MHD_PanicCallback callback, void *cls);
_Noreturn void __wrap__exit(int status);
int64_t __real_monotonic_milliseconds(void);
int64_t __wrap_monotonic_milliseconds(void);
int64_t __wrap_monotonic_nanoseconds(void);

FAILING_WRAPPER(void *, calloc, NULL, (size_t count, size_t size), (count, size))

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    int error = 0;
    int result = -1;

    pthread_mutex_lock(&gate);
    if (pthread_equal(pthread_self(), test_thread))
        error = accept_error;
    else if (is_gate_closed)
        error = EAGAIN;
    if (error == 0) {
        result = __real_accept4(fd, address, size, flags);
        error = errno;
    }
    pthread_mutex_unlock(&gate);
    errno = error;
    return result;
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
    is_gate_closed = false;
}

static int set_up(void **state)
{
    (void)state;
    descriptors = inspect_count_descriptors();
    test_thread = pthread_self();
    atomic_store(&now, 123456789);
    accept_error = 0;
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

static void stop_server(void)
{
    if (server != NULL)
        server_stop(server);
    server = NULL;
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

static unsigned long count(const char *series)
{
    return inspect_metric(metrics, series);
}

/* Opens a connection and waits until the server has completed a request on it. */
static int connect_and_request(void)
{
    static const struct client_answer alive = {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, 0, 0};
    static const char completed[] = "http_request_duration_seconds_count";
    const int64_t deadline = __real_monotonic_milliseconds() + PATIENCE;
    const unsigned long before = count(completed);
    const int client = client_connect(port);

    client_expect_answer(client, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", &alive);
    while (count(completed) == before) {
        assert_true(__real_monotonic_milliseconds() < deadline);
        (void)sched_yield();
    }
    return client;
}

/* Opens connections that no thread accepts. */
static void fill_backlog(int *clients, size_t size)
{
    pthread_mutex_lock(&gate);
    is_gate_closed = true;
    pthread_mutex_unlock(&gate);
    for (size_t i = 0; i < size; i++)
        clients[i] = client_connect(port);
}

static void close_all(const int *clients, size_t size)
{
    for (size_t i = 0; i < size; i++)
        (void)close(clients[i]);
}

static void fails_to_start_without_memory_or_descriptors(void **state)
{
    struct rlimit before = {0};
    struct rlimit none = {0};

    (void)state;
    failing_arm("calloc", 1, ENOMEM);
    assert_null(server_start(&parts));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_null(server_start(&parts));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    (void)close(parts.listener);
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

/* Calls server_accept() as a thread of libmicrohttpd would, and returns its errno. */
static int try_accept(int error)
{
    accept_error = error;
    assert_int_equal(server_accept(parts.listener, NULL, NULL, SOCK_CLOEXEC), -1);
    return errno;
}

static void accept_hides_shortages(void **state)
{
    static const int shortages[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS};
    static const int others[] = {ECONNABORTED, EINTR, EINVAL, EAGAIN};

    (void)state;
    start_server();
    for (size_t i = 0; i < COUNT_OF(shortages); i++) {
        assert_int_equal(try_accept(shortages[i]), EAGAIN);
        assert_int_equal(try_accept(others[i]), others[i]);
        assert_uint_equal(count(FAILURES), i + 1);
    }
}

static void shortage_evicts_one_connection_until_one_is_accepted(void **state)
{
    int clients[3];

    (void)state;
    start_server();
    clients[0] = connect_and_request();
    clients[1] = connect_and_request();
    (void)try_accept(EMFILE);
    assert_uint_equal(count(EVICTED), 0); /* both are active */
    atomic_fetch_add(&now, 10);
    (void)try_accept(EMFILE);
    (void)try_accept(EMFILE);
    assert_uint_equal(count(EVICTED), 1);
    clients[2] = connect_and_request();
    (void)try_accept(EMFILE);
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
        accept_error = rows[row].error;
        server_stop_accepting(server);
        for (size_t i = 0; i < COUNT_OF(rows[row].left); i++) {
            print_message("row %zu, check %zu\n", row, i);
            assert_uint_equal(server_close_idle(server, INT64_MIN), rows[row].left[i]);
            accept_error = 0;
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

/* Those from before and from after the stop. */
static void leaves_connections_in_a_shared_backlog(void **state)
{
    const int shared = fcntl(parts.listener, F_DUPFD_CLOEXEC, 0);
    int clients[3];

    (void)state;
    parts.is_shared = true;
    start_server();
    fill_backlog(&clients[0], 1);
    server_stop_accepting(server);
    assert_uint_equal(server_close_idle(server, INT64_MIN), 0);
    fill_backlog(&clients[1], 1);
    stop_server();
    fill_backlog(&clients[2], 1);
    for (size_t i = 0; i < COUNT_OF(clients); i++)
        assert_int_equal(close(__real_accept4(shared, NULL, NULL, SOCK_NONBLOCK)), 0);
    close_all(clients, COUNT_OF(clients));
    (void)close(shared);
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
        TEST(fails_to_start_without_memory_or_descriptors),
        TEST(closes_overdue_connections),
        TEST(sweeps_more_often_near_the_limit),
        TEST(accept_hides_shortages),
        TEST(shortage_evicts_one_connection_until_one_is_accepted),
        TEST(hands_over_what_the_limit_permits),
        TEST(leaves_connections_in_a_shared_backlog),
        TEST(logs_a_fatal_error_of_the_library),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
