/* Answers, made once and shared: the only maker of MHD_Response. */
#ifndef VERSIOND_REPLY_H
#define VERSIOND_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Connection;
struct reply;

/* The fields of an answer beside those that every one carries; NULL: not there. The texts are only
 * read while the answer is made. */
struct reply_fields {
    const char *content_type;
    const char *allow;
    const char *content_security_policy;
};

/* Makes an answer with `status` (200 to 599), `body`, `fields`, and those that every answer carries
 * (X-Content-Type-Options, Cache-Control). `body` is a text from malloc, which now belongs to the
 * reply, whatever the outcome; a NULL is taken for the failure of whoever should have made it.
 * Returns NULL when there is no memory. The answer never changes, any thread may send it at any
 * time, and the caller frees it with reply_free() when the server has stopped. */
struct reply *reply_create(unsigned status, const struct reply_fields *fields, char *body);

/* The same with a body that is made for each request: `make` is called with `cls` by whichever
 * thread sends the answer, and returns a text from malloc or NULL when there is no memory. The
 * texts of `fields` must outlive the reply. */
struct reply *reply_create_live(unsigned status, const struct reply_fields *fields,
                                char *(*make)(void *cls), void *cls);

/* Frees a reply; NULL is ignored. */
void reply_free(struct reply *reply);

/* Queues the answer to the request that `connection` is at; with `close` it carries
 * "Connection: close", and the connection ends after it. `*size` becomes the number of bytes of its
 * body, which a HEAD request is not sent.
 * Returns false when libmicrohttpd refuses or there is no memory: then the connection is to be
 * closed. */
bool reply_queue(const struct reply *reply, struct MHD_Connection *connection, bool close,
                 size_t *size);

/* Sends an answer with `status` (400 to 599) and "Connection: close" straight to a socket, where
 * libmicrohttpd has no room for one; never waits. `*size` becomes the number of bytes of its body,
 * which a HEAD request is not sent.
 * Returns false when the socket does not take all of it. */
bool reply_send(int socket, unsigned status, bool is_head, size_t *size);

/* How many requests libmicrohttpd could not parse or had no room for in this process, so that it,
 * or reply_send(), has refused them. */
uint64_t reply_count_malformed(void);

#endif
