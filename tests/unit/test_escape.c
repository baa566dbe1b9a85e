#include "test.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "escape.h"

enum { OUT_MAX = 64 };

static const char *const STYLE_NAMES[] = {"text", "JSON"};

/* Escapes with room for `size` bytes, and checks all that is written, and that no more is. */
static void expect(const char *bytes, size_t length, size_t size, enum escape_style style,
                   const char *expected)
{
    const size_t expected_length = strlen(expected);
    char wanted[OUT_MAX];
    char out[OUT_MAX];
    size_t written = 0;

    assert_true(size <= OUT_MAX && expected_length < OUT_MAX);
    memset(out, '?', sizeof out);
    memset(wanted, '?', sizeof wanted);
    memcpy(wanted, expected, expected_length + 1);
    written = escape_bytes(out, size, bytes, length, style);
    if (written != expected_length || memcmp(out, wanted, sizeof out) != 0)
        fail_msg("%s, size %zu: %zu bytes '%.*s' instead of '%s'", STYLE_NAMES[style], size,
                 written, (int)sizeof out, out, expected);
}

static void escape_printable_ascii_stays(void **state)
{
    (void)state;
    expect(" az AZ 09 ~ / \"quoted\"", 22, OUT_MAX, ESCAPE_TEXT, " az AZ 09 ~ / \"quoted\"");
    expect(" az AZ 09 ~ / 'quoted'", 22, OUT_MAX, ESCAPE_JSON, " az AZ 09 ~ / 'quoted'");
}

static void escape_hostile_bytes_become_ascii(void **state)
{
    (void)state;
    expect("a\0b\n\x1b[0m\\'\"\x7f\xc3\xa9\xff", 15, OUT_MAX, ESCAPE_TEXT,
           "a\\x00b\\x0a\\x1b[0m\\\\\\'\"\\x7f\\xc3\\xa9\\xff");
    expect("a\0b\n\x1b\\'\"\xc3\xff", 10, OUT_MAX, ESCAPE_JSON,
           "a\\u0000b\\u000a\\u001b\\\\'\\\"\\u00c3\\u00ff");
}

static void escape_each_byte_has_one_form(void **state)
{
    (void)state;
    for (int byte = 0; byte <= 0xff; byte++) {
        const char input = (char)byte;
        const bool is_printable = byte >= ' ' && byte <= '~';
        char text[8] = {(char)byte, '\0'};
        char json[8] = {(char)byte, '\0'};

        if (!is_printable) {
            (void)snprintf(text, sizeof text, "\\x%02x", (unsigned)byte);
            (void)snprintf(json, sizeof json, "\\u%04x", (unsigned)byte);
        }
        if (byte == '\\' || byte == '\'')
            (void)snprintf(text, sizeof text, "\\%c", byte);
        if (byte == '\\' || byte == '"')
            (void)snprintf(json, sizeof json, "\\%c", byte);
        expect(&input, 1, OUT_MAX, ESCAPE_TEXT, text);
        expect(&input, 1, OUT_MAX, ESCAPE_JSON, json);
    }
}

static void escape_nothing_writes_an_empty_text(void **state)
{
    (void)state;
    expect("ignored", 0, 1, ESCAPE_TEXT, "");
    expect("ignored", 0, OUT_MAX, ESCAPE_JSON, "");
}

static void escape_reads_no_more_than_length(void **state)
{
    (void)state;
    expect("abc", 2, OUT_MAX, ESCAPE_TEXT, "ab");
}

static void escape_text_without_room_is_cut_between_escapes(void **state)
{
    static const char *const by_size[] = {
        "", "a", "a", "a", "a", "a\\x01", "a\\x01", "a\\x01\\'", "a\\x01\\'b", "a\\x01\\'b",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(by_size); i++)
        expect("a\x01'b", 4, i + 1, ESCAPE_TEXT, by_size[i]);
}

static void escape_json_without_room_is_cut_between_escapes(void **state)
{
    static const char *const by_size[] = {
        "",
        "a",
        "a",
        "a",
        "a",
        "a",
        "a",
        "a\\u0001",
        "a\\u0001",
        "a\\u0001\\\"",
        "a\\u0001\\\"b",
        "a\\u0001\\\"b",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(by_size); i++)
        expect("a\x01\"b", 4, i + 1, ESCAPE_JSON, by_size[i]);
}

/* What comes after an escape that does not fit is left out, even if it would fit. */
static void escape_after_the_cut_nothing_follows(void **state)
{
    (void)state;
    expect("\nb", 2, 4, ESCAPE_TEXT, "");
    expect("\nb", 2, 6, ESCAPE_JSON, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escape_printable_ascii_stays),
        cmocka_unit_test(escape_hostile_bytes_become_ascii),
        cmocka_unit_test(escape_each_byte_has_one_form),
        cmocka_unit_test(escape_nothing_writes_an_empty_text),
        cmocka_unit_test(escape_reads_no_more_than_length),
        cmocka_unit_test(escape_text_without_room_is_cut_between_escapes),
        cmocka_unit_test(escape_json_without_room_is_cut_between_escapes),
        cmocka_unit_test(escape_after_the_cut_nothing_follows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
