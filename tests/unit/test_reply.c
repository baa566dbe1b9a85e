/* wraps: malloc calloc free MHD_create_response_from_buffer MHD_add_response_header */
/* wraps: MHD_queue_response */
#include "test.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "documents.h"
#include "failing.h"
#include "reply.h"

#define COMMON "Cache-Control: no-store\nX-Content-Type-Options: nosniff\n"

/* Blocks that were allocated and are not freed yet. */
static int blocks;

/* What the last two responses were made of; `made_next` is the older one. */
struct making {
    struct MHD_Response *response;
    size_t size;
    const void *body;
    enum MHD_ResponseMemoryMode mode;
};
static struct making made[2];
static size_t made_next;

/* What was given to MHD_queue_response(), and what it returns. The fields and the body are copies:
 * a live response is gone when reply_queue() returns. */
static struct {
    const struct MHD_Connection *connection;
    unsigned status;
    struct MHD_Response *response;
    char fields[512];
    char body[64];
    enum MHD_Result result;
} queued;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __real_free(void *block);
void __wrap_free(void *block);
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

/* A static libc's own calloc() would come back to malloc() here. */
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

struct MHD_Response *__wrap_MHD_create_response_from_buffer(size_t size, void *body,
                                                            enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *response =
        failing_now() ? NULL : __real_MHD_create_response_from_buffer(size, body, mode);

    made[made_next].response = response;
    made[made_next].size = size;
    made[made_next].body = body;
    made[made_next].mode = mode;
    made_next = (made_next + 1) % COUNT_OF(made);
    return response;
}

enum MHD_Result __wrap_MHD_add_response_header(struct MHD_Response *response, const char *name,
                                               const char *value)
{
    return failing_now() ? MHD_NO : __real_MHD_add_response_header(response, name, value);
}

/* The newest one first: an address may be that of an older response, which is gone. */
static const struct making *made_of(const struct MHD_Response *response)
{
    const struct making *newest = &made[(made_next + 1) % COUNT_OF(made)];
    const struct making *found = newest->response == response ? newest : &made[made_next];

    assert_ptr_equal(found->response, response);
    return found;
}

static enum MHD_Result print_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    char *text = cls;

    assert_int_equal(kind, MHD_HEADER_KIND);
    assert_true(strlen(text) + strlen(name) + strlen(value) + sizeof ": \n" <= 512);
    (void)sprintf(text + strlen(text), "%s: %s\n", name, value);
    return MHD_YES;
}

enum MHD_Result __wrap_MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                          struct MHD_Response *response)
{
    queued.connection = connection;
    queued.status = status;
    queued.response = response;
    queued.fields[0] = '\0';
    (void)MHD_get_response_headers(response, print_field, queued.fields);
    (void)snprintf(queued.body, sizeof queued.body, "%.*s", (int)made_of(response)->size,
                   (const char *)made_of(response)->body);
    return failing_now() ? MHD_NO : queued.result;
}

static void expect_fields(struct MHD_Response *response, const char *expected)
{
    char text[512] = "";

    (void)MHD_get_response_headers(response, print_field, text);
    assert_string_equal(text, expected);
}

/* The response refers to `body`, and does not own it. */
static void expect_body(const struct MHD_Response *response, const char *body)
{
    const struct making *making = made_of(response);

    assert_ptr_equal(making->body, body);
    assert_uint_equal(making->size, strlen(body));
    assert_int_equal(making->mode, MHD_RESPMEM_PERSISTENT);
}

static char *text_from_malloc(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = malloc(size);

    assert_non_null(copy);
    return memcpy(copy, text, size);
}

/* Any address will do: nothing looks at it. */
static struct MHD_Connection *some_connection(void)
{
    static char place;

    return (struct MHD_Connection *)(void *)&place;
}

static void expect_queued(const struct reply *reply, bool close, unsigned status,
                          const char *fields, const char *body)
{
    size_t size = 4711;

    queued.result = MHD_YES;
    assert_true(reply_queue(reply, some_connection(), close, &size));
    assert_ptr_equal(queued.connection, some_connection());
    assert_uint_equal(queued.status, status);
    assert_string_equal(queued.fields, fields);
    assert_uint_equal(size, strlen(body));
    expect_body(queued.response, body);
}

#define POLICY "default-src 'none'"
#define ALL_FIELDS                                                                                 \
    "Content-Type: application/json\n" COMMON "Allow: GET, HEAD\nContent-Security-Policy: " POLICY \
    "\n"

static const struct reply_fields ALL = {
    .content_type = "application/json", .allow = "GET, HEAD", .content_security_policy = POLICY};
static const struct reply_fields NONE = {.content_type = NULL};

static void reply_create_returns_status_fields_and_body(void **state)
{
    char *body = text_from_malloc("{}\n");
    struct reply *reply = reply_create(200, &ALL, body);

    (void)state;
    assert_non_null(reply);
    expect_queued(reply, false, 200, ALL_FIELDS, body);
    expect_queued(reply, true, 200, "Connection: close\n" ALL_FIELDS, body);
    expect_queued(reply, false, 200, ALL_FIELDS, body);
    reply_free(reply);
}

static void reply_create_leaves_out_each_field_that_is_not_given(void **state)
{
    static const struct {
        struct reply_fields fields;
        const char *expected;
    } rows[] = {
        {{.content_type = NULL}, COMMON},
        {{.content_type = "a/b"}, "Content-Type: a/b\n" COMMON},
        {{.allow = "GET"}, COMMON "Allow: GET\n"},
        {{.content_security_policy = "p"}, COMMON "Content-Security-Policy: p\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *body = text_from_malloc("");
        struct reply *reply = reply_create(204, &rows[i].fields, body);
        char closing[256];

        assert_non_null(reply);
        (void)snprintf(closing, sizeof closing, "Connection: close\n%s", rows[i].expected);
        expect_queued(reply, false, 204, rows[i].expected, body);
        expect_queued(reply, true, 204, closing, body);
        reply_free(reply);
    }
}

static void reply_create_reads_the_fields_at_once(void **state)
{
    char type[] = "a/b";
    char allow[] = "GET";
    char policy[] = "p";
    struct reply_fields fields = {type, allow, policy};
    char *body = text_from_malloc("");
    struct reply *reply = reply_create(200, &fields, body);

    (void)state;
    assert_non_null(reply);
    memset(type, 'x', 3);
    memset(allow, 'x', 3);
    memset(policy, 'x', 1);
    fields = NONE;
    expect_queued(reply, false, 200,
                  "Content-Type: a/b\n" COMMON "Allow: GET\nContent-Security-Policy: p\n", body);
    reply_free(reply);
}

static void reply_create_without_body_returns_null(void **state)
{
    const int before = blocks;

    (void)state;
    assert_null(reply_create(200, &ALL, NULL));
    assert_int_equal(blocks, before);
}

static void reply_free_frees_all(void **state)
{
    const int before = blocks;
    struct reply *reply = reply_create(405, &ALL, text_from_malloc("body"));

    (void)state;
    assert_non_null(reply);
    reply_free(reply);
    assert_int_equal(blocks, before);
}

static void reply_free_ignores_null(void **state)
{
    (void)state;
    reply_free(NULL);
}

/* Makes call number `n` in the making of a reply fail. Returns false when there are not so many. */
static bool expect_null_when_call_fails(unsigned n)
{
    const int before = blocks;
    char *body = text_from_malloc("body");
    struct reply *reply = NULL;
    bool has_failed = false;

    failing_at(n);
    reply = reply_create(405, &ALL, body);
    has_failed = failing_has_failed();
    failing_at(0);
    if ((reply == NULL) != has_failed)
        fail_msg("failure %u: the reply is %p", n, (void *)reply);
    reply_free(reply);
    if (blocks != before)
        fail_msg("failure %u: %d blocks are left behind", n, blocks - before);
    return has_failed;
}

static void reply_create_when_anything_fails_returns_null_and_frees_all(void **state)
{
    unsigned n = 1;

    (void)state;
    while (expect_null_when_call_fails(n))
        n++;
    assert_true(n > 2 * 6); /* two responses, each of a buffer and at least five fields */
}

static void reply_queue_when_refused_returns_false(void **state)
{
    struct reply *reply = reply_create(200, &NONE, text_from_malloc(""));
    size_t size = 0;

    (void)state;
    assert_non_null(reply);
    queued.result = MHD_NO;
    assert_false(reply_queue(reply, some_connection(), false, &size));
    assert_false(reply_queue(reply, some_connection(), true, &size));
    reply_free(reply);
}

static void reply_queue_allocates_nothing(void **state)
{
    struct reply *reply = reply_create(200, &ALL, text_from_malloc("body"));
    const int before = blocks;
    size_t size = 0;

    (void)state;
    assert_non_null(reply);
    queued.result = MHD_YES;
    failing_at(2); /* the first call that can fail is that of MHD_queue_response() */
    assert_true(reply_queue(reply, some_connection(), false, &size));
    assert_false(failing_has_failed());
    failing_at(0);
    assert_int_equal(blocks, before);
    reply_free(reply);
}

static int calls;
static const struct route_context CONTEXT = {NULL, NULL};

/* Makes the body of a live reply: the number of the call. */
static char *count_calls(const struct route_context *context)
{
    char *body = malloc(32);

    assert_ptr_equal(context, &CONTEXT);
    if (body == NULL)
        return NULL;
    (void)snprintf(body, 32, "call %d", ++calls);
    return body;
}

static void expect_live(const struct reply *reply, bool close, const char *fields, const char *body)
{
    const int before = blocks;
    size_t size = 4711;

    queued.result = MHD_YES;
    assert_true(reply_queue(reply, some_connection(), close, &size));
    assert_ptr_equal(queued.connection, some_connection());
    assert_uint_equal(queued.status, 201);
    assert_string_equal(queued.fields, fields);
    assert_string_equal(queued.body, body);
    assert_uint_equal(size, strlen(body));
    assert_int_equal(blocks, before); /* nobody holds the response, as nobody sends it */
}

static void live_reply_has_a_body_of_its_own_for_each_request(void **state)
{
    struct reply *reply = reply_create_live(201, &ALL, count_calls, &CONTEXT);

    (void)state;
    calls = 8;
    assert_non_null(reply);
    assert_int_equal(calls, 8); /* none before it is asked for */
    expect_live(reply, false, ALL_FIELDS, "call 9");
    expect_live(reply, true, "Connection: close\n" ALL_FIELDS, "call 10");
    expect_live(reply, false, ALL_FIELDS, "call 11");
    reply_free(reply);
    assert_int_equal(calls, 11);
}

static void live_reply_leaves_out_fields_that_are_not_given(void **state)
{
    struct reply *reply = reply_create_live(201, &NONE, count_calls, &CONTEXT);

    (void)state;
    calls = 0;
    assert_non_null(reply);
    expect_live(reply, false, COMMON, "call 1");
    expect_live(reply, true, "Connection: close\n" COMMON, "call 2");
    reply_free(reply);
}

/* Only the texts must outlive the reply. */
static void live_reply_keeps_the_fields(void **state)
{
    struct reply_fields fields = ALL;
    struct reply *reply = reply_create_live(201, &fields, count_calls, &CONTEXT);

    (void)state;
    calls = 0;
    fields = NONE;
    assert_non_null(reply);
    expect_live(reply, false, ALL_FIELDS, "call 1");
    reply_free(reply);
}

static void live_body_belongs_to_the_response(void **state)
{
    const int before = blocks;
    struct reply *reply = reply_create_live(201, &NONE, count_calls, &CONTEXT);
    size_t size = 0;

    (void)state;
    calls = 0;
    assert_non_null(reply);
    queued.result = MHD_YES;
    assert_true(reply_queue(reply, some_connection(), false, &size));
    assert_int_equal(made_of(queued.response)->mode, MHD_RESPMEM_MUST_FREE);
    reply_free(reply);
    assert_int_equal(blocks, before);
}

static void live_reply_when_refused_returns_false_and_frees_all(void **state)
{
    struct reply *reply = reply_create_live(201, &ALL, count_calls, &CONTEXT);
    const int before = blocks;
    size_t size = 0;

    (void)state;
    calls = 0;
    assert_non_null(reply);
    queued.result = MHD_NO;
    assert_false(reply_queue(reply, some_connection(), false, &size));
    assert_false(reply_queue(reply, some_connection(), true, &size));
    assert_int_equal(blocks, before);
    reply_free(reply);
}

/* Makes call number `n` in the sending of a live reply fail. Returns false when there are not so
 * many. */
static bool expect_refusal_when_call_fails(const struct reply *reply, bool close, unsigned n)
{
    const int before = blocks;
    size_t size = 0;
    bool is_queued = false;
    bool has_failed = false;

    queued.result = MHD_YES;
    failing_at(n);
    is_queued = reply_queue(reply, some_connection(), close, &size);
    has_failed = failing_has_failed();
    failing_at(0);
    if (is_queued == has_failed)
        fail_msg("failure %u: the answer is %s", n, is_queued ? "queued" : "not queued");
    if (blocks != before)
        fail_msg("failure %u: %d blocks are left behind", n, blocks - before);
    return has_failed;
}

static void live_reply_when_anything_fails_returns_false_and_frees_all(void **state)
{
    struct reply *reply = reply_create_live(201, &ALL, count_calls, &CONTEXT);

    (void)state;
    calls = 0;
    assert_non_null(reply);
    for (int close = 0; close <= 1; close++) {
        unsigned n = 1;

        while (expect_refusal_when_call_fails(reply, close, n))
            n++;
        assert_true(n > 1 + 1 + 5 + 1); /* body, response, at least five fields, and the queue */
    }
    reply_free(reply);
}

static void reply_create_live_without_memory_returns_null(void **state)
{
    const int before = blocks;

    (void)state;
    failing_at(1);
    assert_null(reply_create_live(201, &ALL, count_calls, &CONTEXT));
    assert_true(failing_has_failed());
    failing_at(0);
    assert_int_equal(blocks, before);
}

static void malformed_requests_are_counted(void **state)
{
    const uint64_t before = reply_count_malformed();

    (void)state;
    for (unsigned n = 0; n < 3; n++) { /* the second one without memory for its answer */
        struct MHD_Response *response = NULL;

        failing_at(n == 1 ? 1 : 0);
        response = __wrap_MHD_create_response_from_buffer_static(4, "html");
        failing_at(0);
        assert_int_equal(response == NULL, n == 1);
        assert_uint_equal(reply_count_malformed(), before + n + 1);
        if (response != NULL)
            MHD_destroy_response(response);
    }
}

static void refusal_of_libmicrohttpd_has_our_fields_and_body(void **state)
{
    struct MHD_Response *response = __wrap_MHD_create_response_from_buffer_static(4, "html");

    (void)state;
    assert_non_null(response);
    expect_fields(response, "Content-Type: " TYPE_PROBLEM "\n" COMMON);
    assert_string_equal(made_of(response)->body, DOCUMENT_REFUSED);
    expect_body(response, made_of(response)->body);
    MHD_destroy_response(response);
}

static bool expect_no_refusal_when_call_fails(unsigned n)
{
    const int before = blocks;
    struct MHD_Response *response = NULL;
    bool has_failed = false;

    failing_at(n);
    response = __wrap_MHD_create_response_from_buffer_static(4, "html");
    has_failed = failing_has_failed();
    failing_at(0);
    if ((response == NULL) != has_failed)
        fail_msg("failure %u: the response is %p", n, (void *)response);
    if (response != NULL)
        MHD_destroy_response(response);
    if (blocks != before)
        fail_msg("failure %u: %d blocks are left behind", n, blocks - before);
    return has_failed;
}

static void refusal_when_anything_fails_is_null_and_leaks_nothing(void **state)
{
    unsigned n = 1;

    (void)state;
    while (expect_no_refusal_when_call_fails(n))
        n++;
    assert_true(n > 4); /* a buffer and at least three fields */
}

/* Takes the date out of an answer, which must lie between two others. */
static void take_date(char *answer, time_t before, time_t after)
{
    char *date = strstr(answer, "Date: ");
    struct tm tm = {0};
    const char *end = NULL;

    assert_non_null(date);
    end = strptime(date, "Date: %a, %d %b %Y %H:%M:%S GMT", &tm);
    assert_non_null(end);
    assert_int_in_range(timegm(&tm), before, after);
    assert_int_equal(end - date, strlen("Date: Sun, 06 Nov 1994 08:49:37 GMT"));
    memmove(date, end, strlen(end) + 1);
}

static void expect_sent(unsigned status, bool is_head, const char *expected)
{
    const time_t before = time(NULL);
    char answer[1024] = "";
    size_t size = 0;
    int sockets[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    assert_true(reply_send(sockets[1], status, is_head, &size));
    assert_uint_equal(size, strlen(DOCUMENT_REFUSED));
    assert_true(read(sockets[0], answer, sizeof answer - 1) > 0);
    take_date(answer, before, time(NULL));
    assert_string_equal(answer, expected);
    (void)close(sockets[0]);
    (void)close(sockets[1]);
}

static void reply_send_sends_a_whole_answer(void **state)
{
    const uint64_t before = reply_count_malformed();

#define SENT(status)                                                                               \
    "HTTP/1.1 " status "\r\n\r\nConnection: close\r\nContent-Type: " TYPE_PROBLEM                  \
    "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Length: "           \
    "135\r\n\r\n"
    (void)state;
    expect_sent(431, false, SENT("431 Request Header Fields Too Large") DOCUMENT_REFUSED);
    expect_sent(414, false, SENT("414 URI Too Long") DOCUMENT_REFUSED);
    expect_sent(431, true, SENT("431 Request Header Fields Too Large"));
    assert_int_equal(reply_count_malformed() - before, 3);
#undef SENT
}

static void reply_send_to_nobody_returns_false(void **state)
{
    static const char bytes[4096];
    size_t size = 0;
    int sockets[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    while (send(sockets[1], bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        ;
    assert_false(reply_send(sockets[1], 431, false, &size)); /* full: does not wait */
    (void)close(sockets[0]);
    assert_false(reply_send(sockets[1], 431, false, &size)); /* no SIGPIPE */
    (void)close(sockets[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reply_create_returns_status_fields_and_body),
        cmocka_unit_test(reply_create_leaves_out_each_field_that_is_not_given),
        cmocka_unit_test(reply_create_reads_the_fields_at_once),
        cmocka_unit_test(reply_create_without_body_returns_null),
        cmocka_unit_test(reply_create_when_anything_fails_returns_null_and_frees_all),
        cmocka_unit_test(reply_free_frees_all),
        cmocka_unit_test(reply_free_ignores_null),
        cmocka_unit_test(reply_queue_when_refused_returns_false),
        cmocka_unit_test(reply_queue_allocates_nothing),
        cmocka_unit_test(live_reply_has_a_body_of_its_own_for_each_request),
        cmocka_unit_test(live_reply_leaves_out_fields_that_are_not_given),
        cmocka_unit_test(live_reply_keeps_the_fields),
        cmocka_unit_test(live_body_belongs_to_the_response),
        cmocka_unit_test(live_reply_when_refused_returns_false_and_frees_all),
        cmocka_unit_test(live_reply_when_anything_fails_returns_false_and_frees_all),
        cmocka_unit_test(reply_create_live_without_memory_returns_null),
        cmocka_unit_test(reply_send_sends_a_whole_answer),
        cmocka_unit_test(reply_send_to_nobody_returns_false),
        cmocka_unit_test(malformed_requests_are_counted),
        cmocka_unit_test(refusal_of_libmicrohttpd_has_our_fields_and_body),
        cmocka_unit_test(refusal_when_anything_fails_is_null_and_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
