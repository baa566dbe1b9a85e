/* The table of routes. Knows no MHD. */
#ifndef VERSIOND_ROUTER_H
#define VERSIOND_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

enum endpoint {
    ENDPOINT_VERSION,
    ENDPOINT_LIVENESS,
    ENDPOINT_READINESS,
    ENDPOINT_METRICS,
    ENDPOINT_PAGE,
    ENDPOINT_BADGE,
    ENDPOINT_OPENAPI,
    ENDPOINT_COUNT,
};

/* There are at most so many routes. */
enum { ROUTER_ROUTES_MAX = 15 };

/* What a path leads to. */
struct route {
    const char *path;
    unsigned methods; /* bits of enum method that it takes */
    enum endpoint endpoint;
    bool is_polled; /* asked often by machines: successes are not worth a line in the log */
};

/* Finds the route of a path of `length` bytes, compared byte by byte, nothing decoded: the path of
 * a route, alone or behind `base_path` (NULL: none). Returns NULL when there is none. */
const struct route *router_find(const char *base_path, const char *path, size_t length);

/* The table, for those who make something for every route; `*count` becomes its length. */
const struct route *router_routes(size_t *count);

/* The methods that any route takes. */
unsigned router_methods(void);

/* Writes the value of an Allow field (RFC 9110, section 10.2.1) for a set of methods, such as
 * "GET, HEAD, OPTIONS", into `out`; `size` is at least ROUTER_ALLOW_MAX. */
enum { ROUTER_ALLOW_MAX = 32 };
void router_print_allow(char *out, size_t size, unsigned methods);

#endif
