/* Makes bytes that strangers chose safe to print on one line. */
#ifndef VERSIOND_ESCAPE_H
#define VERSIOND_ESCAPE_H

#include <stddef.h>

enum escape_style {
    ESCAPE_TEXT, /* \xXX, \\ and \' : for messages that put the value between single quotes */
    ESCAPE_JSON, /* \u00XX, \\ and \" : for the inside of a JSON string (RFC 8259, section 7) */
};

/* Writes `length` bytes at `bytes` into `out`, at most `size` bytes with the NUL that always ends
 * it (`size` is at least 1). Printable ASCII stays; every other byte becomes an escape, a byte
 * each: what is written is ASCII whatever came in, so no terminal sequence and no invalid UTF-8
 * survives. What does not fit is cut, never in the middle of an escape. Returns the number of bytes
 * written, without the NUL. */
size_t escape_bytes(char *out, size_t size, const char *bytes, size_t length,
                    enum escape_style style);

#endif
