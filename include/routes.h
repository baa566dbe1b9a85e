/* The endpoints, one table row each. Independent of libmicrohttpd. */
#ifndef VERSIOND_ROUTES_H
#define VERSIOND_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "build_info.h"

struct metrics;

/* Maximum number of routes. */
enum { ROUTES_MAX = 15 };

/* What response bodies are made from. The members belong to the caller. */
struct route_context {
    const struct build_info *info;
    struct metrics *metrics;
};

/* Makes a response body: a string from malloc() that the caller frees, or NULL if out of memory. */
typedef char *route_body(const struct route_context *context);

struct route {
    const char *path;
    unsigned methods; /* allowed methods, bits of enum method */
    bool is_polled;   /* requested by machines over and over: successes are not logged */
    const char *media_type;
    const char *content_security_policy; /* NULL: none */
    const char *text;                    /* body of the 200 response */
    route_body *make; /* makes that body if `text` is NULL: once for each thread at
                       * start, or for each request if `is_live` */
    bool is_live;
    const char *draining_text; /* body of the 503 response sent while the server drains; NULL: the
                                * 200 response is sent then too */
};

/* Returns the table and stores the number of its rows in `*count`. */
const struct route *routes_all(size_t *count);

/* Finds the route of a path of `length` bytes: a route's own path, or that path under `base_path`
 * (NULL: none). Bytes are compared as they are; nothing is decoded. Returns NULL if there is none.
 */
const struct route *routes_find(const char *base_path, const char *path, size_t length);

/* Returns the methods that at least one route allows. */
unsigned routes_methods(void);

/* Writes the value of an Allow header (RFC 9110, section 10.2.1) for a set of methods to `out`, for
 * example "GET, HEAD, OPTIONS". `size` is at least ROUTES_ALLOW_MAX. */
enum { ROUTES_ALLOW_MAX = 32 };
void routes_print_allow(char *out, size_t size, unsigned methods);

#endif
