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
#include "failing.h"
#include "inspect.h"
#include "listener.h"
#include "parse.h"
#include "probe.h"

enum { PIECES_MAX = 10, START = 123456789 };

/* What the server does. It runs in the thread of the probe: whenever the probe waits for the
 * response, poll() sends the next piece of it. */
struct behavior {
    const char *pieces[PIECES_MAX]; /* up to NULL */
    enum { END_CLOSE, END_RESET, END_NEVER } end;
    int connect_delay; /* milliseconds */
    int pause;         /* milliseconds before each piece */
    const char *failing;
    unsigned nth;
    int error; /* of the failing call */
};

static struct behavior server;
static size_t sent; /* pieces */
static int listener;
static int connection; /* -1 before the request */
static char request[512];
static int64_t now; /* advances only while waiting */
static int family;  /* of the last socket */
static char connected_to[ADDRESS_TEXT_MAX + sizeof " 65535"];

FAILING_WRAPPER(int, getsockopt, -1, (int fd, int level, int name, void *value, socklen_t *size),
                (fd, level, name, value, size))
FAILING_WRAPPER(ssize_t, send, -1, (int fd, const void *bytes, size_t size, int flags),
                (fd, bytes, size, flags))
int64_t __wrap_monotonic_milliseconds(void);
int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

int64_t __wrap_monotonic_milliseconds(void)
{
    return now;
}

/* Always creates an IPv4 socket: the host may have no IPv6. */
int __wrap_socket(int domain, int type, int protocol)
{
    family = domain;
    return failing_call("socket") ? -1 : __real_socket(AF_INET, type, protocol);
}

/* Completes immediately unless there is a delay. */
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    char text[ADDRESS_TEXT_MAX];
    const uint16_t port = address_print(address, text);

    (void)snprintf(connected_to, sizeof connected_to, "%s %u", text, (unsigned)port);
    now += server.connect_delay;
    if (failing_call("connect"))
        return -1;
    (void)__real_connect(fd, address, size);
    return server.connect_delay > 0 ? -1 : __real_poll(&ready, 1, PATIENCE) - 1;
}

static void receive_request(void)
{
    size_t used = 0;

    connection = accept(listener, NULL, NULL);
    while (strstr(request, "\r\n\r\n") == NULL) {
        const ssize_t n = recv(connection, request + used, sizeof request - 1 - used, 0);

        assert_true(n > 0);
        used += (size_t)n;
    }
}

static void end_connection(void)
{
    const struct linger reset = {.l_onoff = server.end == END_RESET};

    if (connection >= 0) {
        (void)setsockopt(connection, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        (void)close(connection);
    }
    connection = -1;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    const char *piece = server.pieces[sent];

    assert_int_in_range(timeout, 0, 3000);
    if (failing_call("poll"))
        return -1;
    if (fds->events == POLLIN) {
        if (connection < 0)
            receive_request();
        if (server.pause > timeout || (piece == NULL && server.end == END_NEVER)) {
            now += timeout;
            return 0;
        }
        now += server.pause;
        if (piece == NULL)
            end_connection();
        else
            (void)__real_send(connection, piece, strlen(piece), 0);
        sent += piece != NULL;
    }
    return __real_poll(fds, count, PATIENCE);
}

/* Probes a server for `elapsed` milliseconds. `reason` is the error after the address, or NULL if
 * it is ready. */
static void expect_probe(const struct behavior *behavior, const char *base_path, const char *reason,
                         int elapsed)
{
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;
    struct config config = {.address = "127.0.0.1", .base_path = base_path};
    const size_t before = inspect_count_descriptors();
    char expected[256] = "";
    char error[256] = "";
    int result = 0;

    server = *behavior;
    sent = 0;
    memset(request, 0, sizeof request);
    now = START;
    connection = -1;
    listener = listener_open("127.0.0.1", 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    config.port = ntohs(address.sin_port);
    failing_arm(server.failing == NULL ? "" : server.failing, server.nth, server.error);
    result = probe_readiness(&config, error, sizeof error);
    failing_at(0);
    if (reason != NULL)
        (void)snprintf(expected, sizeof expected, "127.0.0.1, port %u: %s", (unsigned)config.port,
                       reason);
    assert_string_equal(error, expected);
    assert_int_equal(result, reason == NULL ? 0 : -1);
    assert_int_equal(now - START, elapsed);
    end_connection();
    (void)close(listener);
    assert_int_equal(inspect_count_descriptors(), before);
}

/* A response that has arrived is read even if connecting took too long. */
static void checks_the_status_line_for_three_seconds(void **state)
{
    static const char other[] = "did not answer with HTTP/1.1";
    const struct {
        struct behavior server;
        const char *reason;
        int elapsed;
    } rows[] = {
        {{.pieces = {"HTTP/1.1 200 "}}, NULL, 0},
        {{.pieces = {"H", "TTP/1", ".1 20", "0", " "}}, NULL, 0},
        {{.pieces = {"HTTP/1.1 503 Service Unavailable\r\n\r\n"}}, "answered 503", 0},
        {{.pieces = {"HTTP/1.1 201 Created\r\n\r\n"}}, "answered 201", 0},
        {{.pieces = {"HTTP/1.0 200 OK\r\n\r\n"}}, other, 0},
        {{.pieces = {"SSH-2.0-OpenSSH_9.2\r\n"}}, other, 0},
        {{.pieces = {"HTTP/1.1 200"}}, other, 0},
        {{.pieces = {"H"}}, other, 0},
        {{.end = END_CLOSE}, other, 0},
        {{.end = END_RESET}, strerror(ECONNRESET), 0},
        {{.end = END_NEVER}, strerror(ETIMEDOUT), 3000},
        {{.pieces = {"H", "T", "T", "P"}, .pause = 999}, strerror(ETIMEDOUT), 3000},
        {{.pieces = {"H", "T", "T", "P"}, .pause = 4000}, strerror(ETIMEDOUT), 3000},
        {{.pieces = {"HTTP/1.1 200 "}, .connect_delay = 5000}, NULL, 5000},
        {{.end = END_NEVER, .connect_delay = 5000}, strerror(ETIMEDOUT), 5000},
        {{.failing = "connect", .nth = 1, .error = ENETUNREACH}, strerror(ENETUNREACH), 0},
        {{.failing = "getsockopt", .nth = 1, .error = ENOBUFS, .connect_delay = 1},
         strerror(ENOBUFS),
         1},
        {{.failing = "send", .nth = 1, .error = EPIPE}, strerror(EPIPE), 0},
        {{.failing = "poll", .nth = 1, .error = ENOMEM}, strerror(ENOMEM), 0},
        {{.failing = "poll", .nth = 1, .error = ENOBUFS, .connect_delay = 1}, strerror(ENOBUFS), 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_probe(&rows[i].server, NULL, rows[i].reason, rows[i].elapsed);
}

static void requests_readyz_under_the_base_path(void **state)
{
    static const struct behavior ready = {.pieces = {"HTTP/1.1 200 OK\r\n\r\n"}};
    char longest[PARSE_BASE_PATH_MAX + 1] = "/";
    const char *const base_paths[] = {NULL, longest};

    (void)state;
    memset(longest + 1, 'b', sizeof longest - 2);
    for (size_t i = 0; i < COUNT_OF(base_paths); i++) {
        char expected[512];

        expect_probe(&ready, base_paths[i], NULL, 0);
        (void)snprintf(expected, sizeof expected,
                       "GET %s/readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                       base_paths[i] == NULL ? "" : base_paths[i]);
        assert_string_equal(request, expected);
    }
}

static void connects_to_the_listen_address(void **state)
{
    static const struct {
        const char *failing;
        const char *address;
        uint32_t port;
        int family;
        const char *connected_to; /* "": not connected */
        const char *error;        /* its start */
    } rows[] = {
        {"connect", NULL, 65535, AF_INET, "127.0.0.1 65535", "127.0.0.1, port"},
        {"connect", "::", 1, AF_INET, "127.0.0.1 1", "127.0.0.1, port"},
        {"connect", "0.0.0.0", 1, AF_INET, "127.0.0.1 1", "127.0.0.1, port"},
        {"connect", "192.0.2.7", 1, AF_INET, "192.0.2.7 1", "192.0.2.7, port"},
        {"connect", "2001:db8::7", 1, AF_INET6, "2001:db8::7 1", "2001:db8::7, po"},
        {"", NULL, 0, AF_INET, "", "cannot health-c"},
        {"", "localhost", 1, AF_INET, "", "localhost: not "},
        {"socket", NULL, 1, AF_INET, "", "cannot create a"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct config config = {.address = rows[i].address, .port = rows[i].port};
        char error[16];

        connected_to[0] = '\0';
        family = AF_INET;
        failing_arm(rows[i].failing, 1, ENETUNREACH);
        assert_int_equal(probe_readiness(&config, error, sizeof error), -1);
        assert_string_equal(error, rows[i].error);
        assert_string_equal(connected_to, rows[i].connected_to);
        assert_int_equal(family, rows[i].family);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_the_status_line_for_three_seconds),
        cmocka_unit_test(requests_readyz_under_the_base_path),
        cmocka_unit_test(connects_to_the_listen_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
