/* What each endpoint answers. */
#ifndef VERSIOND_HANDLERS_H
#define VERSIOND_HANDLERS_H

#include <stdbool.h>

#include "build_info.h"
#include "metrics.h"
#include "request.h"
#include "router.h"

struct handlers;
struct reply;

/* What is wrong with a request, if anything; when several things are, the first here. */
enum request_fault {
    FAULT_NONE,
    FAULT_METHOD, /* is no token */
    FAULT_TARGET, /* the request target, or its form with this method */
    FAULT_HOST,   /* the Host field: none, several, or malformed */
    FAULT_FIELD,  /* bytes that a field may not have */
    FAULT_BODY,   /* has or announces a body */
    FAULT_EXPECT, /* asks for something that HTTP does not know */
    FAULT_COUNT,
};

/* A request, judged. */
struct request {
    enum request_fault fault;
    enum method method;
    enum target_form form;
    const struct route *route; /* NULL when no route has the path */
    bool prefers_openmetrics;  /* to the text format, for /metrics */
};

/* Makes every answer there is but /metrics, which writes `metrics` for each request: they stay the
 * caller's and outlive the answers. `base_path` (NULL: none) only stands in what a 404 says.
 * Returns NULL when there is no memory. The caller frees it with handlers_free(). */
struct handlers *handlers_create(const struct build_info *info, const char *base_path,
                                 struct metrics *metrics);

/* Frees all answers, when no server sends them any more; NULL is ignored. */
void handlers_free(struct handlers *handlers);

/* Chooses the answer to a request. It belongs to `handlers`. Never fails, allocates nothing, takes
 * no lock. A fault has precedence over an unknown method, that over an unknown path. */
const struct reply *handlers_answer(const struct handlers *handlers, const struct request *request,
                                    bool draining);

#endif
