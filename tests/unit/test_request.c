#include "test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"

#define ALPHA "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define NAME_60 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void method_of_http_is_found(void **state)
{
    static const struct {
        const char *token;
        enum method method;
    } rows[] = {
        {"GET", METHOD_GET},         {"HEAD", METHOD_HEAD},       {"OPTIONS", METHOD_OPTIONS},
        {"CONNECT", METHOD_CONNECT}, {"POST", METHOD_UNSERVED},   {"PUT", METHOD_UNSERVED},
        {"PATCH", METHOD_UNSERVED},  {"DELETE", METHOD_UNSERVED}, {"TRACE", METHOD_UNSERVED},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (request_parse_method(rows[i].token) != rows[i].method)
            fail_msg("%s is not found", rows[i].token);
    }
}

static void method_of_another_name_is_unknown(void **state)
{
    static const char *const tokens[] = {
        "G",    "GE",       "GETS",   "get",      "Get",  "HEADS", "PROPFIND",
        "BREW", "PRI",      "QUERY",  "*",        "~",    "0",     "!#$%&'*+-.^_`|~09azAZ",
        "post", "CONNECT1", "OPTION", "OPTIONSS", "PATC", "TRACK",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(tokens); i++) {
        if (request_parse_method(tokens[i]) != METHOD_UNKNOWN)
            fail_msg("'%s' is known", tokens[i]);
    }
}

static void method_that_is_no_token_is_malformed(void **state)
{
    static const char *const texts[] = {
        "",     " ",    "GET ", " GET", "GET\t", "\001", "G\001T", "\037", "\177", "G\200T",
        "\377", "G,T",  "G:T",  "G/T",  "G(T",   "G)T",  "G<T",    "G>T",  "G@T",  "G;T",
        "G\\T", "G\"T", "G[T",  "G]T",  "G?T",   "G=T",  "G{T",    "G}T",  "GET:", "/GET",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (request_parse_method(texts[i]) != METHOD_MALFORMED)
            fail_msg("'%s' is a token", texts[i]);
    }
}

/* A copy of a text that ends with its last byte, so that sanitizers see a byte read too many. */
static char *copy_of(const char *text)
{
    char *copy = strdup(text);

    assert_non_null(copy);
    return copy;
}

static void expect_path(const char *target, const char *path)
{
    char *copy = copy_of(target);
    const struct request_target parsed = request_parse_target(copy);

    if (parsed.form != TARGET_PATH)
        fail_msg("'%s' has form %d", target, (int)parsed.form);
    if (parsed.length != strlen(path) || memcmp(parsed.path, path, parsed.length) != 0)
        fail_msg("'%s' has path '%.*s', not '%s'", target, (int)parsed.length, parsed.path, path);
    free(copy);
}

static void expect_no_path(const char *target, enum target_form form)
{
    char *copy = copy_of(target);
    const struct request_target parsed = request_parse_target(copy);

    free(copy);
    if (parsed.form != form)
        fail_msg("'%s' has form %d, not %d", target, (int)parsed.form, (int)form);
    if (parsed.path != NULL || parsed.length != 0)
        fail_msg("'%s' has a path", target);
}

static void target_in_origin_form_has_its_path(void **state)
{
    static const char *const rows[][2] = {
        {"/", "/"},
        {"/version", "/version"},
        {"/a/b//c/", "/a/b//c/"},
        {"//", "//"},
        {"//host/path", "//host/path"},
        {"/./..", "/./.."},
        {"/version?", "/version"},
        {"/version?a=b&c", "/version"},
        {"/?/?", "/"},
        {"/?http://h:1/[", NULL},
        {"/a://b", "/a://b"},
        {"/%41%2F%fF%00", "/%41%2F%fF%00"},
        {"/?%41", "/"},
        {"/" ALPHA DIGITS "-._~!$&'()*+,;=:@/", "/" ALPHA DIGITS "-._~!$&'()*+,;=:@/"},
        {"/?" ALPHA DIGITS "-._~!$&'()*+,;=:@/?", "/"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i][1] == NULL)
            expect_no_path(rows[i][0], TARGET_MALFORMED);
        else
            expect_path(rows[i][0], rows[i][1]);
    }
}

static void target_in_absolute_form_has_its_path(void **state)
{
    static const char *const rows[][2] = {
        {"http://example.org/version", "/version"},
        {"https://example.org/version", "/version"},
        {"HTTP://EXAMPLE.ORG/version", "/version"},
        {"HttpS://h/version?a", "/version"},
        {"http://h:80/a://b", "/a://b"},
        {"http://h:/", "/"},
        {"http://127.0.0.1:5000/version", "/version"},
        {"http://[::1]:5000/version", "/version"},
        {"http://h", "/"},
        {"http://h:80", "/"},
        {"http://h?a=/b", "/"},
        {"https://h?", "/"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_path(rows[i][0], rows[i][1]);
}

static void target_path_lies_within_the_text(void **state)
{
    static const char origin[] = "/version?a";
    static const char absolute[] = "http://h/version?a";

    (void)state;
    assert_ptr_equal(request_parse_target(origin).path, origin);
    assert_ptr_equal(request_parse_target(absolute).path, absolute + strlen("http://h"));
}

static void target_asterisk_is_the_server(void **state)
{
    (void)state;
    expect_no_path("*", TARGET_ASTERISK);
}

static void target_host_and_port_is_an_authority(void **state)
{
    static const char *const targets[] = {"example.org:443", "127.0.0.1:80", "[::1]:65535", "h:0"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        expect_no_path(targets[i], TARGET_AUTHORITY);
}

static void target_in_another_form_is_malformed(void **state)
{
    static const char *const targets[] = {
        "",       " ",       "version",     "version/a", "?a",      "**",    "*/",
        "*?a",    " /",      "example.org", ":80",       "h:65536", "h:80/", "h:a",
        "u@h:80", "h:80:80", "a:b:c",       "h:",        "[::1]:",  "h1",    "[::1]",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        expect_no_path(targets[i], TARGET_MALFORMED);
}

static void target_with_another_scheme_or_bad_authority_is_malformed(void **state)
{
    static const char *const targets[] = {
        "://h/",        "s://h/",          "ftp://h/",       "htt://h/",        "httqs://h/",
        "httx://h/",    "httpz://h/",      "http:/ah/b://c", "https:/ah/b://c", "hxtp://h/",
        "xhttp://h/",   "shttp://h/",      "httpsx://h/",    "https+unix://h/", "http:/h/",
        "http:h",       "http//h/",        "http://",        "http:///",        "http:///version",
        "http://?a",    "http://:80/",     "http://u@h/",    "http://u:p@h/",   "http://h:65536/",
        "http://h:x/",  "http://h,i/",     "http://h /",     "http://[::1/",    "http://h#/",
        "http://h%41/", "http://h:80:80/",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        expect_no_path(targets[i], TARGET_MALFORMED);
}

static void target_with_broken_percent_encoding_is_malformed(void **state)
{
    static const char *const endings[] = {
        "%",    "%4",    "%g0", "%0g", "%%41", "%4%41", "%-1", "% 1", "%\x01\x01",
        "%41%", "%41%4", "%:0", "%@0", "%0/",  "%0:",   "%0@", "%0`",
    };
    static const char *const beginnings[] = {"/", "/a?", "http://h/", "http://h?"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(endings); i++) {
        for (size_t j = 0; j < COUNT_OF(beginnings); j++) {
            char target[32];

            (void)snprintf(target, sizeof target, "%s%s", beginnings[j], endings[i]);
            expect_no_path(target, TARGET_MALFORMED);
        }
    }
}

/* A byte in the path, the query and behind an authority. */
static void target_takes_bytes_of_a_uri_only(void **state)
{
    static const char allowed[] = ALPHA DIGITS "-._~!$&'()*+,;=:@/?";

    (void)state;
    for (int byte = 1; byte <= 0xff; byte++) {
        const enum target_form expected =
            strchr(allowed, byte) != NULL ? TARGET_PATH : TARGET_MALFORMED;
        const char path[] = {'/', (char)byte, '\0'};
        const char query[] = {'/', '?', 'a', (char)byte, 'b', '\0'};
        const char absolute[] = {'h', 't', 't', 'p', ':', '/', '/', 'h', '/', (char)byte, '\0'};

        if (request_parse_target(path).form != expected ||
            request_parse_target(query).form != expected ||
            request_parse_target(absolute).form != expected)
            fail_msg("byte 0x%02x is %s", (unsigned)byte,
                     expected == TARGET_PATH ? "refused" : "accepted");
    }
}

static void form_goes_with_its_methods_only(void **state)
{
    static const struct {
        enum method method;
        bool malformed, path, authority, asterisk;
    } rows[] = {
        {METHOD_GET, false, true, false, false},      {METHOD_HEAD, false, true, false, false},
        {METHOD_OPTIONS, false, true, false, true},   {METHOD_CONNECT, false, false, true, false},
        {METHOD_UNSERVED, false, true, false, false}, {METHOD_UNKNOWN, false, true, false, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const enum method method = rows[i].method;

        if (request_form_is_valid(method, TARGET_MALFORMED) != rows[i].malformed ||
            request_form_is_valid(method, TARGET_PATH) != rows[i].path ||
            request_form_is_valid(method, TARGET_AUTHORITY) != rows[i].authority ||
            request_form_is_valid(method, TARGET_ASTERISK) != rows[i].asterisk)
            fail_msg("method %u takes other forms", (unsigned)method);
    }
}

static void host_name_or_address_is_valid(void **state)
{
    static const char *const values[] = {
        "h",
        "example.org",
        "example.org.",
        "EXAMPLE.ORG",
        "a-b_c~d.e",
        "xn--bcher-kva.example",
        "127.0.0.1",
        "1",
        "h:",
        "h:0",
        "h:1",
        "h:80",
        "h:65535",
        "h:00080",
        "127.0.0.1:5000",
        "[::]",
        "[::1]",
        "[::1]:",
        "[::1]:5000",
        "[2001:DB8::8a2e:370:7334]:65535",
        "[::ffff:127.0.0.1]:80",
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:80",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        if (!request_host_is_valid(values[i], strlen(values[i])))
            fail_msg("'%s' is refused", values[i]);
    }
}

static void host_in_another_form_is_refused(void **state)
{
    static const char *const values[] = {
        "",
        " ",
        ":",
        ":80",
        "h ",
        " h",
        "a b",
        "a,b",
        "a, b",
        "h:80,h:80",
        "u@h",
        "u:p@h",
        "h/",
        "h/path",
        "h?a",
        "h#a",
        "http://h",
        "h:80 ",
        "h: 80",
        "h:+80",
        "h:-1",
        "h:a",
        "h:8a",
        "h:0x50",
        "h:65536",
        "h:70000",
        "h:99999",
        "h:655350",
        "h:655360",
        "h:4294967376",           /* 80, cut to 32 bits */
        "h:18446744073709551696", /* 80, cut to 64 bits */
        "h:80:80",
        "h::80",
        "::1",
        "[",
        "]",
        "[]",
        "[]:80",
        "[::1",
        "::1]",
        "[::1]80",
        "[::1]]",
        "[::1]:80:80",
        "[::1]:65536",
        "[::1]x",
        "[[::1]]",
        "[h]",
        "[127.0.0.1]",
        "[::g]",
        "[::1%lo]",
        "[::1%25lo]",
        "[v1.a]",
        "h%41",
        "h\t",
        "h\n",
        "h\x7f",
        "\x80",
        "bücher.example",
        "h!",
        "h$",
        "h&",
        "h'",
        "h(",
        "h*",
        "h+",
        "h;",
        "h=",
        "h\"",
        "h<",
        "h\\",
        "h^",
        "h`",
        "h{",
        "h|",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        if (request_host_is_valid(values[i], strlen(values[i])))
            fail_msg("'%s' is accepted", values[i]);
    }
}

static void host_is_read_up_to_its_length(void **state)
{
    (void)state;
    assert_true(request_host_is_valid("h/", 1));
    assert_true(request_host_is_valid("h:80 ", 4));
    assert_false(request_host_is_valid("h", 0));
    assert_true(request_host_is_valid("[::1]x", 5));
    assert_false(request_host_is_valid("[::1]", 4));
}

static void host_with_nul_is_refused(void **state)
{
    (void)state;
    assert_false(request_host_is_valid("h\0", 2));
    assert_false(request_host_is_valid("h\0/", 3));
    assert_false(request_host_is_valid("\0h", 2));
    assert_false(request_host_is_valid("h:\0", 3));
    assert_false(request_host_is_valid("[::1\0]", 6));
}

/* The longest name that DNS has fits with a port, and nothing overflows. */
static void host_is_limited_in_length(void **state)
{
    static const char longest[] =
        NAME_60 "." NAME_60 "." NAME_60 "." NAME_60 ".aaaaaaaaa:65535"; /* 253 and 6 */
    static char huge[100000];

    (void)state;
    assert_int_equal(strlen(longest), 253 + 6);
    assert_true(request_host_is_valid(longest, strlen(longest)));
    memset(huge, 'a', sizeof huge);
    assert_false(request_host_is_valid(huge, sizeof huge));
    for (size_t length = 254; length <= 300; length++)
        (void)request_host_is_valid(huge, length);
    assert_false(request_host_is_valid(huge, 300));
}

static bool field_is_valid(const char *name, const char *value)
{
    return request_field_is_valid(name, strlen(name), value, strlen(value));
}

static void field_name_takes_token_characters_only(void **state)
{
    static const char token[] = ALPHA DIGITS "!#$%&'*+-.^_`|~";

    (void)state;
    for (int byte = 0; byte <= 0xff; byte++) {
        const char name[] = {'a', (char)byte, 'b', '\0'};
        const bool expected = byte != 0 && strchr(token, byte) != NULL;

        if (request_field_is_valid(name, 3, "v", 1) != expected)
            fail_msg("byte 0x%02x is %s", (unsigned)byte, expected ? "refused" : "accepted");
    }
}

static void field_name_that_is_no_token_is_refused(void **state)
{
    static const char *const names[] = {"", " ", "Host ", " Host", "Ho st", "Host:", "Host\t", "é"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (field_is_valid(names[i], "v"))
            fail_msg("'%s' is accepted", names[i]);
    }
}

static void field_value_takes_no_control_character_but_tab(void **state)
{
    (void)state;
    for (int byte = 0; byte <= 0xff; byte++) {
        const char value[] = {'a', (char)byte, 'b'};
        const bool expected = byte == '\t' || (byte >= ' ' && byte != 0x7f);

        if (request_field_is_valid("Name", 4, value, 3) != expected)
            fail_msg("byte 0x%02x is %s", (unsigned)byte, expected ? "refused" : "accepted");
    }
}

static void field_value_is_read_to_its_end_and_no_further(void **state)
{
    (void)state;
    assert_true(field_is_valid("Name", ""));
    assert_true(request_field_is_valid("Name", 4, "a\n", 1));
    assert_true(request_field_is_valid("Name", 4, "\n", 0));
    assert_false(request_field_is_valid("Name", 4, "a\n", 2));
    assert_false(request_field_is_valid("Name", 4, "\na", 2));
}

static void length_is_zero_when_all_its_digits_are(void **state)
{
    static const char bytes[] = "0000x10";

    (void)state;
    assert_true(request_length_is_zero(bytes, 1));
    assert_true(request_length_is_zero(bytes, 4));
    assert_false(request_length_is_zero(bytes, 0));
    assert_false(request_length_is_zero(bytes, 5));
    assert_false(request_length_is_zero(bytes + 5, 2));
    assert_false(request_length_is_zero("010", 2));
    assert_false(request_length_is_zero("0\0", 2));
}

/* Each is a copy that ends with its last byte. */
static void expectation_is_known_when_it_is_100_continue(void **state)
{
    static const struct {
        const char *value;
        bool expected;
    } rows[] = {
        {"100-continue", true},
        {"100-Continue", true},
        {"100-CONTINUE , 100-continue", true},
        {"", true},
        {",", true},
        {" ,\t, 100-continue\t,", true},
        {"100", false},
        {"100-continu", false},
        {"100-continues", false},
        {"x100-continue", false},
        {"100-continue;a", false},
        {"100-continue=a", false},
        {"100-continue,a", false},
        {"a,100-continue", false},
        {"a", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const size_t length = strlen(rows[i].value);
        char *copy = malloc(length + (length == 0));
        bool actual = false;

        assert_non_null(copy);
        memcpy(copy, rows[i].value, length);
        actual = request_expectation_is_known(copy, length);
        free(copy);
        if (actual != rows[i].expected)
            fail_msg("'%s' is%s known", rows[i].value, actual ? "" : " not");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(method_of_http_is_found),
        cmocka_unit_test(method_of_another_name_is_unknown),
        cmocka_unit_test(method_that_is_no_token_is_malformed),
        cmocka_unit_test(target_in_origin_form_has_its_path),
        cmocka_unit_test(target_in_absolute_form_has_its_path),
        cmocka_unit_test(target_path_lies_within_the_text),
        cmocka_unit_test(target_asterisk_is_the_server),
        cmocka_unit_test(target_host_and_port_is_an_authority),
        cmocka_unit_test(target_in_another_form_is_malformed),
        cmocka_unit_test(target_with_another_scheme_or_bad_authority_is_malformed),
        cmocka_unit_test(target_with_broken_percent_encoding_is_malformed),
        cmocka_unit_test(target_takes_bytes_of_a_uri_only),
        cmocka_unit_test(form_goes_with_its_methods_only),
        cmocka_unit_test(host_name_or_address_is_valid),
        cmocka_unit_test(host_in_another_form_is_refused),
        cmocka_unit_test(host_is_read_up_to_its_length),
        cmocka_unit_test(host_with_nul_is_refused),
        cmocka_unit_test(host_is_limited_in_length),
        cmocka_unit_test(field_name_takes_token_characters_only),
        cmocka_unit_test(field_name_that_is_no_token_is_refused),
        cmocka_unit_test(field_value_takes_no_control_character_but_tab),
        cmocka_unit_test(field_value_is_read_to_its_end_and_no_further),
        cmocka_unit_test(length_is_zero_when_all_its_digits_are),
        cmocka_unit_test(expectation_is_known_when_it_is_100_continue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
