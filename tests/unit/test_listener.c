/* wraps: socket setsockopt bind listen */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "failing.h"
#include "inspect.h"
#include "listener.h"

enum { PASSED = 3, FIRST_IPV4 = 7 /* row */ };

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

static struct sockaddr_in6 address_of(int listener)
{
    struct sockaddr_in6 address = {.sin6_family = AF_UNSPEC};
    socklen_t size = sizeof address;

    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    return address;
}

/* The port has the same offset in both families. */
static uint16_t port_of(int listener)
{
    return ntohs(address_of(listener).sin6_port);
}

static bool has_ipv6(void)
{
    const int listener = listener_open("::1", 0);

    return listener >= 0 && close(listener) == 0;
}

static void expect_ipv6_client_accepted(int listener)
{
    const struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                         .sin6_addr = IN6ADDR_LOOPBACK_INIT,
                                         .sin6_port = address_of(listener).sin6_port};
    const int client = socket(AF_INET6, SOCK_STREAM, 0);

    assert_int_equal(connect(client, (const struct sockaddr *)&address, sizeof address), 0);
    (void)close(client);
}

static void accepts_clients_of_both_families(void **state)
{
    static const char *const addresses[] = {NULL, "::"};

    (void)state;
    if (!has_ipv6())
        skip();
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        const int listener = listener_open(addresses[i], 0);

        assert_true(listener >= 0);
        (void)close(client_connect(port_of(listener)));
        expect_ipv6_client_accepted(listener);
        assert_int_equal(listener_open(NULL, port_of(listener)), -EADDRINUSE);
        (void)close(listener);
    }
}

static void sets_options(void **state)
{
    const int listener = listener_open("127.0.0.1", 0);
    int reuse_address = 0;
    int reuse_port = -1;
    socklen_t size = sizeof reuse_port;

    (void)state;
    assert_int_equal(getsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse_address, &size), 0);
    assert_int_equal(getsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &reuse_port, &size), 0);
    assert_int_equal(reuse_address, 1);
    assert_int_equal(reuse_port, 0);
    assert_int_equal(fcntl(listener, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(fcntl(listener, F_GETFD), FD_CLOEXEC);
    assert_int_equal(last_backlog, INT_MAX);
    (void)close(client_connect(port_of(listener)));
    assert_int_equal(listener_open("0.0.0.0", port_of(listener)), -EADDRINUSE);
    (void)close(listener);
}

/* Without an address, IPv4 is used if the host has no IPv6. */
static void handles_failures(void **state)
{
    static const struct {
        const char *address;
        const char *failing;
        unsigned nth;
        int error;
        int result; /* 0: listens on 0.0.0.0 */
    } rows[] = {
        {NULL, "socket", 1, EAFNOSUPPORT, 0},
        {NULL, "bind", 1, EADDRNOTAVAIL, 0},
        {NULL, "bind", 1, EADDRINUSE, -EADDRINUSE},
        {NULL, "socket", 1, EMFILE, -EMFILE},
        {"::", "socket", 1, EAFNOSUPPORT, -EAFNOSUPPORT},
        {"::1", "bind", 1, EADDRNOTAVAIL, -EADDRNOTAVAIL},
        {"::", "setsockopt", 2, ENOPROTOOPT, -ENOPROTOOPT},
        {"127.0.0.1", "socket", 1, EMFILE, -EMFILE},
        {"127.0.0.1", "setsockopt", 1, ENOMEM, -ENOMEM},
        {"127.0.0.1", "bind", 1, EACCES, -EACCES},
        {"127.0.0.1", "listen", 1, EADDRINUSE, -EADDRINUSE},
        {"192.0.2.1", "", 0, 0, -EADDRNOTAVAIL}, /* TEST-NET-1, RFC 5737 */
        {"localhost", "", 0, 0, -EINVAL},
        {"127.0.0.1:80", "", 0, 0, -EINVAL},
    };
    const size_t before = inspect_count_descriptors();

    (void)state;
    for (size_t i = has_ipv6() ? 0 : FIRST_IPV4; i < COUNT_OF(rows); i++) {
        int result = 0;

        failing_arm(rows[i].failing, rows[i].nth, rows[i].error);
        result = listener_open(rows[i].address, 0);
        failing_at(0);
        if (rows[i].result < 0 ? result != rows[i].result : result < 0)
            fail_msg("row %zu returns %d", i, result);
        if (result >= 0) {
            const struct sockaddr_in6 address = address_of(result);

            assert_int_equal(address.sin6_family, AF_INET);
            assert_int_equal(((const struct sockaddr_in *)&address)->sin_addr.s_addr, INADDR_ANY);
            (void)close(result);
        }
        assert_int_equal(inspect_count_descriptors(), before);
    }
}

static int saved = -1; /* a copy of descriptor 3 */

static int save_descriptor(void **state)
{
    (void)state;
    saved = fcntl(PASSED, F_DUPFD_CLOEXEC, PASSED + 1);
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    return 0;
}

static int restore_descriptor(void **state)
{
    (void)state;
    (void)close(PASSED);
    if (saved >= 0) {
        (void)dup2(saved, PASSED);
        (void)close(saved);
    }
    return 0;
}

/* Passes a new socket, bound to a free port or name and blocking, as descriptor 3. */
static void pass_socket(int family, int type, bool is_listening)
{
    const struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
    const socklen_t size =
        family == AF_UNIX ? sizeof address.ss_family : sizeof(struct sockaddr_in6);
    const int fd = __real_socket(family, type, 0);
    char pid[16];

    assert_int_equal(__real_bind(fd, (const struct sockaddr *)&address, size), 0);
    if (is_listening)
        assert_int_equal(__real_listen(fd, 1), 0);
    assert_int_equal(dup2(fd, PASSED), PASSED);
    if (fd != PASSED)
        (void)close(fd);
    (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
    assert_int_equal(setenv("LISTEN_PID", pid, 1), 0);
    assert_int_equal(setenv("LISTEN_FDS", "1", 1), 0);
}

/* Checks listener_take(). */
static void expect_taken(int result, const char *message)
{
    char error[128] = "";

    assert_int_equal(listener_take(error, sizeof error), result);
    assert_string_equal(error, message);
}

static void takes_a_passed_socket(void **state)
{
    static const int families[] = {AF_INET, AF_INET6};

    (void)state;
    for (size_t i = 0; i < (has_ipv6() ? 2 : 1); i++) {
        pass_socket(families[i], SOCK_STREAM, true);
        last_backlog = -1;
        expect_taken(PASSED, "");
        assert_int_equal(last_backlog, -1); /* keeps its backlog */
        assert_int_equal(fcntl(PASSED, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        assert_int_equal(fcntl(PASSED, F_GETFD), FD_CLOEXEC);
        if (families[i] == AF_INET)
            (void)close(client_connect(port_of(PASSED)));
        else
            expect_ipv6_client_accepted(PASSED);
    }
}

static void rejects_other_descriptors(void **state)
{
    char expected[128];

    (void)state;
    pass_socket(AF_INET, SOCK_DGRAM, false);
    expect_taken(-EINVAL, "descriptor 3 is not a stream socket: SO_TYPE is 2");
    pass_socket(AF_INET, SOCK_STREAM, false);
    expect_taken(-EINVAL, "descriptor 3 is not listening: SO_ACCEPTCONN is 0");
    pass_socket(AF_UNIX, SOCK_STREAM, true);
    expect_taken(-EINVAL, "descriptor 3 is not a TCP socket: SO_PROTOCOL is 0");
    (void)close(PASSED);
    (void)snprintf(expected, sizeof expected, "descriptor 3: %s", strerror(EBADF));
    expect_taken(-EINVAL, expected);
}

static void checks_the_variables(void **state)
{
    static const struct {
        const char *pid; /* "" is the ID of this process */
        const char *count;
        int result;
        const char *error;
    } rows[] = {
        {NULL, "1", -ENOENT, ""},
        {"", NULL, -ENOENT, ""},
        {"1", "garbage", -ENOENT, ""}, /* for another process */
        {"", "", -EINVAL, "LISTEN_FDS: '' is not 1"},
        {"", "1 ", -EINVAL, "LISTEN_FDS: '1 ' is not 1"},
        {"", "01", -EINVAL, "LISTEN_FDS: '01' is not 1"},
        {"0", "1", -EINVAL, "LISTEN_PID: '0' is not a process id"},
        {"1x", "1", -EINVAL, "LISTEN_PID: '1x' is not a process id"},
        {"2147483648", "1", -EINVAL, "LISTEN_PID: '2147483648' is not a process id"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        pass_socket(AF_INET, SOCK_STREAM, true);
        if (rows[i].pid == NULL)
            (void)unsetenv("LISTEN_PID");
        else if (rows[i].pid[0] != '\0')
            (void)setenv("LISTEN_PID", rows[i].pid, 1);
        if (rows[i].count == NULL)
            (void)unsetenv("LISTEN_FDS");
        else
            (void)setenv("LISTEN_FDS", rows[i].count, 1);
        expect_taken(rows[i].result, rows[i].error);
    }
}

#define WITH_DESCRIPTOR(test)                                                                      \
    cmocka_unit_test_setup_teardown(test, save_descriptor, restore_descriptor)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_clients_of_both_families),
        cmocka_unit_test(sets_options),
        cmocka_unit_test(handles_failures),
        WITH_DESCRIPTOR(takes_a_passed_socket),
        WITH_DESCRIPTOR(rejects_other_descriptors),
        WITH_DESCRIPTOR(checks_the_variables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
