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

/* Serves the probe in the same thread: whenever the probe waits for the response, poll() sends the
 * next piece of it. */
static struct {
    int listener;
    int connection; /* -1 before the request */
    uint16_t port;
    char request[512];
    const char *const *pieces; /* NULL-terminated */
    enum { END_CLOSE, END_RESET, END_NEVER } end;
    int pause;         /* milliseconds before each piece */
    bool connects;     /* connect() completes immediately */
    int connect_delay; /* milliseconds */
} server;

static int64_t now; /* advances only while waiting */
static int64_t start;
static int family; /* of the last socket */
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

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    char text[ADDRESS_TEXT_MAX];
    const uint16_t port = address_print(address, text);

    (void)snprintf(connected_to, sizeof connected_to, "%s %u", text, (unsigned)port);
    now += server.connect_delay;
    if (failing_call("connect"))
        return -1;
    return __real_connect(fd, address, size) != 0 && server.connects
               ? __real_poll(&ready, 1, PATIENCE) - 1
               : -1;
}

static void receive_request(void)
{
    size_t used = 0;

    server.connection = accept(server.listener, NULL, NULL);
    while (strstr(server.request, "\r\n\r\n") == NULL) {
        const ssize_t n =
            recv(server.connection, server.request + used, sizeof server.request - 1 - used, 0);

        assert_true(n > 0);
        used += (size_t)n;
    }
}

static void end_connection(void)
{
    const struct linger reset = {.l_onoff = server.end == END_RESET};

    if (server.connection >= 0) {
        (void)setsockopt(server.connection, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        (void)close(server.connection);
    }
    server.connection = -1;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    assert_int_in_range(timeout, 0, 3000);
    if (failing_call("poll"))
        return -1;
    if (fds->events == POLLIN) {
        if (server.connection < 0)
            receive_request();
        if (server.pause > timeout || (*server.pieces == NULL && server.end == END_NEVER)) {
            now += timeout;
            return 0;
        }
        now += server.pause;
        if (*server.pieces == NULL)
            end_connection();
        else
            (void)__real_send(server.connection, *server.pieces, strlen(*server.pieces), 0);
        server.pieces += *server.pieces != NULL;
    }
    return __real_poll(fds, count, PATIENCE);
}

static const char *const OK[] = {"HTTP/1.1 200 OK\r\n\r\n", NULL};
static const char *const NOTHING[] = {NULL};

static int start_server(void **state)
{
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;

    (void)state;
    memset(&server, 0, sizeof server);
    server.listener = listener_open("127.0.0.1", 0);
    server.connection = -1;
    server.pieces = OK;
    connected_to[0] = '\0';
    now = start = 123456789;
    if (getsockname(server.listener, (struct sockaddr *)&address, &size) != 0)
        return -1;
    server.port = ntohs(address.sin_port);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    failing_at(0);
    end_connection();
    return close(server.listener);
}

/* Probes the server. `reason` is the error after the address, or NULL if it is ready. */
static void expect_probe(const char *base_path, const char *reason)
{
    const struct config config = {
        .address = "127.0.0.1", .port = server.port, .base_path = base_path};
    const size_t before = inspect_count_descriptors();
    char expected[256] = "";
    char error[256] = "";
    const int result = probe_readiness(&config, error, sizeof error);

    if (reason != NULL)
        (void)snprintf(expected, sizeof expected, "127.0.0.1, port %u: %s", (unsigned)server.port,
                       reason);
    assert_string_equal(error, expected);
    assert_int_equal(result, reason == NULL ? 0 : -1);
    end_connection();
    assert_int_equal(inspect_count_descriptors(), before);
}

/* The same after a restart of the server with another response. */
static void expect_response(const char *const *pieces, int end, const char *reason)
{
    (void)stop_server(NULL);
    (void)start_server(NULL);
    server.pieces = pieces;
    server.end = end;
    expect_probe(NULL, reason);
}

static void checks_the_status_line(void **state)
{
    static const char other[] = "did not answer with HTTP/1.1";
    static const struct {
        const char *response;
        const char *reason;
    } rows[] = {
        {"HTTP/1.1 200 ", NULL},
        {"HTTP/1.1 503 Service Unavailable\r\n\r\n", "answered 503"},
        {"HTTP/1.1 201 Created\r\n\r\n", "answered 201"},
        {"HTTP/1.0 200 OK\r\n\r\n", other},
        {"SSH-2.0-OpenSSH_9.2\r\n", other},
        {"HTTP/1.1 200", other},
        {"H", other},
    };
    static const char *const pieces[] = {"H", "TTP/1", ".1 20", "0", " ", NULL};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_response((const char *const[]){rows[i].response, NULL}, END_CLOSE, rows[i].reason);
    expect_response(pieces, END_CLOSE, NULL);
    expect_response(NOTHING, END_CLOSE, other);
    expect_response(NOTHING, END_RESET, strerror(ECONNRESET));
}

static void times_out_after_three_seconds(void **state)
{
    static const char *const bytes[] = {"H", "T", "T", "P", "/", "1", ".", "1", " ", NULL};
    static const int pauses[] = {999, 4000};

    (void)state;
    expect_response(NOTHING, END_NEVER, strerror(ETIMEDOUT));
    assert_int_equal(now - start, 3000);
    for (size_t i = 0; i < COUNT_OF(pauses); i++) {
        server.pieces = bytes;
        server.pause = pauses[i];
        start = now;
        expect_probe(NULL, strerror(ETIMEDOUT));
        assert_int_equal(now - start, 3000);
    }
    server.pause = 0;
    server.connect_delay = 5000; /* an available response is still read */
    server.pieces = OK;
    expect_probe(NULL, NULL);
    server.pieces = NOTHING;
    start = now;
    expect_probe(NULL, strerror(ETIMEDOUT));
    assert_int_equal(now - start, 5000);
}

static void reports_failures(void **state)
{
    static const struct {
        const char *failing;
        unsigned nth;
        int error;
    } rows[] = {
        {"connect", 1, ENETUNREACH}, {"getsockopt", 1, ENOBUFS}, {"send", 1, EPIPE},
        {"poll", 1, ENOMEM},         {"poll", 2, ENOMEM},
    };
    const struct config config = {.port = 5000};
    char expected[128];
    char error[128];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)stop_server(NULL);
        (void)start_server(NULL);
        failing_arm(rows[i].failing, rows[i].nth, rows[i].error);
        expect_probe(NULL, strerror(rows[i].error));
    }
    failing_arm("socket", 1, EMFILE);
    (void)snprintf(expected, sizeof expected, "cannot create a socket: %s", strerror(EMFILE));
    assert_int_equal(probe_readiness(&config, error, sizeof error), -1);
    assert_string_equal(error, expected);
}

static void requests_readyz_under_the_base_path(void **state)
{
    char longest[PARSE_BASE_PATH_MAX + 1] = "/";
    const char *const base_paths[] = {NULL, longest};

    (void)state;
    memset(longest + 1, 'b', sizeof longest - 2);
    for (size_t i = 0; i < COUNT_OF(base_paths); i++) {
        char expected[512];

        memset(server.request, 0, sizeof server.request);
        server.connects = true;
        server.pieces = OK;
        expect_probe(base_paths[i], NULL);
        (void)snprintf(expected, sizeof expected,
                       "GET %s/readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                       base_paths[i] == NULL ? "" : base_paths[i]);
        assert_string_equal(server.request, expected);
    }
}

static void connects_to_the_listen_address(void **state)
{
    static const struct {
        const char *address;
        uint32_t port;
        int family;
        const char *connected_to; /* "": not connected */
        const char *error;        /* its start */
    } rows[] = {
        {NULL, 65535, AF_INET, "127.0.0.1 65535", "127.0.0.1, port"},
        {"::", 1, AF_INET, "127.0.0.1 1", "127.0.0.1, port"},
        {"0.0.0.0", 1, AF_INET, "127.0.0.1 1", "127.0.0.1, port"},
        {"192.0.2.7", 1, AF_INET, "192.0.2.7 1", "192.0.2.7, port"},
        {"2001:db8::7", 1, AF_INET6, "2001:db8::7 1", "2001:db8::7, po"},
        {NULL, 0, AF_INET, "", "cannot health-c"},
        {"localhost", 1, AF_INET, "", "localhost: not "},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct config config = {.address = rows[i].address, .port = rows[i].port};
        char error[16];

        connected_to[0] = '\0';
        family = AF_INET;
        failing_arm("connect", 1, ENETUNREACH);
        assert_int_equal(probe_readiness(&config, error, sizeof error), -1);
        assert_string_equal(error, rows[i].error);
        assert_string_equal(connected_to, rows[i].connected_to);
        assert_int_equal(family, rows[i].family);
    }
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, start_server, stop_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(checks_the_status_line),
        WITH_SERVER(times_out_after_three_seconds),
        WITH_SERVER(reports_failures),
        WITH_SERVER(requests_readyz_under_the_base_path),
        WITH_SERVER(connects_to_the_listen_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
