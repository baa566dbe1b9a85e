/* The documents that the build writes into the program. */
#ifndef VERSIOND_EMBEDDED_H
#define VERSIOND_EMBEDDED_H

#include <stddef.h>

/* The HTML status page: src/page.html with the build information filled in, in UTF-8. Its links are
 * relative, so that it works under any prefix that ends with '/'. */
extern const char embedded_page[];

/* Content-Security-Policy of the page: allows its style element, images of the same origin and data
 * URLs, and nothing else. */
extern const char embedded_page_policy[];

/* The SVG badge with the version: src/badge.svg, filled in. */
extern const char embedded_badge[];

/* The description of the HTTP interface, src/openapi.json, as one line. */
extern const char embedded_openapi[];

/* The licenses of the program and of the libraries linked into it (see scripts/licenses.sh): a gzip
 * file (RFC 1952), and its size in bytes. */
extern const char embedded_licenses[];
extern const size_t embedded_licenses_size;

#endif
