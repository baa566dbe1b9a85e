#include "reply.h"

#include <microhttpd.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct reply {
    unsigned status;
    char *body;                 /* both responses point into it */
    struct MHD_Response *open;  /* leaves the connection as the client wants it */
    struct MHD_Response *close; /* carries "Connection: close" */
};

static bool add_header(struct MHD_Response *response, const char *name, const char *value)
{
    return value == NULL || MHD_add_response_header(response, name, value) == MHD_YES;
}

/* Makes a response whose body stays the caller's and outlives it. Returns NULL without memory. */
static struct MHD_Response *create_response(const char *body, const char *content_type,
                                            const char *allow, bool close)
{
    /* The parameter is not const for the sake of other memory modes. */
    void *bytes = (void *)(uintptr_t)body;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(body), bytes, MHD_RESPMEM_PERSISTENT);

    if (response == NULL)
        return NULL;
    if (add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type) &&
        add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") &&
        add_header(response, "X-Content-Type-Options", "nosniff") &&
        add_header(response, MHD_HTTP_HEADER_ALLOW, allow) &&
        add_header(response, MHD_HTTP_HEADER_CONNECTION, close ? "close" : NULL))
        return response;
    MHD_destroy_response(response);
    return NULL;
}

struct reply *reply_create(unsigned status, const char *content_type, const char *allow, char *body)
{
    struct reply *reply = calloc(1, sizeof *reply);

    if (reply == NULL || body == NULL) {
        free(reply);
        free(body);
        return NULL;
    }
    reply->status = status;
    reply->body = body;
    reply->open = create_response(body, content_type, allow, false);
    reply->close = create_response(body, content_type, allow, true);
    if (reply->open != NULL && reply->close != NULL)
        return reply;
    reply_free(reply);
    return NULL;
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

bool reply_queue(const struct reply *reply, struct MHD_Connection *connection, bool close)
{
    return MHD_queue_response(connection, reply->status, close ? reply->close : reply->open) ==
           MHD_YES;
}

/* libmicrohttpd answers by itself what it cannot parse or has no room for, with this function and
 * neither our fields nor a way to add them. The linker's --wrap puts ours in its place, so that
 * those answers carry what every answer carries. Which status it will send is not said here, so the
 * problem document has none (RFC 9457, section 3.1: every member is optional). */
struct MHD_Response *__wrap_MHD_create_response_from_buffer_static(size_t size, const void *buffer);

struct MHD_Response *__wrap_MHD_create_response_from_buffer_static(size_t size, const void *buffer)
{
    (void)size;
    (void)buffer;
    return create_response("{\"type\":\"about:blank\",\"title\":\"Request refused\",\"detail\":"
                           "\"The request is malformed, larger than this server takes, or of a "
                           "kind that it does not take; the status says which.\"}\n",
                           "application/problem+json", NULL, false);
}
