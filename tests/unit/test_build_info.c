/* wraps: malloc */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build_info.h"
#include "failing.h"

#ifndef SOURCE_URL
#define SOURCE_URL NULL
#endif
#ifndef BUILD_URL
#define BUILD_URL NULL
#endif

#define HASH "0123456789abcdef0123456789abcdef01234567"
/* clang-format off */
#define DOCUMENT_START                                                                             \
    "{\"name\":\"versiond\",\"version\":\"1.2.3\",\"commit\":\"" HASH                              \
    "\",\"description\":\"\\\"a\\\" \\\\ 'b' </é> \U0001f680\","                                  \
    "\"build_date\":\"2026-11-22T09:00:00Z\""
/* clang-format on */

static const struct build_info VALID = {
    .name = "versiond",
    .version = "1.2.3",
    .commit = HASH,
    .description = "\"a\" \\ 'b' </é> \U0001f680",
    .build_date = "2026-11-22T09:00:00Z",
    .source = "https://example.org/repository",
    .build = "https://example.org/run/7",
};

FAILING_WRAPPER(void *, malloc, NULL, (size_t size), (size))

/* Members by offset. */
enum {
    NAME_AT = offsetof(struct build_info, name),
    VERSION_AT = offsetof(struct build_info, version),
    COMMIT_AT = offsetof(struct build_info, commit),
    DESCRIPTION_AT = offsetof(struct build_info, description),
    DATE_AT = offsetof(struct build_info, build_date),
    SOURCE_AT = offsetof(struct build_info, source),
    BUILD_AT = offsetof(struct build_info, build),
};

/* Checks VALID with one member replaced. */
static bool check(size_t offset, const char *value, char error[512])
{
    struct build_info info = VALID;

    memcpy((char *)&info + offset, (const void *)&value, sizeof value);
    return build_info_check(&info, error, 512);
}

static void expect(size_t offset, const char *value, bool is_valid)
{
    char error[512] = "unchanged";

    if (check(offset, value, error) != is_valid)
        fail_msg("'%s' is %s", value, is_valid ? error : "accepted");
    if (is_valid)
        assert_string_equal(error, "unchanged");
}

static void get_returns_the_macros(void **state)
{
    const struct build_info info = build_info_get();
    const char *const expected[] = {NAME,       VERSION,    COMMIT,   DESCRIPTION,
                                    BUILD_DATE, SOURCE_URL, BUILD_URL};
    const char *const actual[] = {info.name,       info.version, info.commit, info.description,
                                  info.build_date, info.source,  info.build};
    char error[512] = "";

    (void)state;
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        if (expected[i] == NULL)
            assert_null(actual[i]);
        else
            assert_string_equal(actual[i], expected[i]);
    }
    if (!build_info_check(&info, error, sizeof error))
        fail_msg("%s", error);
}

/* Words are separated by spaces. The versions are the examples of https://semver.org, and more. */
static const struct {
    size_t offset;
    bool is_valid;
    const char *words;
} WORDS[] = {
    {NAME_AT, true, "a z a-b a1 my-service-2 a-"},
    {NAME_AT, false, "A aB 1a -a a_b a.b a\n aé `a a{ a/ a:"},
    {VERSION_AT, true,
     "0.0.4 1.2.3 10.20.30 1.1.2-prerelease+meta 1.1.2+meta 1.1.2+meta-valid 1.0.0-alpha "
     "1.0.0-beta 1.0.0-alpha.beta 1.0.0-alpha.beta.1 1.0.0-alpha.1 1.0.0-alpha0.valid "
     "1.0.0-alpha.0valid 1.0.0-alpha-a.b-c-somethinglong+build.1-aef.1-its-okay "
     "1.0.0-rc.1+build.1 2.0.0-rc.1+build.123 1.2.3-beta 10.2.3-DEV-SNAPSHOT 1.2.3-SNAPSHOT-123 "
     "1.0.0 2.0.0 1.1.7 2.0.0+build.1848 2.0.1-alpha.1227 1.0.0-alpha+beta "
     "1.2.3----RC-SNAPSHOT.12.9.1--.12+788 1.2.3----R-S.12.9.1--.12+meta "
     "1.2.3----RC-SNAPSHOT.12.9.1--.12 1.0.0+0.build.1-rc.10000aaa-kk-0.1 1.0.0-0A.is.legal "
     "99999999999999999999999.999999999999999999.99999999999999999 "
     "0.0.0-dev+dirty 1.2.4-dev.4+g0.dirty 1.2.3+00.01.- 1.2.3-0 1.2.3-0a 1.2.3--"},
    {VERSION_AT, false,
     "1 1.2 1.2.3-0123 1.2.3-0123.0123 1.1.2+.123 +invalid -invalid -invalid+invalid -invalid.01 "
     "alpha alpha.beta alpha.beta.1 alpha.1 alpha+beta alpha_beta alpha. alpha.. beta "
     "1.0.0-alpha_beta -alpha. 1.0.0-alpha.. 1.0.0-alpha..1 1.0.0-alpha...1 01.1.1 1.01.1 1.1.01 "
     "1.2.3.DEV 1.2-SNAPSHOT 1.2.31.2.3----RC-SNAPSHOT.12.09.1--..12+788 1.2-RC-SNAPSHOT "
     "-1.0.3-gamma+b7718 +justmeta 9.8.7+meta+meta 9.8.7-whatever+meta+meta "
     "99999999999999999999999.999999999999999999.99999999999999999----RC-SNAPSHOT.12.09.1--..12 "
     "v1.2.3 1.2.3\n 1.2.3- 1.2.3+ 1.2.3-+ 1.2.3-a+ 1.2.3+a+b 1..3 1.2. .2.3 1.2.3. 1.2.3.4 "
     "1,2,3 1.2.3-00 1.2.3-.a 1.2.3-a. 1.2.3-a.00 1.2.3-é 1.2.3+a_b 1.2.3~rc1 00.1.2 a.2.3 1.b.3 "
     "1.2.c 1-2.3 1.2-3"},
    {COMMIT_AT, true, "unknown 0000000000000000000000000000000000000000 " HASH},
    {COMMIT_AT, false,
     "0123456 " HASH "8 " HASH "\n 0123456789ABCDEF0123456789abcdef01234567 "
     "0123456789abcdef0123456789abcdef0123456g Unknown unknown\n unknow"},
    {DATE_AT, false, "unknown 2026-11-22 2026-11-22T09:00:00 2026-11-22T09:00:00ZZ 1795338000"},
    {SOURCE_AT, true, "https://a http://1 http://[::1]:8080/ https://user@A.example:84/p?a=1&b#c"},
    {SOURCE_AT, false,
     "https https: https:/ https:// http:// https:///path http://? https://. https:example.org "
     "http:/example.org ttps://example.org //example.org ftp://example.org HTTPS://example.org "
     "httpx://example.org javascript:alert(1) \nhttps://a"},
    {BUILD_AT, true, "https://a http://1"},
    {BUILD_AT, false, "https:// ftp://a https://a/<"},
};

static void checks_the_format_of_each_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(WORDS); i++) {
        char *words = strdup(WORDS[i].words);
        char *rest = words;
        const char *word = NULL;

        while ((word = strtok_r(rest, " ", &rest)) != NULL)
            expect(WORDS[i].offset, word, WORDS[i].is_valid);
        free(words);
    }
    for (size_t offset = NAME_AT; offset <= BUILD_AT; offset += sizeof(char *))
        expect(offset, "", false);
    expect(NAME_AT, "a b", false);
    expect(VERSION_AT, "1.2.3 ", false);
    expect(SOURCE_AT, NULL, true);
    expect(BUILD_AT, NULL, true);
}

/* Replaces one character of a valid date. */
static void checks_each_character_of_the_date(void **state)
{
    static const struct {
        size_t at;
        char character;
        bool is_valid;
    } rows[] = {
        {0, '0', true},   {3, ':', false},  {3, '/', false},  {4, '/', false},  {5, '0', false},
        {5, '2', false},  {6, '2', true},   {6, '3', false},  {7, ' ', false},  {8, '0', false},
        {9, '1', true},   {9, '2', false},  {10, 't', false}, {10, ' ', false}, {12, '3', true},
        {12, '4', false}, {13, '-', false}, {14, '5', true},  {14, '6', false}, {16, '.', false},
        {17, '5', true},  {17, '6', false}, {19, 'z', false}, {19, '+', false}, {15, '9', true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char date[] = "2000-10-30T20:00:00Z";

        date[rows[i].at] = rows[i].character;
        expect(DATE_AT, date, rows[i].is_valid);
    }
    expect(DATE_AT, "0000-01-01T00:59:59Z", true);
}

static void url_has_allowed_characters_only(void **state)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "-._~:/?#[]@!$&'()*+,;=%";

    (void)state;
    for (int byte = 1; byte <= 0xff; byte++) {
        const char url[] = {'h', 't', 't', 'p', ':', '/', '/', 'a', (char)byte, '\0'};

        expect(SOURCE_AT, url, strchr(allowed, byte) != NULL);
    }
}

static void limits_the_length(void **state)
{
    static const struct {
        size_t offset;
        const char *start;
        size_t length;
    } rows[] = {{NAME_AT, "", 63},
                {VERSION_AT, "1.2.3-", 512},
                {DESCRIPTION_AT, "", 512},
                {SOURCE_AT, "https://", 512},
                {BUILD_AT, "http://", 512}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char value[600] = "";

        memset(value, 'a', rows[i].length + 1);
        memcpy(value, rows[i].start, strlen(rows[i].start));
        expect(rows[i].offset, value, false);
        value[rows[i].length] = '\0';
        expect(rows[i].offset, value, true);
    }
}

/* Implements RFC 3629 by calculation, where the code has a table. */
static bool is_utf8_without_controls(const unsigned char *text)
{
    static const unsigned lowest[] = {0, 0x80, 0x800, 0x10000};

    while (*text != '\0') {
        const unsigned char first = *text++;
        const unsigned more = (unsigned)((first >= 0xc0) + (first >= 0xe0) + (first >= 0xf0));
        unsigned character = first < 0x80 ? first : first & (0x3fU >> more);

        if ((first >= 0x80 && first < 0xc0) || first >= 0xf8)
            return false;
        for (unsigned i = 0; i < more; i++) {
            if ((*text & 0xc0) != 0x80)
                return false;
            character = character << 6 | (*text++ & 0x3f);
        }
        if (character < lowest[more] || character < 0x20 || character > 0x10ffff ||
            (character >= 0x7f && character <= 0x9f) ||
            (character >= 0xd800 && character <= 0xdfff))
            return false;
    }
    return true;
}

static void description_is_utf8_without_control_characters(void **state)
{
    static const char next[] = "\0A\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0"; /* next to each bound */

    (void)state;
    for (unsigned i = 0; i < 0xff * 10 * 10 * 10; i++) {
        const char text[] = {(char)(1 + i % 0xff), next[i / 0xff % 10], next[i / 0xff / 10 % 10],
                             next[i / 0xff / 10 / 10], '\0'};

        expect(DESCRIPTION_AT, text, is_utf8_without_controls((const unsigned char *)text));
    }
}

static void error_names_macro_value_and_format(void **state)
{
    static const struct {
        size_t offset;
        const char *value;
        const char *error;
    } rows[] = {
        {NAME_AT, "",
         "NAME: '' is not a lower-case letter, then at most 62 lower-case letters, "
         "digits and '-'"},
        {VERSION_AT, "v1",
         "VERSION: 'v1' is not a SemVer 2.0.0 version without a leading 'v', "
         "such as 1.2.3 or 1.2.3-rc.1"},
        {COMMIT_AT, "a\n\x1b[2J'\\\xff",
         "COMMIT: 'a\\x0a\\x1b[2J\\'\\\\\\xff' is not 40 lower-case hex digits"},
        {COMMIT_AT, HASH HASH HASH HASH,
         "COMMIT: '" HASH HASH HASH "0123456' is not 40 lower-case hex digits"},
        {DESCRIPTION_AT, "",
         "DESCRIPTION: '' is not 1 to 512 bytes of UTF-8 without control characters"},
        {DATE_AT, "today", "BUILD_DATE: 'today' is not a UTC time such as 2026-11-22T09:00:00Z"},
        {SOURCE_AT, "a", "SOURCE_URL: 'a' is not an http or https URL of at most 512 bytes"},
        {BUILD_AT, "a", "BUILD_URL: 'a' is not an http or https URL of at most 512 bytes"},
    };
    char error[512];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_false(check(rows[i].offset, rows[i].value, error));
        assert_string_equal(error, rows[i].error);
    }
    memset(error, '?', sizeof error);
    assert_false(build_info_check(&(struct build_info){"", "", "", "", "", "", ""}, error, 7));
    assert_memory_equal(error, "NAME: \0?", 8); /* the first invalid value, truncated */
}

static void document_has_known_values_in_order(void **state)
{
    static const struct {
        const char *source, *build;
        const char *expected;
    } rows[] = {
        {"https://a/b", "http://c",
         DOCUMENT_START ",\"source\":\"https://a/b\",\"build\":"
                        "\"http://c\"}\n"},
        {"https://a/b", NULL, DOCUMENT_START ",\"source\":\"https://a/b\"}\n"},
        {NULL, "http://c", DOCUMENT_START ",\"build\":\"http://c\"}\n"},
        {NULL, NULL, DOCUMENT_START "}\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct build_info info = VALID;
        char *document = NULL;

        info.source = rows[i].source;
        info.build = rows[i].build;
        document = build_info_document(&info);
        assert_string_equal(document, rows[i].expected);
        free(document);
    }
    failing_arm("malloc", 1, 0);
    assert_null(build_info_document(&VALID));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_returns_the_macros),
        cmocka_unit_test(checks_the_format_of_each_value),
        cmocka_unit_test(checks_each_character_of_the_date),
        cmocka_unit_test(url_has_allowed_characters_only),
        cmocka_unit_test(limits_the_length),
        cmocka_unit_test(description_is_utf8_without_control_characters),
        cmocka_unit_test(error_names_macro_value_and_format),
        cmocka_unit_test(document_has_known_values_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
