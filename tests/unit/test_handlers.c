/* wraps: malloc calloc realloc free strdup reply_create reply_free */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "documents.h"
#include "failing.h"
#include "handlers.h"
#include "parse.h"
#include "reply.h"

/* Stands in for the replies of reply.c: what they would be made of. */
struct reply {
    unsigned status;
    const char *content_type;
    char allow[64];
    char *body;
};

static int blocks; /* allocated and not freed */

void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *block);
char *__wrap_strdup(const char *text);
struct reply *__wrap_reply_create(unsigned status, const char *content_type, const char *allow,
                                  char *body);
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

struct reply *__wrap_reply_create(unsigned status, const char *content_type, const char *allow,
                                  char *body)
{
    struct reply *reply = calloc(1, sizeof *reply);

    if (reply == NULL || body == NULL) {
        free(reply);
        free(body);
        return NULL;
    }
    reply->status = status;
    reply->content_type = content_type;
    (void)snprintf(reply->allow, sizeof reply->allow, "%s", allow == NULL ? "" : allow);
    reply->body = body;
    return reply;
}

void __wrap_reply_free(struct reply *reply)
{
    if (reply == NULL)
        return;
    free(reply->body);
    free(reply);
}

static const struct build_info INFO = {.name = "example",
                                       .version = "1.2.3",
                                       .commit = "0123456789abcdef0123456789abcdef01234567",
                                       .description = "An example",
                                       .build_date = "2026-11-22T09:00:00Z"};

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
};

static const struct answer VERSION_ANSWER = {200, TYPE_JSON, "", DOCUMENT_VERSION};
static const struct answer ALIVE = {200, TYPE_JSON, "", DOCUMENT_OK};
static const struct answer READY = {200, TYPE_JSON, "", DOCUMENT_READY};
static const struct answer DRAINING = {503, TYPE_JSON, "", DOCUMENT_DRAINING};
static const struct answer OPTIONS = {204, NULL, ALLOW_READ, ""};
static const struct answer NOT_FOUND = {404, TYPE_PROBLEM, "", DOCUMENT_NOT_FOUND};
static const struct answer NOT_ALLOWED = {405, TYPE_PROBLEM, ALLOW_READ, DOCUMENT_NOT_ALLOWED};
static const struct answer NOT_IMPLEMENTED = {501, TYPE_PROBLEM, "", DOCUMENT_NOT_IMPLEMENTED};
static const struct answer FAULTS[FAULT_COUNT] = {
    [FAULT_TARGET] = {400, TYPE_PROBLEM, "", DOCUMENT_BAD_TARGET},
    [FAULT_HOST] = {400, TYPE_PROBLEM, "", DOCUMENT_BAD_HOST},
    [FAULT_FIELD] = {400, TYPE_PROBLEM, "", DOCUMENT_BAD_FIELD},
    [FAULT_BODY] = {413, TYPE_PROBLEM, "", DOCUMENT_BODY},
};

static const enum method METHODS[] = {METHOD_UNKNOWN, METHOD_GET,     METHOD_HEAD,
                                      METHOD_OPTIONS, METHOD_CONNECT, METHOD_UNSERVED};
static const enum target_form FORMS[] = {TARGET_MALFORMED, TARGET_PATH, TARGET_AUTHORITY,
                                         TARGET_ASTERISK};

static int create(void **state)
{
    *state = handlers_create(&INFO, NULL);
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

/* Compares a reply with the answer that it should be; a failure names the request. */
static void expect_reply(const struct reply *reply, const struct answer *expected,
                         const struct request *request, bool draining)
{
    if (reply == NULL || reply->status != expected->status ||
        strcmp(text_or_none(reply->content_type), text_or_none(expected->content_type)) != 0 ||
        strcmp(reply->allow, expected->allow) != 0 || strcmp(reply->body, expected->body) != 0)
        fail_msg(
            "fault %d, method %d, form %d, path %s, %s: %u '%s' '%s' '%s'\n!= %u '%s' '%s' '%s'",
            request->fault, request->method, request->form,
            request->route == NULL ? "unknown" : request->route->path,
            draining ? "draining" : "ready", reply == NULL ? 0 : reply->status,
            reply == NULL ? "" : text_or_none(reply->content_type),
            reply == NULL ? "" : reply->allow, reply == NULL ? "" : reply->body, expected->status,
            text_or_none(expected->content_type), expected->allow, expected->body);
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

static void base_path_stands_in_the_404(void **state)
{
    static const struct answer expected = {
        404, TYPE_PROBLEM, "",
        DOCUMENT_PROBLEM(404, "Not Found",
                         "Nothing is served at this path. There are /version, /__version__, "
                         "/healthz, /readyz, and the same below /some/prefix.")};
    struct handlers *handlers = handlers_create(&INFO, "/some/prefix");

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
        "served at this path. There are /version, /__version__, /healthz, /readyz, and the same "
        "below ";
    char base_path[PARSE_BASE_PATH_MAX + 1];
    char body[512];
    const struct answer expected = {404, TYPE_PROBLEM, "", body};
    struct handlers *handlers = NULL;

    (void)state;
    memset(base_path, 'b', sizeof base_path - 1);
    base_path[0] = '/';
    base_path[sizeof base_path - 1] = '\0';
    (void)snprintf(body, sizeof body, "%s%s.\"}\n", before, base_path);
    handlers = handlers_create(&INFO, base_path);
    assert_non_null(handlers);
    expect_answer(handlers, (struct request){.method = METHOD_GET, .form = TARGET_PATH}, false,
                  &expected);
    handlers_free(handlers);
}

static void handlers_free_frees_all(void **state)
{
    const int before = blocks;
    struct handlers *handlers = handlers_create(&INFO, NULL);

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
    handlers = handlers_create(&INFO, "/some/prefix");
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
    assert_true(n > 2 * 18); /* eighteen replies, each with its body */
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
        cmocka_unit_test(base_path_stands_in_the_404),
        cmocka_unit_test(longest_base_path_stands_in_the_404_uncut),
        cmocka_unit_test(handlers_create_without_memory_returns_null_and_frees_all),
        cmocka_unit_test(handlers_free_frees_all),
        cmocka_unit_test(handlers_free_ignores_null),
        cmocka_unit_test(handlers_answer_allocates_nothing),
    };

    return cmocka_run_group_tests(tests, create, destroy);
}
