/* wraps: malloc calloc realloc strdup free MHD_queue_response */
/* wraps: MHD_create_response_from_buffer MHD_add_response_header MHD_destroy_response */
#include "test.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "documents.h"
#include "failing.h"
#include "handlers.h"
#include "log.h"
#include "metrics.h"
#include "parse.h"
#include "reply.h"
#include "usage.h"

enum { THREADS = 3 };

static const struct build_info INFO = {.name = "example",
                                       .version = "1.2.3",
                                       .commit = "0123456789abcdef0123456789abcdef01234567",
                                       .description = "An example",
                                       .build_date = "2026-11-22T09:00:00Z"};

static int blocks;    /* allocated here and not freed */
static int responses; /* the same of responses */
static unsigned queued_status;
static struct MHD_Response *queued;

void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *block);
char *__wrap_strdup(const char *text);
enum MHD_Result __wrap_MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                          struct MHD_Response *response);
struct MHD_Response *__real_MHD_create_response_from_buffer(size_t size, void *buffer,
                                                            enum MHD_ResponseMemoryMode mode);
struct MHD_Response *__wrap_MHD_create_response_from_buffer(size_t size, void *buffer,
                                                            enum MHD_ResponseMemoryMode mode);
enum MHD_Result __real_MHD_add_response_header(struct MHD_Response *response, const char *name,
                                               const char *value);
enum MHD_Result __wrap_MHD_add_response_header(struct MHD_Response *response, const char *name,
                                               const char *value);
void __real_MHD_destroy_response(struct MHD_Response *response);
void __wrap_MHD_destroy_response(struct MHD_Response *response);

void *__wrap_malloc(size_t size)
{
    if (failing_now())
        return NULL;
    blocks++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *block = __wrap_malloc(count * size);

    return block == NULL ? NULL : memset(block, 0, count * size);
}

void *__wrap_realloc(void *old, size_t size)
{
    if (failing_now())
        return NULL;
    blocks += old == NULL;
    return __real_realloc(old, size);
}

void __wrap_free(void *block)
{
    blocks -= block != NULL;
    __real_free(block);
}

char *__wrap_strdup(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = __wrap_malloc(size);

    return copy == NULL ? NULL : memcpy(copy, text, size);
}

enum MHD_Result __wrap_MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                          struct MHD_Response *response)
{
    (void)connection;
    queued_status = status;
    queued = response;
    return MHD_YES;
}

struct MHD_Response *__wrap_MHD_create_response_from_buffer(size_t size, void *buffer,
                                                            enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *response =
        failing_now() ? NULL : __real_MHD_create_response_from_buffer(size, buffer, mode);

    responses += response != NULL;
    return response;
}

enum MHD_Result __wrap_MHD_add_response_header(struct MHD_Response *response, const char *name,
                                               const char *value)
{
    return failing_now() ? MHD_NO : __real_MHD_add_response_header(response, name, value);
}

void __wrap_MHD_destroy_response(struct MHD_Response *response)
{
    responses--;
    __real_MHD_destroy_response(response);
}

static struct log nowhere;
static struct usage usage;
static struct metrics *metrics;
static struct handlers *handlers;

static int set_up(void **state)
{
    (void)state;
    failing_at(0);
    log_init(&nowhere, -1, LOG_FORMAT_JSON, LOG_INFO);
    usage_open(&usage, "/proc/self", 64);
    metrics = metrics_create(&(const struct metrics_parts){&INFO, &nowhere, &usage, 1, 8});
    assert_non_null(metrics);
    handlers = handlers_create(&(const struct route_context){&INFO, metrics}, NULL, THREADS);
    return handlers == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    handlers_free(handlers);
    metrics_free(metrics);
    usage_close(&usage);
    return 0;
}

static const struct route *find_route(const char *path)
{
    return routes_find(NULL, path, strlen(path));
}

/* Queues the response of a thread, and expects its status and headers; NULL: no such header. */
static size_t expect_response(unsigned thread, const struct request *request, bool draining,
                              unsigned status, const char *type, const char *allow)
{
    const struct reply *reply = handlers_answer(handlers, thread, request, draining);
    const struct {
        const char *name;
        const char *value;
    } headers[] = {
        {"Content-Type", type},
        {"Allow", allow},
        {"Cache-Control", "no-store"},
        {"X-Content-Type-Options", "nosniff"},
    };
    size_t size = 0;

    assert_non_null(reply);
    for (int close = 0; close < 2; close++) {
        assert_true(reply_queue(reply, NULL, close != 0, &size));
        assert_int_equal(queued_status, status);
        if (request->route != NULL && request->route->is_live)
            continue; /* destroyed after it was queued */
        for (size_t i = 0; i < COUNT_OF(headers); i++) {
            const char *actual = MHD_get_response_header(queued, headers[i].name);

            if (headers[i].value == NULL)
                assert_null(actual);
            else
                assert_string_equal(actual, headers[i].value);
        }
        if (close == 0)
            assert_null(MHD_get_response_header(queued, "Connection"));
        else
            assert_string_equal(MHD_get_response_header(queued, "Connection"), "close");
    }
    return size;
}

#define PROBLEM "application/problem+json"
#define ALL "GET, HEAD, OPTIONS"

static void every_route_answers_get_with_its_media_type(void **state)
{
    size_t count = 0;
    const struct route *routes = routes_all(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        for (unsigned thread = 0; thread < THREADS; thread++) {
            struct request request = {
                .method = METHOD_GET, .form = TARGET_PATH, .route = &routes[i]};
            const char *policy = routes[i].content_security_policy;
            size_t size = expect_response(thread, &request, false, 200, routes[i].media_type, NULL);

            assert_true(size > 0);
            if (policy != NULL)
                assert_string_equal(MHD_get_response_header(queued, "Content-Security-Policy"),
                                    policy);
            request.method = METHOD_HEAD;
            assert_true(expect_response(thread, &request, false, 200, routes[i].media_type, NULL) >
                        0);
            request.method = METHOD_OPTIONS;
            assert_int_equal(expect_response(thread, &request, false, 204, NULL, ALL), 0);
            request.method = METHOD_UNSERVED;
            (void)expect_response(thread, &request, false, 405, PROBLEM, ALL);
        }
    }
}

static void draining_changes_only_routes_that_have_another_body(void **state)
{
    size_t count = 0;
    const struct route *routes = routes_all(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        const struct request request = {
            .method = METHOD_GET, .form = TARGET_PATH, .route = &routes[i]};

        (void)expect_response(1, &request, true, routes[i].make_draining == NULL ? 200 : 503,
                              routes[i].media_type, NULL);
    }
}

static void faults_and_unknown_methods_take_precedence(void **state)
{
    const struct route *route = find_route("/version");
    const struct {
        struct request request;
        unsigned status;
        const char *allow;
    } rows[] = {
        {{FAULT_METHOD, METHOD_MALFORMED, TARGET_PATH, route}, 400, NULL},
        {{FAULT_TARGET, METHOD_GET, TARGET_MALFORMED, NULL}, 400, NULL},
        {{FAULT_HOST, METHOD_GET, TARGET_PATH, route}, 400, NULL},
        {{FAULT_FIELD, METHOD_GET, TARGET_PATH, route}, 400, NULL},
        {{FAULT_BODY, METHOD_UNKNOWN, TARGET_PATH, NULL}, 413, NULL},
        {{FAULT_EXPECT, METHOD_GET, TARGET_PATH, route}, 417, NULL},
        {{FAULT_NONE, METHOD_UNKNOWN, TARGET_PATH, NULL}, 501, NULL},
        {{FAULT_NONE, METHOD_UNSERVED, TARGET_PATH, NULL}, 404, NULL},
        {{FAULT_NONE, METHOD_GET, TARGET_PATH, NULL}, 404, NULL},
        {{FAULT_NONE, METHOD_CONNECT, TARGET_AUTHORITY, NULL}, 405, ALL},
    };
    const struct request asterisk = {.method = METHOD_OPTIONS, .form = TARGET_ASTERISK};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        (void)expect_response(0, &rows[i].request, false, rows[i].status, PROBLEM, rows[i].allow);
    (void)expect_response(0, &asterisk, false, 204, NULL, ALL);
}

static void threads_share_no_response(void **state)
{
    const struct request request = {
        .method = METHOD_GET, .form = TARGET_PATH, .route = find_route("/version")};
    struct MHD_Response *first = NULL;

    (void)state;
    (void)expect_response(0, &request, false, 200, "application/json", NULL);
    first = queued;
    (void)expect_response(1, &request, false, 200, "application/json", NULL);
    assert_ptr_not_equal(first, queued);
    assert_ptr_not_equal(handlers_answer(handlers, 0, &request, false),
                         handlers_answer(handlers, 2, &request, false));
}

/* The text with the longest base path, and its end, fit. */
static void not_found_lists_every_path_and_the_longest_base_path(void **state)
{
    const struct request request = {.method = METHOD_GET, .form = TARGET_PATH};
    char base_path[PARSE_BASE_PATH_MAX + 1] = "";
    const size_t before = expect_response(0, &request, false, 404, PROBLEM, NULL);
    struct handlers *plain = handlers;

    (void)state;
    memset(base_path, 'a', sizeof base_path - 1);
    base_path[0] = '/';
    handlers = handlers_create(&(const struct route_context){&INFO, metrics}, base_path, 1);
    assert_non_null(handlers);
    assert_int_equal(expect_response(0, &request, false, 404, PROBLEM, NULL),
                     before + strlen(", and the same under ") + strlen(base_path));
    handlers_free(handlers);
    handlers = plain;
}

static void creation_fails_cleanly_whatever_call_fails(void **state)
{
    const int blocks_before = blocks;
    const int responses_before = responses;
    bool is_created = false;

    (void)state;
    for (unsigned n = 1; !is_created; n++) {
        struct handlers *created = NULL;

        failing_at(n);
        created = handlers_create(&(const struct route_context){&INFO, metrics}, "/base", 2);
        is_created = created != NULL;
        if (is_created == failing_has_failed())
            fail_msg("call %u fails, and handlers are%s created", n, is_created ? "" : " not");
        failing_at(0);
        handlers_free(created);
        assert_int_equal(blocks, blocks_before);
        assert_int_equal(responses, responses_before);
    }
}

static void live_response_fails_cleanly_whatever_call_fails(void **state)
{
    const struct request request = {
        .method = METHOD_GET, .form = TARGET_PATH, .route = find_route("/metrics")};
    const struct reply *reply = handlers_answer(handlers, 1, &request, false);
    bool is_queued = false;

    (void)state;
    for (unsigned n = 1; !is_queued; n++) {
        const int responses_before = responses;
        size_t size = 0;

        failing_at(n);
        is_queued = reply_queue(reply, NULL, true, &size);
        assert_true(is_queued == !failing_has_failed());
        assert_int_equal(responses, responses_before);
    }
    failing_at(0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_route_answers_get_with_its_media_type),
        CASE(draining_changes_only_routes_that_have_another_body),
        CASE(faults_and_unknown_methods_take_precedence),
        CASE(threads_share_no_response),
        CASE(not_found_lists_every_path_and_the_longest_base_path),
        CASE(creation_fails_cleanly_whatever_call_fails),
        CASE(live_response_fails_cleanly_whatever_call_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
