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
#include <sys/un.h>
#include <unistd.h>

#include "client.h"
#include "inspect.h"
#include "listener.h"

enum call { CALL_NONE, CALL_SOCKET, CALL_SETSOCKOPT, CALL_BIND, CALL_LISTEN };

/* Which call fails, how, and for which sockets (AF_UNSPEC: all, or an option of one family). */
static struct {
    enum call call;
    int error;
    int family;
} failing;

/* A host whose IPv6 sockets take IPv6 clients only, unless told otherwise: net.ipv6.bindv6only. */
static bool host_separates_families;

static int last_family;  /* of the last socket that was made */
static int last_backlog; /* that was given to listen() */

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __real_bind(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size);
int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);

static bool fails(enum call call, int family)
{
    if (failing.call != call || (failing.family != AF_UNSPEC && failing.family != family))
        return false;
    errno = failing.error;
    return true;
}

int __wrap_socket(int domain, int type, int protocol)
{
    const int on = 1;
    int fd = -1;

    last_family = domain;
    if (fails(CALL_SOCKET, domain))
        return -1;
    fd = __real_socket(domain, type, protocol);
    if (fd >= 0 && domain == AF_INET6 && host_separates_families)
        (void)__real_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    return fd;
}

/* The level of an option tells the family that it is for. */
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    return fails(CALL_SETSOCKOPT, level == IPPROTO_IPV6 ? AF_INET6 : AF_INET)
               ? -1
               : __real_setsockopt(fd, level, name, value, size);
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size)
{
    return fails(CALL_BIND, address->sa_family) ? -1 : __real_bind(fd, address, size);
}

int __wrap_listen(int fd, int backlog)
{
    last_backlog = backlog;
    return fails(CALL_LISTEN, last_family) ? -1 : __real_listen(fd, backlog);
}

static int restore_calls(void **state)
{
    (void)state;
    memset(&failing, 0, sizeof failing);
    host_separates_families = false;
    return 0;
}

static struct sockaddr_in6 address_of(int listener)
{
    struct sockaddr_in6 address = {.sin6_family = AF_UNSPEC};
    socklen_t size = sizeof address;

    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    return address;
}

/* The port is at the same place in both families. */
static uint16_t port_of(int listener)
{
    return ntohs(address_of(listener).sin6_port);
}

static int option_of(int listener, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;

    assert_int_equal(getsockopt(listener, level, name, &value, &size), 0);
    return value;
}

/* Skips the test on a host without IPv6. */
static void require_ipv6(void)
{
    const struct sockaddr_in6 loopback = {.sin6_family = AF_INET6,
                                          .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const int probe = __real_socket(AF_INET6, SOCK_STREAM, 0);
    const bool has_ipv6 =
        probe >= 0 && __real_bind(probe, (const struct sockaddr *)&loopback, sizeof loopback) == 0;

    if (probe >= 0)
        (void)close(probe);
    if (!has_ipv6)
        skip();
}

static int open_or_fail(const char *address, uint16_t port)
{
    const int listener = listener_open(address, port);

    if (listener < 0)
        fail_msg("cannot listen at %s, port %u: %s", address == NULL ? "NULL" : address,
                 (unsigned)port, strerror(-listener));
    return listener;
}

static void expect_ipv4_client_accepted(int listener)
{
    const int client = client_connect(port_of(listener));

    (void)close(client);
}

static void expect_ipv6_client_accepted(int listener)
{
    const struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                         .sin6_addr = IN6ADDR_LOOPBACK_INIT,
                                         .sin6_port = address_of(listener).sin6_port};
    const int client = __real_socket(AF_INET6, SOCK_STREAM, 0);

    assert_true(client >= 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&address, sizeof address), 0);
    (void)close(client);
}

static void listener_without_address_takes_clients_of_both_families(void **state)
{
    int listener = -1;

    (void)state;
    require_ipv6();
    listener = open_or_fail(NULL, 0);
    assert_int_equal(address_of(listener).sin6_family, AF_INET6);
    expect_ipv4_client_accepted(listener);
    expect_ipv6_client_accepted(listener);
    (void)close(listener);
}

static void listener_at_ipv6_wildcard_takes_clients_of_both_families(void **state)
{
    int listener = -1;

    (void)state;
    require_ipv6();
    listener = open_or_fail("::", 0);
    expect_ipv4_client_accepted(listener);
    expect_ipv6_client_accepted(listener);
    (void)close(listener);
}

static void listener_where_families_are_separate_takes_clients_of_both(void **state)
{
    int listener = -1;

    (void)state;
    require_ipv6();
    host_separates_families = true;
    listener = open_or_fail(NULL, 0);
    expect_ipv4_client_accepted(listener);
    expect_ipv6_client_accepted(listener);
    (void)close(listener);
}

static void listener_at_ipv6_loopback_takes_its_clients(void **state)
{
    int listener = -1;

    (void)state;
    require_ipv6();
    listener = open_or_fail("::1", 0);
    expect_ipv6_client_accepted(listener);
    (void)close(listener);
}

static void listener_at_ipv4_loopback_takes_its_clients(void **state)
{
    const int listener = open_or_fail("127.0.0.1", 0);

    (void)state;
    assert_int_equal(address_of(listener).sin6_family, AF_INET);
    expect_ipv4_client_accepted(listener);
    (void)close(listener);
}

static void listener_without_ipv6_falls_back_to_ipv4(void **state)
{
    static const struct {
        enum call call;
        int error;
    } rows[] = {{CALL_SOCKET, EAFNOSUPPORT}, {CALL_BIND, EADDRNOTAVAIL}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const size_t before = inspect_count_descriptors();
        struct sockaddr_in6 address;
        int listener = -1;

        failing.call = rows[i].call;
        failing.error = rows[i].error;
        failing.family = AF_INET6;
        listener = open_or_fail(NULL, 0);
        address = address_of(listener);
        assert_int_equal(address.sin6_family, AF_INET);
        assert_int_equal(((struct sockaddr_in *)&address)->sin_addr.s_addr, htonl(INADDR_ANY));
        expect_ipv4_client_accepted(listener);
        assert_int_equal(inspect_count_descriptors(), before + 1);
        (void)close(listener);
    }
}

static void listener_without_any_family_fails(void **state)
{
    (void)state;
    failing.call = CALL_SOCKET;
    failing.error = EAFNOSUPPORT;
    assert_int_equal(listener_open(NULL, 0), -EAFNOSUPPORT);
    assert_int_equal(last_family, AF_INET);
}

static void listener_at_given_address_never_falls_back(void **state)
{
    static const int errors[] = {EAFNOSUPPORT, EADDRNOTAVAIL};

    (void)state;
    failing.call = CALL_SOCKET;
    failing.family = AF_INET6;
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        failing.error = errors[i];
        assert_int_equal(listener_open("::", 0), -errors[i]);
        assert_int_equal(listener_open("::1", 0), -errors[i]);
    }
}

static void listener_for_another_reason_never_falls_back(void **state)
{
    static const int errors[] = {EADDRINUSE, EACCES, EMFILE, ENOBUFS};

    (void)state;
    failing.call = CALL_SOCKET;
    failing.family = AF_INET6;
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        failing.error = errors[i];
        assert_int_equal(listener_open(NULL, 0), -errors[i]);
    }
}

static void listener_when_a_call_fails_returns_its_error_and_closes(void **state)
{
    static const struct {
        const char *name;
        enum call call;
        int error;
        const char *address;
    } rows[] = {
        {"socket", CALL_SOCKET, EMFILE, "127.0.0.1"},
        {"SO_REUSEADDR", CALL_SETSOCKOPT, ENOMEM, "127.0.0.1"},
        {"bind", CALL_BIND, EACCES, "127.0.0.1"},
        {"listen", CALL_LISTEN, EADDRINUSE, "127.0.0.1"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const size_t before = inspect_count_descriptors();
        int result = 0;

        failing.call = rows[i].call;
        failing.error = rows[i].error;
        result = listener_open(rows[i].address, 0);
        if (result != -rows[i].error || inspect_count_descriptors() != before)
            fail_msg("%s: returns %d, %zu descriptors before and %zu after", rows[i].name, result,
                     before, inspect_count_descriptors());
    }
}

static void listener_when_it_cannot_take_ipv4_clients_fails(void **state)
{
    size_t before = 0;

    (void)state;
    require_ipv6();
    before = inspect_count_descriptors();
    failing.call = CALL_SETSOCKOPT;
    failing.error = ENOPROTOOPT;
    failing.family = AF_INET6;
    assert_int_equal(listener_open("::", 0), -ENOPROTOOPT);
    assert_int_equal(inspect_count_descriptors(), before);
}

static void listener_at_malformed_address_fails(void **state)
{
    static const char *const addresses[] = {"", "localhost", "[::1]", "127.0.0.1:80", "127.1"};
    const size_t before = inspect_count_descriptors();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        if (listener_open(addresses[i], 0) != -EINVAL)
            fail_msg("'%s' is taken for an address", addresses[i]);
    }
    assert_int_equal(inspect_count_descriptors(), before);
}

static void listener_at_address_of_no_interface_fails(void **state)
{
    (void)state;
    assert_int_equal(listener_open("192.0.2.1", 0), -EADDRNOTAVAIL); /* TEST-NET-1, RFC 5737 */
}

static void listener_on_port_in_use_fails(void **state)
{
    static const struct {
        const char *first;
        const char *second;
    } rows[] = {
        {"127.0.0.1", "127.0.0.1"},
        {"127.0.0.1", "0.0.0.0"},
        {"0.0.0.0", "127.0.0.1"},
        {"0.0.0.0", "0.0.0.0"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const int first = open_or_fail(rows[i].first, 0);
        const int second = listener_open(rows[i].second, port_of(first));

        if (second != -EADDRINUSE)
            fail_msg("%s after %s: returns %d", rows[i].second, rows[i].first, second);
        (void)close(first);
    }
}

static void listener_of_both_families_on_port_in_use_of_either_fails(void **state)
{
    static const char *const addresses[] = {"127.0.0.1", "::1", "::"};

    (void)state;
    require_ipv6();
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        const int first = open_or_fail(addresses[i], 0);
        const int second = listener_open(NULL, port_of(first));

        if (second != -EADDRINUSE)
            fail_msg("after %s: returns %d", addresses[i], second);
        (void)close(first);
    }
}

/* The side that closes first keeps the connection in TIME_WAIT. The address is this process' own:
 * no other test can take the port meanwhile. */
static void listener_on_port_with_old_connections_opens(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    char text[INET_ADDRSTRLEN];
    int listener = -1;
    int client = -1;
    int accepted = -1;
    char byte = 0;

    (void)state;
    (void)snprintf(text, sizeof text, "127.1.%d.%d", getpid() / 250 % 250, getpid() % 250 + 1);
    listener = open_or_fail(text, 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    client = __real_socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&address, size), 0);
    accepted = accept(listener, NULL, NULL);
    assert_true(accepted >= 0);
    (void)close(accepted);
    assert_int_equal(recv(client, &byte, 1, 0), 0);
    (void)close(client);
    (void)close(listener);
    listener = open_or_fail(text, ntohs(address.sin_port));
    (void)close(listener);
}

static void listener_is_nonblocking_and_closed_on_exec(void **state)
{
    const int listener = open_or_fail("127.0.0.1", 0);

    (void)state;
    assert_int_equal(fcntl(listener, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(fcntl(listener, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    (void)close(listener);
}

static void listener_has_the_longest_backlog(void **state)
{
    const int listener = open_or_fail("127.0.0.1", 0);

    (void)state;
    assert_int_equal(last_backlog, INT_MAX);
    (void)close(listener);
}

static void listener_shares_its_port_with_no_other(void **state)
{
    const int listener = open_or_fail("127.0.0.1", 0);

    (void)state;
    assert_int_equal(option_of(listener, SOL_SOCKET, SO_REUSEADDR), 1);
    assert_int_equal(option_of(listener, SOL_SOCKET, SO_REUSEPORT), 0);
    (void)close(listener);
}

static void listener_on_port_0_picks_free_ports(void **state)
{
    const int first = open_or_fail("127.0.0.1", 0);
    const int second = open_or_fail("127.0.0.1", 0);

    (void)state;
    assert_int_not_equal(port_of(first), 0);
    assert_int_not_equal(port_of(second), 0);
    assert_int_not_equal(port_of(first), port_of(second));
    (void)close(first);
    (void)close(second);
}

/* --- sockets that are passed --- */

enum { PASSED = 3 };

static int kept = -1; /* what this process has as descriptor 3 */

static int keep_descriptor(void **state)
{
    (void)restore_calls(state);
    kept = fcntl(PASSED, F_DUPFD_CLOEXEC, PASSED + 1);
    (void)close(PASSED);
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    return 0;
}

static int restore_descriptor(void **state)
{
    (void)state;
    (void)close(PASSED);
    if (kept >= 0) {
        (void)dup2(kept, PASSED);
        (void)close(kept);
    }
    return 0;
}

/* Makes `descriptor`, which is closed, descriptor 3 as it is passed; -1: none. */
static void pass(int descriptor)
{
    char pid[16];

    if (descriptor != PASSED)
        (void)close(PASSED);
    if (descriptor > PASSED) {
        assert_int_equal(dup2(descriptor, PASSED), PASSED);
        (void)close(descriptor);
    }
    (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
    assert_int_equal(setenv("LISTEN_PID", pid, 1), 0);
    assert_int_equal(setenv("LISTEN_FDS", "1", 1), 0);
}

/* A socket bound to a port of its own, or to a name of its own (AF_UNIX), as no manager would set
 * it: blocking and left open on exec. */
static int bound_socket(int family, int type)
{
    const struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
    socklen_t size = sizeof(struct sockaddr_in);
    const int low = open("/dev/null", O_RDONLY | O_CLOEXEC); /* so that it is not descriptor 3 */
    const int fd = __real_socket(family, type, 0);

    if (family == AF_UNIX)
        size = sizeof(sa_family_t);
    else if (family == AF_INET6)
        size = sizeof(struct sockaddr_in6);
    assert_true(low >= PASSED && fd > PASSED);
    (void)close(low);
    assert_int_equal(__real_bind(fd, (const struct sockaddr *)&address, size), 0);
    return fd;
}

static int listening_socket(int family)
{
    const int fd = bound_socket(family, SOCK_STREAM);

    assert_int_equal(__real_listen(fd, 1), 0);
    last_backlog = 1;
    return fd;
}

static void listener_that_is_passed_is_taken(void **state)
{
    char error[128] = "";

    (void)state;
    pass(listening_socket(AF_INET));
    assert_int_equal(listener_take(error, sizeof error), PASSED);
    assert_string_equal(error, "");
    expect_ipv4_client_accepted(PASSED);
    assert_int_equal(fcntl(PASSED, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(fcntl(PASSED, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

static void listener_for_ipv6_that_is_passed_is_taken(void **state)
{
    char error[128] = "";

    (void)state;
    require_ipv6();
    pass(listening_socket(AF_INET6));
    assert_int_equal(listener_take(error, sizeof error), PASSED);
    expect_ipv6_client_accepted(PASSED);
}

/* Who has connected before finds it listening, and nothing of what the manager set is changed. */
static void listener_that_is_taken_keeps_its_backlog(void **state)
{
    char error[128] = "";
    int client = -1;
    int accepted = -1;

    (void)state;
    pass(listening_socket(AF_INET));
    client = client_connect(port_of(PASSED));
    assert_int_equal(listener_take(error, sizeof error), PASSED);
    assert_int_equal(last_backlog, 1);
    accepted = accept(PASSED, NULL, NULL);
    assert_true(accepted >= 0);
    (void)close(accepted);
    (void)close(client);
}

static void nothing_is_taken_that_was_not_passed_to_this_process(void **state)
{
    char parent[16];
    char error[128] = "";

    (void)state;
    assert_int_equal(listener_take(error, sizeof error), -ENOENT);
    pass(listening_socket(AF_INET));
    (void)snprintf(parent, sizeof parent, "%d", (int)getppid());
    assert_int_equal(setenv("LISTEN_PID", parent, 1), 0);
    assert_int_equal(setenv("LISTEN_FDS", "garbage", 1), 0);
    assert_int_equal(listener_take(error, sizeof error), -ENOENT);
    (void)unsetenv("LISTEN_PID");
    assert_int_equal(listener_take(error, sizeof error), -ENOENT);
    pass(listening_socket(AF_INET));
    (void)unsetenv("LISTEN_FDS");
    assert_int_equal(listener_take(error, sizeof error), -ENOENT);
    assert_string_equal(error, "");
}

static void variables_that_pass_anything_else_are_an_error(void **state)
{
    static const char *const pids[] = {"", "0", "x", "-1", "1x", " 1", "2147483648", "99999999999"};
    static const char *const counts[] = {"", "0", "2", "01", "1 ", "-1", "x", "4294967297"};
    char error[128];
    char expected[128];

    (void)state;
    pass(listening_socket(AF_INET));
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        assert_int_equal(setenv("LISTEN_FDS", counts[i], 1), 0);
        assert_int_equal(listener_take(error, sizeof error), -EINVAL);
        (void)snprintf(expected, sizeof expected, "LISTEN_FDS: '%s' is not 1", counts[i]);
        assert_string_equal(error, expected);
    }
    for (size_t i = 0; i < COUNT_OF(pids); i++) {
        assert_int_equal(setenv("LISTEN_PID", pids[i], 1), 0);
        assert_int_equal(listener_take(error, sizeof error), -EINVAL);
        (void)snprintf(expected, sizeof expected, "LISTEN_PID: '%s' is not a process id", pids[i]);
        assert_string_equal(error, expected);
    }
}

static void expect_refused(int descriptor, const char *expected)
{
    char error[128] = "";

    pass(descriptor);
    assert_int_equal(listener_take(error, sizeof error), -EINVAL);
    assert_string_equal(error, expected);
}

static void descriptor_that_is_no_listening_tcp_socket_is_an_error(void **state)
{
    char expected[128];
    int unix_listener = -1;

    (void)state;
    (void)snprintf(expected, sizeof expected, "descriptor 3: %s", strerror(EBADF));
    expect_refused(-1, expected);
    (void)snprintf(expected, sizeof expected, "descriptor 3: %s", strerror(ENOTSOCK));
    (void)close(PASSED);
    expect_refused(open("/dev/null", O_RDONLY | O_CLOEXEC), expected);
    expect_refused(bound_socket(AF_INET, SOCK_DGRAM),
                   "descriptor 3 is not a stream socket: SO_TYPE is 2");
    expect_refused(bound_socket(AF_INET, SOCK_STREAM),
                   "descriptor 3 is not listening: SO_ACCEPTCONN is 0");
    unix_listener = bound_socket(AF_UNIX, SOCK_STREAM);
    assert_int_equal(__real_listen(unix_listener, 1), 0);
    expect_refused(unix_listener, "descriptor 3 is not a TCP socket: SO_PROTOCOL is 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(listener_without_address_takes_clients_of_both_families,
                               restore_calls),
        cmocka_unit_test_setup(listener_at_ipv6_wildcard_takes_clients_of_both_families,
                               restore_calls),
        cmocka_unit_test_setup(listener_where_families_are_separate_takes_clients_of_both,
                               restore_calls),
        cmocka_unit_test_setup(listener_at_ipv6_loopback_takes_its_clients, restore_calls),
        cmocka_unit_test_setup(listener_at_ipv4_loopback_takes_its_clients, restore_calls),
        cmocka_unit_test_setup(listener_without_ipv6_falls_back_to_ipv4, restore_calls),
        cmocka_unit_test_setup(listener_without_any_family_fails, restore_calls),
        cmocka_unit_test_setup(listener_at_given_address_never_falls_back, restore_calls),
        cmocka_unit_test_setup(listener_for_another_reason_never_falls_back, restore_calls),
        cmocka_unit_test_setup(listener_when_a_call_fails_returns_its_error_and_closes,
                               restore_calls),
        cmocka_unit_test_setup(listener_when_it_cannot_take_ipv4_clients_fails, restore_calls),
        cmocka_unit_test_setup(listener_at_malformed_address_fails, restore_calls),
        cmocka_unit_test_setup(listener_at_address_of_no_interface_fails, restore_calls),
        cmocka_unit_test_setup(listener_on_port_in_use_fails, restore_calls),
        cmocka_unit_test_setup(listener_of_both_families_on_port_in_use_of_either_fails,
                               restore_calls),
        cmocka_unit_test_setup(listener_on_port_with_old_connections_opens, restore_calls),
        cmocka_unit_test_setup(listener_is_nonblocking_and_closed_on_exec, restore_calls),
        cmocka_unit_test_setup(listener_has_the_longest_backlog, restore_calls),
        cmocka_unit_test_setup(listener_shares_its_port_with_no_other, restore_calls),
        cmocka_unit_test_setup(listener_on_port_0_picks_free_ports, restore_calls),
        cmocka_unit_test_setup_teardown(listener_that_is_passed_is_taken, keep_descriptor,
                                        restore_descriptor),
        cmocka_unit_test_setup_teardown(listener_for_ipv6_that_is_passed_is_taken, keep_descriptor,
                                        restore_descriptor),
        cmocka_unit_test_setup_teardown(listener_that_is_taken_keeps_its_backlog, keep_descriptor,
                                        restore_descriptor),
        cmocka_unit_test_setup_teardown(nothing_is_taken_that_was_not_passed_to_this_process,
                                        keep_descriptor, restore_descriptor),
        cmocka_unit_test_setup_teardown(variables_that_pass_anything_else_are_an_error,
                                        keep_descriptor, restore_descriptor),
        cmocka_unit_test_setup_teardown(descriptor_that_is_no_listening_tcp_socket_is_an_error,
                                        keep_descriptor, restore_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
