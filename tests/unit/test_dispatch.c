/* Failure paths that no client can provoke reliably; the integration tests cover the rest. */
/* wraps: calloc MHD_get_connection_info MHD_get_connection_values_n */
/* wraps: handlers_answer reply_queue reply_send */
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dispatch.h"
#include "failing.h"
#include "inspect.h"
#include "reply.h"

static const struct build_info INFO = {.name = "example",
                                       .version = "1.2.3",
                                       .commit = "unknown",
                                       .description = "An example",
                                       .build_date = "2026-11-22T09:00:00Z"};

static struct config config = {.max_connections = 8};
static struct log nowhere;
static struct usage usage;
static struct dispatch dispatch;
static int socket_of_client = -1;
static struct connection *record; /* the context of the connection */
static size_t head_size;
static bool sends;
static bool queues;

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
const union MHD_ConnectionInfo *
__wrap_MHD_get_connection_info(struct MHD_Connection *connection,
                               enum MHD_ConnectionInfoType info_type, ...);
int __wrap_MHD_get_connection_values_n(struct MHD_Connection *connection, enum MHD_ValueKind kind,
                                       MHD_KeyValueIteratorN iterator, void *cls);
const struct reply *__wrap_handlers_answer(const struct handlers *handlers, unsigned thread,
                                           const struct request *request, bool draining);
bool __wrap_reply_queue(const struct reply *reply, struct MHD_Connection *connection, bool close,
                        size_t *size);
bool __wrap_reply_send(int socket, unsigned status, bool is_head, size_t *size);

void *__wrap_calloc(size_t count, size_t size)
{
    return failing_now() ? NULL : __real_calloc(count, size);
}

const union MHD_ConnectionInfo *
__wrap_MHD_get_connection_info(struct MHD_Connection *connection,
                               enum MHD_ConnectionInfoType info_type, ...)
{
    static union MHD_ConnectionInfo info;

    (void)connection;
    if (info_type == MHD_CONNECTION_INFO_CONNECTION_FD)
        info.connect_fd = socket_of_client;
    else if (info_type == MHD_CONNECTION_INFO_SOCKET_CONTEXT)
        info.socket_context = record;
    else if (info_type == MHD_CONNECTION_INFO_HTTP_STATUS)
        info.http_status = 200;
    else if (info_type == MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
        info.header_size = head_size;
    else
        fail_msg("unexpected type %d", (int)info_type);
    return &info;
}

int __wrap_MHD_get_connection_values_n(struct MHD_Connection *connection, enum MHD_ValueKind kind,
                                       MHD_KeyValueIteratorN iterator, void *cls)
{
    static const char host[] = "Host";

    (void)connection;
    if (iterator != NULL && kind == MHD_HEADER_KIND)
        (void)iterator(cls, kind, host, sizeof host - 1, "a", 1);
    return 1;
}

const struct reply *__wrap_handlers_answer(const struct handlers *handlers, unsigned thread,
                                           const struct request *request, bool draining)
{
    (void)handlers;
    assert_int_equal(thread, 0);
    assert_int_equal(request->fault, FAULT_NONE);
    assert_false(draining);
    return NULL;
}

bool __wrap_reply_queue(const struct reply *reply, struct MHD_Connection *connection, bool close,
                        size_t *size)
{
    (void)reply;
    (void)connection;
    assert_false(close);
    *size = 42;
    return queues;
}

bool __wrap_reply_send(int socket, unsigned status, bool is_head, size_t *size)
{
    assert_int_equal(socket, socket_of_client);
    assert_int_equal(status, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_false(is_head);
    *size = 1;
    return sends;
}

static int set_up(void **state)
{
    (void)state;
    log_init(&nowhere, -1, LOG_FORMAT_JSON, LOG_ERROR);
    usage_open(&usage, "/proc/self", 64);
    dispatch = (struct dispatch){.config = &config, .log = &nowhere};
    dispatch.metrics = metrics_create(&(const struct metrics_parts){&INFO, &nowhere, &usage, 1, 8});
    connections_init(&dispatch.connections);
    socket_of_client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    record = NULL;
    failing_at(0);
    return dispatch.metrics == NULL || socket_of_client < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)close(socket_of_client);
    metrics_free(dispatch.metrics);
    usage_close(&usage);
    return 0;
}

static void start_connection(void)
{
    void *context = NULL;

    dispatch_connection(&dispatch, NULL, &context, MHD_CONNECTION_NOTIFY_STARTED);
    record = context;
}

static void end_connection(void)
{
    void *context = record;

    dispatch_connection(&dispatch, NULL, &context, MHD_CONNECTION_NOTIFY_CLOSED);
}

static void connection_without_memory_is_refused(void **state)
{
    void *context = NULL;

    (void)state;
    failing_at(1);
    start_connection();
    assert_true(failing_has_failed());
    failing_at(0);
    assert_null(record);
    assert_null(dispatch_target(&dispatch, "/version", NULL));
    assert_int_equal(
        dispatch_request(&dispatch, NULL, "/version", "GET", "HTTP/1.1", NULL, NULL, &context),
        MHD_NO);
    dispatch_completed(&dispatch, NULL, &context, MHD_REQUEST_TERMINATED_WITH_ERROR);
    end_connection();
    assert_int_equal(inspect_metric(dispatch.metrics, "http_connections_refused_total"), 1);
    assert_int_equal(inspect_metric(dispatch.metrics, "http_connections_accepted_total"), 1);
    assert_int_equal(inspect_metric(dispatch.metrics, "http_connections_open"), 0);
    assert_int_equal(inspect_metric(dispatch.metrics, "http_request_duration_seconds_count"), 0);
}

/* A head that left no memory for a response gets 431 directly, unless the client is gone. */
static void large_head_is_counted_with_the_status_that_was_sent(void **state)
{
    static const struct {
        bool sends;
        size_t head;
        const char *series;
    } rows[] = {
        {true, 8000, "http_requests_total{path=\"/version\",method=\"GET\",code=\"431\"}"},
        {false, 8000, "http_requests_total{path=\"/version\",method=\"GET\",code=\"200\"}"},
        {true, 100, "http_requests_total{path=\"/version\",method=\"GET\",code=\"200\"}"},
    };
    unsigned long counted[2] = {0};

    (void)state;
    start_connection();
    assert_non_null(record);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        void *context = NULL;

        sends = rows[i].sends;
        head_size = rows[i].head;
        context = dispatch_target(&dispatch, "/version", NULL);
        assert_ptr_equal(context, record);
        assert_true(record->in_request);
        assert_int_equal(
            dispatch_request(&dispatch, NULL, "/version", "GET", "HTTP/1.1", NULL, NULL, &context),
            MHD_YES);
        dispatch_completed(&dispatch, NULL, &context, MHD_REQUEST_TERMINATED_WITH_ERROR);
        assert_false(record->in_request);
        counted[i > 0]++;
        assert_int_equal(inspect_metric(dispatch.metrics, rows[i].series), counted[i > 0]);
    }
    assert_int_equal(record->read, 8000 + 8000 + 100);
    end_connection();
    assert_int_equal(inspect_metric(dispatch.metrics, "http_connections_open"), 0);
}

static void response_that_cannot_be_queued_is_counted_as_failed(void **state)
{
    (void)state;
    start_connection();
    for (int i = 0; i < 2; i++) {
        void *context = dispatch_target(&dispatch, "/version", NULL);

        queues = i > 0;
        for (int call = 0; call < 2; call++)
            assert_int_equal(dispatch_request(&dispatch, NULL, "/version", "GET", "HTTP/1.1", NULL,
                                              NULL, &context),
                             call == 0 || queues ? MHD_YES : MHD_NO);
        assert_int_equal(record->sent, queues ? 42 : 0);
    }
    end_connection();
    assert_int_equal(inspect_metric(dispatch.metrics, "http_requests_failed_total"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(connection_without_memory_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(response_that_cannot_be_queued_is_counted_as_failed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(large_head_is_counted_with_the_status_that_was_sent, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
