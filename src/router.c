#include "router.h"

#include <stdio.h>
#include <string.h>

#include "request.h"

enum { READ = METHOD_GET | METHOD_HEAD | METHOD_OPTIONS };

static const struct route ROUTES[] = {
    {"/version", READ, ENDPOINT_VERSION, false}, {"/__version__", READ, ENDPOINT_VERSION, false},
    {"/healthz", READ, ENDPOINT_LIVENESS, true}, {"/readyz", READ, ENDPOINT_READINESS, true},
    {"/metrics", READ, ENDPOINT_METRICS, true},  {"/", READ, ENDPOINT_PAGE, false},
    {"/badge.svg", READ, ENDPOINT_BADGE, false}, {"/openapi.json", READ, ENDPOINT_OPENAPI, false},
};

enum { ROUTE_COUNT = sizeof ROUTES / sizeof *ROUTES };

_Static_assert(sizeof ROUTES / sizeof *ROUTES <= ROUTER_ROUTES_MAX,
               "what is kept by route must have room");

static const struct route *find(const char *path, size_t length)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (strlen(ROUTES[i].path) == length && memcmp(ROUTES[i].path, path, length) == 0)
            return &ROUTES[i];
    }
    return NULL;
}

const struct route *router_find(const char *base_path, const char *path, size_t length)
{
    const size_t prefix = base_path == NULL ? 0 : strlen(base_path);
    const struct route *route = find(path, length);

    if (route != NULL || prefix == 0 || length < prefix || memcmp(path, base_path, prefix) != 0)
        return route;
    return find(path + prefix, length - prefix);
}

const struct route *router_routes(size_t *count)
{
    *count = ROUTE_COUNT;
    return ROUTES;
}

unsigned router_methods(void)
{
    unsigned methods = 0;

    for (size_t i = 0; i < ROUTE_COUNT; i++)
        methods |= ROUTES[i].methods;
    return methods;
}

void router_print_allow(char *out, size_t size, unsigned methods)
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
