/* Escapes untrusted bytes for single-line output. */
#ifndef VERSIOND_ESCAPE_H
#define VERSIOND_ESCAPE_H

#include <stddef.h>

enum escape_style {
    ESCAPE_TEXT, /* \xXX, \\ and \' : for values in single quotes */
    ESCAPE_JSON, /* \u00XX, \\ and \" : for JSON strings (RFC 8259, section 7) */
};

/* Writes `length` bytes at `bytes` to `out`, escaped and always NUL-terminated. Printable ASCII is
 * kept; every other byte is replaced by an escape, so that the output never contains terminal
 * sequences or invalid UTF-8. If `out` (of `size` bytes, at least 1) is too small, the output is
 * truncated, but never within an escape. Returns the number of bytes written, excluding the NUL. */
size_t escape_bytes(char *out, size_t size, const char *bytes, size_t length,
                    enum escape_style style);

#endif
