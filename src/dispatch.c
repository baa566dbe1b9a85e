#include "dispatch.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "clock.h"
#include "reply.h"

static struct connection *add_connection(struct dispatch *dispatch,
                                         struct MHD_Connection *connection)
{
    const int socket =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    struct metrics_thread *counters = metrics_thread(dispatch->metrics);
    struct connection *record = connections_add(&dispatch->connections, socket);

    metrics_count_accepted(counters);
    if (record == NULL) {
        metrics_count(dispatch->metrics, METRICS_REFUSED, 1);
        return NULL;
    }
    if (connections_evict(&dispatch->connections, dispatch->config->max_connections))
        metrics_count(dispatch->metrics, METRICS_EVICTED, 1);
    record->counters = counters;
    record->thread = metrics_thread_number(dispatch->metrics, counters);
    return record;
}

void dispatch_connection(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_ConnectionNotificationCode code)
{
    struct dispatch *dispatch = cls;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = add_connection(dispatch, connection);
        return;
    }
    metrics_count_closed(metrics_thread(dispatch->metrics));
    connections_remove(&dispatch->connections, *context);
}

/* A head that leaves too little of the connection's memory (server.c) for a response has used at
 * least HEAD_TOO_LARGE bytes, counting VALUE_MEMORY bytes of bookkeeping for each header and query
 * argument. If the target is longer than LONG_TARGET, it is reported as the reason. */
enum { HEAD_TOO_LARGE = 7 * 1024, VALUE_MEMORY = 64, LONG_TARGET = 4 * 1024 };

void *dispatch_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    const struct dispatch *dispatch = cls;
    struct connection *record =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    struct request_target parsed = request_parse_target(target);

    if (record == NULL)
        return NULL;
    atomic_store_explicit(&record->in_request, true, memory_order_release);
    record->started = monotonic_nanoseconds();
    record->has_head = false;
    record->has_long_target = strlen(target) > LONG_TARGET;
    record->request = (struct request){.form = parsed.form};
    if (parsed.form == TARGET_PATH)
        record->request.route =
            routes_find(dispatch->config->base_path, parsed.path, parsed.length);
    record->sent = 0;
    memcpy(record->method, "-", sizeof "-"); /* logged if the head turns out to be malformed */
    record->target[0] = '\0';
    (void)strncat(record->target, target, sizeof record->target - 1);
    return record;
}

/* What the headers of a request contain. */
struct headers {
    unsigned hosts;
    bool has_bad_host;
    bool has_bad_byte;
    bool has_body;
    bool has_unknown_expectation;
};

static bool is_header(const char *name, size_t length, const char *expected)
{
    return length == strlen(expected) && strncasecmp(name, expected, length) == 0;
}

static enum MHD_Result check_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                    size_t name_length, const char *value, size_t value_length)
{
    struct headers *headers = cls;

    (void)kind;
    if (!request_field_is_valid(name, name_length, value, value_length))
        headers->has_bad_byte = true;
    if (is_header(name, name_length, MHD_HTTP_HEADER_HOST)) {
        headers->hosts++;
        headers->has_bad_host |= !request_host_is_valid(value, value_length);
    } else if (is_header(name, name_length, MHD_HTTP_HEADER_CONTENT_LENGTH)) {
        headers->has_body |= !request_length_is_zero(value, value_length);
    } else if (is_header(name, name_length, MHD_HTTP_HEADER_TRANSFER_ENCODING)) {
        headers->has_body = true;
    } else if (is_header(name, name_length, MHD_HTTP_HEADER_EXPECT)) {
        headers->has_unknown_expectation |= !request_expectation_is_known(value, value_length);
    }
    return MHD_YES;
}

/* Returns the first fault of a request. Only HTTP/1.0 may omit Host (RFC 9112, section 3.2). */
static enum request_fault find_fault(const struct headers *headers, const struct request *request,
                                     const char *version)
{
    const bool requires_host = strcmp(version, MHD_HTTP_VERSION_1_0) != 0;

    if (request->method == METHOD_MALFORMED)
        return FAULT_METHOD;
    if (!request_form_is_valid(request->method, request->form))
        return FAULT_TARGET;
    if (headers->has_bad_host || headers->hosts > 1 || (headers->hosts == 0 && requires_host))
        return FAULT_HOST;
    if (headers->has_bad_byte)
        return FAULT_FIELD;
    if (headers->has_body)
        return FAULT_BODY;
    return headers->has_unknown_expectation ? FAULT_EXPECT : FAULT_NONE;
}

/* Adds to a counter that only this thread writes: cheaper than an atomic read-modify-write. */
static void add_read(struct connection *record, size_t size)
{
    const uint64_t read = atomic_load_explicit(&record->read, memory_order_relaxed);

    atomic_store_explicit(&record->read, read + size, memory_order_release);
}

/* Validates a request whose head is complete. */
static void validate(struct connection *record, struct MHD_Connection *connection,
                     const char *method, const char *version)
{
    struct headers headers = {0};

    record->has_head = true;
    record->method[0] = '\0';
    (void)strncat(record->method, method, sizeof record->method - 1);
    (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, check_header, &headers);
    record->request.method = request_parse_method(method);
    record->request.fault = find_fault(&headers, &record->request, version);
    record->head =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
    add_read(record, record->head);
}

/* A response queued at the first call, before any content is read, makes libmicrohttpd close the
 * connection afterwards. That is what a faulty request calls for. */
enum MHD_Result dispatch_request(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *data_size, void **context)
{
    const struct dispatch *dispatch = cls;
    struct connection *record = *context;
    const bool draining = atomic_load(&dispatch->draining);
    const struct reply *reply = NULL;
    size_t size = 0;

    (void)url;
    (void)data;
    (void)data_size;
    if (record == NULL)
        return MHD_NO;
    if (!record->has_head) {
        validate(record, connection, method, version);
        if (record->request.fault == FAULT_NONE)
            return MHD_YES;
    }
    reply = handlers_answer(dispatch->handlers, record->thread, &record->request, draining);
    if (!reply_queue(reply, connection, draining && !connection_has_more(record), &size)) {
        metrics_count(dispatch->metrics, METRICS_FAILED, 1);
        return MHD_NO;
    }
    if (record->request.method != METHOD_HEAD)
        record->sent = size;
    return MHD_YES;
}

/* Headers that are copied to the access log, truncated. */
struct logged_headers {
    char forwarded_for[LOG_TEXT_MAX];
    char user_agent[LOG_TEXT_MAX];
};

/* Appends a header's value. Repeated headers form one list (RFC 9110, section 5.3). */
static void append(char text[LOG_TEXT_MAX], const char *value, size_t length)
{
    const size_t used = strlen(text);

    (void)snprintf(text + used, LOG_TEXT_MAX - used, "%s%.*s", used > 0 ? ", " : "", (int)length,
                   value);
}

static enum MHD_Result copy_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                   size_t name_length, const char *value, size_t value_length)
{
    struct logged_headers *headers = cls;

    (void)kind;
    if (is_header(name, name_length, MHD_HTTP_HEADER_USER_AGENT))
        append(headers->user_agent, value, value_length);
    else if (is_header(name, name_length, "X-Forwarded-For"))
        append(headers->forwarded_for, value, value_length);
    return MHD_YES;
}

static void log_request(const struct dispatch *dispatch, const struct connection *record,
                        struct MHD_Connection *connection, unsigned status, int64_t nanoseconds)
{
    struct logged_headers headers = {{0}, {0}};
    char remote[ADDRESS_TEXT_MAX];
    struct log_field fields[8] = {
        {.name = "remote", .text = remote},
        {.name = "method", .text = record->method},
        {.name = "path", .text = record->target},
        {.name = "status", .number = status},
        {.name = "bytes", .number = (int64_t)record->sent},
        {.name = "duration_us", .number = nanoseconds / 1000},
    };
    size_t count = 6;

    (void)address_print(
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr,
        remote);
    (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, copy_header, &headers);
    if (headers.forwarded_for[0] != '\0')
        fields[count++] =
            (struct log_field){.name = "forwarded_for", .text = headers.forwarded_for};
    if (headers.user_agent[0] != '\0')
        fields[count++] = (struct log_field){.name = "user_agent", .text = headers.user_agent};
    log_write(dispatch->log, status >= 400 ? LOG_WARN : LOG_INFO, "request", fields, count);
}

/* Returns true if the settings ask for an access-log line for this request. */
static bool is_logged(const struct dispatch *dispatch, const struct request *request,
                      unsigned status)
{
    if (status >= 400)
        return dispatch->config->access_log != ACCESS_LOG_OFF;
    return dispatch->config->access_log == ACCESS_LOG_ALL &&
           (request->route == NULL || !request->route->is_polled);
}

/* Returns true if the head of the request left too little memory for a response. */
static bool is_head_too_large(const struct connection *record, struct MHD_Connection *connection)
{
    const int values = MHD_get_connection_values_n(connection, MHD_HEADER_KIND, NULL, NULL) +
                       MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, NULL, NULL);

    return record->head + (size_t)values * VALUE_MEMORY >= HEAD_TOO_LARGE;
}

/* Sends 414 or 431 directly. libmicrohttpd closes a connection silently if the head left no memory
 * for the head of the queued response. Nothing has been sent then, and the socket accepts a
 * response, unless the real reason was that the client is gone. (Running out of kernel memory for
 * sending is not a third possibility: TCP sockets then wait.)
 * Returns the status that the client receives, which is `status` if the socket accepts none. */
static unsigned refuse_head(struct connection *record, unsigned status)
{
    const unsigned refusal =
        record->has_long_target ? MHD_HTTP_URI_TOO_LONG : MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
    const bool is_head = record->request.method == METHOD_HEAD;
    size_t size = 0;

    if (!reply_send(record->socket, refusal, is_head, &size))
        return status;
    record->sent = is_head ? 0 : size;
    return refusal;
}

void dispatch_completed(void *cls, struct MHD_Connection *connection, void **context,
                        enum MHD_RequestTerminationCode code)
{
    struct dispatch *dispatch = cls;
    struct connection *record = *context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_HTTP_STATUS);
    unsigned status = info == NULL ? 0 : info->http_status;
    const int64_t now = monotonic_nanoseconds();

    if (record == NULL)
        return;
    atomic_store_explicit(&record->completed, now / 1000000, memory_order_release);
    atomic_store_explicit(&record->in_request, false, memory_order_release);
    /* No response: the client left before the request was complete, or memory ran out. */
    if (info == NULL)
        return;
    if (code == MHD_REQUEST_TERMINATED_WITH_ERROR && record->has_head &&
        is_head_too_large(record, connection))
        status = refuse_head(record, status);
    metrics_count_request(record->counters, record->request.route, record->request.method, status,
                          now - record->started);
    if (is_logged(dispatch, &record->request, status) &&
        log_admit(dispatch->log, status >= 400 ? LOG_WARN : LOG_INFO))
        log_request(dispatch, record, connection, status, now - record->started);
}
