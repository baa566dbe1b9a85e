/* test_failures.c makes the system calls fail. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
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

enum { NAME_MAX_LENGTH = 107, MESSAGE_MAX = 1024 };

static struct log service_log;
static int manager; /* its socket */
static char name[NAME_MAX_LENGTH + 2];

static int open_log(void **state)
{
    (void)state;
    log_init(&service_log, memfd_create("log", MFD_CLOEXEC), LOG_FORMAT_JSON, LOG_DEBUG);
    (void)unsetenv("NOTIFY_SOCKET");
    return 0;
}

static int close_log(void **state)
{
    (void)state;
    return close(service_log.descriptor);
}

/* Creates the manager's socket with a name of `length` bytes that starts with '/' or '@'. */
static void start_manager(char first, size_t length)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memset(name, 'x', length);
    name[snprintf(name, sizeof name, "%ctmp/test_notify-%d-", first, (int)getpid())] = 'x';
    name[length] = '\0';
    memcpy(address.sun_path, name, length);
    if (first == '@')
        address.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(manager, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
                     0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
}

static void stop_manager(void)
{
    (void)unlink(name);
    (void)close(manager);
}

static void expect_message(const char *expected)
{
    char text[MESSAGE_MAX] = "";

    assert_true(recv(manager, text, sizeof text - 1, MSG_DONTWAIT) >= 0);
    assert_string_equal(text, expected);
}

/* Checks that the log has one line with this error, or nothing if it is NULL, and empties it. */
static void expect_log(const char *error)
{
    char text[MESSAGE_MAX] = "";
    char expected[MESSAGE_MAX] = "";

    if (error != NULL)
        (void)snprintf(expected, sizeof expected,
                       "{\"time\":\"TIME\",\"level\":\"warn\",\"msg\":\"cannot notify the service "
                       "manager\",\"socket\":\"%s\",\"error\":\"%s\"}\n",
                       getenv("NOTIFY_SOCKET"), error);
    assert_true(pread(service_log.descriptor, text, sizeof text - 1, 0) >= 0);
    inspect_replace_times(text);
    assert_string_equal(text, expected);
    assert_int_equal(ftruncate(service_log.descriptor, 0), 0);
    (void)lseek(service_log.descriptor, 0, SEEK_SET);
}

static void sends_messages(void **state)
{
    static const struct {
        char first;
        size_t length;
    } rows[] = {{'/', 40}, {'@', 40}, {'/', NAME_MAX_LENGTH}, {'@', NAME_MAX_LENGTH}};
    char version[512 + 1] = "1.2.3-";
    char expected[MESSAGE_MAX];

    (void)state;
    memset(version + strlen(version), 'a', sizeof version - 1 - strlen(version));
    (void)snprintf(expected, sizeof expected, "READY=1\nSTATUS=Serving version %s", version);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct timeval timeout = {0};
        socklen_t size = sizeof timeout;
        int notifier = -1;

        start_manager(rows[i].first, rows[i].length);
        notifier = notify_open(&service_log);
        assert_true(notifier >= 0);
        assert_int_equal(fcntl(notifier, F_GETFD), FD_CLOEXEC);
        assert_int_equal(getsockopt(notifier, SOL_SOCKET, SO_SNDTIMEO, &timeout, &size), 0);
        assert_true(timeout.tv_sec == 1 && timeout.tv_usec == 0);
        notify_ready(notifier, version, &service_log);
        expect_message(expected);
        notify_stopping(notifier, UINT32_MAX, &service_log);
        expect_message("STOPPING=1\nSTATUS=Draining\nEXTEND_TIMEOUT_USEC=4294967295000");
        expect_log(NULL);
        stop_manager();
        notify_ready(notifier, version, &service_log);
        expect_log(strerror(ECONNREFUSED));
        (void)close(notifier);
    }
}

static void logs_names_that_cannot_be_used_and_nothing_without_a_name(void **state)
{
    static const char invalid[] = "not a path, or '@' and a name, of at most 107 bytes";
    const struct {
        const char *name;
        const char *error;
    } rows[] = {
        {"", invalid},
        {"relative", invalid},
        {"vsock:2:1234", invalid},
        {"/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
         "xxxxxxxxxxxxxxxxxxx",
         invalid},
        {"/nowhere/notify", strerror(ENOENT)},
    };

    (void)state;
    assert_int_equal(notify_open(&service_log), -1);
    notify_stopping(-1, 0, &service_log);
    expect_log(NULL);
    assert_int_equal(strlen(rows[3].name), NAME_MAX_LENGTH + 1);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", rows[i].name, 1), 0);
        assert_int_equal(notify_open(&service_log), -1);
        notify_ready(-1, "1.2.3", &service_log);
        expect_log(rows[i].error);
    }
}

#define WITH_LOG(test) cmocka_unit_test_setup_teardown(test, open_log, close_log)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(sends_messages),
        WITH_LOG(logs_names_that_cannot_be_used_and_nothing_without_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
