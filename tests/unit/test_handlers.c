/* wraps: malloc calloc realloc free strdup reply_create reply_create_live reply_free */
/* wraps: metrics_print page_create page_create_badge openapi_create */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "documents.h"
#include "failing.h"
#include "handlers.h"
#include "metrics.h"
#include "page.h"
#include "parse.h"
#include "reply.h"

/* Stands in for the replies of reply.c: what they would be made of. */
struct reply {
    unsigned status;
    const char *content_type;
    char allow[64];
    char policy[256];
    char *body;
    char *(*make)(void *cls); /* of a live reply: then there is no body */
    void *cls;
};

static int blocks; /* allocated and not freed */

static const struct build_info INFO = {.name = "example",
                                       .version = "1.2.3",
                                       .commit = "0123456789abcdef0123456789abcdef01234567",
                                       .description = "An example",
                                       .build_date = "2026-11-22T09:00:00Z"};

/* Any address will do: nothing here looks at it. */
static struct metrics *some_metrics(void)
{
    static char place;

    return (struct metrics *)(void *)&place;
}

void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *block);
char *__wrap_strdup(const char *text);
struct reply *__wrap_reply_create(unsigned status, const struct reply_fields *fields, char *body);
struct reply *__wrap_reply_create_live(unsigned status, const struct reply_fields *fields,
                                       char *(*make)(void *cls), void *cls);
char *__wrap_metrics_print(struct metrics *metrics, enum metrics_format format);
char *__wrap_page_create(const struct build_info *info);
char *__wrap_page_create_badge(const struct build_info *info);
char *__wrap_openapi_create(void);
void __wrap_reply_free(struct reply *reply);

void *__wrap_malloc(size_t size)
{
    if (failing_now())
        return NULL;
    blocks++;
    return __real_malloc(size);
}

/* A static libc's own calloc() and strdup() would come back to malloc() here. */
void *__wrap_calloc(size_t count, size_t size)
{
    void *block = __wrap_malloc(count * size);

    return block == NULL ? NULL : memset(block, 0, count * size);
}

void *__wrap_realloc(void *old, size_t size)
{
    if (failing_now())
        return NULL;
    if (old == NULL)
        blocks++;
    return __real_realloc(old, size);
}

void __wrap_free(void *block)
{
    if (block != NULL)
        blocks--;
    __real_free(block);
}

char *__wrap_strdup(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = __wrap_malloc(size);

    return copy == NULL ? NULL : memcpy(copy, text, size);
}

static const char *text_or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

static struct reply *create_reply(unsigned status, const struct reply_fields *fields)
{
    struct reply *reply = calloc(1, sizeof *reply);

    if (reply == NULL)
        return NULL;
    reply->status = status;
    reply->content_type = fields->content_type;
    (void)snprintf(reply->allow, sizeof reply->allow, "%s", text_or_empty(fields->allow));
    (void)snprintf(reply->policy, sizeof reply->policy, "%s",
                   text_or_empty(fields->content_security_policy));
    return reply;
}

struct reply *__wrap_reply_create(unsigned status, const struct reply_fields *fields, char *body)
{
    struct reply *reply = create_reply(status, fields);

    if (reply == NULL || body == NULL) {
        free(reply);
        free(body);
        return NULL;
    }
    reply->body = body;
    return reply;
}

struct reply *__wrap_reply_create_live(unsigned status, const struct reply_fields *fields,
                                       char *(*make)(void *cls), void *cls)
{
    struct reply *reply = create_reply(status, fields);

    if (reply == NULL)
        return NULL;
    reply->make = make;
    reply->cls = cls;
    return reply;
}

/* Stand in for the documents of other rooms. */

char *__wrap_metrics_print(struct metrics *metrics, enum metrics_format format)
{
    assert_ptr_equal(metrics, some_metrics());
    return strdup(format == METRICS_TEXT ? "text" : "openmetrics");
}

char *__wrap_page_create(const struct build_info *info)
{
    assert_ptr_equal(info, &INFO);
    return strdup("page");
}

char *__wrap_page_create_badge(const struct build_info *info)
{
    assert_ptr_equal(info, &INFO);
    return strdup("badge");
}

char *__wrap_openapi_create(void)
{
    return strdup("openapi");
}

void __wrap_reply_free(struct reply *reply)
{
    if (reply == NULL)
        return;
    free(reply->body);
    free(reply);
}

#define DOCUMENT_VERSION                                                                           \
    "{\"name\":\"example\",\"version\":\"1.2.3\","                                                 \
    "\"commit\":\"0123456789abcdef0123456789abcdef01234567\","                                     \
    "\"description\":\"An example\",\"build_date\":\"2026-11-22T09:00:00Z\"}\n"

/* What is answered, entire. */
struct answer {
    unsigned status;
    const char *content_type;
    const char *allow; /* "" for none */
    const char *body;
    const char *policy; /* NULL for none */
};

static const struct answer VERSION_ANSWER = {200, TYPE_JSON, "", DOCUMENT_VERSION, NULL};
static const struct answer ALIVE = {200, TYPE_JSON, "", DOCUMENT_OK, NULL};
static const struct answer READY = {200, TYPE_JSON, "", DOCUMENT_READY, NULL};
static const struct answer DRAINING = {503, TYPE_JSON, "", DOCUMENT_DRAINING, NULL};
static const struct answer TEXT = {200, "text/plain; version=0.0.4; charset=utf-8", "", "text",
                                   NULL};
static const struct answer OPENMETRICS = {
    200, "application/openmetrics-text; version=1.0.0; charset=utf-8", "", "openmetrics", NULL};
static struct answer PAGE = {200, "text/html; charset=utf-8", "", "page",
                             NULL}; /* and its policy */
static const struct answer BADGE = {200, "image/svg+xml", "", "badge", "default-src 'none'"};
static const struct answer OPENAPI = {200, TYPE_JSON, "", "openapi", NULL};
static const struct answer OPTIONS = {204, NULL, ALLOW_READ, "", NULL};
static const struct answer NOT_FOUND = {404, TYPE_PROBLEM, "", DOCUMENT_NOT_FOUND, NULL};
static const struct answer NOT_ALLOWED = {405, TYPE_PROBLEM, ALLOW_READ, DOCUMENT_NOT_ALLOWED,
                                          NULL};
static const struct answer NOT_IMPLEMENTED = {501, TYPE_PROBLEM, "", DOCUMENT_NOT_IMPLEMENTED,
                                              NULL};
static const struct answer FAULTS[FAULT_COUNT] = {
    [FAULT_METHOD] = {400, TYPE_PROBLEM, "", DOCUMENT_BAD_METHOD, NULL},
    [FAULT_TARGET] = {400, TYPE_PROBLEM, "", DOCUMENT_BAD_TARGET, NULL},
    [FAULT_HOST] = {400, TYPE_PROBLEM, "", DOCUMENT_BAD_HOST, NULL},
    [FAULT_FIELD] = {400, TYPE_PROBLEM, "", DOCUMENT_BAD_FIELD, NULL},
    [FAULT_BODY] = {413, TYPE_PROBLEM, "", DOCUMENT_BODY, NULL},
    [FAULT_EXPECT] = {417, TYPE_PROBLEM, "", DOCUMENT_EXPECTATION, NULL},
};

static const enum method METHODS[] = {METHOD_UNKNOWN, METHOD_GET,     METHOD_HEAD,
                                      METHOD_OPTIONS, METHOD_CONNECT, METHOD_UNSERVED};
static const enum target_form FORMS[] = {TARGET_MALFORMED, TARGET_PATH, TARGET_AUTHORITY,
                                         TARGET_ASTERISK};

static int create(void **state)
{
    PAGE.policy = page_policy();
    *state = handlers_create(&INFO, NULL, some_metrics());
    return *state == NULL ? -1 : 0;
}

static int destroy(void **state)
{
    handlers_free(*state);
    return 0;
}

static const char *text_or_none(const char *text)
{
    return text == NULL ? "none" : text;
}

/* The body that is sent: of a live reply the one that is made now. The caller frees it. */
static char *body_of(const struct reply *reply)
{
    char *body = reply->make != NULL ? reply->make(reply->cls) : strdup(reply->body);

    assert_non_null(body);
    return body;
}

/* An answer as a text, to be compared and shown. The caller frees it. */
static char *print_answer(unsigned status, const char *content_type, const char *allow,
                          const char *policy, const char *body)
{
    char *text = malloc(4096);

    assert_non_null(text);
    (void)snprintf(text, 4096, "%u, type %s, allow '%s', policy '%s', body: %s", status,
                   text_or_none(content_type), allow, text_or_empty(policy), body);
    return text;
}

/* Compares a reply with the answer that it should be; a failure names the request. */
static void expect_reply(const struct reply *reply, const struct answer *expected,
                         const struct request *request, bool draining)
{
    char *body = body_of(reply);
    char *seen =
        print_answer(reply->status, reply->content_type, reply->allow, reply->policy, body);
    char *wanted = print_answer(expected->status, expected->content_type, expected->allow,
                                expected->policy, expected->body);

    if (strcmp(seen, wanted) != 0)
        fail_msg("fault %d, method %d, form %d, path %s, %s: %s\n!= %s", request->fault,
                 request->method, request->form,
                 request->route == NULL ? "unknown" : request->route->path,
                 draining ? "draining" : "ready", seen, wanted);
    free(body);
    free(seen);
    free(wanted);
}

static void expect_answer(const struct handlers *handlers, struct request request, bool draining,
                          const struct answer *expected)
{
    expect_reply(handlers_answer(handlers, &request, draining), expected, &request, draining);
}

/* Expects the answer on every path, on an unknown one and without one, ready and draining. */
static void expect_on_every_path(const struct handlers *handlers, struct request request,
                                 const struct answer *expected)
{
    size_t count = 0;
    const struct route *routes = router_routes(&count);

    for (size_t i = 0; i <= count; i++) {
        request.route = i < count ? &routes[i] : NULL;
        expect_answer(handlers, request, false, expected);
        expect_answer(handlers, request, true, expected);
    }
}

static const struct route *route_of(const char *path)
{
    const struct route *route = router_find(NULL, path, strlen(path));

    assert_non_null(route);
    return route;
}

static void fault_whatever_else_answers_its_problem(void **state)
{
    for (enum request_fault fault = FAULT_NONE + 1; fault < FAULT_COUNT; fault++) {
        for (size_t i = 0; i < COUNT_OF(METHODS) * COUNT_OF(FORMS); i++) {
            const struct request request = {.fault = fault,
                                            .method = METHODS[i % COUNT_OF(METHODS)],
                                            .form = FORMS[i / COUNT_OF(METHODS)]};

            expect_on_every_path(*state, request, &FAULTS[fault]);
        }
    }
}

static void unknown_method_whatever_the_target_answers_501(void **state)
{
    for (size_t i = 0; i < COUNT_OF(FORMS); i++)
        expect_on_every_path(*state, (struct request){.method = METHOD_UNKNOWN, .form = FORMS[i]},
                             &NOT_IMPLEMENTED);
}

static void unknown_path_with_any_known_method_answers_404(void **state)
{
    for (size_t i = 0; i < COUNT_OF(METHODS); i++) {
        const struct request request = {.method = METHODS[i], .form = TARGET_PATH};

        if (METHODS[i] == METHOD_UNKNOWN)
            continue;
        expect_answer(*state, request, false, &NOT_FOUND);
        expect_answer(*state, request, true, &NOT_FOUND);
    }
}

static void server_as_a_whole_answers_options_and_refuses_connect(void **state)
{
    expect_answer(*state, (struct request){.method = METHOD_OPTIONS, .form = TARGET_ASTERISK},
                  false, &OPTIONS);
    expect_answer(*state, (struct request){.method = METHOD_OPTIONS, .form = TARGET_ASTERISK}, true,
                  &OPTIONS);
    expect_answer(*state, (struct request){.method = METHOD_CONNECT, .form = TARGET_AUTHORITY},
                  false, &NOT_ALLOWED);
    expect_answer(*state, (struct request){.method = METHOD_CONNECT, .form = TARGET_AUTHORITY},
                  true, &NOT_ALLOWED);
}

static void known_path_answers_by_method(void **state)
{
    static const struct {
        const char *path;
        const struct answer *ready;
        const struct answer *draining;
    } rows[] = {
        {"/version", &VERSION_ANSWER, &VERSION_ANSWER},
        {"/__version__", &VERSION_ANSWER, &VERSION_ANSWER},
        {"/healthz", &ALIVE, &ALIVE},
        {"/readyz", &READY, &DRAINING},
        {"/metrics", &TEXT, &TEXT},
        {"/", &PAGE, &PAGE},
        {"/badge.svg", &BADGE, &BADGE},
        {"/openapi.json", &OPENAPI, &OPENAPI},
    };
    size_t count = 0;

    (void)router_routes(&count);
    assert_int_equal(count, COUNT_OF(rows));
    for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
        const bool draining = i % 2 == 1;
        const struct answer *read = draining ? rows[i / 2].draining : rows[i / 2].ready;
        struct request request = {.form = TARGET_PATH, .route = route_of(rows[i / 2].path)};

        request.method = METHOD_GET;
        expect_answer(*state, request, draining, read);
        request.method = METHOD_HEAD;
        expect_answer(*state, request, draining, read);
        request.method = METHOD_OPTIONS;
        expect_answer(*state, request, draining, &OPTIONS);
        request.method = METHOD_UNSERVED;
        expect_answer(*state, request, draining, &NOT_ALLOWED);
        request.method = METHOD_CONNECT; /* which takes no path: refused before, as a fault */
        expect_answer(*state, request, draining, &NOT_ALLOWED);
    }
}

/* The choice is that of /metrics alone, and of the methods that read. */
static void openmetrics_is_what_prefers_it_and_only_of_metrics(void **state)
{
    size_t count = 0;
    const struct route *routes = router_routes(&count);

    for (size_t i = 0; i < count; i++) {
        const bool is_metrics = strcmp(routes[i].path, "/metrics") == 0;
        struct request request = {.method = METHOD_GET, .form = TARGET_PATH, .route = &routes[i]};
        const struct reply *text = handlers_answer(*state, &request, false);

        request.prefers_openmetrics = true;
        assert_int_equal(handlers_answer(*state, &request, false) != text, is_metrics);
        if (!is_metrics)
            continue;
        expect_answer(*state, request, false, &OPENMETRICS);
        expect_answer(*state, request, true, &OPENMETRICS);
        request.method = METHOD_HEAD;
        expect_answer(*state, request, false, &OPENMETRICS);
        request.method = METHOD_OPTIONS;
        expect_answer(*state, request, false, &OPTIONS);
        request.method = METHOD_UNSERVED;
        expect_answer(*state, request, false, &NOT_ALLOWED);
        request.fault = FAULT_HOST;
        expect_answer(*state, request, false, &FAULTS[FAULT_HOST]);
    }
}

static void metrics_without_memory_have_no_body(void **state)
{
    const struct request request = {
        .method = METHOD_GET, .form = TARGET_PATH, .route = route_of("/metrics")};
    const struct reply *reply = handlers_answer(*state, &request, false);

    failing_at(1);
    assert_null(reply->make(reply->cls));
    assert_true(failing_has_failed());
    failing_at(0);
}

static void base_path_stands_in_the_404(void **state)
{
    static const struct answer expected = {
        404, TYPE_PROBLEM, "",
        DOCUMENT_PROBLEM(404, "Not Found",
                         "Nothing is served at this path. There are /version, /__version__, "
                         "/healthz, /readyz, /metrics, /, /badge.svg, /openapi.json, and the same "
                         "below /some/prefix."),
        NULL};
    struct handlers *handlers = handlers_create(&INFO, "/some/prefix", some_metrics());

    (void)state;
    assert_non_null(handlers);
    expect_answer(handlers, (struct request){.method = METHOD_GET, .form = TARGET_PATH}, false,
                  &expected);
    handlers_free(handlers);
}

static void longest_base_path_stands_in_the_404_uncut(void **state)
{
    static const char before[] =
        "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"Nothing is "
        "served at this path. There are /version, /__version__, /healthz, /readyz, /metrics, /, "
        "/badge.svg, /openapi.json, and the same below ";
    char base_path[PARSE_BASE_PATH_MAX + 1];
    char body[512];
    const struct answer expected = {404, TYPE_PROBLEM, "", body, NULL};
    struct handlers *handlers = NULL;

    (void)state;
    memset(base_path, 'b', sizeof base_path - 1);
    base_path[0] = '/';
    base_path[sizeof base_path - 1] = '\0';
    (void)snprintf(body, sizeof body, "%s%s.\"}\n", before, base_path);
    handlers = handlers_create(&INFO, base_path, some_metrics());
    assert_non_null(handlers);
    expect_answer(handlers, (struct request){.method = METHOD_GET, .form = TARGET_PATH}, false,
                  &expected);
    handlers_free(handlers);
}

static void handlers_free_frees_all(void **state)
{
    const int before = blocks;
    struct handlers *handlers = handlers_create(&INFO, NULL, some_metrics());

    (void)state;
    assert_non_null(handlers);
    handlers_free(handlers);
    assert_int_equal(blocks, before);
}

static void handlers_free_ignores_null(void **state)
{
    (void)state;
    handlers_free(NULL);
}

/* Makes allocation number `n` fail. Returns false when there are not so many. */
static bool expect_null_when_allocation_fails(unsigned n)
{
    const int before = blocks;
    struct handlers *handlers = NULL;
    bool has_failed = false;

    failing_at(n);
    handlers = handlers_create(&INFO, "/some/prefix", some_metrics());
    has_failed = failing_has_failed();
    failing_at(0);
    if ((handlers == NULL) != has_failed)
        fail_msg("allocation %u: handlers are %p", n, (void *)handlers);
    handlers_free(handlers);
    if (blocks != before)
        fail_msg("allocation %u: %d blocks are left behind", n, blocks - before);
    return has_failed;
}

static void handlers_create_without_memory_returns_null_and_frees_all(void **state)
{
    unsigned n = 1;

    (void)state;
    while (expect_null_when_allocation_fails(n))
        n++;
    assert_true(n > 31 + 29); /* replies, and the bodies of all but the live ones */
}

static void handlers_answer_allocates_nothing(void **state)
{
    const struct request request = {
        .method = METHOD_GET, .form = TARGET_PATH, .route = route_of("/version")};
    const struct reply *reply = NULL;
    bool has_allocated = false;

    failing_at(1);
    reply = handlers_answer(*state, &request, false);
    has_allocated = failing_has_failed();
    failing_at(0);
    assert_false(has_allocated);
    expect_reply(reply, &VERSION_ANSWER, &request, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fault_whatever_else_answers_its_problem),
        cmocka_unit_test(unknown_method_whatever_the_target_answers_501),
        cmocka_unit_test(unknown_path_with_any_known_method_answers_404),
        cmocka_unit_test(server_as_a_whole_answers_options_and_refuses_connect),
        cmocka_unit_test(known_path_answers_by_method),
        cmocka_unit_test(openmetrics_is_what_prefers_it_and_only_of_metrics),
        cmocka_unit_test(metrics_without_memory_have_no_body),
        cmocka_unit_test(base_path_stands_in_the_404),
        cmocka_unit_test(longest_base_path_stands_in_the_404_uncut),
        cmocka_unit_test(handlers_create_without_memory_returns_null_and_frees_all),
        cmocka_unit_test(handlers_free_frees_all),
        cmocka_unit_test(handlers_free_ignores_null),
        cmocka_unit_test(handlers_answer_allocates_nothing),
    };

    return cmocka_run_group_tests(tests, create, destroy);
}
