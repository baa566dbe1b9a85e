/* Responses that are written directly to a socket. tests/unit/test_handlers.c and
 * tests/integration/test_http.c cover those that libmicrohttpd sends. */
/* wraps: time send */
#include "test.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "documents.h"
#include "reply.h"

static time_t now = 784111777;
static ssize_t send_limit = -1; /* number of bytes that send() accepts; -1: all */

time_t __wrap_time(time_t *out);
ssize_t __real_send(int socket, const void *bytes, size_t size, int flags);
ssize_t __wrap_send(int socket, const void *bytes, size_t size, int flags);

time_t __wrap_time(time_t *out)
{
    if (out != NULL)
        *out = now;
    return now;
}

ssize_t __wrap_send(int socket, const void *bytes, size_t size, int flags)
{
    return __real_send(socket, bytes, send_limit < 0 ? size : (size_t)send_limit, flags);
}

static void send_writes_a_whole_response_with_the_current_date(void **state)
{
    enum { DAYS = 2 * 366, SECONDS = 24 * 60 * 60 + 3661 }; /* every part of the date changes */
    const uint64_t before = reply_count_malformed();
    int sockets[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    for (int day = 0; day < DAYS; day++) {
        const bool is_head = day % 3 == 0;
        const bool is_long_target = day % 2 == 0;
        char date[64];
        char expected[1024];
        char response[1024] = "";
        struct tm tm;
        size_t size = 0;

        now += SECONDS;
        (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
        (void)snprintf(expected, sizeof expected,
                       "HTTP/1.1 %s\r\nDate: %s\r\n"
                       "Connection: close\r\nContent-Type: application/problem+json\r\n"
                       "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                       "Content-Length: %zu\r\n\r\n%s",
                       is_long_target ? "414 URI Too Long" : "431 Request Header Fields Too Large",
                       date, strlen(DOCUMENT_REFUSED), is_head ? "" : DOCUMENT_REFUSED);
        assert_true(reply_send(sockets[1], is_long_target ? 414 : 431, is_head, &size));
        assert_uint_equal(size, strlen(DOCUMENT_REFUSED));
        assert_true(read(sockets[0], response, sizeof response - 1) > 0);
        assert_string_equal(response, expected);
    }
    assert_uint_equal(reply_count_malformed(), before + DAYS);
    (void)close(sockets[0]);
    (void)close(sockets[1]);
}

static void send_reports_that_the_socket_does_not_take_all(void **state)
{
    static const char bytes[4096];
    const uint64_t before = reply_count_malformed();
    size_t size = 0;
    int sockets[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    send_limit = 100;
    assert_false(reply_send(sockets[1], 431, false, &size));
    send_limit = -1;
    while (__real_send(sockets[1], bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        ;
    assert_false(reply_send(sockets[1], 431, false, &size)); /* full: does not block */
    (void)close(sockets[0]);
    assert_false(reply_send(sockets[1], 431, false, &size)); /* closed: no SIGPIPE */
    (void)close(sockets[1]);
    assert_uint_equal(reply_count_malformed(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(send_writes_a_whole_response_with_the_current_date),
        cmocka_unit_test(send_reports_that_the_socket_does_not_take_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
