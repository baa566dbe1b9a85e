/* HTTP responses: the only module that creates libmicrohttpd's response objects. */
#ifndef VERSIOND_REPLY_H
#define VERSIOND_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routes.h"

struct MHD_Connection;
struct reply;

/* The media type of problem documents (RFC 9457). */
#define REPLY_PROBLEM_TYPE "application/problem+json"

/* Headers in addition to those that every response carries (Cache-Control and
 * X-Content-Type-Options). NULL: none. */
struct reply_fields {
    const char *content_type;
    const char *allow;
    const char *content_security_policy;
};

/* Creates a response with `status` (200 to 599), `fields` and `body`, which must outlive it.
 * `fields` is only read during the call. Returns NULL if out of memory. The response never changes.
 * The caller frees it with reply_free() after the server has stopped. */
struct reply *reply_create(unsigned status, const struct reply_fields *fields, const char *body);

/* The same, and takes ownership of `body`, a string from malloc(), even on failure. NULL means that
 * making the body failed. */
struct reply *reply_create_owned(unsigned status, const struct reply_fields *fields, char *body);

/* Creates a problem document of type about:blank, whose title is the status phrase (RFC 9457,
 * section 4.2.1), with an Allow header unless `allow` is NULL. */
struct reply *reply_create_problem(unsigned status, const char *allow, const char *detail);

/* Creates a response whose body is made for each request: the sending thread calls `make` with
 * `context`. The strings in `fields`, and `context`, must outlive the reply. */
struct reply *reply_create_live(unsigned status, const struct reply_fields *fields,
                                route_body *make, const struct route_context *context);

/* Frees a reply. NULL is ignored. */
void reply_free(struct reply *reply);

/* Queues the response to the current request of `connection`. With `close` it carries
 * "Connection: close", and the connection ends after it. Stores the size of the body in `*size`,
 * for a HEAD request too, although its body is not sent.
 * Returns false if libmicrohttpd refuses or memory is short; the connection must then be closed. */
bool reply_queue(const struct reply *reply, struct MHD_Connection *connection, bool close,
                 size_t *size);

/* Writes a response with `status` (400 to 599) and "Connection: close" directly to a socket, for
 * requests that left libmicrohttpd no memory for one. Never blocks. Stores the size of the body in
 * `*size`; `is_head` leaves the body out.
 * Returns false if the socket does not take the whole response. */
bool reply_send(int socket, unsigned status, bool is_head, size_t *size);

/* Returns the number of requests that libmicrohttpd could not parse or had no memory for, and that
 * it or reply_send() therefore refused, since the process started. */
uint64_t reply_count_malformed(void);

#endif
