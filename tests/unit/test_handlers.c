/* wraps: malloc calloc realloc strdup free usage_read MHD_queue_response */
/* wraps: MHD_create_response_from_buffer MHD_add_response_header MHD_destroy_response */
#include "test.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "documents.h"
#include "failing.h"
#include "handlers.h"
#include "metrics.h"
#include "parse.h"
#include "reply.h"
#include "text.h"

enum { THREADS = 3, TEXT_SIZE = 64 * 1024, BODIES = 1024 };

static int blocks;    /* allocated and not yet freed */
static int responses; /* created and not yet destroyed */
static size_t created;
static struct {
    struct MHD_Response *response;
    const char *body;
} bodies[BODIES];
static struct MHD_Response *queued;
static char queued_text[TEXT_SIZE];

void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *block);
char *__wrap_strdup(const char *text);
struct usage_figures __wrap_usage_read(struct usage *usage);
struct MHD_Response *__real_MHD_create_response_from_buffer(size_t size, void *body,
                                                            enum MHD_ResponseMemoryMode mode);
struct MHD_Response *__wrap_MHD_create_response_from_buffer(size_t size, void *body,
                                                            enum MHD_ResponseMemoryMode mode);
enum MHD_Result __real_MHD_add_response_header(struct MHD_Response *response, const char *name,
                                               const char *value);
enum MHD_Result __wrap_MHD_add_response_header(struct MHD_Response *response, const char *name,
                                               const char *value);
void __real_MHD_destroy_response(struct MHD_Response *response);
void __wrap_MHD_destroy_response(struct MHD_Response *response);
enum MHD_Result __wrap_MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                          struct MHD_Response *response);

void *__wrap_malloc(size_t size)
{
    return __wrap_realloc(NULL, size);
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

/* Returns constants, so that two expositions are equal. */
struct usage_figures __wrap_usage_read(struct usage *usage)
{
    (void)usage;
    return (struct usage_figures){0};
}

struct MHD_Response *__wrap_MHD_create_response_from_buffer(size_t size, void *body,
                                                            enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *response =
        failing_now() ? NULL : __real_MHD_create_response_from_buffer(size, body, mode);

    responses += response != NULL;
    bodies[created % BODIES].response = response;
    bodies[created++ % BODIES].body = body;
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

static void append(char *text, const char *name, const char *value)
{
    const size_t used = strlen(text);

    if (value != NULL)
        (void)snprintf(text + used, TEXT_SIZE - used, "%s%s\n", name, value);
}

static enum MHD_Result append_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    char start[64];

    (void)kind;
    (void)snprintf(start, sizeof start, "%s: ", name);
    append(cls, start, value);
    return MHD_YES;
}

/* Prints the response as text: it may be destroyed afterwards. */
enum MHD_Result __wrap_MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                          struct MHD_Response *response)
{
    size_t i = created;

    (void)connection;
    queued = response;
    (void)snprintf(queued_text, TEXT_SIZE, "%u\n", status);
    (void)MHD_get_response_headers(response, append_header, queued_text);
    while (bodies[--i % BODIES].response != response)
        assert_true(i > 0);
    append(queued_text, "", bodies[i % BODIES].body);
    return MHD_YES;
}

static const struct build_info INFO = {.name = "example",
                                       .version = "1.2.3",
                                       .commit = "0123456789abcdef0123456789abcdef01234567",
                                       .description = "An example",
                                       .build_date = "2026-11-22T09:00:00Z"};
static struct log no_log;
static struct usage no_usage;
static struct route_context context = {.info = &INFO};
static struct handlers *handlers;
static const struct route *routes;
static size_t route_count;

static int set_up(void **state)
{
    (void)state;
    routes = routes_all(&route_count);
    context.metrics =
        metrics_create(&(const struct metrics_parts){&INFO, &no_log, &no_usage, 1, 8});
    handlers = handlers_create(&context, NULL, THREADS);
    return context.metrics != NULL && handlers != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    handlers_free(handlers);
    metrics_free(context.metrics);
    return 0;
}

static const struct reply_fields PROBLEM = {.content_type = TYPE_PROBLEM};

/* Expects a response, with and without "Connection: close", from each thread, which has response
 * objects of its own. */
static void expect(struct request request, bool draining, unsigned status,
                   const struct reply_fields *fields, const char *body)
{
    static char expected[TEXT_SIZE];

    for (unsigned i = 0; i < 2 * THREADS; i++) {
        const unsigned thread = i % THREADS;
        const bool close = i >= THREADS;
        const struct reply *reply = handlers_answer(handlers, thread, &request, draining);
        const struct MHD_Response *previous = queued;
        size_t size = 0;

        (void)snprintf(expected, sizeof expected, "%u\n", status);
        append(expected, "Connection: ", close ? "close" : NULL);
        append(expected, "Content-Type: ", fields->content_type);
        append(expected, "Cache-Control: ", "no-store");
        append(expected, "X-Content-Type-Options: ", "nosniff");
        append(expected, "Allow: ", fields->allow);
        append(expected, "Content-Security-Policy: ", fields->content_security_policy);
        append(expected, "", body);
        assert_true(reply_queue(reply, NULL, close, &size));
        assert_text_equal(queued_text, expected);
        assert_int_equal(size, strlen(body));
        if (thread == 0)
            continue;
        assert_ptr_not_equal(reply, handlers_answer(handlers, 0, &request, draining));
        if (request.route == NULL || !request.route->is_live)
            assert_ptr_not_equal(queued, previous);
    }
}

/* Expects the response to OPTIONS, or to another method that is not allowed. */
static void expect_methods(struct request request, bool draining, unsigned methods)
{
    char allow[ROUTES_ALLOW_MAX];
    char body[256] = "";
    struct reply_fields fields = {.allow = allow};

    routes_print_allow(allow, sizeof allow, methods);
    if (request.method == METHOD_OPTIONS) {
        expect(request, draining, 204, &fields, body);
        return;
    }
    fields.content_type = TYPE_PROBLEM;
    (void)snprintf(body, sizeof body,
                   DOCUMENT_PROBLEM(405, "Method Not Allowed", "Allowed methods: %s."), allow);
    expect(request, draining, 405, &fields, body);
}

static void responses_follow_the_table_of_routes(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * route_count; i++) {
        const struct route *route = &routes[i / 2];
        const bool draining = i % 2 != 0;
        const bool is_refused = draining && route->make_draining != NULL;
        const struct reply_fields fields = {.content_type = route->media_type,
                                            .content_security_policy =
                                                route->content_security_policy};
        struct request request = {.form = TARGET_PATH, .route = route};
        char *body = (is_refused ? route->make_draining : route->make)(&context);

        for (unsigned method = METHOD_GET; method <= METHOD_UNSERVED; method *= 2) {
            request.method = (enum method)method;
            if (method == METHOD_OPTIONS || (route->methods & method) == 0)
                expect_methods(request, draining, route->methods);
            else
                expect(request, draining, is_refused ? 503 : 200, &fields, body);
        }
        free(body);
    }
}

static void asterisk_and_authority_concern_all_routes(void **state)
{
    (void)state;
    expect_methods((struct request){.method = METHOD_OPTIONS, .form = TARGET_ASTERISK}, false,
                   routes_methods());
    expect_methods((struct request){.method = METHOD_CONNECT, .form = TARGET_AUTHORITY}, true,
                   routes_methods());
}

/* Expects the response whatever the form, the path and the state are. */
static void expect_precedence(struct request request)
{
    const struct reply *reply = handlers_answer(handlers, 1, &request, false);

    for (int form = TARGET_MALFORMED; form <= TARGET_ASTERISK; form++) {
        for (size_t i = 0; i <= 2 * route_count; i++) {
            request.form = (enum target_form)form;
            request.route = i < 2 * route_count ? &routes[i / 2] : NULL;
            assert_ptr_equal(handlers_answer(handlers, 1, &request, i % 2 != 0), reply);
        }
    }
}

static void faults_precede_unknown_methods_and_those_precede_paths(void **state)
{
    static const struct {
        unsigned status;
        const char *body;
    } rows[FAULT_COUNT] = {
        [FAULT_NONE] = {501, DOCUMENT_NOT_IMPLEMENTED}, [FAULT_METHOD] = {400, DOCUMENT_BAD_METHOD},
        [FAULT_TARGET] = {400, DOCUMENT_BAD_TARGET},    [FAULT_HOST] = {400, DOCUMENT_BAD_HOST},
        [FAULT_FIELD] = {400, DOCUMENT_BAD_FIELD},      [FAULT_BODY] = {413, DOCUMENT_BODY},
        [FAULT_EXPECT] = {417, DOCUMENT_EXPECTATION},
    };

    (void)state;
    for (int fault = FAULT_NONE; fault < FAULT_COUNT; fault++) {
        struct request request = {.fault = (enum request_fault)fault, .method = METHOD_UNKNOWN};

        expect(request, false, rows[fault].status, &PROBLEM, rows[fault].body);
        expect_precedence(request);
        request.method = METHOD_OPTIONS;
        if (fault != FAULT_NONE)
            expect_precedence(request);
    }
}

static void not_found_lists_all_paths_and_the_longest_base_path(void **state)
{
    const struct request request = {.method = METHOD_GET, .form = TARGET_PATH};
    char base_path[PARSE_BASE_PATH_MAX + 1] = "/";
    char paths[1024] = "";
    char body[2048];

    (void)state;
    memset(base_path + 1, 'b', PARSE_BASE_PATH_MAX - 1);
    for (size_t i = 0; i < route_count; i++)
        (void)sprintf(paths + strlen(paths), "%s%s", i > 0 ? ", " : "", routes[i].path);
    (void)sprintf(body, DOCUMENT_PROBLEM(404, "Not Found", "Not found. Valid paths: %s."), paths);
    expect(request, false, 404, &PROBLEM, body);
    handlers_free(handlers);
    handlers = handlers_create(&context, base_path, THREADS);
    assert_non_null(handlers);
    (void)sprintf(paths + strlen(paths), ", and the same under %s", base_path);
    (void)sprintf(body, DOCUMENT_PROBLEM(404, "Not Found", "Not found. Valid paths: %s."), paths);
    expect(request, true, 404, &PROBLEM, body);
}

static void returns_null_without_a_leak_whichever_call_fails(void **state)
{
    const int blocks_before = blocks;
    const int responses_before = responses;
    bool is_created = false;

    (void)state;
    for (unsigned n = 1; !is_created; n++) {
        struct handlers *result = NULL;

        failing_at(n);
        result = handlers_create(&context, "/base", 2);
        is_created = result != NULL;
        if (is_created == failing_has_failed())
            fail_msg("call %u: handlers are%s created", n, is_created ? "" : " not");
        failing_at(0);
        handlers_free(result);
        assert_int_equal(blocks, blocks_before);
        assert_int_equal(responses, responses_before);
    }
    handlers_free(NULL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(responses_follow_the_table_of_routes),
        CASE(asterisk_and_authority_concern_all_routes),
        CASE(faults_precede_unknown_methods_and_those_precede_paths),
        CASE(not_found_lists_all_paths_and_the_longest_base_path),
        CASE(returns_null_without_a_leak_whichever_call_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
