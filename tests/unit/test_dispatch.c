/* wraps: MHD_get_connection_info MHD_get_connection_values_n handlers_answer reply_queue calloc */
/* wraps: reply_send */
/* wraps: connection_has_more router_find monotonic_nanoseconds monotonic_milliseconds */
/* The callbacks, called as libmicrohttpd does; what it does in between is in test_server.c. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "clock.h"
#include "dispatch.h"
#include "failing.h"
#include "inspect.h"
#include "reply.h"

enum { FIELDS_MAX = 8, ANSWER_SIZE = 179, REFUSAL_SIZE = 176 };
enum { LONG_TARGET = 4096, SHORT_OF_ROOM = 7168 };

struct field {
    const char *name;
    const char *value;
};

/* What this file knows of a connection. */
struct MHD_Connection {
    struct sockaddr_storage address;
    int sockets[2]; /* the client's, the server's */
    void *record;
    bool is_answered; /* a status can be told */
    unsigned status;
    size_t head; /* bytes of the head of its request */
    int values;  /* fields, when they are only counted */
    int arguments;
    struct field fields[FIELDS_MAX];
};

/* What the wrapped functions do, and what they have seen. */
static struct {
    int64_t nanoseconds;
    bool has_more; /* has come on the connection */
    bool is_not_queued;
    struct request judged; /* that an answer was chosen for */
    bool draining;
    unsigned queued; /* answers */
    bool close;      /* the last of them */
    bool is_gone;    /* the client: nothing can be sent */
    unsigned sent;   /* the status that was sent by the socket itself */
    bool is_head;
    int socket;
} calls;

static struct build_info info = {.name = "example",
                                 .version = "1.2.3",
                                 .commit = "0123456789abcdef0123456789abcdef01234567",
                                 .description = "An example",
                                 .build_date = "2026-11-22T09:00:00Z"};

const union MHD_ConnectionInfo *
__wrap_MHD_get_connection_info(struct MHD_Connection *connection,
                               enum MHD_ConnectionInfoType info_type, ...);
int __wrap_MHD_get_connection_values_n(struct MHD_Connection *connection, enum MHD_ValueKind kind,
                                       MHD_KeyValueIteratorN iterator, void *cls);
const struct reply *__wrap_handlers_answer(const struct handlers *handlers,
                                           const struct request *request, bool draining);
bool __wrap_reply_queue(const struct reply *reply, struct MHD_Connection *connection, bool close,
                        size_t *size);
bool __wrap_reply_send(int socket, unsigned status, bool is_head, size_t *size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
bool __wrap_connection_has_more(const struct connection *connection);
const struct route *__real_router_find(const char *base_path, const char *path, size_t length);
const struct route *__wrap_router_find(const char *base_path, const char *path, size_t length);
int64_t __wrap_monotonic_nanoseconds(void);
int64_t __wrap_monotonic_milliseconds(void);

const union MHD_ConnectionInfo *
__wrap_MHD_get_connection_info(struct MHD_Connection *connection,
                               enum MHD_ConnectionInfoType info_type, ...)
{
    static union MHD_ConnectionInfo answer;

    switch (info_type) {
    case MHD_CONNECTION_INFO_CLIENT_ADDRESS:
        answer.client_addr = (struct sockaddr *)&connection->address;
        return &answer;
    case MHD_CONNECTION_INFO_CONNECTION_FD:
        answer.connect_fd = connection->sockets[1];
        return &answer;
    case MHD_CONNECTION_INFO_SOCKET_CONTEXT:
        answer.socket_context = connection->record;
        return &answer;
    case MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE:
        answer.header_size = connection->head;
        return &answer;
    case MHD_CONNECTION_INFO_HTTP_STATUS:
        answer.http_status = connection->status;
        return connection->is_answered ? &answer : NULL;
    default:
        fail_msg("%d is unknown to this test", info_type);
    }
    return NULL;
}

/* The bytes after a value are no NUL. */
int __wrap_MHD_get_connection_values_n(struct MHD_Connection *connection, enum MHD_ValueKind kind,
                                       MHD_KeyValueIteratorN iterator, void *cls)
{
    int count = 0;

    if (iterator == NULL) /* only counts */
        return kind == MHD_HEADER_KIND ? connection->values : connection->arguments;
    assert_int_equal(kind, MHD_HEADER_KIND);
    for (; count < FIELDS_MAX && connection->fields[count].name != NULL; count++) {
        const struct field *field = &connection->fields[count];
        char *name = NULL;
        char *value = NULL;

        assert_true(asprintf(&name, "%s:", field->name) > 0);
        assert_true(asprintf(&value, "%s\r\n", field->value) > 0);
        assert_int_equal(
            iterator(cls, kind, name, strlen(field->name), value, strlen(field->value)), MHD_YES);
        free(name);
        free(value);
    }
    return count;
}

/* Nothing looks into these. */
static struct handlers *some_handlers(void)
{
    static char place;

    return (struct handlers *)(void *)&place;
}

static struct reply *some_reply(void)
{
    static char place;

    return (struct reply *)(void *)&place;
}

const struct reply *__wrap_handlers_answer(const struct handlers *handlers,
                                           const struct request *request, bool draining)
{
    assert_ptr_equal(handlers, some_handlers());
    calls.judged = *request;
    calls.draining = draining;
    return some_reply();
}

bool __wrap_reply_queue(const struct reply *reply, struct MHD_Connection *connection, bool close,
                        size_t *size)
{
    assert_ptr_equal(reply, some_reply());
    assert_non_null(connection);
    calls.close = close;
    if (calls.is_not_queued)
        return false;
    calls.queued++;
    *size = ANSWER_SIZE;
    return true;
}

bool __wrap_reply_send(int socket, unsigned status, bool is_head, size_t *size)
{
    calls.sent = status;
    calls.is_head = is_head;
    calls.socket = socket;
    *size = REFUSAL_SIZE;
    return !calls.is_gone;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return failing_now() ? NULL : __real_calloc(count, size);
}

bool __wrap_connection_has_more(const struct connection *connection)
{
    assert_non_null(connection);
    return calls.has_more;
}

const struct route *__wrap_router_find(const char *base_path, const char *path, size_t length)
{
    assert_non_null(path); /* targets of other forms have none */
    return __real_router_find(base_path, path, length);
}

int64_t __wrap_monotonic_nanoseconds(void)
{
    return calls.nanoseconds;
}

int64_t __wrap_monotonic_milliseconds(void)
{
    return calls.nanoseconds / 1000000;
}

/* What the callbacks share, with a log that can be read. */
struct fixture {
    struct config config;
    struct log log;
    struct usage usage;
    struct dispatch dispatch;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    const int file = memfd_create("log", MFD_CLOEXEC);

    if (file < 0)
        return -1;
    memset(&calls, 0, sizeof calls);
    calls.nanoseconds = 12345000000; /* some time after the machine has started */
    fixture = (struct fixture){.config = {.access_log = ACCESS_LOG_ALL, .max_connections = 2}};
    log_init(&fixture.log, file, LOG_FORMAT_JSON, LOG_DEBUG);
    usage_open(&fixture.usage, "/proc/self", 1024);
    fixture.dispatch.config = &fixture.config;
    fixture.dispatch.handlers = some_handlers();
    fixture.dispatch.log = &fixture.log;
    fixture.dispatch.metrics =
        metrics_create(&(const struct metrics_parts){&info, &fixture.log, &fixture.usage, 1, 100});
    connections_init(&fixture.dispatch.connections, 0);
    *state = &fixture;
    return fixture.dispatch.metrics == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    metrics_free(fixture->dispatch.metrics);
    usage_close(&fixture->usage);
    (void)close(fixture->log.descriptor);
    return 0;
}

/* A connection that is open, from an address. */
static struct MHD_Connection begin_from(struct fixture *fixture, const char *from)
{
    struct MHD_Connection connection = {.head = 100};
    socklen_t size = 0;

    assert_true(address_parse(from, 4242, &connection.address, &size));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, connection.sockets), 0);
    dispatch_connection(&fixture->dispatch, &connection, &connection.record,
                        MHD_CONNECTION_NOTIFY_STARTED);
    return connection;
}

static struct MHD_Connection begin(struct fixture *fixture)
{
    return begin_from(fixture, "192.0.2.7");
}

static void end(struct fixture *fixture, struct MHD_Connection *connection)
{
    dispatch_connection(&fixture->dispatch, connection, &connection->record,
                        MHD_CONNECTION_NOTIFY_CLOSED);
    (void)close(connection->sockets[0]);
    (void)close(connection->sockets[1]);
}

/* One of the calls for a request. */
static enum MHD_Result call(struct fixture *fixture, struct MHD_Connection *connection,
                            const char *method, const char *version, void **context)
{
    size_t size = 0;

    return dispatch_request(&fixture->dispatch, connection, "decoded", method, version, NULL, &size,
                            context);
}

/* A request up to its answer; "HTTP/1.1" and a Host unless `version` and fields say otherwise. */
static void ask_as(struct fixture *fixture, struct MHD_Connection *connection, const char *method,
                   const char *target, const char *version)
{
    void *context = dispatch_target(&fixture->dispatch, target, connection);
    const unsigned queued = calls.queued;

    assert_ptr_equal(context, connection->record);
    assert_int_equal(call(fixture, connection, method, version, &context), MHD_YES);
    if (calls.queued == queued) /* no fault was found in the head */
        assert_int_equal(call(fixture, connection, method, version, &context), MHD_YES);
    assert_uint_equal(calls.queued, queued + 1);
}

/* A request, answered with `status` after `nanoseconds`. */
static void ask(struct fixture *fixture, struct MHD_Connection *connection, const char *method,
                const char *target, unsigned status, int64_t nanoseconds)
{
    void *context = connection->record;

    ask_as(fixture, connection, method, target, "HTTP/1.1");
    calls.nanoseconds += nanoseconds;
    connection->is_answered = true;
    connection->status = status;
    dispatch_completed(&fixture->dispatch, connection, &context,
                       MHD_REQUEST_TERMINATED_COMPLETED_OK);
}

static void set_fields(struct MHD_Connection *connection, const struct field *fields)
{
    memcpy(connection->fields, fields, sizeof connection->fields);
}

static const struct field HOST[FIELDS_MAX] = {{"Host", "a"}};

/* One request on a connection of its own. */
static void ask_once(struct fixture *fixture, const char *from, const char *method,
                     const char *target, unsigned status, const struct field *fields)
{
    struct MHD_Connection connection = begin_from(fixture, from);

    set_fields(&connection, fields);
    ask(fixture, &connection, method, target, status, 1234567);
    end(fixture, &connection);
}

/* The number of a series of the metrics. */
static unsigned long count(const struct fixture *fixture, const char *series)
{
    return inspect_metric(fixture->dispatch.metrics, series);
}

/* How many requests were counted, whatever they were. */
static unsigned long count_requests(const struct fixture *fixture)
{
    return count(fixture, "http_request_duration_seconds_count");
}

static void expect_log(struct fixture *fixture, const char *expected)
{
    char text[8192] = "";

    assert_true(pread(fixture->log.descriptor, text, sizeof text - 1, 0) >= 0);
    inspect_replace_times(text);
    assert_string_equal(text, expected);
}

#define LINE_OF(level, remote, method, path, status, bytes, duration, more)                        \
    "{\"time\":\"TIME\",\"level\":\"" level "\",\"msg\":\"request\",\"remote\":\"" remote          \
    "\",\"method\":\"" method "\",\"path\":\"" path "\",\"status\":" #status ",\"bytes\":" bytes   \
    ",\"duration_us\":" #duration more "}\n"
#define LINE(level, method, path, status)                                                          \
    LINE_OF(level, "192.0.2.7", method, path, status, "179", 1234, "")

static void connections_are_counted_from_begin_to_end(void **state)
{
    struct fixture *fixture = *state;
    struct MHD_Connection first = begin(fixture);
    struct MHD_Connection second = begin(fixture);
    const struct connection *record = first.record;

    assert_int_equal(record->socket, first.sockets[1]);
    assert_non_null(record->counters);
    assert_uint_equal(connections_opened(&fixture->dispatch.connections), 2);
    assert_uint_equal(count(fixture, "http_connections_accepted_total"), 2);
    assert_uint_equal(count(fixture, "http_connections_open"), 2);
    end(fixture, &first);
    assert_uint_equal(count(fixture, "http_connections_open"), 1);
    assert_uint_equal(fixture->dispatch.connections.open, 1);
    end(fixture, &second);
    assert_uint_equal(count(fixture, "http_connections_open"), 0);
    assert_null(fixture->dispatch.connections.first);
    assert_uint_equal(count(fixture, "http_connections_refused_total"), 0);
}

/* Nothing is served on it, nor logged, nor counted. */
static void expect_nothing_served(struct fixture *fixture, struct MHD_Connection *connection)
{
    void *context = dispatch_target(&fixture->dispatch, "/version", connection);

    assert_null(context);
    assert_int_equal(call(fixture, connection, "GET", "HTTP/1.1", &context), MHD_NO);
    assert_uint_equal(calls.queued, 0);
    connection->is_answered = true; /* with a 400 by libmicrohttpd, say */
    connection->status = 400;
    dispatch_completed(&fixture->dispatch, connection, &context, MHD_REQUEST_TERMINATED_WITH_ERROR);
    assert_uint_equal(count_requests(fixture), 0);
    expect_log(fixture, "");
}

static void connection_that_is_refused_is_counted_and_not_served(void **state)
{
    struct fixture *fixture = *state;
    struct MHD_Connection first;
    struct MHD_Connection refused;
    struct MHD_Connection other;

    connections_init(&fixture->dispatch.connections, 1);
    first = begin_from(fixture, "192.0.2.7");
    refused = begin_from(fixture, "::ffff:192.0.2.7");
    other = begin_from(fixture, "192.0.2.8");
    assert_uint_equal(count(fixture, "http_connections_accepted_total"), 3);
    assert_uint_equal(count(fixture, "http_connections_refused_total"), 1);
    expect_nothing_served(fixture, &refused);
    end(fixture, &refused);
    assert_uint_equal(count(fixture, "http_connections_open"), 2);
    end(fixture, &first);
    end(fixture, &other);
}

/* True when the server has shut the connection down. */
static bool is_ended(const struct MHD_Connection *connection)
{
    char byte = 0;

    return recv(connection->sockets[0], &byte, 1, MSG_DONTWAIT) == 0;
}

static void connection_above_the_limit_has_an_old_one_closed(void **state)
{
    struct fixture *fixture = *state;
    struct MHD_Connection first = begin(fixture);
    struct MHD_Connection second = begin(fixture);
    struct MHD_Connection third;

    calls.nanoseconds += 11000000;
    assert_uint_equal(count(fixture, "http_connections_evicted_total"), 0);
    third = begin(fixture);
    assert_uint_equal(count(fixture, "http_connections_evicted_total"), 1);
    assert_uint_equal(count(fixture, "http_connections_refused_total"), 0);
    assert_true(is_ended(&first));
    assert_false(is_ended(&second));
    assert_false(is_ended(&third));
    end(fixture, &first);
    end(fixture, &second);
    end(fixture, &third);
}

/* It does not stay, so nobody has to go for it. */
static void refused_connection_has_no_other_closed(void **state)
{
    struct fixture *fixture = *state;
    struct MHD_Connection first;
    struct MHD_Connection refused;

    fixture->config.max_connections = 1;
    connections_init(&fixture->dispatch.connections, 1);
    first = begin(fixture);
    calls.nanoseconds += 11000000;
    refused = begin(fixture);
    assert_uint_equal(count(fixture, "http_connections_refused_total"), 1);
    assert_uint_equal(count(fixture, "http_connections_evicted_total"), 0);
    assert_false(is_ended(&first));
    end(fixture, &first);
    end(fixture, &refused);
}

static void connection_without_memory_is_counted_and_not_served(void **state)
{
    struct fixture *fixture = *state;
    struct MHD_Connection connection;

    failing_at(1);
    connection = begin(fixture);
    assert_true(failing_has_failed());
    failing_at(0);
    assert_null(connection.record);
    assert_uint_equal(count(fixture, "http_connections_accepted_total"), 1);
    assert_uint_equal(count(fixture, "http_connections_refused_total"), 1);
    expect_nothing_served(fixture, &connection);
    end(fixture, &connection);
    assert_uint_equal(count(fixture, "http_connections_open"), 0);
}

static void request_is_in_flight_from_its_target_to_its_end(void **state)
{
    struct fixture *fixture = *state;
    struct MHD_Connection connection = begin(fixture);
    struct connection *record = connection.record;
    void *context = NULL;

    assert_false(atomic_load(&record->in_request));
    calls.nanoseconds += 5000000;
    context = dispatch_target(&fixture->dispatch, "/version", &connection);
    assert_ptr_equal(context, record);
    assert_true(atomic_load(&record->in_request));
    assert_int_equal(atomic_load(&record->done), 12345);
    assert_uint_equal(atomic_load(&record->read), 0);
    set_fields(&connection, HOST);
    assert_int_equal(call(fixture, &connection, "GET", "HTTP/1.1", &context), MHD_YES);
    assert_uint_equal(calls.queued, 0); /* libmicrohttpd would close the connection */
    assert_uint_equal(atomic_load(&record->read), 100);
    assert_int_equal(call(fixture, &connection, "GET", "HTTP/1.1", &context), MHD_YES);
    assert_uint_equal(calls.queued, 1);
    assert_true(atomic_load(&record->in_request));
    calls.nanoseconds += 2999999;
    connection.is_answered = true;
    connection.status = 200;
    dispatch_completed(&fixture->dispatch, &connection, &context,
                       MHD_REQUEST_TERMINATED_COMPLETED_OK);
    assert_false(atomic_load(&record->in_request));
    assert_int_equal(atomic_load(&record->done), 12352); /* whole milliseconds */
    connection.head = 30;
    ask(fixture, &connection, "GET", "/version", 200, 0);
    assert_uint_equal(atomic_load(&record->read), 130);
    end(fixture, &connection);
}

static void request_is_judged_by_method_and_target(void **state)
{
    static const struct {
        const char *method;
        const char *target;
        struct request judged;
        const char *path; /* of the route; NULL: none */
    } rows[] = {
        {"GET", "/version", {.method = METHOD_GET, .form = TARGET_PATH}, "/version"},
        {"HEAD", "/readyz?a", {.method = METHOD_HEAD, .form = TARGET_PATH}, "/readyz"},
        {"GET", "http://a/healthz", {.method = METHOD_GET, .form = TARGET_PATH}, "/healthz"},
        {"PUT",
         "/some/prefix/version",
         {.method = METHOD_UNSERVED, .form = TARGET_PATH},
         "/version"},
        {"get", "/%76ersion", {.method = METHOD_UNKNOWN, .form = TARGET_PATH}, NULL},
        {"OPTIONS", "*", {.method = METHOD_OPTIONS, .form = TARGET_ASTERISK}, NULL},
        {"CONNECT", "a:1", {.method = METHOD_CONNECT, .form = TARGET_AUTHORITY}, NULL},
        {"GET", "*", {FAULT_TARGET, METHOD_GET, TARGET_ASTERISK, NULL, false}, NULL},
        {"GET", "version", {FAULT_TARGET, METHOD_GET, TARGET_MALFORMED, NULL, false}, NULL},
    };
    struct fixture *fixture = *state;
    struct MHD_Connection connection = begin(fixture);

    fixture->config.base_path = "/some/prefix";
    set_fields(&connection, HOST);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct route *route =
            rows[i].path == NULL ? NULL : router_find(NULL, rows[i].path, strlen(rows[i].path));

        ask_as(fixture, &connection, rows[i].method, rows[i].target, "HTTP/1.1");
        assert_int_equal(calls.judged.fault, rows[i].judged.fault);
        assert_int_equal(calls.judged.method, rows[i].judged.method);
        assert_int_equal(calls.judged.form, rows[i].judged.form);
        assert_ptr_equal(calls.judged.route, route);
        assert_false(calls.judged.prefers_openmetrics);
        assert_false(calls.draining);
    }
    end(fixture, &connection);
}

/* A request with these fields, and what is found wrong with it. */
struct judgement {
    struct field fields[FIELDS_MAX];
    enum request_fault fault;
};

static void expect_judgements(struct fixture *fixture, const struct judgement *rows, size_t count,
                              const char *method, const char *target, const char *version)
{
    struct MHD_Connection connection = begin(fixture);

    for (size_t i = 0; i < count; i++) {
        set_fields(&connection, rows[i].fields);
        ask_as(fixture, &connection, method, target, version);
        if (calls.judged.fault != rows[i].fault)
            fail_msg("row %zu: fault %d, not %d", i, calls.judged.fault, rows[i].fault);
    }
    end(fixture, &connection);
}

static void request_with_several_faults_is_answered_for_the_first(void **state)
{
    static const struct judgement rows[] = {
        {{{"Content-Length", "1"}, {"X", "\001"}, {"Host", "a,b"}}, FAULT_HOST},
        {{{"Content-Length", "1"}, {"X", "\001"}, {"Host", "a"}}, FAULT_FIELD},
        {{{"Host", "a"}, {"X", "\001"}, {"X", "b"}}, FAULT_FIELD},
        {{{"Host", "a"}, {"Content-Length", "1"}, {"Expect", "a"}}, FAULT_BODY},
        {{{"Host", "a"}, {"Expect", "a"}}, FAULT_EXPECT},
    };
    static const struct judgement target[] = {
        {{{"Content-Length", "1"}, {"X", "\001"}, {"Host", "a,b"}}, FAULT_TARGET}};
    static const struct judgement method[] = {{{{"Host", "a,b"}}, FAULT_METHOD}};

    expect_judgements(*state, rows, COUNT_OF(rows), "GET", "/version", "HTTP/1.1");
    expect_judgements(*state, target, COUNT_OF(target), "GET", "*", "HTTP/1.1");
    expect_judgements(*state, method, COUNT_OF(method), "G(T", "*", "HTTP/1.1");
}

static void expectation_is_met_when_each_is_known(void **state)
{
    static const struct judgement rows[] = {
        {{{"Host", "a"}, {"Expect", "100-continue"}}, FAULT_NONE},
        {{{"Host", "a"}, {"eXPECT", "a"}}, FAULT_EXPECT},
        {{{"Host", "a"}, {"Expect", "a"}, {"Expect", "100-continue"}}, FAULT_EXPECT},
        {{{"Host", "a"}, {"Expect", "100-continue"}, {"Expect", "a"}}, FAULT_EXPECT},
        {{{"Host", "a"}, {"Expects", "a"}, {"Import", "a"}}, FAULT_NONE},
    };

    expect_judgements(*state, rows, COUNT_OF(rows), "GET", "/version", "HTTP/1.1");
}

static void host_is_wanted_once_and_only_http_1_0_may_leave_it_out(void **state)
{
    static const struct judgement rows[] = {
        {{{"Host", "a"}}, FAULT_NONE},
        {{{NULL, NULL}}, FAULT_HOST},
        {{{"Host", "a"}, {"Host", "a"}}, FAULT_HOST},
        {{{"Host", "a,b"}}, FAULT_HOST},
        {{{"Host", "a"}, {"Host", ","}}, FAULT_HOST},
        {{{"Host", ","}, {"Host", "a"}}, FAULT_HOST},
        {{{"Host", ""}}, FAULT_HOST},
    };
    static const struct judgement old[] = {
        {{{"Host", "a"}}, FAULT_NONE},
        {{{NULL, NULL}}, FAULT_NONE},
        {{{"Host", "a"}, {"Host", "a"}}, FAULT_HOST},
        {{{"Host", "a,b"}}, FAULT_HOST},
    };

    expect_judgements(*state, rows, COUNT_OF(rows), "GET", "/version", "HTTP/1.1");
    expect_judgements(*state, old, COUNT_OF(old), "GET", "/version", "HTTP/1.0");
}

static void field_names_are_compared_whole_and_without_case(void **state)
{
    static const struct judgement rows[] = {
        {{{"hOST", "a,b"}}, FAULT_HOST},
        {{{"host", "a"}, {"content-LENGTH", "9"}}, FAULT_BODY},
        {{{"host", "a"}, {"transfer-ENCODING", "chunked"}}, FAULT_BODY},
        {{{"Host", "a"}, {"Hosts", "a,b"}, {"Hos", "a,b"}, {"X-Host", "a,b"}}, FAULT_NONE},
        /* As long as the others. */
        {{{"Host", "a"}, {"From", "a,b"}}, FAULT_NONE},
        {{{"Host", "a"}, {"X-Some-Length1", "1"}}, FAULT_NONE},
        {{{"Host", "a"}, {"X-Transfer-Coding", "1"}}, FAULT_NONE},
    };

    expect_judgements(*state, rows, COUNT_OF(rows), "GET", "/version", "HTTP/1.1");
}

static void body_is_what_a_length_other_than_0_or_a_coding_announces(void **state)
{
    static const struct judgement rows[] = {
        {{{"Host", "a"}, {"Content-Length", "0"}}, FAULT_NONE},
        {{{"Host", "a"}, {"Content-Length", "1"}}, FAULT_BODY},
        {{{"Host", "a"}, {"Content-Length", "00"}}, FAULT_NONE},
        {{{"Host", "a"}, {"Content-Length", "10"}}, FAULT_BODY},
        {{{"Host", "a"}, {"Content-Length", ""}}, FAULT_BODY},
        {{{"Host", "a"}, {"Content-Length", "1"}, {"Content-Length", "0"}}, FAULT_BODY},
        {{{"Host", "a"}, {"Transfer-Encoding", "identity"}}, FAULT_BODY},
    };

    expect_judgements(*state, rows, COUNT_OF(rows), "GET", "/version", "HTTP/1.1");
}

static void openmetrics_are_preferred_as_accept_says(void **state)
{
    static const struct {
        struct field fields[FIELDS_MAX];
        bool prefers_openmetrics;
    } rows[] = {
        {{{"Host", "a"}, {"Accept", "application/openmetrics-text"}}, true},
        {{{"Host", "a"}, {"ACCEPT", "application/openmetrics-text"}, {"Accept", "*/*"}}, true},
        {{{"Host", "a"}, {"Accept", "*/*"}, {"Accept", "application/openmetrics-text"}}, true},
        {{{"Host", "a"}, {"Accept", "text/plain"}}, false},
        {{{"Host", "a"},
          {"Accept", "text/plain"},
          {"Accept", "application/openmetrics-text;q=0.9"}},
         false},
        {{{"Host", "a"}, {"Expect", "application/openmetrics-text"}}, false},
        {{{"Host", "a"}}, false},
    };
    struct fixture *fixture = *state;
    struct MHD_Connection connection = begin(fixture);

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        set_fields(&connection, rows[i].fields);
        ask_as(fixture, &connection, "GET", "/metrics", "HTTP/1.1");
        if (calls.judged.prefers_openmetrics != rows[i].prefers_openmetrics)
            fail_msg("row %zu", i);
    }
    end(fixture, &connection);
}

static void answer_ends_the_connection_while_draining_unless_more_has_come(void **state)
{
    static const struct {
        bool draining;
        bool has_more;
        bool close;
    } rows[] = {
        {false, false, false}, {false, true, false}, {true, false, true}, {true, true, false}};
    struct fixture *fixture = *state;
    struct MHD_Connection connection = begin(fixture);

    set_fields(&connection, HOST);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        atomic_store(&fixture->dispatch.draining, rows[i].draining);
        calls.has_more = rows[i].has_more;
        ask_as(fixture, &connection, "GET", "/version", "HTTP/1.1");
        assert_true(calls.draining == rows[i].draining);
        assert_true(calls.close == rows[i].close);
    }
    end(fixture, &connection);
}

static void answer_that_is_not_queued_ends_the_connection_and_counts_as_failed(void **state)
{
    static const char *const versions[] = {"HTTP/1.1", "HTTP/1.0"};
    struct fixture *fixture = *state;
    struct MHD_Connection connection = begin(fixture);

    calls.is_not_queued = true;
    for (size_t i = 0; i < COUNT_OF(versions); i++) { /* a fault, and none */
        void *context = dispatch_target(&fixture->dispatch, "/version", &connection);

        if (i == 1)
            assert_int_equal(call(fixture, &connection, "GET", versions[i], &context), MHD_YES);
        assert_int_equal(call(fixture, &connection, "GET", versions[i], &context), MHD_NO);
        dispatch_completed(&fixture->dispatch, &connection, &context,
                           MHD_REQUEST_TERMINATED_WITH_ERROR);
        assert_false(atomic_load(&((struct connection *)context)->in_request));
    }
    assert_uint_equal(count_requests(fixture), 0);
    assert_uint_equal(count(fixture, "http_requests_failed_total"), 2);
    expect_log(fixture, "");
    end(fixture, &connection);
}

static void request_that_the_client_leaves_is_neither_counted_nor_logged(void **state)
{
    struct fixture *fixture = *state;
    struct MHD_Connection connection = begin(fixture);
    struct connection *record = connection.record;
    void *context = dispatch_target(&fixture->dispatch, "/version", &connection);

    calls.nanoseconds += 5000000;
    dispatch_completed(&fixture->dispatch, &connection, &context,
                       MHD_REQUEST_TERMINATED_CLIENT_ABORT);
    assert_false(atomic_load(&record->in_request));
    assert_int_equal(atomic_load(&record->done), 12350);
    assert_uint_equal(count_requests(fixture), 0);
    expect_log(fixture, "");
    end(fixture, &connection);
}

static void requests_are_counted_with_route_method_and_status(void **state)
{
    struct fixture *fixture = *state;
    struct MHD_Connection connection = begin(fixture);

    fixture->config.access_log = ACCESS_LOG_OFF; /* changes nothing */
    set_fields(&connection, HOST);
    ask(fixture, &connection, "GET", "/version", 200, 20000);
    ask(fixture, &connection, "GET", "/version", 200, 30000);
    ask(fixture, &connection, "HEAD", "/healthz?a", 200, 50000000);
    ask(fixture, &connection, "GET", "/nowhere", 404, 0);
    ask(fixture, &connection, "PUT", "/readyz", 405, 0);
    ask(fixture, &connection, "GET", "*", 400, 0);
#define SERIES(path, method, code)                                                                 \
    "http_requests_total{path=\"" path "\",method=\"" method "\",code=\"" code "\"}"
    assert_uint_equal(count(fixture, SERIES("/version", "GET", "200")), 2);
    assert_uint_equal(count(fixture, SERIES("/healthz", "HEAD", "200")), 1);
    assert_uint_equal(count(fixture, SERIES("other", "GET", "404")), 1);
    assert_uint_equal(count(fixture, SERIES("/readyz", "other", "405")), 1);
    assert_uint_equal(count(fixture, SERIES("other", "GET", "400")), 1);
#undef SERIES
    assert_uint_equal(count_requests(fixture), 6);
    assert_uint_equal(count(fixture, "http_request_duration_seconds_bucket{le=\"1e-05\"}"), 3);
    assert_uint_equal(count(fixture, "http_request_duration_seconds_bucket{le=\"2.5e-05\"}"), 4);
    assert_uint_equal(count(fixture, "http_request_duration_seconds_bucket{le=\"5e-05\"}"), 5);
    assert_uint_equal(count(fixture, "http_request_duration_seconds_bucket{le=\"0.025\"}"), 5);
    assert_uint_equal(count(fixture, "http_request_duration_seconds_bucket{le=\"0.1\"}"), 6);
    expect_log(fixture, "");
    end(fixture, &connection);
}

/* Before its head is complete, and after its target: libmicrohttpd has answered by itself. */
static void malformed_request_is_counted_and_logged_without_a_method(void **state)
{
    struct fixture *fixture = *state;
    struct MHD_Connection connection = begin(fixture);
    void *context = NULL;

    set_fields(&connection, HOST);
    ask(fixture, &connection, "GET", "/version", 200, 1234567);
    context = dispatch_target(&fixture->dispatch, "/readyz", &connection);
    connection.status = 431;
    calls.nanoseconds += 7000;
    dispatch_completed(&fixture->dispatch, &connection, &context,
                       MHD_REQUEST_TERMINATED_WITH_ERROR);
    assert_uint_equal(
        count(fixture, "http_requests_total{path=\"/readyz\",method=\"other\",code=\"431\"}"), 1);
    expect_log(fixture, LINE("info", "GET", "/version", 200)
                            LINE_OF("warn", "192.0.2.7", "-", "/readyz", 431, "0", 7, ""));
    end(fixture, &connection);
}

/* A request to a target of `length` bytes, whose answer was queued with 200, ends with `code`. */
static void ask_and_end(struct fixture *fixture, struct MHD_Connection *connection,
                        const char *method, size_t length, enum MHD_RequestTerminationCode code)
{
    char target[LONG_TARGET + 2] = "";
    void *context = NULL;

    (void)memset(target, 'a', length);
    target[0] = '/';
    context = dispatch_target(&fixture->dispatch, target, connection);
    assert_int_equal(call(fixture, connection, method, "HTTP/1.1", &context), MHD_YES);
    assert_int_equal(call(fixture, connection, method, "HTTP/1.1", &context), MHD_YES);
    connection->is_answered = true;
    connection->status = 200;
    calls.sent = 0;
    dispatch_completed(&fixture->dispatch, connection, &context, code);
}

/* libmicrohttpd had no memory for the head of the answer. */
static void request_that_leaves_no_room_for_its_answer_is_refused(void **state)
{
    static const struct {
        const char *method;
        size_t length;
        size_t head;
        int values;
        int arguments;
        unsigned status;
        bool is_head;
    } rows[] = {
        {"GET", 2, SHORT_OF_ROOM, 0, 0, 431, false},
        {"HEAD", 2, SHORT_OF_ROOM, 0, 0, 431, true},
        {"GET", LONG_TARGET, SHORT_OF_ROOM - 64, 1, 0, 431, false},
        {"GET", LONG_TARGET + 1, 0, SHORT_OF_ROOM / 64 - 1, 1, 414, false},
    };
    struct fixture *fixture = *state;
    struct MHD_Connection connection = begin(fixture);

    set_fields(&connection, HOST);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct connection *record = connection.record;

        connection.head = rows[i].head;
        connection.values = rows[i].values;
        connection.arguments = rows[i].arguments;
        ask_and_end(fixture, &connection, rows[i].method, rows[i].length,
                    MHD_REQUEST_TERMINATED_WITH_ERROR);
        assert_uint_equal(calls.sent, rows[i].status);
        assert_int_equal(calls.is_head, rows[i].is_head);
        assert_int_equal(calls.socket, connection.sockets[1]);
        assert_uint_equal(record->sent, rows[i].is_head ? 0 : REFUSAL_SIZE);
    }
#define SERIES(method, code)                                                                       \
    "http_requests_total{path=\"other\",method=\"" method "\",code=\"" code "\"}"
    assert_uint_equal(count(fixture, SERIES("GET", "431")), 2);
    assert_uint_equal(count(fixture, SERIES("HEAD", "431")), 1);
    assert_uint_equal(count(fixture, SERIES("GET", "414")), 1);
#undef SERIES
    end(fixture, &connection);
}

static void request_whose_client_is_gone_keeps_its_status(void **state)
{
    struct fixture *fixture = *state;
    struct MHD_Connection connection = begin(fixture);

    set_fields(&connection, HOST);
    connection.head = SHORT_OF_ROOM;
    calls.is_gone = true;
    ask_and_end(fixture, &connection, "GET", 2, MHD_REQUEST_TERMINATED_WITH_ERROR);
    assert_uint_equal(calls.sent, 431);
    expect_log(fixture, LINE_OF("info", "192.0.2.7", "GET", "/a", 200, "179", 0, ""));
    end(fixture, &connection);
}

/* Something else went wrong, perhaps in the middle of the answer. */
static void request_that_left_room_is_not_refused(void **state)
{
    struct fixture *fixture = *state;
    struct MHD_Connection connection = begin(fixture);

    set_fields(&connection, HOST);
    connection.head = SHORT_OF_ROOM - 65;
    connection.values = 1;
    ask_and_end(fixture, &connection, "GET", 2, MHD_REQUEST_TERMINATED_WITH_ERROR);
    assert_uint_equal(calls.sent, 0);
    end(fixture, &connection);
}

static void request_that_was_answered_is_not_answered_again(void **state)
{
    struct fixture *fixture = *state;
    struct MHD_Connection connection = begin(fixture);
    void *context = NULL;

    set_fields(&connection, HOST);
    connection.head = SHORT_OF_ROOM;
    ask_and_end(fixture, &connection, "GET", 2, MHD_REQUEST_TERMINATED_COMPLETED_OK);
    assert_uint_equal(calls.sent, 0);
    context = dispatch_target(&fixture->dispatch, "/a", &connection); /* malformed after that */
    dispatch_completed(&fixture->dispatch, &connection, &context,
                       MHD_REQUEST_TERMINATED_WITH_ERROR);
    assert_uint_equal(calls.sent, 0);
    end(fixture, &connection);
}

/* One request of each kind that the access log tells apart. */
static void ask_every_kind(struct fixture *fixture)
{
    static const struct {
        const char *method;
        const char *target;
        unsigned status;
    } rows[] = {
        {"GET", "/version?a", 200}, {"GET", "/healthz", 200}, {"HEAD", "/readyz", 200},
        {"GET", "/metrics", 200},   {"OPTIONS", "*", 204},    {"GET", "/badge.svg", 399},
        {"GET", "/nowhere", 404},   {"PUT", "/readyz", 405},  {"GET", "/readyz", 503},
        {"PUT", "/metrics", 400},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ask_once(fixture, "192.0.2.7", rows[i].method, rows[i].target, rows[i].status, HOST);
}

#define ERRORS                                                                                     \
    LINE("warn", "GET", "/nowhere", 404)                                                           \
    LINE("warn", "PUT", "/readyz", 405)                                                            \
    LINE("warn", "GET", "/readyz", 503) LINE("warn", "PUT", "/metrics", 400)

static void access_log_off_logs_nothing(void **state)
{
    struct fixture *fixture = *state;

    fixture->config.access_log = ACCESS_LOG_OFF;
    ask_every_kind(fixture);
    expect_log(fixture, "");
}

static void access_log_of_errors_logs_statuses_from_400(void **state)
{
    struct fixture *fixture = *state;

    fixture->config.access_log = ACCESS_LOG_ERRORS;
    ask_every_kind(fixture);
    expect_log(fixture, ERRORS);
}

static void access_log_of_all_leaves_out_what_is_polled_and_succeeds(void **state)
{
    struct fixture *fixture = *state;

    ask_every_kind(fixture);
    expect_log(fixture, LINE("info", "GET", "/version?a", 200) LINE("info", "OPTIONS", "*", 204)
                            LINE("info", "GET", "/badge.svg", 399) ERRORS);
}

static void access_log_counts_no_bytes_for_head(void **state)
{
    struct fixture *fixture = *state;
    struct MHD_Connection connection = begin(fixture);

    set_fields(&connection, HOST);
    ask(fixture, &connection, "GET", "/version", 200, 1234567);
    ask(fixture, &connection, "HEAD", "/version", 200, 1234567);
    end(fixture, &connection);
    expect_log(fixture, LINE("info", "GET", "/version", 200)
                            LINE_OF("info", "192.0.2.7", "HEAD", "/version", 200, "0", 1234, ""));
}

static void access_log_names_the_client_in_either_family(void **state)
{
    struct fixture *fixture = *state;

    ask_once(fixture, "2001:db8::1", "GET", "/version", 200, HOST);
    ask_once(fixture, "::ffff:192.0.2.9", "GET", "/version", 200, HOST);
    expect_log(fixture, LINE_OF("info", "2001:db8::1", "GET", "/version", 200, "179", 1234, "")
                            LINE_OF("info", "192.0.2.9", "GET", "/version", 200, "179", 1234, ""));
}

static void access_log_of_next_request_has_nothing_of_the_last(void **state)
{
    static const struct field fields[FIELDS_MAX] = {{"Host", "a"}, {"User-Agent", "x"}};
    struct fixture *fixture = *state;
    struct MHD_Connection connection = begin(fixture);

    set_fields(&connection, fields);
    ask(fixture, &connection, "OPTIONS", "/version/longer", 404, 999);
    set_fields(&connection, HOST);
    ask(fixture, &connection, "GET", "/version", 200, 1000);
    ask(fixture, &connection, "OPTIONS", "*", 204, 1999);
    end(fixture, &connection);
    expect_log(fixture, LINE_OF("warn", "192.0.2.7", "OPTIONS", "/version/longer", 404, "179", 0,
                                ",\"user_agent\":\"x\"")
                            LINE_OF("info", "192.0.2.7", "GET", "/version", 200, "179", 1, "")
                                LINE_OF("info", "192.0.2.7", "OPTIONS", "*", 204, "179", 1, ""));
}

static void access_log_quotes_what_the_client_says_of_itself(void **state)
{
    static const struct field fields[][FIELDS_MAX] = {
        {{"Host", "a"}, {"User-Agent", "curl/8\" x"}},
        {{"Host", "a"}, {"USER-agent", "one"}, {"user-agent", "two"}},
        {{"Host", "a"}, {"User-Agent", ""}},
        {{"Host", "a"}, {"X-User-Agent", "x"}, {"User-Agents", "x"}},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT_OF(fields); i++)
        ask_once(fixture, "192.0.2.7", "GET", "/version", 200, fields[i]);
#define LINE_WITH(remote, more) LINE_OF("info", remote, "GET", "/version", 200, "179", 1234, more)
    expect_log(fixture, LINE_WITH("192.0.2.7", ",\"user_agent\":\"curl/8\\\" x\"")
                            LINE_WITH("192.0.2.7", ",\"user_agent\":\"one, two\"")
                                LINE_WITH("192.0.2.7", "") LINE_WITH("192.0.2.7", ""));
}

static void access_log_says_for_whom_a_trusted_proxy_asks(void **state)
{
    static const struct {
        const char *remote;
        struct field fields[FIELDS_MAX];
    } rows[] = {
        {"192.0.2.7", {{"Host", "a"}, {"X-Forwarded-For", "198.51.100.1, 10.0.0.1"}}},
        {"192.0.2.7",
         {{"X-Forwarded-For", "198.51.100.1"},
          {"Host", "a"},
          {"x-forwarded-FOR", "10.0.0.1"},
          {"User-Agent", "x"},
          {"X-Forwarded-For", "10.0.0.2"}}},
        {"::ffff:192.0.2.8", {{"Host", "a"}, {"X-Forwarded-For", "a\\b"}}},
        {"192.0.2.7", {{"Host", "a"}, {"X-Forwarded-For", ""}}},
        {"192.0.2.7", {{"Host", "a"}, {"X-Forwarded-Far", "10.0.0.1"}, {"Forwarded", "for=a"}}},
        {"192.0.3.7", {{"Host", "a"}, {"X-Forwarded-For", "198.51.100.1"}}}, /* not trusted */
        {"2001:db8::1", {{"Host", "a"}, {"X-Forwarded-For", "198.51.100.1"}, {"User-Agent", "x"}}},
    };
    struct fixture *fixture = *state;

    assert_true(
        address_parse_prefixes("192.0.2.0/24,2001:db9::/32", &fixture->config.trusted_proxies));
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ask_once(fixture, rows[i].remote, "GET", "/version", 200, rows[i].fields);
    expect_log(fixture,
               LINE_WITH("192.0.2.7", ",\"forwarded_for\":\"198.51.100.1, 10.0.0.1\"")
                   LINE_WITH("192.0.2.7", ",\"forwarded_for\":\"198.51.100.1, 10.0.0.1, 10.0.0.2\","
                                          "\"user_agent\":\"x\"")
                       LINE_WITH("192.0.2.8", ",\"forwarded_for\":\"a\\\\b\"")
                           LINE_WITH("192.0.2.7", "") LINE_WITH("192.0.2.7", "")
                               LINE_WITH("192.0.3.7", "")
                                   LINE_WITH("2001:db8::1", ",\"user_agent\":\"x\""));
}

static void access_log_trusts_nobody_by_default(void **state)
{
    static const struct field fields[FIELDS_MAX] = {{"Host", "a"}, {"X-Forwarded-For", "b"}};
    struct fixture *fixture = *state;

    ask_once(fixture, "127.0.0.1", "GET", "/version", 200, fields);
    expect_log(fixture, LINE_WITH("127.0.0.1", ""));
}

/* Fills a text with `length` letters. */
static void fill(char *text, char letter, size_t length)
{
    memset(text, letter, length);
    text[length] = '\0';
}

static void access_log_cuts_long_values(void **state)
{
    struct fixture *fixture = *state;
    char target[LOG_TEXT_MAX + 100];
    char agent[LOG_TEXT_MAX + 100];
    char expected[2048];
    struct field fields[FIELDS_MAX] = {{"Host", "a"}, {"User-Agent", agent}};

    fill(target, 't', sizeof target - 1);
    target[0] = '/';
    fill(agent, 'u', sizeof agent - 1);
    ask_once(fixture, "192.0.2.7", "ABCDEFGHIJKLMNOP", target, 501, fields);
    target[LOG_TEXT_MAX - 1] = '\0';
    agent[LOG_TEXT_MAX - 1] = '\0';
    (void)snprintf(expected, sizeof expected,
                   LINE_OF("warn", "192.0.2.7", "ABCDEFGHIJKLMNO", "%s", 501, "179", 1234,
                           ",\"user_agent\":\"%s\""),
                   target, agent);
    expect_log(fixture, expected);
}

/* A value that has no room is left out or cut, and is never taken for the rest of the one before.
 */
static void access_log_cuts_long_lists(void **state)
{
    enum { ROOM = LOG_TEXT_MAX - 1 };
    struct fixture *fixture = *state;

    for (size_t length = ROOM - 5; length <= ROOM + 1; length++) {
        char first[LOG_TEXT_MAX + 1];
        char list[LOG_TEXT_MAX + 16];
        char expected[1024];
        const struct field fields[FIELDS_MAX] = {
            {"Host", "a"}, {"User-Agent", first}, {"User-Agent", "abc"}, {"User-Agent", "d"}};

        fill(first, 'u', length);
        (void)snprintf(list, sizeof list, "%s, abc, d", first);
        list[ROOM] = '\0';
        ask_once(fixture, "192.0.2.7", "GET", "/version", 200, fields);
        (void)snprintf(expected, sizeof expected, LINE_WITH("192.0.2.7", ",\"user_agent\":\"%s\""),
                       list);
        expect_log(fixture, expected);
        assert_int_equal(ftruncate(fixture->log.descriptor, 0), 0);
        assert_int_equal(lseek(fixture->log.descriptor, 0, SEEK_SET), 0);
    }
}

/* What a client has claimed cannot push out what the trusted proxy has seen. */
static void access_log_keeps_the_end_of_whom_a_proxy_asks_for(void **state)
{
    enum { ROOM = LOG_TEXT_MAX - 1 };
    struct fixture *fixture = *state;
    char claim[3 * LOG_TEXT_MAX];

    assert_true(address_parse_prefixes("10.0.0.1", &fixture->config.trusted_proxies));
    for (size_t length = ROOM - 12; length < sizeof claim; length++) {
        char list[sizeof claim + 16];
        char expected[1024];
        const struct field one[FIELDS_MAX] = {{"Host", "a"}, {"X-Forwarded-For", list}};
        const struct field two[FIELDS_MAX] = {
            {"Host", "a"}, {"X-Forwarded-For", claim}, {"X-Forwarded-For", "192.0.2.1"}};
        const struct field *const requests[] = {one, two};

        fill(claim, 'x', length);
        (void)snprintf(list, sizeof list, "%s, 192.0.2.1", claim);
        (void)snprintf(expected, sizeof expected,
                       LINE_WITH("10.0.0.1", ",\"forwarded_for\":\"%s\""),
                       strlen(list) > ROOM ? list + strlen(list) - ROOM : list);
        for (size_t i = 0; i < 2; i++) {
            ask_once(fixture, "10.0.0.1", "GET", "/version", 200, requests[i]);
            expect_log(fixture, expected);
            assert_int_equal(ftruncate(fixture->log.descriptor, 0), 0);
            assert_int_equal(lseek(fixture->log.descriptor, 0, SEEK_SET), 0);
        }
    }
}

static void access_log_keeps_to_its_rate_and_its_level(void **state)
{
    struct fixture *fixture = *state;

    fixture->log.rate = 1;
    ask_once(fixture, "192.0.2.7", "GET", "/version", 200, HOST);
    ask_once(fixture, "192.0.2.7", "GET", "/nowhere", 404, HOST);
    assert_uint_equal(count(fixture, "log_lines_dropped_total{reason=\"rate_limit\"}"), 1);
    fixture->log.rate = 0;
    fixture->log.level = LOG_WARN;
    ask_once(fixture, "192.0.2.7", "GET", "/version", 200, HOST);
    ask_once(fixture, "192.0.2.7", "GET", "/nowhere", 404, HOST);
    fixture->log.level = LOG_ERROR;
    ask_once(fixture, "192.0.2.7", "GET", "/nowhere", 404, HOST);
    expect_log(fixture,
               LINE("info", "GET", "/version", 200) LINE_OF("warn", "192.0.2.7", "GET", "/nowhere",
                                                            404, "179", 1234, ",\"limited\":1"));
    assert_uint_equal(count_requests(fixture), 5); /* all the same */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(connections_are_counted_from_begin_to_end, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(connection_above_the_limit_has_an_old_one_closed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(refused_connection_has_no_other_closed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(connection_that_is_refused_is_counted_and_not_served,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(connection_without_memory_is_counted_and_not_served, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(request_is_in_flight_from_its_target_to_its_end, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(request_is_judged_by_method_and_target, set_up, tear_down),
        cmocka_unit_test_setup_teardown(request_with_several_faults_is_answered_for_the_first,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(request_that_left_room_is_not_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(request_that_leaves_no_room_for_its_answer_is_refused,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(request_whose_client_is_gone_keeps_its_status, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(request_that_was_answered_is_not_answered_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(expectation_is_met_when_each_is_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(host_is_wanted_once_and_only_http_1_0_may_leave_it_out,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(field_names_are_compared_whole_and_without_case, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(body_is_what_a_length_other_than_0_or_a_coding_announces,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(openmetrics_are_preferred_as_accept_says, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            answer_ends_the_connection_while_draining_unless_more_has_come, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            answer_that_is_not_queued_ends_the_connection_and_counts_as_failed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            request_that_the_client_leaves_is_neither_counted_nor_logged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_are_counted_with_route_method_and_status, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(malformed_request_is_counted_and_logged_without_a_method,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(access_log_off_logs_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(access_log_of_errors_logs_statuses_from_400, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(access_log_of_all_leaves_out_what_is_polled_and_succeeds,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(access_log_counts_no_bytes_for_head, set_up, tear_down),
        cmocka_unit_test_setup_teardown(access_log_names_the_client_in_either_family, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(access_log_of_next_request_has_nothing_of_the_last, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(access_log_quotes_what_the_client_says_of_itself, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(access_log_says_for_whom_a_trusted_proxy_asks, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(access_log_trusts_nobody_by_default, set_up, tear_down),
        cmocka_unit_test_setup_teardown(access_log_cuts_long_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(access_log_cuts_long_lists, set_up, tear_down),
        cmocka_unit_test_setup_teardown(access_log_keeps_the_end_of_whom_a_proxy_asks_for, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(access_log_keeps_to_its_rate_and_its_level, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
