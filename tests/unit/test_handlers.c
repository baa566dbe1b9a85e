/* Which response a request gets. tests/integration/test_http.c compares the responses themselves.
 */
/* wraps: MHD_queue_response */
#include "test.h"

#include <microhttpd.h>
#include <stdlib.h>

#include "handlers.h"
#include "metrics.h"
#include "reply.h"

enum { THREADS = 3 };

static struct build_info info;
static struct log no_log;
static struct usage no_usage = {.statm = -1};
static struct handlers *handlers;
static const struct route *routes;
static size_t route_count;

/* The last call of MHD_queue_response(). */
static unsigned queued_status;
static const struct MHD_Response *queued;

enum MHD_Result __wrap_MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                          struct MHD_Response *response);

enum MHD_Result __wrap_MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                          struct MHD_Response *response)
{
    (void)connection;
    queued_status = status;
    queued = response;
    return MHD_YES;
}

static int set_up(void **state)
{
    struct route_context context = {.info = &info};

    info = build_info_get();
    context.metrics =
        metrics_create(&(const struct metrics_parts){&info, &no_log, &no_usage, 1, 8});
    handlers = handlers_create(&context, NULL, THREADS);
    routes = routes_all(&route_count);
    *state = context.metrics;
    return context.metrics != NULL && handlers != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    handlers_free(handlers);
    metrics_free(*state);
    return 0;
}

/* Checks the status of a response in each thread, with and without "Connection: close". Each thread
 * has objects of its own, except for live responses, which last for one request. */
static void expect(struct request request, bool draining, unsigned status)
{
    const struct MHD_Response *seen[2 * THREADS] = {NULL};

    for (unsigned i = 0; i < 2 * THREADS; i++) {
        const struct reply *reply = handlers_answer(handlers, i / 2, &request, draining);
        size_t size = 0;

        assert_true(reply_queue(reply, NULL, i % 2 != 0, &size));
        if (queued_status != status)
            fail_msg("fault %d, method %d, path %s: %u instead of %u", (int)request.fault,
                     (int)request.method, request.route == NULL ? "-" : request.route->path,
                     queued_status, status);
        seen[i] = queued;
        for (unsigned j = 0; j < i && (status != 200 || !request.route->is_live); j++)
            assert_ptr_not_equal(seen[j], queued);
        if (i >= 2)
            assert_ptr_not_equal(reply, handlers_answer(handlers, 0, &request, draining));
    }
}

static void responses_follow_the_table_of_routes(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * route_count; i++) {
        const struct route *route = &routes[i / 2];
        const bool draining = i % 2 != 0;
        struct request request = {.form = TARGET_PATH, .route = route};

        for (unsigned method = METHOD_GET; method <= METHOD_UNSERVED; method *= 2) {
            request.method = (enum method)method;
            if (method == METHOD_OPTIONS)
                expect(request, draining, 204);
            else if ((route->methods & method) == 0)
                expect(request, draining, 405);
            else
                expect(request, draining, draining && route->make_draining != NULL ? 503 : 200);
        }
    }
}

static void other_targets_concern_no_route_or_all_of_them(void **state)
{
    (void)state;
    expect((struct request){.method = METHOD_GET, .form = TARGET_PATH}, false, 404);
    expect((struct request){.method = METHOD_OPTIONS, .form = TARGET_PATH}, true, 404);
    expect((struct request){.method = METHOD_OPTIONS, .form = TARGET_ASTERISK}, false, 204);
    expect((struct request){.method = METHOD_CONNECT, .form = TARGET_AUTHORITY}, true, 405);
}

/* Expects the same response for all forms, paths and states. */
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
    static const unsigned statuses[FAULT_COUNT] = {
        [FAULT_NONE] = 501,  [FAULT_METHOD] = 400, [FAULT_TARGET] = 400, [FAULT_HOST] = 400,
        [FAULT_FIELD] = 400, [FAULT_BODY] = 413,   [FAULT_EXPECT] = 417,
    };

    (void)state;
    for (int fault = FAULT_NONE; fault < FAULT_COUNT; fault++) {
        struct request request = {.fault = (enum request_fault)fault, .method = METHOD_UNKNOWN};

        expect(request, false, statuses[fault]);
        expect_precedence(request);
        request.method = METHOD_OPTIONS;
        if (fault != FAULT_NONE)
            expect_precedence(request);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(responses_follow_the_table_of_routes),
        cmocka_unit_test(other_targets_concern_no_route_or_all_of_them),
        cmocka_unit_test(faults_precede_unknown_methods_and_those_precede_paths),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
