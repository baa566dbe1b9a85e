/* A strict reader of HTTP responses. An unexpected byte aborts the program. */
#ifndef VERSIOND_RESPONSES_H
#define VERSIOND_RESPONSES_H

#include <stdbool.h>
#include <stddef.h>

#include "build_info.h"

struct response {
    unsigned status;
    size_t length; /* of the body; 0 for metrics, whose length varies */
    bool is_head;  /* the body was omitted */
    bool is_keep_alive;
    bool is_closing;
    bool is_refusal; /* made by libmicrohttpd, for a request that it could not parse */
};

struct responses {
    size_t count;
    struct response items[2048];
};

/* Makes the documents of this build. Call this once, before the other functions; they are freed
 * when the program exits. */
void responses_init(const struct build_info *info);

/* Reads responses up to the end. Expects for each the headers of its status, in order, with valid
 * values; a body that is a document, metrics, or a problem with the same status; "Connection:
 * close" if the request cannot be trusted, and no response after that. */
void responses_read(const char *bytes, size_t length, struct responses *responses);

/* Expects no more responses to trusted requests than complete headers before the first forbidden
 * control character; no response without its body unless HEAD was requested; "Keep-Alive" for
 * HTTP/1.0 only. */
void responses_compare(const struct responses *responses, const char *requests, size_t length);

#endif
