/* wraps: malloc calloc free MHD_create_response_from_buffer MHD_add_response_header */
/* wraps: MHD_queue_response */
#include "test.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "documents.h"
#include "failing.h"
#include "reply.h"

#define COMMON "Cache-Control: no-store\nX-Content-Type-Options: nosniff\n"

/* Blocks that were allocated and are not freed yet. */
static int blocks;

/* What the last two responses were made of; `made_next` is the older one. */
static struct {
    const struct MHD_Response *response;
    size_t size;
    const void *body;
    enum MHD_ResponseMemoryMode mode;
} made[2];
static size_t made_next;

/* What was given to MHD_queue_response(), and what it returns. */
static struct {
    const struct MHD_Connection *connection;
    unsigned status;
    struct MHD_Response *response;
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

enum MHD_Result __wrap_MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                          struct MHD_Response *response)
{
    queued.connection = connection;
    queued.status = status;
    queued.response = response;
    return queued.result;
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

static void expect_fields(struct MHD_Response *response, const char *expected)
{
    char text[512] = "";

    (void)MHD_get_response_headers(response, print_field, text);
    assert_string_equal(text, expected);
}

/* The response refers to `body`, and does not own it. */
static void expect_body(const struct MHD_Response *response, const char *body)
{
    const size_t i = made[0].response == response ? 0 : 1;

    assert_ptr_equal(made[i].response, response);
    assert_ptr_equal(made[i].body, body);
    assert_uint_equal(made[i].size, strlen(body));
    assert_int_equal(made[i].mode, MHD_RESPMEM_PERSISTENT);
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
    queued.result = MHD_YES;
    assert_true(reply_queue(reply, some_connection(), close));
    assert_ptr_equal(queued.connection, some_connection());
    assert_uint_equal(queued.status, status);
    expect_fields(queued.response, fields);
    expect_body(queued.response, body);
}

static void reply_create_returns_status_fields_and_body(void **state)
{
    char *body = text_from_malloc("{}\n");
    struct reply *reply = reply_create(200, "application/json", "GET, HEAD", body);

    (void)state;
    assert_non_null(reply);
    expect_queued(reply, false, 200, "Content-Type: application/json\n" COMMON "Allow: GET, HEAD\n",
                  body);
    expect_queued(reply, true, 200,
                  "Connection: close\nContent-Type: application/json\n" COMMON "Allow: GET, HEAD\n",
                  body);
    reply_free(reply);
}

static void reply_create_without_type_and_allow_leaves_their_fields_out(void **state)
{
    char *body = text_from_malloc("");
    struct reply *reply = reply_create(204, NULL, NULL, body);

    (void)state;
    assert_non_null(reply);
    expect_queued(reply, false, 204, COMMON, body);
    expect_queued(reply, true, 204, "Connection: close\n" COMMON, body);
    reply_free(reply);
}

static void reply_create_without_body_returns_null(void **state)
{
    const int before = blocks;

    (void)state;
    assert_null(reply_create(200, "text/plain", NULL, NULL));
    assert_int_equal(blocks, before);
}

static void reply_free_frees_all(void **state)
{
    const int before = blocks;
    struct reply *reply = reply_create(405, "text/plain", "GET", text_from_malloc("body"));

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
    reply = reply_create(405, "text/plain", "GET", body);
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
    assert_true(n > 2 * 5); /* two responses, each of a buffer and at least four fields */
}

static void reply_queue_when_refused_returns_false(void **state)
{
    struct reply *reply = reply_create(200, NULL, NULL, text_from_malloc(""));

    (void)state;
    assert_non_null(reply);
    queued.result = MHD_NO;
    assert_false(reply_queue(reply, some_connection(), false));
    assert_false(reply_queue(reply, some_connection(), true));
    reply_free(reply);
}

static void refusal_of_libmicrohttpd_has_our_fields_and_body(void **state)
{
    struct MHD_Response *response = __wrap_MHD_create_response_from_buffer_static(4, "html");
    const size_t last = (made_next + 1) % COUNT_OF(made);

    (void)state;
    assert_non_null(response);
    expect_fields(response, "Content-Type: " TYPE_PROBLEM "\n" COMMON);
    assert_string_equal(made[last].body, DOCUMENT_REFUSED);
    expect_body(response, made[last].body);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reply_create_returns_status_fields_and_body),
        cmocka_unit_test(reply_create_without_type_and_allow_leaves_their_fields_out),
        cmocka_unit_test(reply_create_without_body_returns_null),
        cmocka_unit_test(reply_create_when_anything_fails_returns_null_and_frees_all),
        cmocka_unit_test(reply_free_frees_all),
        cmocka_unit_test(reply_free_ignores_null),
        cmocka_unit_test(reply_queue_when_refused_returns_false),
        cmocka_unit_test(refusal_of_libmicrohttpd_has_our_fields_and_body),
        cmocka_unit_test(refusal_when_anything_fails_is_null_and_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
