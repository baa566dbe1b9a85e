#include "reply.h"

#include <microhttpd.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "json.h"

/* The body of responses whose exact status or reason is not known where they are made. */
static const char REFUSED[] = "{\"type\":\"about:blank\",\"title\":\"Request "
                              "refused\",\"detail\":\"The request is malformed, too large or "
                              "not supported; see the status code.\"}\n";

struct reply {
    unsigned status;
    const char *body; /* shared by both responses; NULL if live */
    size_t size;
    char *owned;                         /* freed with the reply; NULL: the body outlives it */
    struct MHD_Response *open;           /* keeps the connection open, as the client prefers */
    struct MHD_Response *close;          /* carries "Connection: close" */
    route_body *make;                    /* NULL unless live */
    const struct route_context *context; /* for `make` */
    struct reply_fields fields;          /* for live responses */
};

static bool add_header(struct MHD_Response *response, const char *name, const char *value)
{
    return value == NULL || MHD_add_response_header(response, name, value) == MHD_YES;
}

/* Adds the headers to a response; NULL is passed through. Returns the response, or NULL if out of
 * memory; the response is then destroyed. */
static struct MHD_Response *add_fields(struct MHD_Response *response,
                                       const struct reply_fields *fields, bool close)
{
    if (response == NULL)
        return NULL;
    if (add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, fields->content_type) &&
        add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") &&
        add_header(response, "X-Content-Type-Options", "nosniff") &&
        add_header(response, MHD_HTTP_HEADER_ALLOW, fields->allow) &&
        add_header(response, MHD_HTTP_HEADER_CONTENT_SECURITY_POLICY,
                   fields->content_security_policy) &&
        add_header(response, MHD_HTTP_HEADER_CONNECTION, close ? "close" : NULL))
        return response;
    MHD_destroy_response(response);
    return NULL;
}

/* Creates a response with a body that outlives it, without headers. */
static struct MHD_Response *create_from_body(const char *body)
{
    /* The parameter is not const because other memory modes free the buffer. */
    void *bytes = (void *)(uintptr_t)body;

    return MHD_create_response_from_buffer(strlen(body), bytes, MHD_RESPMEM_PERSISTENT);
}

/* Creates a response, and frees `owned` if that fails. */
static struct reply *create(unsigned status, const struct reply_fields *fields, const char *body,
                            char *owned)
{
    struct reply *reply = calloc(1, sizeof *reply);

    if (reply == NULL || body == NULL) {
        free(reply);
        free(owned);
        return NULL;
    }
    reply->status = status;
    reply->body = body;
    reply->size = strlen(body);
    reply->owned = owned;
    reply->open = add_fields(create_from_body(body), fields, false);
    reply->close = add_fields(create_from_body(body), fields, true);
    if (reply->open != NULL && reply->close != NULL)
        return reply;
    reply_free(reply);
    return NULL;
}

struct reply *reply_create(unsigned status, const struct reply_fields *fields, const char *body)
{
    return create(status, fields, body, NULL);
}

struct reply *reply_create_owned(unsigned status, const struct reply_fields *fields, char *body)
{
    return create(status, fields, body, body);
}

struct reply *reply_create_problem(unsigned status, const char *allow, const char *detail)
{
    const struct json_field members[] = {
        {.name = "type", .text = "about:blank"},
        {.name = "title", .text = MHD_get_reason_phrase_for(status)},
        {.name = "status", .number = status},
        {.name = "detail", .text = detail},
    };
    const struct reply_fields fields = {.content_type = REPLY_PROBLEM_TYPE, .allow = allow};

    return reply_create_owned(status, &fields,
                              json_object(members, sizeof members / sizeof *members));
}

struct reply *reply_create_live(unsigned status, const struct reply_fields *fields,
                                route_body *make, const struct route_context *context)
{
    struct reply *reply = calloc(1, sizeof *reply);

    if (reply == NULL)
        return NULL;
    reply->status = status;
    reply->fields = *fields;
    reply->make = make;
    reply->context = context;
    return reply;
}

void reply_free(struct reply *reply)
{
    if (reply == NULL)
        return;
    if (reply->open != NULL)
        MHD_destroy_response(reply->open);
    if (reply->close != NULL)
        MHD_destroy_response(reply->close);
    free(reply->owned);
    free(reply);
}

/* Creates a response for one request. Returns NULL if out of memory. */
static struct MHD_Response *create_live_response(const struct reply *reply, bool close,
                                                 size_t *size)
{
    char *body = reply->make(reply->context);
    struct MHD_Response *response = NULL;

    if (body == NULL)
        return NULL;
    *size = strlen(body);
    response = MHD_create_response_from_buffer(*size, body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        free(body);
    return add_fields(response, &reply->fields, close);
}

static bool queue_live(const struct reply *reply, struct MHD_Connection *connection, bool close,
                       size_t *size)
{
    struct MHD_Response *response = create_live_response(reply, close, size);
    bool is_queued = false;

    if (response == NULL)
        return false;
    is_queued = MHD_queue_response(connection, reply->status, response) == MHD_YES;
    MHD_destroy_response(response); /* the connection keeps a reference */
    return is_queued;
}

bool reply_queue(const struct reply *reply, struct MHD_Connection *connection, bool close,
                 size_t *size)
{
    if (reply->make != NULL)
        return queue_live(reply, connection, close, size);
    *size = reply->size;
    return MHD_queue_response(connection, reply->status, close ? reply->close : reply->open) ==
           MHD_YES;
}

/* Requests refused without reaching a handler. Global, because libmicrohttpd passes no context to
 * the function below. */
static atomic_uint_fast64_t malformed;

enum { DATE_MAX = 80 }; /* enough for any values in struct tm */

/* Prints the current time in the format of a Date header (RFC 9110, section 5.6.7). */
static void print_date(char text[DATE_MAX])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const time_t now = time(NULL);
    struct tm tm = {0};

    (void)gmtime_r(&now, &tm);
    (void)snprintf(text, DATE_MAX, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
                   days + 3 * (size_t)tm.tm_wday, tm.tm_mday, months + 3 * (size_t)tm.tm_mon,
                   tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

bool reply_send(int socket, unsigned status, bool is_head, size_t *size)
{
    char date[DATE_MAX];
    char response[512];
    int length = 0;

    *size = sizeof REFUSED - 1;
    print_date(date);
    length =
        snprintf(response, sizeof response,
                 "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\n"
                 "Content-Type: " REPLY_PROBLEM_TYPE "\r\nCache-Control: no-store\r\n"
                 "X-Content-Type-Options: nosniff\r\nContent-Length: %zu\r\n\r\n%s",
                 status, MHD_get_reason_phrase_for(status), date, *size, is_head ? "" : REFUSED);
    if (send(socket, response, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL) != length)
        return false;
    atomic_fetch_add(&malformed, 1);
    return true;
}

/* libmicrohttpd calls this function for its own responses to requests that it cannot parse or has
 * no memory for. The linker's --wrap option substitutes this version, so that these responses carry
 * the same headers as all others. It is not told the status, so the problem document has no
 * `status` member, which is optional (RFC 9457, section 3.1). */

struct MHD_Response *__wrap_MHD_create_response_from_buffer_static(size_t size, const void *buffer);

struct MHD_Response *__wrap_MHD_create_response_from_buffer_static(size_t size, const void *buffer)
{
    const struct reply_fields fields = {.content_type = REPLY_PROBLEM_TYPE};

    (void)size;
    (void)buffer;
    atomic_fetch_add(&malformed, 1);
    return add_fields(create_from_body(REFUSED), &fields, false);
}

uint64_t reply_count_malformed(void)
{
    return atomic_load(&malformed);
}
