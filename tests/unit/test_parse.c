#include "test.h"

#include <string.h>

#include "parse.h"

enum { INITIAL = 4711 };

typedef bool parser(const char *text, uint32_t lowest, uint32_t highest, uint32_t *value);

static void expect_accepted(parser *parse, const char *text, uint32_t lowest, uint32_t highest,
                            uint32_t expected)
{
    uint32_t value = INITIAL;

    if (!parse(text, lowest, highest, &value) || value != expected)
        fail_msg("'%s' from %u to %u is parsed as %u", text, lowest, highest, value);
}

static void expect_rejected(parser *parse, const char *text, uint32_t lowest, uint32_t highest)
{
    uint32_t value = INITIAL;

    if (parse(text, lowest, highest, &value) || value != INITIAL)
        fail_msg("'%s' from %u to %u is accepted or stores %u", text, lowest, highest, value);
}

/* A text whose value is exactly at a bound or next to it. */
struct bound {
    const char *text;
    uint32_t lowest;
    uint32_t highest;
    uint32_t value;
};

static void accepts_values_up_to_the_bounds(void **state)
{
    static const struct bound numbers[] = {
        {"0", 0, 65535, 0},
        {"65535", 0, 65535, 65535},
        {"1", 1, 256, 1},
        {"10", 1, 256, 10},
        {"7", 7, 7, 7},
        {"1234567890", 0, UINT32_MAX, 1234567890},
        {"4294967295", 0, UINT32_MAX, UINT32_MAX},
    };
    static const struct bound durations[] = {
        {"0ms", 0, 600000, 0},
        {"0h", 0, 600000, 0},
        {"500ms", 0, 600000, 500},
        {"1s", 1000, 1000, 1000},
        {"10m", 0, 600000, 600000},
        {"1h", 0, 3600000, 3600000},
        {"4294967295ms", 0, UINT32_MAX, UINT32_MAX},
        {"4294967s", 0, UINT32_MAX, 4294967000},
        {"1193h", 0, UINT32_MAX, 4294800000},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        expect_accepted(parse_number, numbers[i].text, numbers[i].lowest, numbers[i].highest,
                        numbers[i].value);
    for (size_t i = 0; i < COUNT_OF(durations); i++)
        expect_accepted(parse_duration, durations[i].text, durations[i].lowest,
                        durations[i].highest, durations[i].value);
}

static void rejects_values_outside_the_bounds(void **state)
{
    static const struct bound numbers[] = {
        {"6", 7, 7, 0},
        {"8", 7, 7, 0},
        {"4294967295", 0, 65535, 0},
        {"4294967296", 0, UINT32_MAX, 0},
        {"9999999999", 0, UINT32_MAX, 0},
        {"42949672960", 0, UINT32_MAX, 0},
        {"18446744073709551621", 0, UINT32_MAX, 0}, /* 2^64 + 5 */
    };
    static const struct bound durations[] = {
        {"999ms", 1000, 1000, 0},
        {"1001ms", 1000, 1000, 0},
        {"601s", 0, 600000, 0},
        {"4294967296ms", 0, UINT32_MAX, 0},
        {"4294968s", 0, UINT32_MAX, 0}, /* 704 ms if truncated to 32 bits */
        {"71583m", 0, UINT32_MAX, 0},
        {"1194h", 0, UINT32_MAX, 0},
        {"5124095576031h", 0, UINT32_MAX, 0}, /* above 2^64 ms */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        expect_rejected(parse_number, numbers[i].text, numbers[i].lowest, numbers[i].highest);
    for (size_t i = 0; i < COUNT_OF(durations); i++)
        expect_rejected(parse_duration, durations[i].text, durations[i].lowest,
                        durations[i].highest);
}

static void rejects_other_forms(void **state)
{
    static const char *const numbers[] = {"",    " ",   "-",  "+",    " 5", "5 ",  "\t5",   "5\n",
                                          "+5",  "-5",  "-0", "00",   "05", "0x5", "1e1",   "5.0",
                                          "5,0", "1_0", "5s", "five", "/5", "5:",  "5\x80", "٥"};
    static const char *const durations[] = {
        "",    "0",   "5",    "s",    "ms",   "m",    " 5s",  "5s ", "5 s",  "5s\n",
        "+5s", "-5s", "05s",  "00s",  "5S",   "5M",   "5H",   "5MS", "5sec", "5d",
        "5us", "5ss", "5mss", "5.5s", "1m30", "0x5s", "PT5S", "5s5", "s5",   "5µs"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        expect_rejected(parse_number, numbers[i], 0, UINT32_MAX);
    for (size_t i = 0; i < COUNT_OF(durations); i++)
        expect_rejected(parse_duration, durations[i], 0, UINT32_MAX);
}

static void base_path_has_plain_segments(void **state)
{
    static const char *const valid[] = {"/a",  "/a/b/c/d", "/0",   "/A-Z.a_z~9", "/..a",
                                        "/.a", "/a.",      "/a..", "/..."};
    static const char *const invalid[] = {"",      "/",      "//",  "a",     "a/b",  "/a/",
                                          "//a",   "/a//b",  "/.",  "/..",   "/./a", "/../a",
                                          "/a/..", "/a/./b", "/a ", "/a%41", "..",   "http://h/a"};

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

static void base_path_has_unreserved_characters_only(void **state)
{
    static const char unreserved[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "abcdefghijklmnopqrstuvwxyz-._~";

    (void)state;
    for (int byte = 1; byte <= 0xff; byte++) {
        const char text[] = {'/', 'a', (char)byte, 'b', '\0'};

        if (parse_base_path(text) != (byte == '/' || strchr(unreserved, byte) != NULL))
            fail_msg("byte 0x%02x", (unsigned)byte);
    }
}

static void base_path_has_at_most_128_bytes(void **state)
{
    char text[130] = "/";

    (void)state;
    memset(text + 1, 'a', 128);
    assert_false(parse_base_path(text));
    text[128] = '\0';
    assert_true(parse_base_path(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_values_up_to_the_bounds),
        cmocka_unit_test(rejects_values_outside_the_bounds),
        cmocka_unit_test(rejects_other_forms),
        cmocka_unit_test(base_path_has_plain_segments),
        cmocka_unit_test(base_path_has_unreserved_characters_only),
        cmocka_unit_test(base_path_has_at_most_128_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
