/* The responses: prepared at start, one chosen per request. Independent of libmicrohttpd. */
#ifndef VERSIOND_HANDLERS_H
#define VERSIOND_HANDLERS_H

#include <stdbool.h>

#include "request.h"
#include "routes.h"

struct handlers;
struct reply;

/* What is wrong with a request. If several things are, the first in this list is reported. */
enum request_fault {
    FAULT_NONE,
    FAULT_METHOD, /* not a token */
    FAULT_TARGET, /* malformed request target, or one that does not fit the method */
    FAULT_HOST,   /* missing, repeated or malformed Host header */
    FAULT_FIELD,  /* a header with a forbidden byte */
    FAULT_BODY,   /* has or announces content */
    FAULT_EXPECT, /* an expectation other than 100-continue */
    FAULT_COUNT,
};

/* A validated request. */
struct request {
    enum request_fault fault;
    enum method method;
    enum target_form form;
    const struct route *route; /* NULL if no route has the path */
};

/* Prepares all responses, a set of its own for each of `threads` threads: libmicrohttpd counts the
 * users of a response under a lock, which threads would otherwise contend for. `context` is copied;
 * what it points to must outlive the handlers. `base_path` (NULL: none) is only named in the 404
 * response. Returns NULL if out of memory. The caller frees the result with handlers_free(). */
struct handlers *handlers_create(const struct route_context *context, const char *base_path,
                                 unsigned threads);

/* Frees all responses. Call it after the server has stopped. NULL is ignored. */
void handlers_free(struct handlers *handlers);

/* Chooses the response to a request from the set of `thread` (0 to threads - 1). It belongs to
 * `handlers`. Never fails, allocates nothing and takes no lock. Precedence: fault, unknown method,
 * unknown path, method not allowed. */
const struct reply *handlers_answer(const struct handlers *handlers, unsigned thread,
                                    const struct request *request, bool draining);

#endif
