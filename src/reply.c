#include "reply.h"

#include <microhttpd.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define PROBLEM "application/problem+json"

/* What is said where the status is not known, or only its number. */
static const char REFUSED[] = "{\"type\":\"about:blank\",\"title\":\"Request "
                              "refused\",\"detail\":\"The request is malformed, "
                              "larger than this server takes, or of a kind that it does not take; "
                              "the status says which.\"}\n";

struct reply {
    unsigned status;
    char *body; /* both responses point into it */
    size_t size;
    struct MHD_Response *open;  /* leaves the connection as the client wants it */
    struct MHD_Response *close; /* carries "Connection: close" */
    char *(*make)(void *cls);   /* the body of each answer; NULL: the responses are there */
    void *cls;
    struct reply_fields fields; /* of answers whose body is made */
};

static bool add_header(struct MHD_Response *response, const char *name, const char *value)
{
    return value == NULL || MHD_add_response_header(response, name, value) == MHD_YES;
}

/* Adds the fields to a response, unless that is NULL. Returns it, or NULL when there is no memory:
 * then it is gone. */
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

/* Makes a response whose body stays the caller's and outlives it. Returns NULL without memory. */
static struct MHD_Response *create_response(const char *body, const struct reply_fields *fields,
                                            bool close)
{
    /* The parameter is not const for the sake of other memory modes. */
    void *bytes = (void *)(uintptr_t)body;

    return add_fields(MHD_create_response_from_buffer(strlen(body), bytes, MHD_RESPMEM_PERSISTENT),
                      fields, close);
}

/* Makes a response for one request. Returns NULL without memory. */
static struct MHD_Response *create_live_response(const struct reply *reply, bool close,
                                                 size_t *size)
{
    char *body = reply->make(reply->cls);
    struct MHD_Response *response = NULL;

    if (body == NULL)
        return NULL;
    *size = strlen(body);
    response = MHD_create_response_from_buffer(*size, body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        free(body);
    return add_fields(response, &reply->fields, close);
}

struct reply *reply_create(unsigned status, const struct reply_fields *fields, char *body)
{
    struct reply *reply = calloc(1, sizeof *reply);

    if (reply == NULL || body == NULL) {
        free(reply);
        free(body);
        return NULL;
    }
    reply->status = status;
    reply->body = body;
    reply->size = strlen(body);
    reply->open = create_response(body, fields, false);
    reply->close = create_response(body, fields, true);
    if (reply->open != NULL && reply->close != NULL)
        return reply;
    reply_free(reply);
    return NULL;
}

struct reply *reply_create_live(unsigned status, const struct reply_fields *fields,
                                char *(*make)(void *cls), void *cls)
{
    struct reply *reply = calloc(1, sizeof *reply);

    if (reply == NULL)
        return NULL;
    reply->status = status;
    reply->fields = *fields;
    reply->make = make;
    reply->cls = cls;
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
    free(reply->body);
    free(reply);
}

static bool queue_live(const struct reply *reply, struct MHD_Connection *connection, bool close,
                       size_t *size)
{
    struct MHD_Response *response = create_live_response(reply, close, size);
    bool is_queued = false;

    if (response == NULL)
        return false;
    is_queued = MHD_queue_response(connection, reply->status, response) == MHD_YES;
    MHD_destroy_response(response); /* who sends it holds it, too */
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

/* Requests that were refused before or beside the handlers. What libmicrohttpd calls for them is
 * given nothing that could hold a count. */
static atomic_uint_fast64_t malformed;

enum { DATE_MAX = 80 }; /* for any numbers */

/* Prints the time as a Date field has it (RFC 9110, section 5.6.7). */
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
    char answer[512];
    int length = 0;

    *size = sizeof REFUSED - 1;
    print_date(date);
    length =
        snprintf(answer, sizeof answer,
                 "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\n"
                 "Content-Type: " PROBLEM "\r\nCache-Control: no-store\r\n"
                 "X-Content-Type-Options: nosniff\r\nContent-Length: %zu\r\n\r\n%s",
                 status, MHD_get_reason_phrase_for(status), date, *size, is_head ? "" : REFUSED);
    if (send(socket, answer, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL) != length)
        return false;
    atomic_fetch_add(&malformed, 1);
    return true;
}

/* libmicrohttpd answers by itself what it cannot parse or has no room for, with this function and
 * neither our fields nor a way to add them. The linker's --wrap puts ours in its place, so that
 * those answers carry what every answer carries. Which status it will send is not said here, so the
 * problem document has none (RFC 9457, section 3.1: every member is optional). */

struct MHD_Response *__wrap_MHD_create_response_from_buffer_static(size_t size, const void *buffer);

struct MHD_Response *__wrap_MHD_create_response_from_buffer_static(size_t size, const void *buffer)
{
    const struct reply_fields fields = {.content_type = PROBLEM};

    (void)size;
    (void)buffer;
    atomic_fetch_add(&malformed, 1);
    return create_response(REFUSED, &fields, false);
}

uint64_t reply_count_malformed(void)
{
    return atomic_load(&malformed);
}
