/* Which response a request gets. tests/integration/test_http.c compares the responses themselves.
 */
/* wraps: MHD_queue_response */
#include "test.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"
#include "documents.h"
#include "handlers.h"
#include "listener.h"
#include "metrics.h"
#include "reply.h"
#include "server.h"

enum { THREADS = 3, CLIENTS = 30 };

static struct build_info info;
static struct log no_log;
static struct usage no_usage = {.statm = -1};
static struct handlers *handlers;
static const struct route *routes;
static size_t route_count;

/* The last call of MHD_queue_response(). */
static unsigned queued_status;
static const struct MHD_Response *queued;

/* The first response that each thread of a server has sent. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct MHD_Response *sent[THREADS];
static size_t senders;

enum MHD_Result __real_MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                          struct MHD_Response *response);
enum MHD_Result __wrap_MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                          struct MHD_Response *response);

enum MHD_Result __wrap_MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                          struct MHD_Response *response)
{
    static _Thread_local bool has_sent;

    if (connection == NULL) {
        queued_status = status;
        queued = response;
        return MHD_YES;
    }
    pthread_mutex_lock(&lock);
    if (!has_sent)
        sent[senders++] = response;
    has_sent = true;
    pthread_mutex_unlock(&lock);
    return __real_MHD_queue_response(connection, status, response);
}

static int set_up(void **state)
{
    struct route_context context = {.info = &info};

    info = build_info_get();
    context.metrics =
        metrics_create(&(const struct metrics_parts){&info, &no_log, &no_usage, THREADS, 8});
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
                expect(request, draining, draining && route->draining_text != NULL ? 503 : 200);
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

/* No thread can take the connections of two: each has to send a response. */
static void threads_of_a_server_send_responses_of_their_own(void **state)
{
    static const struct client_answer alive = {"200 OK",    TYPE_JSON, NULL,
                                               DOCUMENT_OK, false,     false};
    const struct config config = {
        .threads = THREADS, .max_connections = CLIENTS, .request_deadline = 10 * PATIENCE};
    const struct server_parts parts = {.config = &config,
                                       .handlers = handlers,
                                       .log = &no_log,
                                       .metrics = *state,
                                       .listener = listener_open("127.0.0.1", 0)};
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;
    struct server *server = server_start(&parts);
    int clients[CLIENTS];

    assert_non_null(server);
    assert_int_equal(getsockname(parts.listener, (struct sockaddr *)&address, &size), 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = client_connect(ntohs(address.sin_port));
        client_expect_answer(clients[i], "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", &alive);
    }
    for (size_t i = 0; i < CLIENTS; i++)
        (void)close(clients[i]);
    server_stop(server);
    assert_int_equal(senders, THREADS);
    for (size_t i = 0; i < THREADS; i++)
        assert_ptr_not_equal(sent[i], sent[(i + 1) % THREADS]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(responses_follow_the_table_of_routes),
        cmocka_unit_test(other_targets_concern_no_route_or_all_of_them),
        cmocka_unit_test(faults_precede_unknown_methods_and_those_precede_paths),
        cmocka_unit_test(threads_of_a_server_send_responses_of_their_own),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
