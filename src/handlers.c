#include "handlers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "openapi.h"
#include "page.h"
#include "parse.h"
#include "reply.h"

#define PROBLEM "application/problem+json"
#define JSON "application/json"

/* Answers that depend on the methods that a route takes, or the server as a whole. */
struct by_methods {
    struct reply *options;
    struct reply *not_allowed;
};

/* How many sets of methods there are. */
enum { METHOD_SETS = (METHOD_GET | METHOD_HEAD | METHOD_OPTIONS) + 1 };

struct handlers {
    struct reply *version;
    struct reply *alive;
    struct reply *ready;
    struct reply *draining;
    struct reply *metrics[2]; /* by enum metrics_format */
    struct reply *page;
    struct reply *badge;
    struct reply *openapi;
    struct reply *faults[FAULT_COUNT]; /* none for FAULT_NONE */
    struct reply *not_found;
    struct reply *not_implemented;
    struct by_methods by_methods[METHOD_SETS]; /* of those that any route takes */
};

/* A problem document (RFC 9457) of the type about:blank, whose title is the status' phrase. */
static struct reply *create_problem(unsigned status, const char *title, const char *allow,
                                    const char *detail)
{
    const struct json_field fields[] = {
        {.name = "type", .text = "about:blank"},
        {.name = "title", .text = title},
        {.name = "status", .number = (int)status},
        {.name = "detail", .text = detail},
    };

    return reply_create(status,
                        &(const struct reply_fields){.content_type = PROBLEM, .allow = allow},
                        json_object(fields, sizeof fields / sizeof *fields));
}

static struct reply *create_json(unsigned status, char *body)
{
    return reply_create(status, &(const struct reply_fields){.content_type = JSON}, body);
}

static struct reply *create_status(unsigned status, const char *word)
{
    const struct json_field field = {.name = "status", .text = word};

    return create_json(status, json_object(&field, 1));
}

/* Makes them once for all routes that take the same. */
static bool create_by_methods(struct by_methods *answers, unsigned methods)
{
    char allow[ROUTER_ALLOW_MAX];
    char detail[ROUTER_ALLOW_MAX + 64];

    if (answers->options != NULL)
        return true;
    router_print_allow(allow, sizeof allow, methods);
    (void)snprintf(detail, sizeof detail, "This path takes %s.", allow);
    answers->options = reply_create(204, &(const struct reply_fields){.allow = allow}, strdup(""));
    answers->not_allowed = create_problem(405, "Method Not Allowed", allow, detail);
    return answers->options != NULL && answers->not_allowed != NULL;
}

/* Says every path that there is. */
static struct reply *create_not_found(const char *base_path)
{
    char detail[128 + PARSE_BASE_PATH_MAX + ENDPOINT_COUNT * 64];
    size_t count = 0;
    const struct route *routes = router_routes(&count);
    size_t used =
        (size_t)snprintf(detail, sizeof detail, "Nothing is served at this path. There are");

    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(detail + used, sizeof detail - used, "%s %s", i > 0 ? "," : "",
                                 routes[i].path);
    if (base_path != NULL)
        used += (size_t)snprintf(detail + used, sizeof detail - used, ", and the same below %s",
                                 base_path);
    (void)snprintf(detail + used, sizeof detail - used, ".");
    return create_problem(404, "Not Found", NULL, detail);
}

static bool create_faults(struct handlers *handlers)
{
    static const struct {
        unsigned status;
        const char *title;
        const char *detail;
    } faults[FAULT_COUNT] = {
        [FAULT_METHOD] = {400, "Bad Request", "The method is not a token (RFC 9110, section 9.1)."},
        [FAULT_TARGET] = {400, "Bad Request",
                          "The request target has a form or a byte that is not allowed (RFC 9112, "
                          "section 3.2)."},
        [FAULT_HOST] = {400, "Bad Request",
                        "A request has exactly one Host field: a name or an address, and at most "
                        "one port (RFC 9112, section 3.2)."},
        [FAULT_FIELD] = {400, "Bad Request",
                         "A field has a byte that is not allowed (RFC 9110, section 5.5)."},
        [FAULT_BODY] = {413, "Content Too Large", "No request takes content here: send none."},
        [FAULT_EXPECT] = {417, "Expectation Failed",
                          "No expectation but 100-continue is known (RFC 9110, section 10.1.1)."},
    };
    bool complete = true;

    for (size_t i = FAULT_NONE + 1; i < FAULT_COUNT; i++) {
        handlers->faults[i] =
            create_problem(faults[i].status, faults[i].title, NULL, faults[i].detail);
        complete = complete && handlers->faults[i] != NULL;
    }
    return complete;
}

static char *print_text(void *metrics)
{
    return metrics_print(metrics, METRICS_TEXT);
}

static char *print_openmetrics(void *metrics)
{
    return metrics_print(metrics, METRICS_OPENMETRICS);
}

static bool create_metrics(struct handlers *handlers, struct metrics *metrics)
{
    char *(*const make[])(void *) = {print_text, print_openmetrics};
    bool complete = true;

    for (unsigned format = METRICS_TEXT; format <= METRICS_OPENMETRICS; format++) {
        const struct reply_fields fields = {.content_type = metrics_media_type(format)};

        handlers->metrics[format] = reply_create_live(200, &fields, make[format], metrics);
        complete = complete && handlers->metrics[format] != NULL;
    }
    return complete;
}

/* What is there for people and their tools. */
static bool create_documents(struct handlers *handlers, const struct build_info *info)
{
    const struct reply_fields page = {.content_type = "text/html; charset=utf-8",
                                      .content_security_policy = page_policy()};
    const struct reply_fields badge = {.content_type = "image/svg+xml",
                                       .content_security_policy = "default-src 'none'"};

    handlers->page = reply_create(200, &page, page_create(info));
    handlers->badge = reply_create(200, &badge, page_create_badge(info));
    handlers->openapi = create_json(200, openapi_create());
    return handlers->page != NULL && handlers->badge != NULL && handlers->openapi != NULL;
}

/* Makes everything; returns false when anything is missing. */
static bool create_all(struct handlers *handlers, const struct build_info *info,
                       const char *base_path, struct metrics *metrics)
{
    size_t count = 0;
    const struct route *routes = router_routes(&count);
    bool complete = create_faults(handlers);

    complete = create_metrics(handlers, metrics) && complete;
    complete = create_documents(handlers, info) && complete;
    handlers->version = create_json(200, build_info_document(info));
    handlers->alive = create_status(200, "ok");
    handlers->ready = create_status(200, "ready");
    handlers->draining = create_status(503, "draining");
    handlers->not_found = create_not_found(base_path);
    handlers->not_implemented = create_problem(
        501, "Not Implemented", NULL, "This server knows no such method; methods are upper case.");
    complete = complete && handlers->version != NULL && handlers->alive != NULL &&
               handlers->ready != NULL && handlers->draining != NULL &&
               handlers->not_found != NULL && handlers->not_implemented != NULL;
    complete =
        create_by_methods(&handlers->by_methods[router_methods()], router_methods()) && complete;
    for (size_t i = 0; complete && i < count; i++)
        complete = create_by_methods(&handlers->by_methods[routes[i].methods], routes[i].methods);
    return complete;
}

struct handlers *handlers_create(const struct build_info *info, const char *base_path,
                                 struct metrics *metrics)
{
    struct handlers *handlers = calloc(1, sizeof *handlers);

    if (handlers == NULL || create_all(handlers, info, base_path, metrics))
        return handlers;
    handlers_free(handlers);
    return NULL;
}

void handlers_free(struct handlers *handlers)
{
    if (handlers == NULL)
        return;
    reply_free(handlers->version);
    reply_free(handlers->alive);
    reply_free(handlers->ready);
    reply_free(handlers->draining);
    reply_free(handlers->metrics[METRICS_TEXT]);
    reply_free(handlers->metrics[METRICS_OPENMETRICS]);
    reply_free(handlers->page);
    reply_free(handlers->badge);
    reply_free(handlers->openapi);
    reply_free(handlers->not_found);
    reply_free(handlers->not_implemented);
    for (size_t i = 0; i < FAULT_COUNT; i++)
        reply_free(handlers->faults[i]);
    for (size_t i = 0; i < METHOD_SETS; i++) {
        reply_free(handlers->by_methods[i].options);
        reply_free(handlers->by_methods[i].not_allowed);
    }
    free(handlers);
}

/* Alive while draining too: a liveness probe that failed then would have the process killed. */
static const struct reply *answer_route(const struct handlers *handlers,
                                        const struct request *request, bool draining)
{
    switch (request->route->endpoint) {
    case ENDPOINT_LIVENESS:
        return handlers->alive;
    case ENDPOINT_READINESS:
        return draining ? handlers->draining : handlers->ready;
    case ENDPOINT_METRICS:
        return handlers->metrics[request->prefers_openmetrics ? METRICS_OPENMETRICS : METRICS_TEXT];
    case ENDPOINT_PAGE:
        return handlers->page;
    case ENDPOINT_BADGE:
        return handlers->badge;
    case ENDPOINT_OPENAPI:
        return handlers->openapi;
    default:
        return handlers->version;
    }
}

static const struct reply *answer_methods(const struct by_methods *answers, enum method method)
{
    return method == METHOD_OPTIONS ? answers->options : answers->not_allowed;
}

const struct reply *handlers_answer(const struct handlers *handlers, const struct request *request,
                                    bool draining)
{
    const struct route *route = request->route;

    if (request->fault != FAULT_NONE)
        return handlers->faults[request->fault];
    if (request->method == METHOD_UNKNOWN)
        return handlers->not_implemented;
    if (request->form != TARGET_PATH)
        return answer_methods(&handlers->by_methods[router_methods()], request->method);
    if (route == NULL)
        return handlers->not_found;
    if (request->method == METHOD_OPTIONS || (route->methods & request->method) == 0)
        return answer_methods(&handlers->by_methods[route->methods], request->method);
    return answer_route(handlers, request, draining);
}
