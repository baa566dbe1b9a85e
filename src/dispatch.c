#include "dispatch.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "clock.h"
#include "reply.h"

static const struct sockaddr *address_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
}

static struct connection *begin_connection(struct dispatch *dispatch,
                                           struct MHD_Connection *connection)
{
    const int socket =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    struct metrics_thread *counters = metrics_thread(dispatch->metrics);
    struct connection *record =
        connections_add(&dispatch->connections, socket, address_of(connection));

    metrics_count_accepted(counters);
    if (record == NULL || record->is_refused)
        metrics_count_refused(dispatch->metrics);
    else if (connections_evict(&dispatch->connections, dispatch->config->max_connections))
        metrics_count_evicted(dispatch->metrics);
    if (record != NULL)
        record->counters = counters;
    return record;
}

void dispatch_connection(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_ConnectionNotificationCode code)
{
    struct dispatch *dispatch = cls;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = begin_connection(dispatch, connection);
        return;
    }
    metrics_count_closed(metrics_thread(dispatch->metrics));
    connections_remove(&dispatch->connections, *context);
}

/* Of the memory of a connection (server.c) a head that leaves too little for that of an answer has
 * taken at least SHORT_OF_ROOM, each field and each argument of the query VALUE_MEMORY beside its
 * bytes. A target of more than LONG_TARGET bytes is the reason then. */
enum { SHORT_OF_ROOM = 7 * 1024, VALUE_MEMORY = 64, LONG_TARGET = 4 * 1024 };

void *dispatch_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    const struct dispatch *dispatch = cls;
    struct connection *record =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    struct request_target parsed = request_parse_target(target);

    if (record == NULL || record->is_refused)
        return NULL;
    atomic_store_explicit(&record->in_request, true, memory_order_release);
    record->started = monotonic_nanoseconds();
    record->is_judged = false;
    record->has_long_target = strlen(target) > LONG_TARGET;
    record->request = (struct request){.form = parsed.form};
    if (parsed.form == TARGET_PATH)
        record->request.route =
            router_find(dispatch->config->base_path, parsed.path, parsed.length);
    record->sent = 0;
    memcpy(record->method, "-", sizeof "-"); /* stays when the head turns out to be malformed */
    record->target[0] = '\0';
    (void)strncat(record->target, target, sizeof record->target - 1);
    return record;
}

/* What the fields of a request say, while they are gone through. */
struct fields {
    unsigned hosts;
    bool has_bad_host;
    bool has_bad_byte;
    bool has_body;
    bool has_unknown_expectation;
    struct request_weights weights;
};

static bool is_field(const char *name, size_t length, const char *wanted)
{
    return length == strlen(wanted) && strncasecmp(name, wanted, length) == 0;
}

/* Called for each field of a request. */
static enum MHD_Result on_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                size_t name_length, const char *value, size_t value_length)
{
    struct fields *fields = cls;

    (void)kind;
    if (!request_field_is_valid(name, name_length, value, value_length))
        fields->has_bad_byte = true;
    if (is_field(name, name_length, MHD_HTTP_HEADER_HOST)) {
        fields->hosts++;
        fields->has_bad_host |= !request_host_is_valid(value, value_length);
    } else if (is_field(name, name_length, MHD_HTTP_HEADER_CONTENT_LENGTH)) {
        fields->has_body |= !request_length_is_zero(value, value_length);
    } else if (is_field(name, name_length, MHD_HTTP_HEADER_TRANSFER_ENCODING)) {
        fields->has_body = true;
    } else if (is_field(name, name_length, MHD_HTTP_HEADER_ACCEPT)) {
        request_read_accept(&fields->weights, value, value_length);
    } else if (is_field(name, name_length, MHD_HTTP_HEADER_EXPECT)) {
        fields->has_unknown_expectation |= !request_expectation_is_known(value, value_length);
    }
    return MHD_YES;
}

/* Finds what is wrong with a request. Only HTTP/1.0 may leave out Host (RFC 9112, section 3.2). */
static enum request_fault find_fault(const struct fields *fields, const struct request *request,
                                     const char *version)
{
    const bool needs_host = strcmp(version, MHD_HTTP_VERSION_1_0) != 0;

    if (request->method == METHOD_MALFORMED)
        return FAULT_METHOD;
    if (!request_form_is_valid(request->method, request->form))
        return FAULT_TARGET;
    if (fields->has_bad_host || fields->hosts > 1 || (fields->hosts == 0 && needs_host))
        return FAULT_HOST;
    if (fields->has_bad_byte)
        return FAULT_FIELD;
    if (fields->has_body)
        return FAULT_BODY;
    return fields->has_unknown_expectation ? FAULT_EXPECT : FAULT_NONE;
}

/* Only this thread writes the record: a store is enough, and cheaper than to read and write at
 * once.
 */
static void add_read(struct connection *record, size_t size)
{
    const uint64_t read = atomic_load_explicit(&record->read, memory_order_relaxed);

    atomic_store_explicit(&record->read, read + size, memory_order_release);
}

/* Judges a request whose head is complete. */
static void judge(struct connection *record, struct MHD_Connection *connection, const char *method,
                  const char *version)
{
    struct fields fields = {0};

    record->is_judged = true;
    record->method[0] = '\0';
    (void)strncat(record->method, method, sizeof record->method - 1);
    (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_field, &fields);
    record->request.method = request_parse_method(method);
    record->request.prefers_openmetrics = request_prefers_openmetrics(&fields.weights);
    record->request.fault = find_fault(&fields, &record->request, version);
    record->head =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
    add_read(record, record->head);
}

/* An answer to the first call ends the connection: just right for a fault, whose body, if any, is
 * not to be read. */
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
    if (!record->is_judged) {
        judge(record, connection, method, version);
        if (record->request.fault == FAULT_NONE)
            return MHD_YES;
    }
    reply = handlers_answer(dispatch->handlers, &record->request, draining);
    if (!reply_queue(reply, connection, draining && !connection_has_more(record), &size)) {
        metrics_count_failed(dispatch->metrics);
        return MHD_NO;
    }
    if (record->request.method != METHOD_HEAD)
        record->sent = size;
    return MHD_YES;
}

/* What a line of the log says of fields that a client sent. */
struct quoted {
    bool is_trusted; /* to say for whom it asks */
    char forwarded_for[LOG_TEXT_MAX];
    char user_agent[LOG_TEXT_MAX];
};

/* Adds a value after what is there, cut. Several fields of a name are one list (RFC 9110, section
 * 5.3). */
static void quote(char text[LOG_TEXT_MAX], const char *value, size_t length)
{
    const size_t used = strlen(text);

    (void)snprintf(text + used, LOG_TEXT_MAX - used, "%s%.*s", used > 0 ? ", " : "", (int)length,
                   value);
}

/* The same, but the end is kept: each proxy adds whom it has seen there, and what comes before the
 * words of the trusted one is only what somebody has claimed. */
static void quote_end(char text[LOG_TEXT_MAX], const char *value, size_t length)
{
    const size_t room = LOG_TEXT_MAX - 1;
    const size_t skipped = length > room ? length - room : 0;
    char list[2 * LOG_TEXT_MAX + 2];
    const size_t used =
        (size_t)snprintf(list, sizeof list, "%s%s%.*s", text, text[0] != '\0' ? ", " : "",
                         (int)(length - skipped), value + skipped);
    const size_t cut = used > room ? used - room : 0;

    memcpy(text, list + cut, used - cut + 1);
}

static enum MHD_Result on_quoted_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                       size_t name_length, const char *value, size_t value_length)
{
    struct quoted *quoted = cls;

    (void)kind;
    if (is_field(name, name_length, MHD_HTTP_HEADER_USER_AGENT))
        quote(quoted->user_agent, value, value_length);
    else if (quoted->is_trusted && is_field(name, name_length, "X-Forwarded-For"))
        quote_end(quoted->forwarded_for, value, value_length);
    return MHD_YES;
}

/* Writes the line of a request that was answered. */
static void write_line(const struct dispatch *dispatch, const struct connection *record,
                       struct MHD_Connection *connection, unsigned status, int64_t nanoseconds)
{
    const struct sockaddr *address = address_of(connection);
    const struct address_key key = address_key(address);
    struct quoted quoted = {.is_trusted = address_is_in(&key, &dispatch->config->trusted_proxies)};
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

    (void)address_print(address, remote);
    (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_quoted_field, &quoted);
    if (quoted.forwarded_for[0] != '\0')
        fields[count++] = (struct log_field){.name = "forwarded_for", .text = quoted.forwarded_for};
    if (quoted.user_agent[0] != '\0')
        fields[count++] = (struct log_field){.name = "user_agent", .text = quoted.user_agent};
    log_write(dispatch->log, status >= 400 ? LOG_WARN : LOG_INFO, "request", fields, count);
}

/* True when the settings ask for a line about a request that was answered so. */
static bool is_wanted(const struct dispatch *dispatch, const struct request *request,
                      unsigned status)
{
    if (status >= 400)
        return dispatch->config->access_log != ACCESS_LOG_OFF;
    return dispatch->config->access_log == ACCESS_LOG_ALL &&
           (request->route == NULL || !request->route->is_polled);
}

/* True when the head of the request, which is complete, has left little room for an answer's. */
static bool is_short_of_room(const struct connection *record, struct MHD_Connection *connection)
{
    const int values = MHD_get_connection_values_n(connection, MHD_HEADER_KIND, NULL, NULL) +
                       MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, NULL, NULL);

    return record->head + (size_t)values * VALUE_MEMORY >= SHORT_OF_ROOM;
}

/* libmicrohttpd closes a connection without a word when the head of a request has left no room for
 * that of the answer which was queued. Nothing of it has been sent then, and the socket takes
 * another one. When the reason was that the client is gone, the socket takes none. (A third reason,
 * no memory in the kernel for what is sent, is none that a socket of TCP gives without waiting.)
 * Returns the status that the client is sent, which is `status` unless that was so. */
static unsigned refuse_for_room(struct connection *record, unsigned status)
{
    const unsigned instead =
        record->has_long_target ? MHD_HTTP_URI_TOO_LONG : MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
    const bool is_head = record->request.method == METHOD_HEAD;
    size_t size = 0;

    if (!reply_send(record->socket, instead, is_head, &size))
        return status;
    record->sent = is_head ? 0 : size;
    return instead;
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
    atomic_store_explicit(&record->done, now / 1000000, memory_order_release);
    atomic_store_explicit(&record->in_request, false, memory_order_release);
    /* Without one the client left before it had said what it wanted, or there was no memory. */
    if (info == NULL)
        return;
    if (code == MHD_REQUEST_TERMINATED_WITH_ERROR && record->is_judged &&
        is_short_of_room(record, connection))
        status = refuse_for_room(record, status);
    metrics_count_request(record->counters, record->request.route, record->request.method, status,
                          now - record->started);
    if (is_wanted(dispatch, &record->request, status) &&
        log_admit(dispatch->log, status >= 400 ? LOG_WARN : LOG_INFO))
        write_line(dispatch, record, connection, status, now - record->started);
}
