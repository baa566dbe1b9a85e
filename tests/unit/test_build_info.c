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

#define COMMIT_EXAMPLE "0123456789abcdef0123456789abcdef01234567"

static const struct build_info GOOD = {
    .name = "versiond",
    .version = "1.2.3",
    .commit = COMMIT_EXAMPLE,
    .description = "Says which build is running here",
    .build_date = "2026-11-22T09:00:00Z",
    .source = "https://example.org/repository",
    .build = "https://example.org/run/7",
};

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    return failing_now() ? NULL : __real_malloc(size);
}

/* Where the members are. */
enum {
    OF_NAME = offsetof(struct build_info, name),
    OF_VERSION = offsetof(struct build_info, version),
    OF_COMMIT = offsetof(struct build_info, commit),
    OF_DESCRIPTION = offsetof(struct build_info, description),
    OF_DATE = offsetof(struct build_info, build_date),
    OF_SOURCE = offsetof(struct build_info, source),
    OF_BUILD = offsetof(struct build_info, build),
};

/* A right one, but for the member at `offset`. */
static struct build_info with(size_t offset, const char *value)
{
    struct build_info info = GOOD;

    memcpy((char *)&info + offset, (const void *)&value, sizeof value);
    return info;
}

static void expect_accepted(size_t offset, const char *const *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct build_info info = with(offset, values[i]);
        char error[512] = "untouched";

        if (!build_info_check(&info, error, sizeof error))
            fail_msg("refused: %s", error);
        assert_string_equal(error, "untouched");
    }
}

static void expect_refused(size_t offset, const char *const *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct build_info info = with(offset, values[i]);
        char error[512];

        if (build_info_check(&info, error, sizeof error))
            fail_msg("'%s' is accepted", values[i]);
    }
}

#define EXPECT_ACCEPTED(offset, values) expect_accepted(offset, values, COUNT_OF(values))
#define EXPECT_REFUSED(offset, values) expect_refused(offset, values, COUNT_OF(values))

/* Checks that a value of `length` bytes is accepted, and one of a byte more refused. Both are
 * `start`, filled up with 'a'. */
static void expect_longest(size_t offset, const char *start, size_t length)
{
    char value[1024] = "";
    const char *const values[] = {value};

    memset(value, 'a', length);
    memcpy(value, start, strlen(start));
    EXPECT_ACCEPTED(offset, values);
    value[length] = 'a';
    EXPECT_REFUSED(offset, values);
}

static void expect_error(size_t offset, const char *value, const char *expected)
{
    const struct build_info info = with(offset, value);
    char error[512];

    assert_false(build_info_check(&info, error, sizeof error));
    assert_string_equal(error, expected);
}

static void build_info_get_gives_the_macros(void **state)
{
    const struct build_info info = build_info_get();
    const char *const source = SOURCE_URL;
    const char *const build = BUILD_URL;

    (void)state;
    assert_string_equal(info.name, NAME);
    assert_string_equal(info.version, VERSION);
    assert_string_equal(info.commit, COMMIT);
    assert_string_equal(info.description, DESCRIPTION);
    assert_string_equal(info.build_date, BUILD_DATE);
    assert_int_equal(info.source == NULL, source == NULL);
    assert_int_equal(info.build == NULL, build == NULL);
    if (source != NULL)
        assert_string_equal(info.source, source);
    if (build != NULL)
        assert_string_equal(info.build, build);
}

static void build_info_of_this_build_is_right(void **state)
{
    const struct build_info info = build_info_get();
    char error[512] = "";

    (void)state;
    if (!build_info_check(&info, error, sizeof error))
        fail_msg("refused: %s", error);
}

static void name_in_its_format_is_accepted(void **state)
{
    static const char *const values[] = {"a", "z", "versiond", "a-b", "a1", "my-service-2", "a-"};

    (void)state;
    EXPECT_ACCEPTED(OF_NAME, values);
    expect_longest(OF_NAME, "", 63);
}

static void name_in_another_format_is_refused(void **state)
{
    static const char *const values[] = {
        "",    "A", "aB", "1",     "1a",  "-",   "-a", "a_b", "a.b", "a/b", "a ",  " a",   "a b",
        "a\n", "é", "aé", "a\x7f", "a:b", "a\"", "a'", "`a",  "a{b", "a/",  "a@b", "a\\b", "a\x01",
    };

    (void)state;
    EXPECT_REFUSED(OF_NAME, values);
}

/* The examples of https://semver.org, linked from its question on a regular expression. */
static void version_official_valid_examples_are_accepted(void **state)
{
    static const char *const values[] = {
        "0.0.4",
        "1.2.3",
        "10.20.30",
        "1.1.2-prerelease+meta",
        "1.1.2+meta",
        "1.1.2+meta-valid",
        "1.0.0-alpha",
        "1.0.0-beta",
        "1.0.0-alpha.beta",
        "1.0.0-alpha.beta.1",
        "1.0.0-alpha.1",
        "1.0.0-alpha0.valid",
        "1.0.0-alpha.0valid",
        "1.0.0-alpha-a.b-c-somethinglong+build.1-aef.1-its-okay",
        "1.0.0-rc.1+build.1",
        "2.0.0-rc.1+build.123",
        "1.2.3-beta",
        "10.2.3-DEV-SNAPSHOT",
        "1.2.3-SNAPSHOT-123",
        "1.0.0",
        "2.0.0",
        "1.1.7",
        "2.0.0+build.1848",
        "2.0.1-alpha.1227",
        "1.0.0-alpha+beta",
        "1.2.3----RC-SNAPSHOT.12.9.1--.12+788",
        "1.2.3----R-S.12.9.1--.12+meta",
        "1.2.3----RC-SNAPSHOT.12.9.1--.12",
        "1.0.0+0.build.1-rc.10000aaa-kk-0.1",
        "99999999999999999999999.999999999999999999.99999999999999999",
        "1.0.0-0A.is.legal",
    };

    (void)state;
    EXPECT_ACCEPTED(OF_VERSION, values);
}

static void version_official_invalid_examples_are_refused(void **state)
{
    static const char *const values[] = {
        "1",
        "1.2",
        "1.2.3-0123",
        "1.2.3-0123.0123",
        "1.1.2+.123",
        "+invalid",
        "-invalid",
        "-invalid+invalid",
        "-invalid.01",
        "alpha",
        "alpha.beta",
        "alpha.beta.1",
        "alpha.1",
        "alpha+beta",
        "alpha_beta",
        "alpha.",
        "alpha..",
        "beta",
        "1.0.0-alpha_beta",
        "-alpha.",
        "1.0.0-alpha..",
        "1.0.0-alpha..1",
        "1.0.0-alpha...1",
        "1.0.0-alpha....1",
        "1.0.0-alpha.....1",
        "1.0.0-alpha......1",
        "1.0.0-alpha.......1",
        "01.1.1",
        "1.01.1",
        "1.1.01",
        "1.2",
        "1.2.3.DEV",
        "1.2-SNAPSHOT",
        "1.2.31.2.3----RC-SNAPSHOT.12.09.1--..12+788",
        "1.2-RC-SNAPSHOT",
        "-1.0.3-gamma+b7718",
        "+justmeta",
        "9.8.7+meta+meta",
        "9.8.7-whatever+meta+meta",
        ("99999999999999999999999.999999999999999999.99999999999999999"
         "----RC-SNAPSHOT.12.09.1--------------------------------..12"),
    };

    (void)state;
    EXPECT_REFUSED(OF_VERSION, values);
}

static void version_of_development_builds_is_accepted(void **state)
{
    static const char *const values[] = {
        "0.0.0-dev",
        "0.0.0-dev+dirty",
        "1.2.4-dev.4+gabcdef0",
        "1.2.4-dev.4+g0.dirty",
        "1.3.0-rc.1.dev.4+g0123456",
        "1.2.3+00.01.-",
        "1.2.3-0",
        "1.2.3-0a",
        "1.2.3--",
    };

    (void)state;
    EXPECT_ACCEPTED(OF_VERSION, values);
    expect_longest(OF_VERSION, "1.2.3-", 512);
}

static void version_in_another_format_is_refused(void **state)
{
    static const char *const values[] = {
        "",       "v1.2.3",  "V1.2.3",     "1.2.3 ",    " 1.2.3",   "1.2.3\n",   "1.2.3-",
        "1.2.3+", "1.2.3-+", "1.2.3-a+",   "1.2.3+a+b", "1..3",     "1.2.",      ".2.3",
        "1.2.3.", "1.2.3.4", "1,2,3",      "1.2.3-00",  "1.2.3-.a", "1.2.3-a.",  "1.2.3-a.00",
        "-1.2.3", "+1.2.3",  "1.2.3-a.01", "1.2.3-é",   "1.2.3+é",  "1.2.3+a_b", "1.2.3~rc1",
        "00.1.2", "1.00.2",  "1.2.00",     "a.2.3",     "1.b.3",    "1.2.c",     "1.2.3\x01",
        "1-2.3",  "1.2-3",   "1.2.3 -a",   "1.2.3-a b", "1x2x3",
    };

    (void)state;
    EXPECT_REFUSED(OF_VERSION, values);
}

static void commit_full_hash_or_unknown_is_accepted(void **state)
{
    static const char *const values[] = {
        COMMIT_EXAMPLE,
        "ffffffffffffffffffffffffffffffffffffffff",
        "0000000000000000000000000000000000000000",
        "unknown",
    };

    (void)state;
    EXPECT_ACCEPTED(OF_COMMIT, values);
}

static void commit_in_another_format_is_refused(void **state)
{
    static const char *const values[] = {
        "",
        "0123456",
        "0123456789abcdef0123456789abcdef0123456",
        COMMIT_EXAMPLE "8",
        COMMIT_EXAMPLE " ",
        COMMIT_EXAMPLE "\n",
        COMMIT_EXAMPLE COMMIT_EXAMPLE,
        "0123456789ABCDEF0123456789abcdef01234567",
        "0123456789abcdef0123456789abcdef0123456g",
        "g123456789abcdef0123456789abcdef01234567",
        "Unknown",
        "unknown ",
        "unknow",
        "HEAD",
    };

    (void)state;
    EXPECT_REFUSED(OF_COMMIT, values);
}

/* The first and the last character of each range of well-formed UTF-8 (Unicode, table 3-7), with
 * those next to the control characters. */
static void description_valid_utf8_is_accepted(void **state)
{
    static const char *const values[] = {
        " ",
        "~",
        "\"quotes\" and \\ and 'these'",
        "Grüße, 你好, \U0001f680",
        "\xc2\xa0",
        "\xc2\xbf",
        "\xc3\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xe0\xbf\xbf",
        "\xe1\x80\x80",
        "\xec\xbf\xbf",
        "\xed\x80\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf0\xbf\xbf\xbf",
        "\xf1\x80\x80\x80",
        "\xf3\xbf\xbf\xbf",
        "\xf4\x80\x80\x80",
        "\xf4\x8f\xbf\xbf",
    };

    (void)state;
    EXPECT_ACCEPTED(OF_DESCRIPTION, values);
    expect_longest(OF_DESCRIPTION, "", 512);
}

static void description_control_characters_are_refused(void **state)
{
    (void)state;
    for (int byte = 0x01; byte <= 0x9f; byte++) {
        const char c0[] = {'a', (char)byte, 'b', '\0'};
        const char c1[] = {'a', '\xc2', (char)byte, 'b', '\0'};
        const char *const values[] = {byte < 0x80 ? c0 : c1};

        if (byte < 0x20 || byte >= 0x7f)
            EXPECT_REFUSED(OF_DESCRIPTION, values);
        else
            EXPECT_ACCEPTED(OF_DESCRIPTION, values);
    }
}

static void description_invalid_utf8_is_refused(void **state)
{
    static const char *const values[] = {
        "",
        "a\x80", /* a second byte without a first */
        "a\xbf",
        "\xc0\x80", /* overlong */
        "\xc1\xbf",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xed\xa0\x80", /* U+D800, U+DFFF: surrogates */
        "\xed\xbf\xbf",
        "\xf4\x90\x80\x80", /* U+110000 */
        "\xf5\x80\x80\x80",
        "\xff\xbf\xbf\xbf",
        "\xfe",
        "\xc3", /* cut short, at the end and before another character */
        "\xc3z",
        "\xc3\xc3\xa9",
        "\xe2\x82",
        "\xe2\x82z",
        "\xe2",
        "\xe2z",
        "\xf0\x9f\x9a",
        "\xf0\x9f\x9az",
        "\xf0\x9f",
        "\xf0\x9fz",
        "\xf0",
        "\xe2\x82\xc0", /* a last byte above the range */
        "\xf0\x9f\x9a\xc0",
        "\xf0\x9f\xc0\x80",
        "\xc3\xa9\xa9", /* one too many */
        "\xdf\xc0",     /* a second byte above the range */
        "\xdf\x7f",
        "\xec\x7f\x80",
        "\xec\xc0\x80",
        "\xee\x7f\x80",
        "\xf1\x7f\x80\x80",
        "\xf3\xc0\x80\x80",
        "caf\xe9", /* Latin-1 */
    };

    (void)state;
    EXPECT_REFUSED(OF_DESCRIPTION, values);
}

/* What RFC 3629 says, computed where the code has a table. */
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

static void description_of_any_bytes_is_accepted_when_it_is_utf8(void **state)
{
    static const char next[] = "\0A\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0"; /* around each bound */

    (void)state;
    for (unsigned i = 0; i < 0xff * 10 * 10 * 10; i++) {
        const char text[] = {(char)(1 + i % 0xff), next[i / 0xff % 10], next[i / 0xff / 10 % 10],
                             next[i / 0xff / 10 / 10], '\0'};
        const char *const values[] = {text};

        if (is_utf8_without_controls((const unsigned char *)text))
            EXPECT_ACCEPTED(OF_DESCRIPTION, values);
        else
            EXPECT_REFUSED(OF_DESCRIPTION, values);
    }
}

static void date_of_each_part_within_range_is_accepted(void **state)
{
    static const char *const values[] = {
        "2026-11-22T09:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
        "1970-01-01T00:00:00Z", "2024-02-29T12:30:30Z", "2026-10-10T10:10:10Z",
        "2026-09-30T20:20:20Z",
    };

    (void)state;
    EXPECT_ACCEPTED(OF_DATE, values);
}

static void date_in_another_format_is_refused(void **state)
{
    static const char *const values[] = {
        "",
        "unknown",
        "2026-11-22",
        "2026-11-22T09:00:00",
        "2026-11-22T09:00Z",
        "2026-11-22 09:00:00Z",
        "2026-11-22t09:00:00Z",
        "2026-11-22T09:00:00z",
        "2026-11-22T09:00:00+00:00",
        "2026-11-22T09:00:00.000Z",
        "2026-11-22T09:00:00ZZ",
        "2026-11-22T09:00:00Z ",
        "2026-11-22T09:00:00Z\n",
        " 2026-11-22T09:00:00Z",
        "12026-11-22T09:00:00Z",
        "2026/11/22T09:00:00Z",
        "2026-11-22T09-00-00Z",
        "20261122T090000Z",
        "-026-11-22T09:00:00Z",
        "202:-11-22T09:00:00Z",
        "202/-11-22T09:00:00Z",
        "2026-1:-22T09:00:00Z",
        "2026-1/-22T09:00:00Z",
        "2026-00-22T09:00:00Z",
        "2026-13-22T09:00:00Z",
        "2026-20-22T09:00:00Z",
        "2026-11-00T09:00:00Z",
        "2026-11-32T09:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T09:60:00Z",
        "2026-11-22T09:00:60Z",
        "1795338000",
    };

    (void)state;
    EXPECT_REFUSED(OF_DATE, values);
}

static const char *const URLS[] = {
    NULL,
    "https://example.org",
    "http://example.org",
    "https://a",
    "http://1",
    "https://A.example:8443/path/to?query=1&b=2#part",
    "http://[::1]:8080/",
    "https://user@example.org/~name/a_b-c.d/(e)!$*,;='+%20",
};

static const char *const BAD_URLS[] = {
    "",
    "https",
    "https:",
    "https:/",
    "https://",
    "http://",
    "https:///path",
    "http://?",
    "https://.",
    "https:example.org",
    "https:/example.org",
    "http:example.org",
    "http:/example.org",
    "ttps://example.org",
    "example.org",
    "//example.org",
    "ftp://example.org",
    "HTTPS://example.org",
    "httpx://example.org",
    "javascript:alert(1)",
    " https://example.org",
    "https://example.org ",
    "https://example.org/a b",
    "https://example.org/\"",
    "https://example.org/<",
    "https://example.org/>",
    "https://example.org/\\",
    "https://example.org/^",
    "https://example.org/`",
    "https://example.org/{",
    "https://example.org/|",
    "https://example.org/}",
    "https://example.org/\n",
    "https://example.org/\x7f",
    "https://example.org/é",
};

static void url_http_or_https_is_accepted(void **state)
{
    (void)state;
    EXPECT_ACCEPTED(OF_SOURCE, URLS);
    EXPECT_ACCEPTED(OF_BUILD, URLS);
    expect_longest(OF_SOURCE, "https://", 512);
    expect_longest(OF_BUILD, "http://", 512);
}

static void url_in_another_format_is_refused(void **state)
{
    (void)state;
    EXPECT_REFUSED(OF_SOURCE, BAD_URLS);
    EXPECT_REFUSED(OF_BUILD, BAD_URLS);
}

static void error_names_macro_value_and_format(void **state)
{
    (void)state;
    expect_error(OF_NAME, "Versiond",
                 "NAME: 'Versiond' is not a lower-case letter, then at most 62 lower-case letters, "
                 "digits and '-'");
    expect_error(OF_VERSION, "v1.2.3",
                 "VERSION: 'v1.2.3' is not a SemVer 2.0.0 version without a leading 'v', such as "
                 "1.2.3 or 1.2.3-rc.1");
    expect_error(OF_COMMIT, "0123456", "COMMIT: '0123456' is not 40 lower-case hex digits");
    expect_error(OF_DESCRIPTION, "",
                 "DESCRIPTION: '' is not 1 to 512 bytes of UTF-8 without control characters");
    expect_error(OF_DATE, "today",
                 "BUILD_DATE: 'today' is not a UTC time such as 2026-11-22T09:00:00Z");
    expect_error(OF_SOURCE, "ftp://a",
                 "SOURCE_URL: 'ftp://a' is not an http or https URL of at most 512 bytes");
    expect_error(OF_BUILD, "ftp://a",
                 "BUILD_URL: 'ftp://a' is not an http or https URL of at most 512 bytes");
}

static void error_of_several_wrong_values_names_the_first(void **state)
{
    const struct build_info info = {"", "", "", "", "", "", ""};
    char error[512];

    (void)state;
    assert_false(build_info_check(&info, error, sizeof error));
    assert_string_equal(error, "NAME: '' is not a lower-case letter, then at most 62 lower-case "
                               "letters, digits and '-'");
}

static void error_shows_hostile_value_on_one_line(void **state)
{
    (void)state;
    expect_error(OF_COMMIT, "a\n\x1b[2J'\\\xff",
                 "COMMIT: 'a\\x0a\\x1b[2J\\'\\\\\\xff' is not 40 lower-case hex digits");
}

static void error_of_long_value_shows_its_beginning(void **state)
{
    char value[1001] = "";
    char expected[256];

    (void)state;
    memset(value, 'a', sizeof value - 1);
    (void)snprintf(expected, sizeof expected, "COMMIT: '%.127s' is not 40 lower-case hex digits",
                   value);
    expect_error(OF_COMMIT, value, expected);
}

static void error_without_room_is_cut(void **state)
{
    const struct build_info info = with(OF_COMMIT, "short");
    char error[16];

    (void)state;
    memset(error, '?', sizeof error);
    assert_false(build_info_check(&info, error, 9));
    assert_memory_equal(error, "COMMIT: \0???????", sizeof error);
}

static void expect_document(const struct build_info *info, const char *expected)
{
    char *document = build_info_document(info);

    assert_non_null(document);
    assert_string_equal(document, expected);
    free(document);
}

static void document_has_all_fields_in_order(void **state)
{
    (void)state;
    expect_document(&GOOD,
                    "{\"name\":\"versiond\",\"version\":\"1.2.3\",\"commit\":\"" COMMIT_EXAMPLE
                    "\",\"description\":\"Says which build is running here\","
                    "\"build_date\":\"2026-11-22T09:00:00Z\","
                    "\"source\":\"https://example.org/repository\","
                    "\"build\":\"https://example.org/run/7\"}\n");
}

static void document_leaves_out_unknown_urls(void **state)
{
    struct build_info info = GOOD;

    (void)state;
    info.commit = "unknown";
    info.build = NULL;
    expect_document(&info, "{\"name\":\"versiond\",\"version\":\"1.2.3\",\"commit\":\"unknown\","
                           "\"description\":\"Says which build is running here\","
                           "\"build_date\":\"2026-11-22T09:00:00Z\","
                           "\"source\":\"https://example.org/repository\"}\n");
    info.source = NULL;
    expect_document(&info, "{\"name\":\"versiond\",\"version\":\"1.2.3\",\"commit\":\"unknown\","
                           "\"description\":\"Says which build is running here\","
                           "\"build_date\":\"2026-11-22T09:00:00Z\"}\n");
}

static void document_escapes_the_description(void **state)
{
    struct build_info info = with(OF_DESCRIPTION, "\"a\" \\ 'b' </é> \U0001f680");

    (void)state;
    info.source = NULL;
    info.build = NULL;
    expect_document(&info,
                    "{\"name\":\"versiond\",\"version\":\"1.2.3\",\"commit\":\"" COMMIT_EXAMPLE
                    "\",\"description\":\"\\\"a\\\" \\\\ 'b' </é> \U0001f680\","
                    "\"build_date\":\"2026-11-22T09:00:00Z\"}\n");
}

static void document_without_memory_is_null(void **state)
{
    char *document = NULL;

    (void)state;
    failing_at(1);
    document = build_info_document(&GOOD);
    assert_true(failing_has_failed());
    assert_null(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(build_info_get_gives_the_macros),
        cmocka_unit_test(build_info_of_this_build_is_right),
        cmocka_unit_test(name_in_its_format_is_accepted),
        cmocka_unit_test(name_in_another_format_is_refused),
        cmocka_unit_test(version_official_valid_examples_are_accepted),
        cmocka_unit_test(version_official_invalid_examples_are_refused),
        cmocka_unit_test(version_of_development_builds_is_accepted),
        cmocka_unit_test(version_in_another_format_is_refused),
        cmocka_unit_test(commit_full_hash_or_unknown_is_accepted),
        cmocka_unit_test(commit_in_another_format_is_refused),
        cmocka_unit_test(description_valid_utf8_is_accepted),
        cmocka_unit_test(description_control_characters_are_refused),
        cmocka_unit_test(description_invalid_utf8_is_refused),
        cmocka_unit_test(description_of_any_bytes_is_accepted_when_it_is_utf8),
        cmocka_unit_test(date_of_each_part_within_range_is_accepted),
        cmocka_unit_test(date_in_another_format_is_refused),
        cmocka_unit_test(url_http_or_https_is_accepted),
        cmocka_unit_test(url_in_another_format_is_refused),
        cmocka_unit_test(error_names_macro_value_and_format),
        cmocka_unit_test(error_of_several_wrong_values_names_the_first),
        cmocka_unit_test(error_shows_hostile_value_on_one_line),
        cmocka_unit_test(error_of_long_value_shows_its_beginning),
        cmocka_unit_test(error_without_room_is_cut),
        cmocka_unit_test(document_has_all_fields_in_order),
        cmocka_unit_test(document_leaves_out_unknown_urls),
        cmocka_unit_test(document_escapes_the_description),
        cmocka_unit_test(document_without_memory_is_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
