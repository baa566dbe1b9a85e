#include "test.h"

#include <string.h>

#include "parse.h"

enum { REJECTED = 4711 };

typedef bool parser(const char *text, uint32_t lowest, uint32_t highest, uint32_t *value);

/* Checks a parser, which must not store a value that it rejects. */
static void expect(parser *parse, const char *text, uint32_t lowest, uint32_t highest,
                   uint32_t expected)
{
    uint32_t value = REJECTED;

    if (parse(text, lowest, highest, &value) == (expected == REJECTED) || value != expected)
        fail_msg("'%s' from %u to %u: %u", text, lowest, highest, value);
}

static void checks_the_bounds(void **state)
{
    static const struct {
        parser *parse;
        const char *text;
        uint32_t lowest, highest, expected;
    } rows[] = {
        {parse_number, "0", 0, 65535, 0},
        {parse_number, "65535", 0, 65535, 65535},
        {parse_number, "65536", 0, 65535, REJECTED},
        {parse_number, "10", 1, 256, 10},
        {parse_number, "6", 7, 7, REJECTED},
        {parse_number, "7", 7, 7, 7},
        {parse_number, "8", 7, 7, REJECTED},
        {parse_number, "1234567890", 0, UINT32_MAX, 1234567890},
        {parse_number, "4294967295", 0, UINT32_MAX, UINT32_MAX},
        {parse_number, "4294967296", 0, UINT32_MAX, REJECTED},
        {parse_number, "42949672960", 0, UINT32_MAX, REJECTED},
        {parse_number, "18446744073709551621", 0, UINT32_MAX, REJECTED}, /* 2^64 + 5 */
        {parse_duration, "0ms", 0, 600000, 0},
        {parse_duration, "500ms", 0, 600000, 500},
        {parse_duration, "999ms", 1000, 1000, REJECTED},
        {parse_duration, "1s", 1000, 1000, 1000},
        {parse_duration, "1001ms", 1000, 1000, REJECTED},
        {parse_duration, "10m", 0, 600000, 600000},
        {parse_duration, "1h", 0, 3600000, 3600000},
        {parse_duration, "4294967295ms", 0, UINT32_MAX, UINT32_MAX},
        {parse_duration, "4294967296ms", 0, UINT32_MAX, REJECTED},
        {parse_duration, "4294968s", 0, UINT32_MAX, REJECTED}, /* 704 ms in 32 bits */
        {parse_duration, "1193h", 0, UINT32_MAX, 4294800000},
        {parse_duration, "1194h", 0, UINT32_MAX, REJECTED},
        {parse_duration, "5124095576031h", 0, UINT32_MAX, REJECTED}, /* above 2^64 ms */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect(rows[i].parse, rows[i].text, rows[i].lowest, rows[i].highest, rows[i].expected);
}

static void checks_the_form(void **state)
{
    static const char *const texts[] = {
        "",    " ",     "5 ",   " 5",   "5 s",  "5s ",  " 5s",  "-",   "+5",  "-5",
        "-0",  "00",    "05",   "0x5",  "1e1",  "5.0",  "5,0",  "1_0", "5\n", "/5",
        "5:",  "5\x80", "٥",    "s",    "ms",   "05s",  "00s",  "5S",  "5MS", "5d",
        "5us", "5ss",   "5mss", "5sec", "5.5s", "1m30", "PT5S", "5s5", "s5",  "5s\n"};
    static const char *const plain[] = {"0", "5"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        expect(parse_number, texts[i], 0, UINT32_MAX, REJECTED);
        expect(parse_duration, texts[i], 0, UINT32_MAX, REJECTED);
    }
    for (size_t i = 0; i < COUNT_OF(plain); i++)
        expect(parse_duration, plain[i], 0, UINT32_MAX, REJECTED);
    expect(parse_number, "5s", 0, UINT32_MAX, REJECTED);
}

static void base_path_has_plain_segments(void **state)
{
    static const char *const valid[] = {"/a",  "/a/b/c/d", "/A-Z._~", "/..a",
                                        "/.a", "/a.",      "/a..",    "/..."};
    static const char *const invalid[] = {"",      "/",  "//",     "a",    "a/b",   "/a/",
                                          "//a",   "/.", "/..",    "/./a", "/../a", "/a//b",
                                          "/a/..", "..", "/a/./b", "/a ",  "/a%41"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(valid); i++) {
        if (!parse_base_path(valid[i]))
            fail_msg("'%s' is rejected", valid[i]);
    }
    for (size_t i = 0; i < COUNT_OF(invalid); i++) {
        if (parse_base_path(invalid[i]))
            fail_msg("'%s' is accepted", invalid[i]);
    }
}

static void base_path_has_at_most_128_unreserved_characters(void **state)
{
    static const char unreserved[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "abcdefghijklmnopqrstuvwxyz-._~";
    char longest[130] = "/";

    (void)state;
    for (int byte = 1; byte <= 0xff; byte++) {
        const char text[] = {'/', 'a', (char)byte, 'b', '\0'};

        if (parse_base_path(text) != (byte == '/' || strchr(unreserved, byte) != NULL))
            fail_msg("byte 0x%02x", (unsigned)byte);
    }
    memset(longest + 1, 'a', 128);
    assert_false(parse_base_path(longest));
    longest[128] = '\0';
    assert_true(parse_base_path(longest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_the_bounds),
        cmocka_unit_test(checks_the_form),
        cmocka_unit_test(base_path_has_plain_segments),
        cmocka_unit_test(base_path_has_at_most_128_unreserved_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
