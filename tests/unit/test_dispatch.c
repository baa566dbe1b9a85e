/* Failures that no client can provoke reliably, and access-log lines to the byte; the integration
 * tests cover the rest. */
/* wraps: calloc MHD_get_connection_info MHD_get_connection_values_n */
/* wraps: handlers_answer reply_queue reply_send monotonic_nanoseconds */
#include "test.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
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
static int64_t now; /* nanoseconds */
static enum request_fault fault;

enum { HEADERS_MAX = 4 };
struct header {
    const char *name;
    const char *value;
};
static const struct header HOST[HEADERS_MAX] = {{"Host", "a"}};
static const struct header *headers;

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
int64_t __wrap_monotonic_nanoseconds(void);

int64_t __wrap_monotonic_nanoseconds(void)
{
    return now;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return failing_now() ? NULL : __real_calloc(count, size);
}

const union MHD_ConnectionInfo *
__wrap_MHD_get_connection_info(struct MHD_Connection *connection,
                               enum MHD_ConnectionInfoType info_type, ...)
{
    static union MHD_ConnectionInfo info;
    static struct sockaddr_in client = {.sin_family = AF_INET};

    (void)connection;
    if (info_type == MHD_CONNECTION_INFO_CONNECTION_FD)
        info.connect_fd = socket_of_client;
    else if (info_type == MHD_CONNECTION_INFO_SOCKET_CONTEXT)
        info.socket_context = record;
    else if (info_type == MHD_CONNECTION_INFO_HTTP_STATUS)
        info.http_status = 200;
    else if (info_type == MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
        info.header_size = head_size;
    else if (info_type == MHD_CONNECTION_INFO_CLIENT_ADDRESS)
        info.client_addr = (struct sockaddr *)&client;
    else
        fail_msg("unexpected type %d", (int)info_type);
    return &info;
}

int __wrap_MHD_get_connection_values_n(struct MHD_Connection *connection, enum MHD_ValueKind kind,
                                       MHD_KeyValueIteratorN iterator, void *cls)
{
    (void)connection;
    for (size_t i = 0; iterator != NULL && i < HEADERS_MAX && headers[i].name != NULL; i++)
        (void)iterator(cls, kind, headers[i].name, strlen(headers[i].name), headers[i].value,
                       strlen(headers[i].value));
    return 1;
}

const struct reply *__wrap_handlers_answer(const struct handlers *handlers, unsigned thread,
                                           const struct request *request, bool draining)
{
    (void)handlers;
    assert_int_equal(thread, 0);
    fault = request->fault;
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
    headers = HOST;
    now = 12345678901;
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

static void fill(char *text, char letter, size_t length)
{
    memset(text, letter, length);
    text[length] = '\0';
}

/* Each row is a request on the same connection: nothing of one is logged with the next. */
static void access_log_has_the_headers_and_sizes_of_the_request(void **state)
{
    char most[LOG_TEXT_MAX]; /* leaves three bytes of the longest text that is logged */
    char whole[LOG_TEXT_MAX + 1];
    char cut[LOG_TEXT_MAX + 32];
    const struct {
        const char *method;
        struct header headers[HEADERS_MAX];
        enum request_fault fault;
        const char *fields; /* that the line ends with */
    } rows[] = {
        {"GET",
         {{"Host", "a"}, {"user-AGENT", "x\""}},
         FAULT_NONE,
         "42,\"duration_us\":1234,\"user_agent\":\"x\\\"\"}\n"},
        {"HEAD",
         {{"Host", "a"}, {"X-User-Agent", "x"}, {"User", "x"}},
         FAULT_NONE,
         "0,\"duration_us\":1234}\n"},
        {"GET", {{"Host", "a"}, {"Host", "a"}}, FAULT_HOST, "42,\"duration_us\":1234}\n"},
        {"GET",
         {{"Host", "a"}, {"X-Forwarded-For", "b"}, {"User-Agent", "c"}, {"X-Forwarded-For", "d"}},
         FAULT_NONE,
         "42,\"duration_us\":1234,\"forwarded_for\":\"b, d\",\"user_agent\":\"c\"}\n"},
        {"GET",
         {{"Host", "a"}, {"User-Agent", most}, {"User-Agent", "bc"}},
         FAULT_NONE,
         "m, b\"}\n"},
        {"GET", {{"Host", "a"}, {"User-Agent", whole}, {"User-Agent", "b"}}, FAULT_NONE, cut},
    };
    const int file = memfd_create("log", MFD_CLOEXEC);

    (void)state;
    fill(most, 'm', LOG_TEXT_MAX - 4);
    fill(whole, 'w', LOG_TEXT_MAX);
    (void)snprintf(cut, sizeof cut, "\"user_agent\":\"%.*s\"}\n", LOG_TEXT_MAX - 1, whole);
    log_init(&nowhere, file, LOG_FORMAT_JSON, LOG_INFO);
    config.access_log = ACCESS_LOG_ALL;
    queues = true;
    head_size = 100;
    start_connection();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char line[2 * LOG_TEXT_MAX] = "";
        void *context = dispatch_target(&dispatch, "/version", NULL);

        headers = rows[i].headers;
        assert_int_equal(record->sent, 0);
        for (int call = 0; call < 2 - (rows[i].fault != FAULT_NONE); call++)
            assert_int_equal(dispatch_request(&dispatch, NULL, "/version", rows[i].method,
                                              "HTTP/1.1", NULL, NULL, &context),
                             MHD_YES);
        assert_int_equal(fault, rows[i].fault);
        now += 1234567;
        dispatch_completed(&dispatch, NULL, &context, MHD_REQUEST_TERMINATED_COMPLETED_OK);
        assert_true(pread(file, line, sizeof line - 1, 0) > (ssize_t)strlen(rows[i].fields));
        assert_string_equal(line + strlen(line) - strlen(rows[i].fields), rows[i].fields);
        assert_int_equal(ftruncate(file, 0), 0);
        assert_int_equal(lseek(file, 0, SEEK_SET), 0);
    }
    end_connection();
    config.access_log = ACCESS_LOG_OFF;
    (void)close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(connection_without_memory_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(response_that_cannot_be_queued_is_counted_as_failed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(access_log_has_the_headers_and_sizes_of_the_request, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(large_head_is_counted_with_the_status_that_was_sent, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
