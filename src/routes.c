#include "routes.h"

#include <stdio.h>
#include <string.h>

#include "embedded.h"
#include "metrics.h"
#include "request.h"

#define JSON "application/json"

static char *make_version(const struct route_context *context)
{
    return build_info_document(context->info);
}

static char *make_metrics(const struct route_context *context)
{
    return metrics_print(context->metrics);
}

enum { READ = METHOD_GET | METHOD_HEAD | METHOD_OPTIONS };

static const struct route ROUTES[] = {
    {.path = "/version", .methods = READ, .media_type = JSON, .make = make_version},
    {.path = "/__version__", .methods = READ, .media_type = JSON, .make = make_version},
    /* Liveness stays 200 while draining: a failing probe would get the process killed. */
    {.path = "/healthz",
     .methods = READ,
     .is_polled = true,
     .media_type = JSON,
     .text = "{\"status\":\"ok\"}\n"},
    {.path = "/readyz",
     .methods = READ,
     .is_polled = true,
     .media_type = JSON,
     .text = "{\"status\":\"ready\"}\n",
     .draining_text = "{\"status\":\"draining\"}\n"},
    {.path = "/metrics",
     .methods = READ,
     .is_polled = true,
     .media_type = "text/plain; version=0.0.4; charset=utf-8",
     .make = make_metrics,
     .is_live = true},
    {.path = "/",
     .methods = READ,
     .media_type = "text/html; charset=utf-8",
     .content_security_policy = embedded_page_policy,
     .text = embedded_page},
    {.path = "/badge.svg",
     .methods = READ,
     .media_type = "image/svg+xml",
     .content_security_policy = "default-src 'none'",
     .text = embedded_badge},
    {.path = "/openapi.json", .methods = READ, .media_type = JSON, .text = embedded_openapi},
};

enum { ROUTE_COUNT = sizeof ROUTES / sizeof *ROUTES };

_Static_assert(sizeof ROUTES / sizeof *ROUTES <= ROUTES_MAX, "raise ROUTES_MAX");

const struct route *routes_all(size_t *count)
{
    *count = ROUTE_COUNT;
    return ROUTES;
}

static const struct route *find(const char *path, size_t length)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (strlen(ROUTES[i].path) == length && memcmp(ROUTES[i].path, path, length) == 0)
            return &ROUTES[i];
    }
    return NULL;
}

const struct route *routes_find(const char *base_path, const char *path, size_t length)
{
    const size_t prefix = base_path == NULL ? 0 : strlen(base_path);
    const struct route *route = find(path, length);

    if (route != NULL || prefix == 0 || length < prefix || memcmp(path, base_path, prefix) != 0)
        return route;
    return find(path + prefix, length - prefix);
}

unsigned routes_methods(void)
{
    unsigned methods = 0;

    for (size_t i = 0; i < ROUTE_COUNT; i++)
        methods |= ROUTES[i].methods;
    return methods;
}

void routes_print_allow(char *out, size_t size, unsigned methods)
{
    static const struct {
        unsigned method;
        const char *token;
    } tokens[] = {{METHOD_GET, "GET"}, {METHOD_HEAD, "HEAD"}, {METHOD_OPTIONS, "OPTIONS"}};
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        if ((methods & tokens[i].method) != 0)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used > 0 ? ", " : "",
                                     tokens[i].token);
    }
}
