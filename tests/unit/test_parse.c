#include "test.h"

#include <string.h>

#include "parse.h"

enum { UNTOUCHED = 4711 };

/* A text, and the bounds that it is outside of. */
struct range {
    const char *text;
    uint32_t lowest;
    uint32_t highest;
};

/* A text, bounds around it, and what it is read as. */
struct row {
    const char *text;
    uint32_t lowest;
    uint32_t highest;
    uint32_t value;
};

typedef bool parser(const char *text, uint32_t lowest, uint32_t highest, uint32_t *value);

static void expect_accepted(parser *parse, const struct row *row)
{
    uint32_t value = UNTOUCHED;

    if (!parse(row->text, row->lowest, row->highest, &value))
        fail_msg("'%s' from %u to %u is refused", row->text, row->lowest, row->highest);
    if (value != row->value)
        fail_msg("'%s' is read as %u, not %u", row->text, value, row->value);
}

static void expect_refused(parser *parse, const char *text, uint32_t lowest, uint32_t highest)
{
    uint32_t value = UNTOUCHED;

    if (parse(text, lowest, highest, &value))
        fail_msg("'%s' from %u to %u is accepted, as %u", text, lowest, highest, value);
    if (value != UNTOUCHED)
        fail_msg("'%s' is refused, but %u is written", text, value);
}

static void parse_number_within_bounds_is_read(void **state)
{
    static const struct row rows[] = {
        {"0", 0, 65535, 0},
        {"5", 0, 65535, 5},
        {"65534", 0, 65535, 65534},
        {"65535", 0, 65535, 65535},
        {"1", 1, 256, 1},
        {"10", 1, 256, 10},
        {"256", 1, 256, 256},
        {"7", 7, 7, 7},
        {"1234567890", 0, UINT32_MAX, 1234567890},
        {"4294967294", 0, UINT32_MAX, UINT32_MAX - 1},
        {"4294967295", 0, UINT32_MAX, UINT32_MAX},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_accepted(parse_number, &rows[i]);
}

static void parse_number_outside_bounds_is_refused(void **state)
{
    static const struct range rows[] = {
        {"0", 1, 256},
        {"257", 1, 256},
        {"6", 7, 7},
        {"8", 7, 7},
        {"65536", 0, 65535},
        {"70536", 0, 65535},
        {"99999", 0, 65535},
        {"4294967295", 0, 65535},
        {"4294967296", 0, UINT32_MAX},
        {"4294967301", 0, UINT32_MAX},
        {"9999999999", 0, UINT32_MAX},
        {"10000000000", 0, UINT32_MAX},
        {"42949672960", 0, UINT32_MAX},
        {"18446744073709551615", 0, UINT32_MAX},
        {"18446744073709551616", 0, UINT32_MAX},
        {"18446744073709551621", 0, UINT32_MAX},
        {"340282366920938463463374607431768211461", 0, UINT32_MAX},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_refused(parse_number, rows[i].text, rows[i].lowest, rows[i].highest);
}

static void parse_number_in_another_form_is_refused(void **state)
{
    static const char *const texts[] = {
        "",    " ",   "-",   "+",   " 5",  "5 ",  "\t5",  "5\t",   "5\n",  "5\r",
        "+5",  "-5",  "-0",  "+0",  "00",  "05",  "000",  "0x5",   "0b1",  "1e1",
        "5.0", "5,0", "1_0", "1 0", "5s",  "5ms", "five", "a5",    "5a",   "0000000005",
        "'5'", "/5",  "5:",  "5/",  "(5)", "5%",  "٥",    "5\x80", "\xb2", "\x01",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        expect_refused(parse_number, texts[i], 0, UINT32_MAX);
}

static void parse_duration_within_bounds_is_read(void **state)
{
    static const struct row rows[] = {
        {"0ms", 0, 600000, 0},
        {"0s", 0, 600000, 0},
        {"0m", 0, 600000, 0},
        {"0h", 0, 600000, 0},
        {"1ms", 1, 600000, 1},
        {"500ms", 0, 600000, 500},
        {"1s", 0, 600000, 1000},
        {"30s", 0, 600000, 30000},
        {"2m", 0, 600000, 120000},
        {"10m", 0, 600000, 600000},
        {"600s", 0, 600000, 600000},
        {"600000ms", 0, 600000, 600000},
        {"1h", 0, 3600000, 3600000},
        {"1s", 1000, 1000, 1000},
        {"4294967295ms", 0, UINT32_MAX, UINT32_MAX},
        {"4294967s", 0, UINT32_MAX, 4294967000},
        {"71582m", 0, UINT32_MAX, 4294920000},
        {"1193h", 0, UINT32_MAX, 4294800000},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_accepted(parse_duration, &rows[i]);
}

static void parse_duration_outside_bounds_is_refused(void **state)
{
    static const struct range rows[] = {
        {"0ms", 1, 600000},
        {"999ms", 1000, 1000},
        {"1001ms", 1000, 1000},
        {"600001ms", 0, 600000},
        {"601s", 0, 600000},
        {"11m", 0, 600000},
        {"1h", 0, 600000},
        {"4294967296ms", 0, UINT32_MAX},
        {"4294968s", 0, UINT32_MAX}, /* 704 ms, cut to 32 bits */
        {"71583m", 0, UINT32_MAX},
        {"1194h", 0, UINT32_MAX},
        {"4294967295h", 0, UINT32_MAX},
        {"4294967296h", 0, UINT32_MAX},
        {"5124095576030h", 0, UINT32_MAX}, /* just below 2^64 ms */
        {"5124095576031h", 0, UINT32_MAX}, /* just above */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_refused(parse_duration, rows[i].text, rows[i].lowest, rows[i].highest);
}

static void parse_duration_in_another_form_is_refused(void **state)
{
    static const char *const texts[] = {
        "",     "0",    "5",    "s",    "ms",  "m",   " 5s",    "5s ",  "5 s",  "5s\n",
        "+5s",  "-5s",  "-0s",  "05s",  "00s", "5S",  "5M",     "5H",   "5MS",  "5Ms",
        "5sec", "5min", "5d",   "5us",  "5ns", "5ss", "5hs",    "5mss", "5m5s", "1m30",
        "5.5s", "1e3s", "0x5s", "PT5S", "5s5", "s5",  "5\x01s", "5µs",  "5'",   "5\"",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        expect_refused(parse_duration, texts[i], 0, UINT32_MAX);
}

static void parse_base_path_of_plain_segments_is_accepted(void **state)
{
    static const char *const texts[] = {
        "/a",   "/some/prefix", "/a/b/c/d", "/0",   "/-._~", "/A-Z.a_z~9",
        "/..a", "/.a",          "/a.",      "/a..", "/...",  "/.../....",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (!parse_base_path(texts[i]))
            fail_msg("'%s' is refused", texts[i]);
    }
}

static void parse_base_path_in_another_form_is_refused(void **state)
{
    static const char *const texts[] = {
        "",        "/",     "//",   "a",    "a/b",   "/a/",  "//a",   "/a//b",
        "/a//",    "/.",    "/..",  "/./a", "/../a", "/a/.", "/a/..", "/a/./b",
        "/a/../b", "/ ",    "/a ",  " /a",  "/a b",  "/a\n", "/a?",   "/a?b",
        "/a#",     "/a%41", "/%2e", "/a;",  "/a:b",  "/a,b", "\\a",   "/a\\b",
        "/a@b",    "/a+b",  "/a&b", "/é",   ".",     "..",   "http:", "http://h/a",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (parse_base_path(texts[i]))
            fail_msg("'%s' is accepted", texts[i]);
    }
}

static void parse_base_path_takes_unreserved_characters_only(void **state)
{
    static const char unreserved[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "abcdefghijklmnopqrstuvwxyz-._~";

    (void)state;
    for (int byte = 1; byte <= 0xff; byte++) {
        const char text[] = {'/', 'a', (char)byte, 'b', '\0'};
        const bool expected = byte == '/' || strchr(unreserved, byte) != NULL;

        if (parse_base_path(text) != expected)
            fail_msg("byte 0x%02x is %s", (unsigned)byte, expected ? "refused" : "accepted");
    }
}

static void parse_base_path_is_limited_in_length(void **state)
{
    char text[PARSE_BASE_PATH_MAX + 2];

    (void)state;
    assert_int_equal(PARSE_BASE_PATH_MAX, 128);
    memset(text, 'a', sizeof text);
    text[0] = '/';
    text[PARSE_BASE_PATH_MAX + 1] = '\0';
    assert_false(parse_base_path(text));
    text[PARSE_BASE_PATH_MAX] = '\0';
    assert_true(parse_base_path(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_number_within_bounds_is_read),
        cmocka_unit_test(parse_number_outside_bounds_is_refused),
        cmocka_unit_test(parse_number_in_another_form_is_refused),
        cmocka_unit_test(parse_duration_within_bounds_is_read),
        cmocka_unit_test(parse_duration_outside_bounds_is_refused),
        cmocka_unit_test(parse_duration_in_another_form_is_refused),
        cmocka_unit_test(parse_base_path_of_plain_segments_is_accepted),
        cmocka_unit_test(parse_base_path_in_another_form_is_refused),
        cmocka_unit_test(parse_base_path_takes_unreserved_characters_only),
        cmocka_unit_test(parse_base_path_is_limited_in_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
