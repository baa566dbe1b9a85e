#include "handlers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"
#include "reply.h"

/* Positions in a set of responses. A response to OPTIONS, and one with status 405, is indexed by
 * the allowed methods. */
enum {
    METHOD_SETS = (METHOD_GET | METHOD_HEAD | METHOD_OPTIONS) + 1,
    ROUTE = 0,
    ROUTE_DRAINING = ROUTE + ROUTES_MAX,
    FAULT = ROUTE_DRAINING + ROUTES_MAX,
    OPTIONS = FAULT + FAULT_COUNT,
    NOT_ALLOWED = OPTIONS + METHOD_SETS,
    NOT_FOUND = NOT_ALLOWED + METHOD_SETS,
    NOT_IMPLEMENTED = NOT_FOUND + 1,
    REPLIES = NOT_IMPLEMENTED + 1,
};

struct handlers {
    struct route_context context;
    unsigned threads;
    struct reply *sets[][REPLIES]; /* per thread; NULL where there is no response */
};

/* Creates the responses to OPTIONS and to methods that are not allowed, unless they exist. */
static bool create_for_methods(struct reply *set[REPLIES], unsigned methods)
{
    char allow[ROUTES_ALLOW_MAX];
    char detail[ROUTES_ALLOW_MAX + 64];

    if (set[OPTIONS + methods] != NULL)
        return true;
    routes_print_allow(allow, sizeof allow, methods);
    (void)snprintf(detail, sizeof detail, "Allowed methods: %s.", allow);
    set[OPTIONS + methods] = reply_create(204, &(const struct reply_fields){.allow = allow}, "");
    set[NOT_ALLOWED + methods] = reply_create_problem(405, allow, detail);
    return set[OPTIONS + methods] != NULL && set[NOT_ALLOWED + methods] != NULL;
}

static struct reply *create_body(const struct route *route, const struct reply_fields *fields,
                                 const struct route_context *context)
{
    if (route->is_live)
        return reply_create_live(200, fields, route->make, context);
    if (route->text != NULL)
        return reply_create(200, fields, route->text);
    return reply_create_owned(200, fields, route->make(context));
}

static bool create_for_route(struct reply *set[REPLIES], size_t i,
                             const struct route_context *context)
{
    size_t count = 0;
    const struct route *route = &routes_all(&count)[i];
    const struct reply_fields fields = {.content_type = route->media_type,
                                        .content_security_policy = route->content_security_policy};

    set[ROUTE + i] = create_body(route, &fields, context);
    if (set[ROUTE + i] == NULL || !create_for_methods(set, route->methods))
        return false;
    if (route->draining_text == NULL)
        return true;
    set[ROUTE_DRAINING + i] = reply_create(503, &fields, route->draining_text);
    return set[ROUTE_DRAINING + i] != NULL;
}

/* Creates the 404 response, which lists the valid paths. */
static struct reply *create_not_found(const char *base_path)
{
    char detail[128 + PARSE_BASE_PATH_MAX + ROUTES_MAX * 64];
    size_t count = 0;
    const struct route *routes = routes_all(&count);
    size_t used = (size_t)snprintf(detail, sizeof detail, "Not found. Valid paths:");

    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(detail + used, sizeof detail - used, "%s %s", i > 0 ? "," : "",
                                 routes[i].path);
    if (base_path != NULL)
        used += (size_t)snprintf(detail + used, sizeof detail - used, ", and the same under %s",
                                 base_path);
    (void)snprintf(detail + used, sizeof detail - used, ".");
    return reply_create_problem(404, NULL, detail);
}

static bool create_faults(struct reply *set[REPLIES])
{
    static const struct {
        unsigned status;
        const char *detail;
    } faults[FAULT_COUNT] = {
        [FAULT_METHOD] = {400, "The method is not a token (RFC 9110, section 9.1)."},
        [FAULT_TARGET] = {400, "The request target is malformed (RFC 9112, section 3.2)."},
        [FAULT_HOST] = {400,
                        "Exactly one Host header is required: a name or an address, and at most "
                        "one port (RFC 9112, section 3.2)."},
        [FAULT_FIELD] = {400, "A header contains a forbidden byte (RFC 9110, section 5.5)."},
        [FAULT_BODY] = {413, "Request bodies are not accepted."},
        [FAULT_EXPECT] = {417, "Only the 100-continue expectation is supported (RFC 9110, section "
                               "10.1.1)."},
    };
    bool complete = true;

    for (size_t i = FAULT_NONE + 1; i < FAULT_COUNT; i++) {
        set[FAULT + i] = reply_create_problem(faults[i].status, NULL, faults[i].detail);
        complete = complete && set[FAULT + i] != NULL;
    }
    return complete;
}

/* Fills the set of one thread. Returns false if out of memory. */
static bool create_set(struct reply *set[REPLIES], const char *base_path,
                       const struct route_context *context)
{
    size_t count = 0;
    bool complete = create_faults(set);

    (void)routes_all(&count);
    for (size_t i = 0; complete && i < count; i++)
        complete = create_for_route(set, i, context);
    complete = complete && create_for_methods(set, routes_methods()); /* for OPTIONS * */
    set[NOT_FOUND] = create_not_found(base_path);
    set[NOT_IMPLEMENTED] =
        reply_create_problem(501, NULL, "Unknown method (method names are case-sensitive).");
    return complete && set[NOT_FOUND] != NULL && set[NOT_IMPLEMENTED] != NULL;
}

struct handlers *handlers_create(const struct route_context *context, const char *base_path,
                                 unsigned threads)
{
    struct handlers *handlers = calloc(1, sizeof *handlers + threads * sizeof handlers->sets[0]);

    if (handlers == NULL)
        return NULL;
    handlers->context = *context;
    handlers->threads = threads;
    for (unsigned thread = 0; thread < threads; thread++) {
        if (!create_set(handlers->sets[thread], base_path, &handlers->context)) {
            handlers_free(handlers);
            return NULL;
        }
    }
    return handlers;
}

void handlers_free(struct handlers *handlers)
{
    if (handlers == NULL)
        return;
    for (unsigned thread = 0; thread < handlers->threads; thread++) {
        for (size_t i = 0; i < REPLIES; i++)
            reply_free(handlers->sets[thread][i]);
    }
    free(handlers);
}

static size_t find_for_methods(unsigned methods, enum method method)
{
    return (method == METHOD_OPTIONS ? OPTIONS : NOT_ALLOWED) + methods;
}

/* Returns the position of the response in a set. */
static size_t find(const struct request *request, bool draining)
{
    const struct route *route = request->route;
    size_t count = 0;
    size_t row = 0;

    if (request->fault != FAULT_NONE)
        return FAULT + request->fault;
    if (request->method == METHOD_UNKNOWN)
        return NOT_IMPLEMENTED;
    if (request->form != TARGET_PATH)
        return find_for_methods(routes_methods(), request->method);
    if (route == NULL)
        return NOT_FOUND;
    if (request->method == METHOD_OPTIONS || (route->methods & request->method) == 0)
        return find_for_methods(route->methods, request->method);
    row = (size_t)(route - routes_all(&count));
    return draining && route->draining_text != NULL ? ROUTE_DRAINING + row : ROUTE + row;
}

const struct reply *handlers_answer(const struct handlers *handlers, unsigned thread,
                                    const struct request *request, bool draining)
{
    return handlers->sets[thread][find(request, draining)];
}
