/* Input: a size of at most 255 bytes, then any bytes, which are escaped in both styles.
 * Expected: what is written is printable ASCII that ends with a NUL within the size; read back by
 * the rules of its style it is the begin of the input; only what has no room is missing. */
#include "escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/* How many bytes the form of a byte has. */
static size_t form_size(unsigned char byte, enum escape_style style)
{
    const char *quoted = style == ESCAPE_JSON ? "\\\"" : "\\'";

    if (byte != '\0' && strchr(quoted, byte) != NULL)
        return 2;
    if (byte >= 0x20 && byte <= 0x7e)
        return 1;
    return style == ESCAPE_JSON ? 6 : 4;
}

/* Reads one form back; moves `*at` behind it. */
static unsigned char read_form(const char **at, enum escape_style style)
{
    const char *form = *at;
    const size_t zeros = style == ESCAPE_JSON ? 2 : 0;
    char digits[3] = "";

    *at += 1;
    if (form[0] != '\\')
        return (unsigned char)form[0];
    *at += 1;
    if (form[1] == '\\' || form[1] == (style == ESCAPE_JSON ? '"' : '\''))
        return (unsigned char)form[1];
    expect(form[1] == (style == ESCAPE_JSON ? 'u' : 'x'), "no other escapes");
    expect(strncmp(form + 2, "00", zeros) == 0, "a byte each");
    memcpy(digits, form + 2 + zeros, 2);
    expect(strlen(digits) == 2 && strspn(digits, "0123456789abcdef") == 2, "two hex digits");
    *at += zeros + 2;
    return (unsigned char)strtoul(digits, NULL, 16);
}

static void judge(const char *bytes, size_t length, size_t size, enum escape_style style)
{
    char *out = malloc(size);
    const char *at = out;
    size_t used = 0;
    size_t count = 0;

    expect(out != NULL, "memory");
    memset(out, 0xa5, size);
    used = escape_bytes(out, size, bytes, length, style);
    expect(used < size && memchr(out, '\0', size) == out + used, "a NUL where it says");
    expect(fuzz_is_printable(out), "nothing but printable ASCII");
    while (*at != '\0') {
        expect(count < length && read_form(&at, style) == (unsigned char)bytes[count],
               "what was given can be read back");
        count++;
    }
    expect(count == length || used + form_size((unsigned char)bytes[count], style) >= size,
           "all that has room");
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
