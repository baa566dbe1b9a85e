/* Input: a buffer size of at most 255 bytes, then bytes, which are escaped in both styles.
 * Expected: printable ASCII with a NUL at the returned length, within the buffer. Unescaped, it is
 * a prefix of the input, and only what does not fit is missing. */
#include "escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/* Escapes one byte: a second implementation. */
static void escape_byte(unsigned char byte, enum escape_style style, char out[8])
{
    if (byte == '\\' || byte == (style == ESCAPE_JSON ? '"' : '\''))
        (void)snprintf(out, 8, "\\%c", byte);
    else if (byte >= 0x20 && byte <= 0x7e)
        (void)snprintf(out, 8, "%c", byte);
    else if (style == ESCAPE_JSON)
        (void)snprintf(out, 8, "\\u%04x", byte);
    else
        (void)snprintf(out, 8, "\\x%02x", byte);
}

static void judge(const char *bytes, size_t length, size_t size, enum escape_style style)
{
    char *out = malloc(size);
    size_t at = 0;
    size_t used = 0;
    size_t count = 0;
    char expected[8] = "";

    expect(out != NULL, "memory");
    memset(out, 0xa5, size);
    used = escape_bytes(out, size, bytes, length, style);
    expect(used < size && memchr(out, '\0', size) == out + used, "a NUL at the returned length");
    while (at < used) {
        expect(count < length, "no more than the input");
        escape_byte((unsigned char)bytes[count++], style, expected);
        expect(strncmp(out + at, expected, strlen(expected)) == 0, "the escaped input");
        at += strlen(expected);
    }
    expect(at == used, "whole escapes");
    if (count < length) {
        escape_byte((unsigned char)bytes[count], style, expected);
        expect(used + strlen(expected) >= size, "all that fits");
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t room = size > 0 && data[0] > 0 ? data[0] : 1;
    const size_t length = size > 0 ? size - 1 : 0;
    char *bytes = fuzz_bytes(size > 0 ? data + 1 : data, length);

    judge(bytes, length, room, ESCAPE_TEXT);
    judge(bytes, length, room, ESCAPE_JSON);
    judge(bytes, length, 6 * length + 1, ESCAPE_JSON);
    free(bytes);
    return 0;
}
