#include "test.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "escape.h"

enum { OUT_MAX = 64 };

/* Escapes into a buffer of `size` bytes and checks that exactly `expected` is written. */
static void expect(const char *bytes, size_t length, size_t size, enum escape_style style,
                   const char *expected)
{
    char expected_out[OUT_MAX];
    char out[OUT_MAX];
    size_t written = 0;

    memset(out, '?', sizeof out);
    memset(expected_out, '?', sizeof expected_out);
    memcpy(expected_out, expected, strlen(expected) + 1);
    written = escape_bytes(out, size, bytes, length, style);
    if (written != strlen(expected) || memcmp(out, expected_out, sizeof out) != 0)
        fail_msg("style %d, size %zu: %zu bytes '%.*s' instead of '%s'", (int)style, size, written,
                 (int)sizeof out, out, expected);
}

static void escapes_each_byte(void **state)
{
    (void)state;
    for (int byte = 0; byte <= 0xff; byte++) {
        const char input = (char)byte;
        const bool is_printable = byte >= ' ' && byte <= '~';
        char text[8];
        char json[8];

        (void)snprintf(text, sizeof text, is_printable ? "%c" : "\\x%02x", byte);
        (void)snprintf(json, sizeof json, is_printable ? "%c" : "\\u%04x", byte);
        if (byte == '\\' || byte == '\'')
            (void)snprintf(text, sizeof text, "\\%c", byte);
        if (byte == '\\' || byte == '"')
            (void)snprintf(json, sizeof json, "\\%c", byte);
        expect(&input, 1, OUT_MAX, ESCAPE_TEXT, text);
        expect(&input, 1, OUT_MAX, ESCAPE_JSON, json);
    }
}

static void escapes_exactly_length_bytes(void **state)
{
    (void)state;
    expect("a\0b\n\x1b[0m\\'\"\x7f\xc3\xa9\xff!", 15, OUT_MAX, ESCAPE_TEXT,
           "a\\x00b\\x0a\\x1b[0m\\\\\\'\"\\x7f\\xc3\\xa9\\xff");
    expect("a\0b\n\x1b\\'\"\xc3\xff!", 10, OUT_MAX, ESCAPE_JSON,
           "a\\u0000b\\u000a\\u001b\\\\'\\\"\\u00c3\\u00ff");
    expect("!", 0, 1, ESCAPE_TEXT, "");
}

static void truncates_between_escapes(void **state)
{
    /* The output by the size of the buffer. */
    static const char *const text[] = {"",       "a",      "a",         "a",         "a",
                                       "a\\x01", "a\\x01", "a\\x01\\'", "a\\x01\\'b"};
    static const char *const json[] = {
        "", "a", "a", "a", "a", "a", "a", "a\\u0001", "a\\u0001", "a\\u0001\\\"", "a\\u0001\\\"b"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(text); i++)
        expect("a\x01'b", 4, i + 1, ESCAPE_TEXT, text[i]);
    for (size_t i = 0; i < COUNT_OF(json); i++)
        expect("a\x01\"b", 4, i + 1, ESCAPE_JSON, json[i]);
    expect("\nb", 2, 4, ESCAPE_TEXT, ""); /* 'b' would fit */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_each_byte),
        cmocka_unit_test(escapes_exactly_length_bytes),
        cmocka_unit_test(truncates_between_escapes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
