/* wraps: socket setsockopt connect send */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "inspect.h"
#include "log.h"
#include "notify.h"

enum call { CALL_NONE, CALL_SOCKET, CALL_SETSOCKOPT, CALL_CONNECT, CALL_SEND };

/* Which call fails, and how. */
static struct {
    enum call call;
    int error;
} failing;

static int last_flags; /* that were given to send() */

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __real_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);
ssize_t __real_send(int fd, const void *bytes, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags);

static bool fails(enum call call)
{
    errno = failing.error;
    return failing.call == call;
}

int __wrap_socket(int domain, int type, int protocol)
{
    return fails(CALL_SOCKET) ? -1 : __real_socket(domain, type, protocol);
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    return fails(CALL_SETSOCKOPT) ? -1 : __real_setsockopt(fd, level, name, value, size);
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    return fails(CALL_CONNECT) ? -1 : __real_connect(fd, address, size);
}

ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags)
{
    last_flags = flags;
    return fails(CALL_SEND) ? -1 : __real_send(fd, bytes, size, flags);
}

/* A manager's socket, and the log of the service. */
struct fixture {
    int manager;
    int log_file;
    struct log log;
    char name[sizeof((struct sockaddr_un *)NULL)->sun_path + 8]; /* as in NOTIFY_SOCKET */
};

static int set_up(void **state)
{
    static struct fixture fixture;

    memset(&failing, 0, sizeof failing);
    fixture = (struct fixture){.manager = -1, .log_file = memfd_create("log", MFD_CLOEXEC)};
    log_init(&fixture.log, fixture.log_file, LOG_FORMAT_JSON, LOG_DEBUG);
    (void)unsetenv("NOTIFY_SOCKET");
    *state = &fixture;
    return fixture.log_file >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    const struct fixture *fixture = *state;

    if (fixture->manager >= 0)
        (void)close(fixture->manager);
    if (fixture->name[0] == '/')
        (void)unlink(fixture->name);
    (void)close(fixture->log_file);
    return 0;
}

/* Makes the manager's socket, with a name of exactly `length` bytes that begins with '/' or '@'. */
static void listen_at(struct fixture *fixture, char first, size_t length)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int used = snprintf(fixture->name, sizeof fixture->name, "%ctmp/test_notify-%d-", first,
                              (int)getpid());

    assert_true(length >= (size_t)used && length < sizeof fixture->name);
    memset(fixture->name + used, 'x', length - (size_t)used);
    memcpy(address.sun_path, fixture->name, length);
    if (first == '@')
        address.sun_path[0] = '\0';
    fixture->manager = __real_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fixture->manager, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
                     0);
    assert_int_equal(setenv("NOTIFY_SOCKET", fixture->name, 1), 0);
}

static void expect_message(const struct fixture *fixture, const char *expected)
{
    char text[1024] = "";

    assert_true(recv(fixture->manager, text, sizeof text - 1, MSG_DONTWAIT) >= 0);
    assert_string_equal(text, expected);
    assert_int_equal(last_flags, MSG_NOSIGNAL);
}

static void expect_log(const struct fixture *fixture, const char *expected)
{
    char text[2048] = "";

    assert_true(pread(fixture->log_file, text, sizeof text - 1, 0) >= 0);
    inspect_replace_times(text);
    assert_string_equal(text, expected);
}

/* The line that complains of a name for a reason. */
static void expect_complaint(const struct fixture *fixture, const char *name, const char *reason)
{
    char line[512];

    (void)snprintf(line, sizeof line,
                   "{\"time\":\"TIME\",\"level\":\"warn\",\"msg\":\"cannot notify the service "
                   "manager\",\"socket\":\"%s\",\"error\":\"%s\"}\n",
                   name, reason);
    expect_log(fixture, line);
}

static void manager_is_told_through_its_socket(void **state)
{
    static const char firsts[] = {'/', '@'};
    static const size_t lengths[] = {40, 107};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT_OF(firsts) * COUNT_OF(lengths); i++) {
        int notifier = -1;

        (void)set_up(state);
        listen_at(fixture, firsts[i % 2], lengths[i / 2]);
        notifier = notify_open(&fixture->log);
        assert_true(notifier >= 0);
        assert_int_equal(fcntl(notifier, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        notify_ready(notifier, "1.2.3", &fixture->log);
        expect_message(fixture, "READY=1\nSTATUS=Serving version 1.2.3");
        notify_stopping(notifier, 13000, &fixture->log);
        expect_message(fixture, "STOPPING=1\nSTATUS=Draining\nEXTEND_TIMEOUT_USEC=13000000");
        expect_log(fixture, "");
        (void)close(notifier);
        if (i < 3)
            (void)tear_down(state);
    }
}

static void longest_stop_is_announced(void **state)
{
    struct fixture *fixture = *state;
    int notifier = -1;

    listen_at(fixture, '@', 40);
    notifier = notify_open(&fixture->log);
    notify_stopping(notifier, UINT32_MAX, &fixture->log);
    expect_message(fixture, "STOPPING=1\nSTATUS=Draining\nEXTEND_TIMEOUT_USEC=4294967295000");
    (void)close(notifier);
}

static void without_a_manager_nobody_is_told(void **state)
{
    struct fixture *fixture = *state;
    const size_t before = inspect_count_descriptors();

    failing.call = CALL_SEND; /* would complain */
    assert_int_equal(notify_open(&fixture->log), -1);
    notify_ready(-1, "1.2.3", &fixture->log);
    notify_stopping(-1, 1, &fixture->log);
    expect_log(fixture, "");
    assert_uint_equal(inspect_count_descriptors(), before);
}

static void name_that_is_none_is_complained_of(void **state)
{
    static const char *const names[] = {"", "relative", "vsock:2:1234"};
    struct fixture *fixture = *state;
    char name[109];

    memset(name, '/', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (size_t i = 0; i <= COUNT_OF(names); i++) {
        (void)set_up(state);
        assert_int_equal(setenv("NOTIFY_SOCKET", i < COUNT_OF(names) ? names[i] : name, 1), 0);
        assert_int_equal(notify_open(&fixture->log), -1);
        expect_complaint(fixture, i < COUNT_OF(names) ? names[i] : name,
                         "not a path, or '@' and a name, of at most 107 bytes");
        if (i < COUNT_OF(names))
            (void)tear_down(state);
    }
}

static void socket_that_nobody_has_is_complained_of(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(setenv("NOTIFY_SOCKET", "/nowhere/notify", 1), 0);
    assert_int_equal(notify_open(&fixture->log), -1);
    expect_complaint(fixture, "/nowhere/notify", strerror(ENOENT));
}

static void call_that_fails_is_complained_of(void **state)
{
    static const struct {
        enum call call;
        int error;
    } rows[] = {
        {CALL_SOCKET, EMFILE},
        {CALL_SETSOCKOPT, ENOMEM},
        {CALL_CONNECT, EACCES},
    };
    struct fixture *fixture = *state;
    const size_t before = inspect_count_descriptors();

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)tear_down(state);
        (void)set_up(state);
        listen_at(fixture, '@', 40);
        failing.call = rows[i].call;
        failing.error = rows[i].error;
        assert_int_equal(notify_open(&fixture->log), -1);
        expect_complaint(fixture, fixture->name, strerror(rows[i].error));
        assert_uint_equal(inspect_count_descriptors(), before + 1); /* that of the manager */
    }
}

static void message_that_does_not_arrive_is_complained_of(void **state)
{
    struct fixture *fixture = *state;
    int notifier = -1;

    listen_at(fixture, '@', 40);
    notifier = notify_open(&fixture->log);
    failing.call = CALL_SEND;
    failing.error = ECONNREFUSED;
    notify_ready(notifier, "1.2.3", &fixture->log);
    expect_complaint(fixture, fixture->name, strerror(ECONNREFUSED));
    (void)close(notifier);
}

/* It has room for some messages (net.unix.max_dgram_qlen). */
static void manager_that_does_not_read_is_not_waited_for_without_end(void **state)
{
    struct fixture *fixture = *state;
    struct timeval patience = {0};
    socklen_t size = sizeof patience;
    int notifier = -1;

    listen_at(fixture, '@', 40);
    notifier = notify_open(&fixture->log);
    assert_int_equal(getsockopt(notifier, SOL_SOCKET, SO_SNDTIMEO, &patience, &size), 0);
    assert_int_equal(patience.tv_sec, 1);
    assert_int_equal(patience.tv_usec, 0);
    while (__real_send(notifier, "", 1, MSG_DONTWAIT) == 1)
        ;
    assert_int_equal(errno, EAGAIN);
    notify_ready(notifier, "1.2.3", &fixture->log);
    expect_complaint(fixture, fixture->name, strerror(EAGAIN));
    (void)close(notifier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(manager_is_told_through_its_socket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(longest_stop_is_announced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_manager_nobody_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(name_that_is_none_is_complained_of, set_up, tear_down),
        cmocka_unit_test_setup_teardown(socket_that_nobody_has_is_complained_of, set_up, tear_down),
        cmocka_unit_test_setup_teardown(call_that_fails_is_complained_of, set_up, tear_down),
        cmocka_unit_test_setup_teardown(message_that_does_not_arrive_is_complained_of, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(manager_that_does_not_read_is_not_waited_for_without_end,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
