/* Judges what a server sends: a strict reader of answers. A byte that is not as expected ends the
 * program. */
#ifndef VERSIOND_ANSWERS_H
#define VERSIOND_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>

#include "build_info.h"

enum { ANSWERS_MAX = 2048, ANSWERS_BYTES_MAX = 4 * 1024 * 1024 };

struct bytes {
    size_t length;
    char bytes[ANSWERS_BYTES_MAX];
};

struct document;

struct answer {
    unsigned status;
    const struct document *document; /* which of those that there are */
    bool is_head;                    /* the body is only counted */
    bool is_kept;                    /* says "Connection: Keep-Alive" */
};

struct answers {
    size_t count;
    bool is_closing; /* the last one says "Connection: close" */
    struct answer items[ANSWERS_MAX];
};

/* Makes the documents that a server of this build, below this base path, may answer. To be called
 * once, before the others. They are freed at the end of the program. */
void answers_init(const struct build_info *info, const char *base_path);

/* Reads answers until nothing is left. Expected of each: the status line of one of those that there
 * are; a Date; the fields of that answer, each once, in full, and no other; a Content-Length that
 * is that of the body; the body, to the byte (of metrics: its begin and end), or none; "Connection:
 * close" where the request cannot be trusted, and nothing after an answer that says so. */
void answers_read(const struct bytes *bytes, struct answers *answers);

/* Expected: no more answers, but for those that refuse, than complete heads, before the first
 * control character that no request may have unless some method was unknown; no answer without its
 * body unless HEAD was asked; no "Keep-Alive" unless HTTP/1.0 was. */
void answers_compare_with_request(const struct answers *answers, const char *bytes, size_t length);

/* True for the answer of a liveness probe. */
bool answers_is_alive(const struct answer *answer);

/* True for what the library answers by itself to what it cannot parse or has no room for. */
bool answers_is_refusal(const struct answer *answer);

#endif
