/* wraps: socket setsockopt bind listen */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "failing.h"
#include "inspect.h"
#include "listener.h"

enum { PASSED = 3 };

static int last_backlog; /* passed to listen() */

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);
FAILING_WRAPPER(int, bind, -1, (int fd, const struct sockaddr *address, socklen_t size),
                (fd, address, size))
FAILING_WRAPPER(int, setsockopt, -1,
                (int fd, int level, int name, const void *value, socklen_t size),
                (fd, level, name, value, size))

/* Simulates a host with net.ipv6.bindv6only=1. */
int __wrap_socket(int domain, int type, int protocol)
{
    const int on = 1;
    const int fd = failing_call("socket") ? -1 : __real_socket(domain, type, protocol);

    if (fd >= 0 && domain == AF_INET6)
        (void)__real_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    return fd;
}

int __wrap_listen(int fd, int backlog)
{
    last_backlog = backlog;
    return failing_call("listen") ? -1 : __real_listen(fd, backlog);
}

/* Returns the port of a listener, and writes its address to `text`. */
static uint16_t print_name(int listener, char text[ADDRESS_TEXT_MAX])
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;

    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    return address_print((const struct sockaddr *)&address, text);
}

static void expect_client(const char *address, uint16_t port)
{
    struct sockaddr_storage server;
    socklen_t size = 0;
    int client = -1;

    assert_true(address_parse(address, port, &server, &size));
    client = __real_socket(server.ss_family, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&server, size), 0);
    (void)close(client);
}

static bool has_ipv6(void)
{
    const int listener = listener_open("::1", 0);

    return listener >= 0 && close(listener) == 0;
}

static void expect_flags(int listener)
{
    assert_int_equal(fcntl(listener, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(fcntl(listener, F_GETFD), FD_CLOEXEC);
}

static void expect_option(int listener, int option, int expected)
{
    int value = -1;
    socklen_t size = sizeof value;

    assert_int_equal(getsockopt(listener, SOL_SOCKET, option, &value, &size), 0);
    assert_int_equal(value, expected);
}

static void opens_a_socket_at_the_address(void **state)
{
    static const struct {
        const char *address;
        const char *failing;
        unsigned nth;
        int error;
        int result;        /* negative errno, or 0 */
        const char *bound; /* address */
        bool has_ipv4;     /* accepts clients at 127.0.0.1 */
        bool has_ipv6;     /* and at ::1 */
    } rows[] = {
        {"127.0.0.1", "", 0, 0, 0, "127.0.0.1", true, false},
        {"0.0.0.0", "", 0, 0, 0, "0.0.0.0", true, false},
        {"192.0.2.1", "", 0, 0, -EADDRNOTAVAIL, NULL, 0, 0}, /* TEST-NET-1, RFC 5737 */
        {"localhost", "", 0, 0, -EINVAL, NULL, 0, 0},
        {"127.0.0.1:80", "", 0, 0, -EINVAL, NULL, 0, 0},
        {"127.0.0.1", "socket", 1, EMFILE, -EMFILE, NULL, 0, 0},
        {"127.0.0.1", "setsockopt", 1, ENOMEM, -ENOMEM, NULL, 0, 0},
        {"127.0.0.1", "bind", 1, EACCES, -EACCES, NULL, 0, 0},
        {"127.0.0.1", "listen", 1, EADDRINUSE, -EADDRINUSE, NULL, 0, 0},
        {NULL, "socket", 1, EAFNOSUPPORT, 0, "0.0.0.0", true, false},
        {NULL, "socket", 1, EMFILE, -EMFILE, NULL, 0, 0},
        {"::", "socket", 1, EAFNOSUPPORT, -EAFNOSUPPORT, NULL, 0, 0},
        /* These require IPv6. */
        {NULL, "bind", 1, EADDRNOTAVAIL, 0, "0.0.0.0", true, false},
        {NULL, "bind", 1, EADDRINUSE, -EADDRINUSE, NULL, 0, 0},
        {"::1", "bind", 1, EADDRNOTAVAIL, -EADDRNOTAVAIL, NULL, 0, 0},
        {"::", "setsockopt", 2, ENOPROTOOPT, -ENOPROTOOPT, NULL, 0, 0},
        {NULL, "", 0, 0, 0, "::", true, true},
        {"::", "", 0, 0, 0, "::", true, true},
        {"::1", "", 0, 0, 0, "::1", false, true},
    };
    const size_t count = has_ipv6() ? COUNT_OF(rows) : 12;
    const size_t before = inspect_count_descriptors();

    (void)state;
    for (size_t i = 0; i < count; i++) {
        char bound[ADDRESS_TEXT_MAX];
        uint16_t port = 0;
        int listener = -1;

        print_message("row %zu\n", i);
        failing_arm(rows[i].failing, rows[i].nth, rows[i].error);
        listener = listener_open(rows[i].address, 0);
        failing_at(0);
        assert_int_equal(listener < 0 ? listener : 0, rows[i].result);
        if (listener >= 0) {
            port = print_name(listener, bound);
            assert_string_equal(bound, rows[i].bound);
            if (rows[i].has_ipv4)
                expect_client("127.0.0.1", port);
            if (rows[i].has_ipv6)
                expect_client("::1", port);
            assert_int_equal(listener_open(rows[i].address, port), -EADDRINUSE);
            expect_option(listener, SO_REUSEADDR, 1);
            expect_option(listener, SO_REUSEPORT, 0);
            expect_flags(listener);
            assert_int_equal(last_backlog, INT_MAX);
            (void)close(listener);
        }
        assert_int_equal(inspect_count_descriptors(), before);
    }
}

/* Makes a blocking socket, bound to a free port or name, descriptor 3. */
static void pass_socket(int family, int type, bool is_listening)
{
    const struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
    const socklen_t size =
        family == AF_UNIX ? sizeof address.ss_family : sizeof(struct sockaddr_in6);
    const int fd = __real_socket(family, type, 0);

    assert_int_equal(__real_bind(fd, (const struct sockaddr *)&address, size), 0);
    if (is_listening)
        assert_int_equal(__real_listen(fd, 1), 0);
    assert_int_equal(dup2(fd, PASSED), PASSED);
    if (fd != PASSED)
        (void)close(fd);
}

static void set_variable(const char *name, const char *value)
{
    assert_int_equal(value == NULL ? unsetenv(name) : setenv(name, value, 1), 0);
}

static void takes_a_listening_tcp_socket_only(void **state)
{
    char own[16]; /* process ID */
    const struct {
        int family; /* 0: no socket is passed */
        int type;
        bool is_listening;
        const char *pid;
        const char *count;
        int result;
        const char *error;
    } rows[] = {
        {AF_INET, SOCK_STREAM, true, own, "1", PASSED, ""},
        {has_ipv6() ? AF_INET6 : AF_INET, SOCK_STREAM, true, own, "1", PASSED, ""},
        {AF_INET, SOCK_DGRAM, false, own, "1", -EINVAL,
         "descriptor 3 is not a stream socket: SO_TYPE is 2"},
        {AF_INET, SOCK_STREAM, false, own, "1", -EINVAL,
         "descriptor 3 is not listening: SO_ACCEPTCONN is 0"},
        {AF_UNIX, SOCK_STREAM, true, own, "1", -EINVAL,
         "descriptor 3 is not a TCP socket: SO_PROTOCOL is 0"},
        {0, 0, false, own, "1", -EINVAL, "descriptor 3: Bad file descriptor"},
        {AF_INET, SOCK_STREAM, true, NULL, "1", -ENOENT, ""},
        {AF_INET, SOCK_STREAM, true, own, NULL, -ENOENT, ""},
        {AF_INET, SOCK_STREAM, true, "1", "garbage", -ENOENT, ""}, /* for another process */
        {AF_INET, SOCK_STREAM, true, own, "", -EINVAL, "LISTEN_FDS: '' is not 1"},
        {AF_INET, SOCK_STREAM, true, own, "1 ", -EINVAL, "LISTEN_FDS: '1 ' is not 1"},
        {AF_INET, SOCK_STREAM, true, own, "01", -EINVAL, "LISTEN_FDS: '01' is not 1"},
        {AF_INET, SOCK_STREAM, true, "0", "1", -EINVAL, "LISTEN_PID: '0' is not a process id"},
        {AF_INET, SOCK_STREAM, true, "1x", "1", -EINVAL, "LISTEN_PID: '1x' is not a process id"},
        {AF_INET, SOCK_STREAM, true, "2147483648", "1", -EINVAL,
         "LISTEN_PID: '2147483648' is not a process id"},
    };

    (void)state;
    (void)snprintf(own, sizeof own, "%d", (int)getpid());
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char error[128] = "";
        char text[ADDRESS_TEXT_MAX];

        print_message("row %zu\n", i);
        if (rows[i].family != 0)
            pass_socket(rows[i].family, rows[i].type, rows[i].is_listening);
        set_variable("LISTEN_PID", rows[i].pid);
        set_variable("LISTEN_FDS", rows[i].count);
        last_backlog = -1;
        assert_int_equal(listener_take(error, sizeof error), rows[i].result);
        assert_string_equal(error, rows[i].error);
        if (rows[i].result == PASSED) {
            assert_int_equal(last_backlog, -1); /* keeps its backlog */
            expect_flags(PASSED);
            expect_client(rows[i].family == AF_INET ? "127.0.0.1" : "::1",
                          print_name(PASSED, text));
        }
        (void)close(PASSED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_a_socket_at_the_address),
        cmocka_unit_test(takes_a_listening_tcp_socket_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
