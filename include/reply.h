/* Answers, made once and shared: the only maker of MHD_Response. */
#ifndef VERSIOND_REPLY_H
#define VERSIOND_REPLY_H

#include <stdbool.h>

struct MHD_Connection;
struct reply;

/* Makes an answer with `status` (200 to 599), `body`, the fields that every answer carries
 * (X-Content-Type-Options, Cache-Control), and, where they are not NULL, Content-Type and Allow.
 * `body` is a text from malloc, which now belongs to the reply, whatever the outcome; a NULL is
 * taken for the failure of whoever should have made it. Returns NULL when there is no memory. The
 * answer never changes, any thread may send it at any time, and the caller frees it with
 * reply_free() when the server has stopped. */
struct reply *reply_create(unsigned status, const char *content_type, const char *allow,
                           char *body);

/* Frees a reply; NULL is ignored. */
void reply_free(struct reply *reply);

/* Queues the answer to the request that `connection` is at; with `close` it carries
 * "Connection: close", and the connection ends after it.
 * Returns false when libmicrohttpd refuses: then the connection is to be closed. */
bool reply_queue(const struct reply *reply, struct MHD_Connection *connection, bool close);

#endif
