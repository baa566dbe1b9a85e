#include "server.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "connections.h"
#include "reply.h"

#if MHD_VERSION >= 0x01000000 && MHD_VERSION < 0x01001000
#error "one request crashes libmicrohttpd 1.0.0 to 1.0.9: 1.0.10 or later is needed"
#elif MHD_VERSION < 0x01001000
#error "libmicrohttpd 1.0.10 or later is needed"
#endif

/* What a connection costs, and what bounds the head of a request: see docs/design.md. */
enum { CONNECTION_MEMORY = 8 * 1024 };

/* As strict as the protocol asks of a server, without breaking what browsers send. */
enum { CLIENT_DISCIPLINE = 1 };

/* A thread takes a connection over within microseconds, or drops it when it is at its limit, which
 * it tells nobody. Milliseconds. */
enum { HAND_OVER_TIMEOUT = 250 };

struct server {
    struct MHD_Daemon *daemon;
    const char *base_path;
    const struct handlers *handlers;
    struct log *log;
    enum access_log access_log;
    int listener;
    size_t max_connections;
    bool has_backlog;     /* accepting has stopped, and the kernel may still have connections */
    uint64_t handed_over; /* how many are opened when the threads have taken what they were given */
    int64_t hand_over_deadline; /* when not to wait for that any longer */
    atomic_bool draining;
    struct connections connections;
};

/* Called when a connection begins and before its socket is closed. */
static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct server *server = cls;

    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *context = connections_add(
            &server->connections,
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
    else
        connections_remove(&server->connections, *context);
}

/* Called with the request target as it came, before libmicrohttpd decodes it. Returns the context
 * of the request: the connection's record, or NULL where there was no memory for one. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    const struct server *server = cls;
    struct connection *record =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    struct request_target parsed = request_parse_target(target);

    if (record == NULL)
        return NULL;
    atomic_store(&record->in_request, true);
    record->is_judged = false;
    record->request = (struct request){.form = parsed.form};
    if (parsed.form == TARGET_PATH)
        record->request.route = router_find(server->base_path, parsed.path, parsed.length);
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
        fields->has_body |= value_length != 1 || value[0] != '0';
    } else if (is_field(name, name_length, MHD_HTTP_HEADER_TRANSFER_ENCODING)) {
        fields->has_body = true;
    }
    return MHD_YES;
}

/* Finds what is wrong with a request. Only HTTP/1.0 may leave out Host (RFC 9112, section 3.2). */
static enum request_fault find_fault(struct MHD_Connection *connection,
                                     const struct request *request, const char *version)
{
    const bool needs_host = strcmp(version, MHD_HTTP_VERSION_1_0) != 0;
    struct fields fields = {0};

    (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_field, &fields);
    if (!request_form_is_valid(request->method, request->form))
        return FAULT_TARGET;
    if (fields.has_bad_host || fields.hosts > 1 || (fields.hosts == 0 && needs_host))
        return FAULT_HOST;
    if (fields.has_bad_byte)
        return FAULT_FIELD;
    return fields.has_body ? FAULT_BODY : FAULT_NONE;
}

/* Judges a request whose head is complete. */
static void judge(struct connection *record, struct MHD_Connection *connection, const char *method,
                  const char *version)
{
    record->method[0] = '\0';
    (void)strncat(record->method, method, sizeof record->method - 1);
    record->request.method = request_parse_method(method);
    record->request.fault = find_fault(connection, &record->request, version);
    atomic_fetch_add(
        &record->read,
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size);
}

/* Called when the head of a request is complete, and once more at the end of the request. An answer
 * to the first call ends the connection: just right for a fault, whose body, if any, is not to be
 * read. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_size, void **context)
{
    const struct server *server = cls;
    struct connection *record = *context;
    const bool draining = atomic_load(&server->draining);
    bool close = false;

    (void)url;
    (void)data;
    (void)data_size;
    if (record == NULL)
        return MHD_NO;
    if (!record->is_judged) {
        record->is_judged = true;
        judge(record, connection, method, version);
        if (record->request.fault == FAULT_NONE)
            return MHD_YES;
    }
    close = draining && !connection_has_more(record);
    return reply_queue(handlers_answer(server->handlers, &record->request, draining), connection,
                       close)
               ? MHD_YES
               : MHD_NO;
}

/* Writes a line for a request that was answered, when the setting asks for it. */
static void log_request(const struct server *server, const struct connection *record,
                        struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_HTTP_STATUS);
    const unsigned status = info == NULL ? 0 : info->http_status;
    const bool is_error = status >= 400;
    const bool is_probe = record->request.route != NULL && record->request.route->is_probe;
    char remote[ADDRESS_TEXT_MAX];

    if (info == NULL || (!is_error && (server->access_log != ACCESS_LOG_ALL || is_probe)))
        return;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    (void)address_print(info->client_addr, remote);
    log_write(server->log, is_error ? LOG_WARN : LOG_INFO, "request",
              (const struct log_field[]){{.name = "remote", .text = remote},
                                         {.name = "method", .text = record->method},
                                         {.name = "target", .text = record->target},
                                         {.name = "status", .number = status}},
              4);
}

/* Called when an answer was sent, or its connection ended before. */
static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    const struct server *server = cls;
    struct connection *record = *context;

    (void)code;
    if (record == NULL)
        return;
    atomic_store(&record->in_request, false);
    if (server->access_log != ACCESS_LOG_OFF)
        log_request(server, record, connection);
}

struct server *server_start(const struct server_parts *parts)
{
    const struct config *config = parts->config;
    struct server *server = calloc(1, sizeof *server);

    if (server == NULL)
        return NULL;
    server->base_path = config->base_path;
    server->handlers = parts->handlers;
    server->log = parts->log;
    server->access_log = config->access_log;
    server->listener = parts->listener;
    server->max_connections = config->max_connections;
    connections_init(&server->connections);
    /* clang-format off */
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, on_request, server,
        MHD_OPTION_LISTEN_SOCKET, parts->listener,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)config->threads,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)config->max_connections,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)config->max_connections_per_ip,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CLIENT_DISCIPLINE_LVL, CLIENT_DISCIPLINE,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, server,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
        MHD_OPTION_END);
    /* clang-format on */
    if (server->daemon != NULL)
        return server;
    free(server);
    return NULL;
}

void server_drain(struct server *server)
{
    atomic_store(&server->draining, true);
}

/* How many connections were handed over that no thread has opened yet. A thread at its limit drops
 * a connection without a word: after the deadline that is not waited for. */
static uint64_t count_waiting(struct server *server)
{
    const uint64_t opened = connections_opened(&server->connections);

    if (opened >= server->handed_over || monotonic_milliseconds() >= server->hand_over_deadline)
        server->handed_over = opened;
    return server->handed_over - opened;
}

/* True when a thread can take one more connection. Near the limit, which is divided among the
 * threads, only one at a time is handed over: which thread gets it shows only when it has it. What
 * the library counts is what its limit goes by; a connection leaves our list a little earlier. */
static bool has_room(struct server *server)
{
    const uint64_t waiting = count_waiting(server);
    const unsigned counted =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;

    return waiting == 0 ? counted < server->max_connections
                        : counted + waiting < server->max_connections / 2;
}

/* Gives libmicrohttpd the connections that the kernel has completed and no thread has accepted, as
 * far as there is room; when none is left, the kernel stops listening. The descriptor must stay:
 * threads may still name it. */
static void hand_over_backlog(struct server *server)
{
    while (server->has_backlog && has_room(server)) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        const int socket = accept4(server->listener, (struct sockaddr *)&address, &size,
                                   SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (socket < 0 && errno != EAGAIN)
            return; /* that one is gone, or descriptors are short: again at the next look */
        if (socket < 0) {
            server->has_backlog = false;
            (void)shutdown(server->listener, SHUT_RDWR);
        } else if (MHD_add_connection(server->daemon, socket, (struct sockaddr *)&address, size) ==
                   MHD_YES) {
            server->handed_over++;
            server->hand_over_deadline = monotonic_milliseconds() + HAND_OVER_TIMEOUT;
        }
    }
}

void server_stop_accepting(struct server *server)
{
    (void)MHD_quiesce_daemon(server->daemon);
    server->has_backlog = true;
    hand_over_backlog(server);
}

size_t server_close_idle(struct server *server, int64_t accepted)
{
    uint64_t waiting = 0;

    hand_over_backlog(server);
    /* In this order: a connection that is opened meanwhile is counted twice rather than not. */
    waiting = count_waiting(server);
    return connections_shutdown_idle(&server->connections, accepted) + waiting +
           (server->has_backlog ? 1 : 0);
}

void server_stop(struct server *server)
{
    /* If it still accepts: a daemon that does closes the listener too. */
    (void)MHD_quiesce_daemon(server->daemon);
    MHD_stop_daemon(server->daemon);
    (void)close(server->listener);
    free(server);
}
