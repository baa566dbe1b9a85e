/* wraps: monotonic_milliseconds socket connect getsockopt send poll */
#include "test.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "clock.h"
#include "inspect.h"
#include "listener.h"
#include "parse.h"
#include "probe.h"

static int64_t now; /* on the clock of this file, which waiting moves on */
static int waited;  /* for answers, in milliseconds */

/* The server: whenever the probe waits for an answer it sends the next piece, in the same thread.
 */
static struct {
    int listener;
    int connection; /* -1 until the probe has asked */
    uint16_t port;
    char request[512];
    const char *const *pieces; /* NULL behind the last; then comes the end */
    enum { END_CLOSED, END_RESET, END_NEVER } end;
    int pause; /* milliseconds before each piece */
} server;

/* The errno with which calls fail; 0: they do not. */
static struct {
    int socket;
    int connect;
    int getsockopt;
    int connection; /* this one is what getsockopt() says */
    int send;
    int poll;
} failing;

static bool connects_at_once;
static bool is_connected; /* as far as the probe can know */
static int clock_jumps;   /* milliseconds, while the probe connects */
static int family;        /* of the last socket */
static char connected_to[ADDRESS_TEXT_MAX + sizeof " 65535"];

int64_t __wrap_monotonic_milliseconds(void);
int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
ssize_t __real_send(int fd, const void *bytes, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

int64_t __wrap_monotonic_milliseconds(void)
{
    return now;
}

static bool fails(int error)
{
    if (error != 0)
        errno = error;
    return error != 0;
}

/* Always IPv4: the machine may have nothing else. */
int __wrap_socket(int domain, int type, int protocol)
{
    family = domain;
    return fails(failing.socket) ? -1 : __real_socket(AF_INET, type, protocol);
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    char text[ADDRESS_TEXT_MAX];
    const uint16_t port = address_print(address, text);

    (void)snprintf(connected_to, sizeof connected_to, "%s %u", text, (unsigned)port);
    now += clock_jumps;
    if (fails(failing.connect))
        return -1;
    is_connected = connects_at_once;
    if (!connects_at_once)
        return __real_connect(fd, address, size);
    (void)__real_connect(fd, address, size);
    assert_int_equal(__real_poll(&ready, 1, PATIENCE), 1);
    return 0;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    if (fails(failing.getsockopt))
        return -1;
    if (failing.connection == 0)
        return __real_getsockopt(fd, level, name, value, size);
    assert_int_equal(name, SO_ERROR);
    assert_uint_equal(*size, sizeof failing.connection);
    memcpy(value, &failing.connection, sizeof failing.connection);
    return 0;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags)
{
    assert_true(is_connected);
    return fails(failing.send) ? -1 : __real_send(fd, bytes, size, flags);
}

static void receive_request(void)
{
    struct pollfd ready = {.fd = server.listener, .events = POLLIN};
    size_t used = 0;

    assert_int_equal(__real_poll(&ready, 1, PATIENCE), 1);
    server.connection = accept(server.listener, NULL, NULL);
    assert_true(server.connection >= 0);
    while (strstr(server.request, "\r\n\r\n") == NULL) {
        const ssize_t n =
            recv(server.connection, server.request + used, sizeof server.request - 1 - used, 0);

        assert_true(n > 0);
        used += (size_t)n;
    }
}

static void end_connection(void)
{
    const struct linger reset = {.l_onoff = 1};

    if (server.end == END_RESET)
        (void)setsockopt(server.connection, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    (void)close(server.connection);
    server.connection = -1;
}

/* Does what comes next. Returns false when nothing does. */
static bool serve(void)
{
    if (server.connection < 0)
        receive_request();
    if (*server.pieces != NULL) {
        const char *piece = *server.pieces++;

        assert_int_equal(__real_send(server.connection, piece, strlen(piece), MSG_NOSIGNAL),
                         strlen(piece));
        return true;
    }
    if (server.end == END_NEVER)
        return false;
    end_connection();
    return true;
}

static void pass(int milliseconds)
{
    now += milliseconds;
    waited += milliseconds;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    assert_uint_equal(count, 1);
    assert_int_in_range(timeout, 0, 3000);
    if (fails(failing.poll))
        return -1;
    if (fds->events == POLLIN) {
        if (server.pause > timeout || !serve()) {
            pass(timeout);
            return 0;
        }
        pass(server.pause);
    }
    is_connected = true;
    return __real_poll(fds, 1, PATIENCE);
}

static const char *const NO_PIECES[] = {NULL};

static void restart_server(void)
{
    memset(&failing, 0, sizeof failing);
    memset(server.request, 0, sizeof server.request);
    server.connection = -1;
    server.pieces = NO_PIECES;
    server.end = END_CLOSED;
    server.pause = 0;
    connects_at_once = false;
    clock_jumps = 0;
    connected_to[0] = '\0';
    now = 123456789;
    waited = 0;
}

static int start_server(void **state)
{
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;

    (void)state;
    restart_server();
    server.listener = listener_open("127.0.0.1", 0);
    if (getsockname(server.listener, (struct sockaddr *)&address, &size) != 0)
        return -1;
    server.port = ntohs(address.sin_port);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    if (server.connection >= 0)
        (void)close(server.connection);
    return close(server.listener);
}

/* Probes the server; `reason` is what the error says after the address, NULL where all is well. */
static void expect_probe(const char *name, const char *reason)
{
    const struct config config = {.address = "127.0.0.1", .port = server.port};
    const size_t before = inspect_count_descriptors();
    char expected[256] = "";
    char error[256] = "";
    const int result = probe_readiness(&config, error, sizeof error);

    if (reason != NULL)
        (void)snprintf(expected, sizeof expected, "127.0.0.1, port %u: %s", (unsigned)server.port,
                       reason);
    if (result != (reason == NULL ? 0 : -1) || strcmp(error, expected) != 0)
        fail_msg("%s: returns %d and says \"%s\"", name, result, error);
    if (server.connection >= 0)
        end_connection();
    if (inspect_count_descriptors() != before)
        fail_msg("%s: leaves a descriptor open", name);
}

static void probe_judges_by_the_status_line(void **state)
{
    static const struct {
        const char *answer;
        const char *reason;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NULL},
        {"HTTP/1.1 200 ", NULL},
        {"HTTP/1.1 503 Service Unavailable\r\n\r\n", "answered 503"},
        {"HTTP/1.1 404 Not Found\r\n\r\n", "answered 404"},
        {"HTTP/1.1 201 Created\r\n\r\n", "answered 201"},
        {"HTTP/1.0 200 OK\r\n\r\n", "did not answer with HTTP/1.1"},
        {"http/1.1 200 OK\r\n\r\n", "did not answer with HTTP/1.1"},
        {"SSH-2.0-OpenSSH_9.2\r\n", "did not answer with HTTP/1.1"},
        {"HTTP/1.1 200", "did not answer with HTTP/1.1"},
        {"HTTP/1.1 503", "did not answer with HTTP/1.1"},
        {"H", "did not answer with HTTP/1.1"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *const pieces[] = {rows[i].answer, NULL};

        restart_server();
        server.pieces = pieces;
        expect_probe(rows[i].answer, rows[i].reason);
    }
}

static void probe_puts_an_answer_in_pieces_together(void **state)
{
    static const char *const pieces[] = {"H", "TTP/1", ".1 20", "0", " ", NULL};

    (void)state;
    server.pieces = pieces;
    server.pause = 10;
    expect_probe("pieces", NULL);
    assert_int_equal(waited, 50);
}

static void probe_of_a_server_that_hangs_up_fails(void **state)
{
    static const char *const pieces[] = {"HTTP/1.1 200", NULL};

    (void)state;
    expect_probe("closed at once", "did not answer with HTTP/1.1");
    restart_server();
    server.end = END_RESET;
    expect_probe("reset at once", strerror(ECONNRESET));
    restart_server();
    server.pieces = pieces;
    server.end = END_RESET;
    expect_probe("reset in the answer", strerror(ECONNRESET));
}

static void probe_waits_three_seconds_in_all(void **state)
{
    static const char *const pieces[] = {"H", "T", "T", "P", "/", "1", ".", "1", " ", NULL};
    static const int pauses[] = {999, 1000, 1001, 3000, 4000};

    (void)state;
    server.end = END_NEVER;
    expect_probe("silence", strerror(ETIMEDOUT));
    assert_int_equal(waited, 3000);
    for (size_t i = 0; i < COUNT_OF(pauses); i++) {
        restart_server();
        server.pieces = pieces;
        server.pause = pauses[i];
        expect_probe("drip", strerror(ETIMEDOUT));
        assert_int_equal(waited, 3000);
    }
}

static void probe_that_is_late_looks_once_more(void **state)
{
    static const char *const pieces[] = {"HTTP/1.1 200 OK\r\n\r\n", NULL};

    (void)state;
    server.pieces = pieces;
    clock_jumps = 5000;
    expect_probe("late answer", NULL);
    restart_server();
    server.end = END_NEVER;
    clock_jumps = 5000;
    expect_probe("late silence", strerror(ETIMEDOUT));
    assert_int_equal(waited, 0);
}

static void probe_that_connects_at_once_goes_on(void **state)
{
    static const char *const pieces[] = {"HTTP/1.1 200 OK\r\n\r\n", NULL};

    (void)state;
    server.pieces = pieces;
    connects_at_once = true;
    expect_probe("connected at once", NULL);
}

static void probe_whose_calls_fail_says_why(void **state)
{
    static const struct {
        const char *name;
        int *call;
        int error;
    } rows[] = {
        {"connect", &failing.connect, ENETUNREACH},
        {"getsockopt", &failing.getsockopt, ENOBUFS},
        {"connection", &failing.connection, EHOSTUNREACH},
        {"send", &failing.send, EPIPE},
        {"poll", &failing.poll, ENOMEM},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        restart_server();
        *rows[i].call = rows[i].error;
        expect_probe(rows[i].name, strerror(rows[i].error));
    }
}

static void probe_whose_poll_fails_after_the_request_says_why(void **state)
{
    (void)state;
    connects_at_once = true;
    failing.poll = ENOMEM;
    expect_probe("poll", strerror(ENOMEM));
}

static void probe_without_a_socket_says_why(void **state)
{
    const struct config config = {.port = 5000};
    char expected[128];
    char error[128];

    (void)state;
    failing.socket = EMFILE;
    (void)snprintf(expected, sizeof expected, "cannot create a socket: %s", strerror(EMFILE));
    assert_int_equal(probe_readiness(&config, error, sizeof error), -1);
    assert_string_equal(error, expected);
}

/* A socket that is bound and does not listen keeps the port from everybody else. */
static void probe_of_a_port_where_nobody_listens_fails(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const uint16_t port = server.port;

    (void)state;
    assert_int_equal(bind(deaf, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(deaf, (struct sockaddr *)&address, &size), 0);
    server.port = ntohs(address.sin_port);
    expect_probe("nobody", strerror(ECONNREFUSED));
    server.port = port;
    (void)close(deaf);
}

static void probe_asks_for_readyz_below_the_base_path(void **state)
{
    static const char *const pieces[] = {"HTTP/1.1 200 OK\r\n\r\n", NULL};
    static const struct {
        const char *base_path;
        const char *target;
    } rows[] = {{NULL, "/readyz"}, {"/some/prefix", "/some/prefix/readyz"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct config config = {
            .address = "127.0.0.1", .port = server.port, .base_path = rows[i].base_path};
        char expected[256];
        char error[128];

        restart_server();
        server.pieces = pieces;
        assert_int_equal(probe_readiness(&config, error, sizeof error), 0);
        (void)snprintf(expected, sizeof expected,
                       "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                       rows[i].target);
        assert_string_equal(server.request, expected);
        end_connection();
    }
}

static void probe_sends_the_longest_base_path_uncut(void **state)
{
    static const char *const pieces[] = {"HTTP/1.1 200 OK\r\n\r\n", NULL};
    char base_path[PARSE_BASE_PATH_MAX + 1];
    const struct config config = {
        .address = "127.0.0.1", .port = server.port, .base_path = base_path};
    char expected[512];
    char error[128];

    (void)state;
    memset(base_path, 'b', sizeof base_path - 1);
    base_path[0] = '/';
    base_path[sizeof base_path - 1] = '\0';
    server.pieces = pieces;
    assert_int_equal(probe_readiness(&config, error, sizeof error), 0);
    (void)snprintf(expected, sizeof expected,
                   "GET %s/readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                   base_path);
    assert_string_equal(server.request, expected);
}

static void probe_connects_to_the_address_that_is_listened_on(void **state)
{
    static const struct {
        const char *address;
        const char *asked;
        int family;
    } rows[] = {
        {NULL, "127.0.0.1", AF_INET},
        {"::", "127.0.0.1", AF_INET},
        {"0.0.0.0", "127.0.0.1", AF_INET},
        {"127.0.0.1", "127.0.0.1", AF_INET},
        {"192.0.2.7", "192.0.2.7", AF_INET},
        {"::1", "::1", AF_INET6},
        {"2001:db8::7", "2001:db8::7", AF_INET6},
    };

    (void)state;
    failing.connect = EHOSTUNREACH;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct config config = {.address = rows[i].address, .port = 65535};
        char expected[128];
        char error[128];

        assert_int_equal(probe_readiness(&config, error, sizeof error), -1);
        (void)snprintf(expected, sizeof expected, "%s, port 65535: %s", rows[i].asked,
                       strerror(EHOSTUNREACH));
        assert_string_equal(error, expected);
        (void)snprintf(expected, sizeof expected, "%s 65535", rows[i].asked);
        assert_string_equal(connected_to, expected);
        assert_int_equal(family, rows[i].family);
    }
}

static void probe_that_names_no_server_asks_nobody(void **state)
{
    static const struct {
        struct config config;
        const char *error;
    } rows[] = {
        {{.port = 0}, "cannot health-check port 0; pass the port it listens on"},
        {{.address = "localhost", .port = 5000}, "localhost: not an address"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char error[128];

        assert_int_equal(probe_readiness(&rows[i].config, error, sizeof error), -1);
        assert_string_equal(error, rows[i].error);
        assert_string_equal(connected_to, "");
    }
}

static void probe_cuts_its_error_to_the_room_there_is(void **state)
{
    const struct config config = {.address = "127.0.0.1", .port = 5000};
    char error[16];

    (void)state;
    failing.connect = EHOSTUNREACH;
    assert_int_equal(probe_readiness(&config, error, sizeof error), -1);
    assert_string_equal(error, "127.0.0.1, port");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(probe_judges_by_the_status_line, start_server, stop_server),
        cmocka_unit_test_setup_teardown(probe_puts_an_answer_in_pieces_together, start_server,
                                        stop_server),
        cmocka_unit_test_setup_teardown(probe_of_a_server_that_hangs_up_fails, start_server,
                                        stop_server),
        cmocka_unit_test_setup_teardown(probe_waits_three_seconds_in_all, start_server,
                                        stop_server),
        cmocka_unit_test_setup_teardown(probe_that_is_late_looks_once_more, start_server,
                                        stop_server),
        cmocka_unit_test_setup_teardown(probe_that_connects_at_once_goes_on, start_server,
                                        stop_server),
        cmocka_unit_test_setup_teardown(probe_whose_calls_fail_says_why, start_server, stop_server),
        cmocka_unit_test_setup_teardown(probe_whose_poll_fails_after_the_request_says_why,
                                        start_server, stop_server),
        cmocka_unit_test_setup_teardown(probe_without_a_socket_says_why, start_server, stop_server),
        cmocka_unit_test_setup_teardown(probe_of_a_port_where_nobody_listens_fails, start_server,
                                        stop_server),
        cmocka_unit_test_setup_teardown(probe_asks_for_readyz_below_the_base_path, start_server,
                                        stop_server),
        cmocka_unit_test_setup_teardown(probe_sends_the_longest_base_path_uncut, start_server,
                                        stop_server),
        cmocka_unit_test_setup_teardown(probe_connects_to_the_address_that_is_listened_on,
                                        start_server, stop_server),
        cmocka_unit_test_setup_teardown(probe_that_names_no_server_asks_nobody, start_server,
                                        stop_server),
        cmocka_unit_test_setup_teardown(probe_cuts_its_error_to_the_room_there_is, start_server,
                                        stop_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
