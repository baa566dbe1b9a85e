#include "escape.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { ESCAPED_MAX = sizeof "\\u0000" };

static bool is_plain(unsigned char byte, enum escape_style style)
{
    const unsigned char quote = style == ESCAPE_JSON ? '"' : '\'';

    return byte >= 0x20 && byte < 0x7f && byte != '\\' && byte != quote;
}

/* Writes the escaped form of a byte. Returns its length. */
static size_t escape_one(char form[ESCAPED_MAX], unsigned char byte, enum escape_style style)
{
    if (is_plain(byte, style)) {
        form[0] = (char)byte;
        return 1;
    }
    if (byte == '\\' || byte == '"' || byte == '\'')
        return (size_t)snprintf(form, ESCAPED_MAX, "\\%c", byte);
    return (size_t)snprintf(form, ESCAPED_MAX, style == ESCAPE_JSON ? "\\u%04x" : "\\x%02x", byte);
}

size_t escape_bytes(char *out, size_t size, const char *bytes, size_t length,
                    enum escape_style style)
{
    size_t used = 0;

    for (size_t i = 0; i < length; i++) {
        char form[ESCAPED_MAX];
        const size_t n = escape_one(form, (unsigned char)bytes[i], style);

        if (n >= size - used)
            break;
        memcpy(out + used, form, n);
        used += n;
    }
    out[used] = '\0';
    return used;
}
