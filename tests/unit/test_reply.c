/* wraps: malloc calloc free time send MHD_create_response_from_buffer MHD_add_response_header */
/* wraps: MHD_queue_response */
#include "test.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "failing.h"
#include "reply.h"

#define REFUSED                                                                                    \
    "{\"type\":\"about:blank\",\"title\":\"Request refused\",\"detail\":\"The request is "         \
    "malformed, too large or not supported; see the status code.\"}\n"
#define COMMON "Cache-Control: no-store\nX-Content-Type-Options: nosniff\n"
#define ALL_HEADERS "Content-Type: a/b\n" COMMON "Allow: GET, HEAD\nContent-Security-Policy: p\n"

static const struct reply_fields ALL = {"a/b", "GET, HEAD", "p"};

static int blocks; /* allocated and not yet freed */

/* The bodies of the latest responses. */
static struct {
    const struct MHD_Response *response;
    const char *body;
    size_t size;
} made[8];
static size_t made_count;

/* The last call of MHD_queue_response(); texts are copied, because live responses do not last. */
static struct {
    unsigned status;
    const struct MHD_Response *response;
    char headers[512];
    char body[256];
} queued;

static time_t now;
static ssize_t send_limit; /* number of bytes that send() accepts; -1: all */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __real_free(void *block);
void __wrap_free(void *block);
time_t __wrap_time(time_t *out);
ssize_t __real_send(int socket, const void *bytes, size_t size, int flags);
ssize_t __wrap_send(int socket, const void *bytes, size_t size, int flags);
struct MHD_Response *__real_MHD_create_response_from_buffer(size_t size, void *body,
                                                            enum MHD_ResponseMemoryMode mode);
struct MHD_Response *__wrap_MHD_create_response_from_buffer(size_t size, void *body,
                                                            enum MHD_ResponseMemoryMode mode);
enum MHD_Result __real_MHD_add_response_header(struct MHD_Response *response, const char *name,
                                               const char *value);
enum MHD_Result __wrap_MHD_add_response_header(struct MHD_Response *response, const char *name,
                                               const char *value);
enum MHD_Result __wrap_MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                          struct MHD_Response *response);
struct MHD_Response *__wrap_MHD_create_response_from_buffer_static(size_t size, const void *buffer);

void *__wrap_malloc(size_t size)
{
    void *block = failing_now() ? NULL : __real_malloc(size);

    blocks += block != NULL;
    return block;
}

/* calloc() of a static libc would call malloc() again. */
void *__wrap_calloc(size_t count, size_t size)
{
    void *block = __wrap_malloc(count * size);

    return block == NULL ? NULL : memset(block, 0, count * size);
}

void __wrap_free(void *block)
{
    blocks -= block != NULL;
    __real_free(block);
}

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

struct MHD_Response *__wrap_MHD_create_response_from_buffer(size_t size, void *body,
                                                            enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *response =
        failing_now() ? NULL : __real_MHD_create_response_from_buffer(size, body, mode);

    made[made_count % COUNT_OF(made)].response = response;
    made[made_count % COUNT_OF(made)].body = body;
    made[made_count++ % COUNT_OF(made)].size = size;
    return response;
}

enum MHD_Result __wrap_MHD_add_response_header(struct MHD_Response *response, const char *name,
                                               const char *value)
{
    return failing_now() ? MHD_NO : __real_MHD_add_response_header(response, name, value);
}

static enum MHD_Result print_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    char *text = cls;
    const size_t used = strlen(text);

    assert_int_equal(kind, MHD_HEADER_KIND);
    (void)snprintf(text + used, sizeof queued.headers - used, "%s: %s\n", name, value);
    return MHD_YES;
}

/* Copies headers and body. The newest body is the first one searched: addresses are reused. */
static void copy_response(struct MHD_Response *response)
{
    size_t i = made_count - 1;

    while (made[i % COUNT_OF(made)].response != response) {
        assert_true(made_count - i < COUNT_OF(made));
        i--;
    }
    queued.response = response;
    queued.headers[0] = '\0';
    (void)MHD_get_response_headers(response, print_header, queued.headers);
    (void)snprintf(queued.body, sizeof queued.body, "%.*s", (int)made[i % COUNT_OF(made)].size,
                   made[i % COUNT_OF(made)].body);
}

enum MHD_Result __wrap_MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                          struct MHD_Response *response)
{
    assert_null(connection);
    if (failing_now())
        return MHD_NO;
    queued.status = status;
    copy_response(response);
    return MHD_YES;
}

static int set_up(void **state)
{
    (void)state;
    send_limit = -1;
    now = 784111777;
    failing_at(0);
    return 0;
}

static char *copy_text(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = malloc(size);

    return copy == NULL ? NULL : memcpy(copy, text, size);
}

static bool queue(const struct reply *reply, bool close)
{
    size_t size = 0;
    const bool is_queued = reply_queue(reply, NULL, close, &size);

    assert_true(!is_queued || size == strlen(queued.body));
    return is_queued;
}

static void expect_queued(const struct reply *reply, bool close, unsigned status,
                          const char *headers, const char *body)
{
    char expected[512];

    (void)snprintf(expected, sizeof expected, "%s%s", close ? "Connection: close\n" : "", headers);
    assert_true(queue(reply, close));
    assert_uint_equal(queued.status, status);
    assert_string_equal(queued.headers, expected);
    assert_string_equal(queued.body, body);
}

static const struct route_context CONTEXT;
static int calls;

static char *make_body(const struct route_context *context)
{
    char text[32];

    assert_ptr_equal(context, &CONTEXT);
    (void)snprintf(text, sizeof text, "call %d", ++calls);
    return copy_text(text);
}

static void replies_carry_status_headers_and_body(void **state)
{
    static const struct {
        struct reply_fields fields;
        const char *headers;
    } rows[] = {
        {{NULL, NULL, NULL}, COMMON},
        {{"a/b", NULL, NULL}, "Content-Type: a/b\n" COMMON},
        {{NULL, "GET", NULL}, COMMON "Allow: GET\n"},
        {{NULL, NULL, "p"}, COMMON "Content-Security-Policy: p\n"},
        {{"a/b", "GET, HEAD", "p"}, ALL_HEADERS},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct reply_fields fields = rows[i].fields;
        struct reply *reply = reply_create(201, &fields, copy_text("body"));
        struct reply *live = reply_create_live(202, &fields, make_body, &CONTEXT);
        struct reply *copies[2];

        fields = (struct reply_fields){"gone", "gone", "gone"};
        copies[0] = reply_copy(reply);
        copies[1] = reply_copy(live);
        calls = 0;
        for (int close = 0; close <= 1; close++) {
            expect_queued(reply, close, 201, rows[i].headers, "body");
            expect_queued(copies[0], close, 201, rows[i].headers, "body");
            expect_queued(live, close, 202, rows[i].headers, close ? "call 3" : "call 1");
            expect_queued(copies[1], close, 202, rows[i].headers, close ? "call 4" : "call 2");
        }
        reply_free(copies[1]);
        reply_free(copies[0]);
        reply_free(live);
        reply_free(reply);
    }
}

static void copies_have_responses_of_their_own(void **state)
{
    struct reply *reply = reply_create(200, &ALL, copy_text("body"));
    struct reply *copy = reply_copy(reply);

    (void)state;
    for (int close = 0; close <= 1; close++) {
        const struct MHD_Response *response = NULL;

        assert_true(queue(reply, close));
        response = queued.response;
        assert_true(queue(copy, close));
        assert_ptr_not_equal(queued.response, response);
    }
    reply_free(copy);
    expect_queued(reply, false, 200, ALL_HEADERS, "body");
    reply_free(reply);
}

/* The operations that can fail. Each releases what it created. */

static bool create(void)
{
    struct reply *reply = reply_create(200, &ALL, copy_text("body"));

    reply_free(reply);
    return reply != NULL;
}

static bool create_live(void)
{
    struct reply *reply = reply_create_live(200, &ALL, make_body, &CONTEXT);

    reply_free(reply);
    return reply != NULL;
}

/* Created before each operation, when nothing fails yet. */
static struct reply *prepared;
static struct reply *live;

static bool copy(const struct reply *reply)
{
    struct reply *copied = reply_copy(reply);

    reply_free(copied);
    return copied != NULL;
}

static bool copy_prepared(void)
{
    return copy(prepared);
}

static bool copy_live(void)
{
    return copy(live);
}

static bool queue_prepared(void)
{
    return queue(prepared, false) && queue(prepared, true);
}

static bool queue_live(void)
{
    return queue(live, false) && queue(live, true);
}

static bool refuse(void)
{
    const uint64_t before = reply_count_malformed();
    struct MHD_Response *response = __wrap_MHD_create_response_from_buffer_static(4, "html");

    assert_uint_equal(reply_count_malformed(), before + 1);
    if (response != NULL)
        MHD_destroy_response(response);
    return response != NULL;
}

static void each_failure_is_reported_and_leaks_nothing(void **state)
{
    static const struct {
        const char *name;
        bool (*operation)(void);
        unsigned least; /* number of calls that can fail, without those inside libmicrohttpd */
    } rows[] = {
        {"create", create, 1 + 1 + 5 + 1 + 6}, /* body, reply, and two responses with headers */
        {"create live", create_live, 1},       {"copy", copy_prepared, 1 + 6 + 7},
        {"copy live", copy_live, 1},           {"queue", queue_prepared, 2},
        {"queue live", queue_live, 8 + 9},     {"refuse", refuse, 1 + 3},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bool has_failed = true;
        unsigned n = 0;

        while (has_failed) {
            const int before = blocks;
            bool succeeds = false;

            prepared = reply_create(200, &ALL, copy_text("body"));
            live = reply_create_live(200, &ALL, make_body, &CONTEXT);
            failing_at(++n);
            succeeds = rows[i].operation();
            has_failed = failing_has_failed();
            failing_at(0);
            reply_free(live);
            reply_free(prepared);
            if (succeeds == has_failed || blocks != before)
                fail_msg("%s, failure %u: returns %d, leaks %d blocks", rows[i].name, n, succeeds,
                         blocks - before);
        }
        if (n <= rows[i].least)
            fail_msg("%s: only %u calls failed", rows[i].name, n - 1);
    }
}

static void refusals_by_libmicrohttpd_have_the_common_headers_and_body(void **state)
{
    struct MHD_Response *response = __wrap_MHD_create_response_from_buffer_static(4, "html");

    (void)state;
    assert_non_null(response);
    copy_response(response);
    assert_string_equal(queued.headers, "Content-Type: application/problem+json\n" COMMON);
    assert_string_equal(queued.body, REFUSED);
    MHD_destroy_response(response);
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
                       date, strlen(REFUSED), is_head ? "" : REFUSED);
        assert_true(reply_send(sockets[1], is_long_target ? 414 : 431, is_head, &size));
        assert_uint_equal(size, strlen(REFUSED));
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
        cmocka_unit_test_setup(replies_carry_status_headers_and_body, set_up),
        cmocka_unit_test_setup(copies_have_responses_of_their_own, set_up),
        cmocka_unit_test_setup(each_failure_is_reported_and_leaks_nothing, set_up),
        cmocka_unit_test_setup(refusals_by_libmicrohttpd_have_the_common_headers_and_body, set_up),
        cmocka_unit_test_setup(send_writes_a_whole_response_with_the_current_date, set_up),
        cmocka_unit_test_setup(send_reports_that_the_socket_does_not_take_all, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
