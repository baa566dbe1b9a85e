/* A strict reader of HTTP responses. Any byte that is not as expected aborts the program. */
#ifndef VERSIOND_RESPONSES_H
#define VERSIOND_RESPONSES_H

#include <stdbool.h>
#include <stddef.h>

#include "build_info.h"

enum { RESPONSES_MAX = 2048, RESPONSES_BYTES_MAX = 4 * 1024 * 1024 };

struct bytes {
    size_t length;
    char bytes[RESPONSES_BYTES_MAX];
};

struct response {
    unsigned status;
    size_t length;              /* Content-Length, 0 for metrics, whose length varies */
    bool is_head;               /* without the body */
    bool is_keep_alive;         /* has "Connection: Keep-Alive" */
    bool is_alive;              /* the document of a liveness probe */
    bool is_from_libmicrohttpd; /* an error that the library detected before the program saw a
                                   request */
};

struct responses {
    size_t count;
    bool is_closing; /* the last one has "Connection: close" */
    struct response items[RESPONSES_MAX];
};

/* Makes the documents that a server of this build serves. Call this once, before the other
 * functions. The documents are freed when the program exits. */
void responses_init(const struct build_info *info);

/* Reads responses up to the end. Expects for each: a known status line; known headers with valid
 * values, once each, and those that its status requires; a Content-Length that matches the body; a
 * body that is a document, metrics, or a problem of this status; "Connection: close" if the request
 * cannot be trusted, and nothing after it. */
void responses_read(const struct bytes *bytes, struct responses *responses);

/* Expects no more responses to trusted requests than complete headers before the first control
 * character that no request may contain; no response without its body unless HEAD was requested;
 * "Keep-Alive" for HTTP/1.0 only. */
void responses_compare_with_requests(const struct responses *responses, const char *bytes,
                                     size_t length);

#endif
