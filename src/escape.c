#include "escape.h"

#include <stdbool.h>
#include <string.h>

static const char HEX[] = "0123456789abcdef";

static bool is_plain(unsigned char byte, enum escape_style style)
{
    const unsigned char quote = style == ESCAPE_JSON ? '"' : '\'';

    return byte >= 0x20 && byte < 0x7f && byte != '\\' && byte != quote;
}

/* Writes the escaped form of a byte. Returns its length, 1 to 6. */
static size_t escape_one(char form[6], unsigned char byte, enum escape_style style)
{
    size_t n = 0;

    if (is_plain(byte, style)) {
        form[n++] = (char)byte;
        return n;
    }
    form[n++] = '\\';
    if (byte == '\\' || byte == '"' || byte == '\'') {
        form[n++] = (char)byte;
        return n;
    }
    form[n++] = style == ESCAPE_JSON ? 'u' : 'x';
    if (style == ESCAPE_JSON) {
        form[n++] = '0';
        form[n++] = '0';
    }
    form[n++] = HEX[byte >> 4];
    form[n++] = HEX[byte & 0x0f];
    return n;
}

size_t escape_bytes(char *out, size_t size, const char *bytes, size_t length,
                    enum escape_style style)
{
    size_t used = 0;

    for (size_t i = 0; i < length; i++) {
        char form[6];
        const size_t n = escape_one(form, (unsigned char)bytes[i], style);

        if (n >= size - used)
            break;
        memcpy(out + used, form, n);
        used += n;
    }
    out[used] = '\0';
    return used;
}
