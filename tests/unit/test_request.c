#include "test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"

#define ALPHANUMERIC "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define PATH_BYTES ALPHANUMERIC "/-._~!$&'()*+,;=:@"

/* Copies `length` bytes to a block of that size, so that sanitizers detect reads beyond it. */
static char *copy_bytes(const char *bytes, size_t length)
{
    char *copy = malloc(length > 0 ? length : 1);

    assert_non_null(copy);
    return memcpy(copy, bytes, length);
}

static void methods_are_case_sensitive_tokens(void **state)
{
    static const struct {
        enum method method;
        const char *texts[24];
    } rows[] = {
        {METHOD_GET, {"GET"}},
        {METHOD_HEAD, {"HEAD"}},
        {METHOD_OPTIONS, {"OPTIONS"}},
        {METHOD_CONNECT, {"CONNECT"}},
        {METHOD_UNSERVED, {"POST", "PUT", "PATCH", "DELETE", "TRACE"}},
        {METHOD_UNKNOWN,
         {"G", "GE", "GETS", "get", "Get", "HEADS", "PROPFIND", "QUERY", "*", "post", "CONNECT1",
          "OPTION", "PATC", "!#$%&'*+-.^_`|~09azAZ"}},
        {METHOD_MALFORMED, {"", " ", "GET ", " GET", "GET\t", "GET:", "/GET", "G\001T", "G\377T"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (const char *const *text = rows[i].texts; *text != NULL; text++) {
            if (request_parse_method(*text) != rows[i].method)
                fail_msg("'%s' is method %d", *text, (int)request_parse_method(*text));
        }
    }
}

/* Expects the form of a target, and its path or NULL. */
static void expect_target(const char *target, enum target_form form, const char *path)
{
    char *copy = copy_bytes(target, strlen(target) + 1);
    const struct request_target parsed = request_parse_target(copy);

    if (parsed.form != form)
        fail_msg("'%s' has form %d, not %d", target, (int)parsed.form, (int)form);
    if ((parsed.path == NULL) != (path == NULL) || parsed.length != (path ? strlen(path) : 0) ||
        (path != NULL && memcmp(parsed.path, path, parsed.length) != 0))
        fail_msg("'%s' has path '%.*s', not '%s'", target, (int)parsed.length, parsed.path, path);
    free(copy);
}

static void targets_are_split_by_form(void **state)
{
    static const struct {
        const char *target;
        const char *path;
    } rows[] = {
        {"/", "/"},
        {"/version", "/version"},
        {"//host/a/b//c/", "//host/a/b//c/"},
        {"/./..", "/./.."},
        {"/version?", "/version"},
        {"/version?a=b&c", "/version"},
        {"/?/?", "/"},
        {"/a://b", "/a://b"},
        {"/%41%2F%fF%00?%41", "/%41%2F%fF%00"},
        {"http://example.org/version", "/version"},
        {"https://127.0.0.1:5000/version", "/version"},
        {"HttpS://[::1]:5000/version?a", "/version"},
        {"HTTP://h:80/a://b", "/a://b"},
        {"http://h:/", "/"},
        {"http://h", "/"},
        {"http://h:80", "/"},
        {"http://h?a=/b", "/"},
    };
    static const char *const authorities[] = {"example.org:443", "127.0.0.1:80", "[::1]:65535",
                                              "h:0"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_target(rows[i].target, TARGET_PATH, rows[i].path);
    for (size_t i = 0; i < COUNT_OF(authorities); i++)
        expect_target(authorities[i], TARGET_AUTHORITY, NULL);
    expect_target("*", TARGET_ASTERISK, NULL);
    assert_ptr_equal(request_parse_target(rows[1].target).path, rows[1].target);
}

static void other_targets_are_malformed(void **state)
{
    static const char *const targets[][20] = {
        {"", " ", "?a", "**", "*/", "*?a", " /", "/#a", "/?#a", "h1", "version", "version/a"},
        {":80", "h:", "h:a", "h:80/", "u@h:80", "a:b:c", "h:80:80", "h:65536", "[::1]", "[::1]:"},
        {"://h/", "s://h/", "ftp://h/", "htt://h/", "httqs://h/", "httx://h/", "httpz://h/"},
        {"xhttp://h/", "httpsx://h/", "http:/h/", "http:h", "http:/a/b://c", "https:/a/b://c"},
        {"http://", "http:///a", "http://?a", "http://:80/", "http://u@h/", "http://h:x/"},
        {"http://h,i/", "http://h /", "http://[::1/", "http://h#/", "http://h%41/", "/?http://["},
    };
    static const char *const escapes[] = {"%",   "%4",    "%g0", "%0g", "%%41", "%4%41",    "%-1",
                                          "% 1", "%41%4", "%:0", "%@0", "%`0",  "%G0",      "%/0",
                                          "%0/", "%0:",   "%0@", "%0`", "%0G",  "%\001\001"};
    static const char *const prefixes[] = {"/", "/a?", "http://h/", "http://h?"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        for (const char *const *target = targets[i]; *target != NULL; target++)
            expect_target(*target, TARGET_MALFORMED, NULL);
    }
    for (size_t i = 0; i < COUNT_OF(escapes) * COUNT_OF(prefixes); i++) {
        char target[32];

        (void)snprintf(target, sizeof target, "%s%s", prefixes[i % COUNT_OF(prefixes)],
                       escapes[i / COUNT_OF(prefixes)]);
        expect_target(target, TARGET_MALFORMED, NULL);
    }
}

static void targets_contain_only_bytes_of_a_uri(void **state)
{
    static const char *const prefixes[] = {"/", "/?a", "http://h/"};

    (void)state;
    for (int byte = 1; byte <= 0xff; byte++) {
        const bool is_allowed = strchr(PATH_BYTES "?", byte) != NULL;

        for (size_t i = 0; i < COUNT_OF(prefixes); i++) {
            char target[16];

            (void)snprintf(target, sizeof target, "%s%cb", prefixes[i], byte);
            if ((request_parse_target(target).form == TARGET_PATH) != is_allowed)
                fail_msg("byte 0x%02x after '%s'", (unsigned)byte, prefixes[i]);
        }
    }
}

static void each_form_fits_certain_methods(void **state)
{
    static const struct {
        enum method method;
        bool forms[TARGET_ASTERISK + 1];
    } rows[] = {
        {METHOD_GET, {[TARGET_PATH] = true}},
        {METHOD_HEAD, {[TARGET_PATH] = true}},
        {METHOD_OPTIONS, {[TARGET_PATH] = true, [TARGET_ASTERISK] = true}},
        {METHOD_CONNECT, {[TARGET_AUTHORITY] = true}},
        {METHOD_UNSERVED, {[TARGET_PATH] = true}},
        {METHOD_UNKNOWN, {[TARGET_PATH] = true}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (int form = TARGET_MALFORMED; form <= TARGET_ASTERISK; form++) {
            if (request_form_is_valid(rows[i].method, (enum target_form)form) !=
                rows[i].forms[form])
                fail_msg("method %d, form %d", (int)rows[i].method, form);
        }
    }
}

typedef bool check(const char *text, size_t length);

static void expect_result(check *function, bool expected, const char *text, size_t length)
{
    char *copy = copy_bytes(text, length);

    if (function(copy, length) != expected)
        fail_msg("'%.*s' is %s", (int)length, text, expected ? "rejected" : "accepted");
    free(copy);
}

/* Texts that are all valid or all invalid. */
struct row {
    bool expected;
    const char *texts[16];
};

static void expect_results(check *function, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (const char *const *text = rows[i].texts; *text != NULL; text++)
            expect_result(function, rows[i].expected, *text, strlen(*text));
    }
}

static void hosts_are_names_or_addresses_with_an_optional_port(void **state)
{
    static const struct row rows[] = {
        {true, {"h", "1", "example.org", "example.org.", "EXAMPLE.ORG", "a-b_c~d.e", "127.0.0.1"}},
        {true, {"h:", "h:0", "h:80", "h:65535", "h:00080", "127.0.0.1:5000", "[::1]:5000"}},
        {true, {"[::]", "[::1]:", "[::ffff:127.0.0.1]:80", "[2001:DB8::8a2e:370:7334]:65535"}},
        {false, {"", " ", ":", ":80", " h", "a b", "a,b", "h:80,h:80", "u@h", "u:p@h"}},
        {false, {"http://h", "h:80 ", "h: 80", "h:+80", "h:-1", "h:a", "h:8a", "h:0x50"}},
        {false, {"h:65536", "h:99999", "h:655350", "h:4294967376", "h:18446744073709551696"}},
        {false, {"h:80:80", "h::80", "::1", "[", "]", "[]", "[]:80", "[::1", "::1]", "[::1]80"}},
        {false, {"[::1]]", "[::1]:80:80", "[::1]:65536", "[[::1]]", "[h]", "[127.0.0.1]"}},
        {false, {"[::g]", "[::1%lo]", "[::1%25lo]", "[v1.a]"}},
    };
    char longest[263];

    (void)state;
    expect_results(request_host_is_valid, rows, COUNT_OF(rows));
    expect_result(request_host_is_valid, true, "h/", 1);
    expect_result(request_host_is_valid, true, "[::1]x", 5);
    expect_result(request_host_is_valid, false, "[::1]", 4);
    expect_result(request_host_is_valid, false, "h:\0", 3);
    expect_result(request_host_is_valid, false, "[::1\0]", 6);
    memset(longest, 'a', sizeof longest);
    expect_result(request_host_is_valid, true, longest, sizeof longest - 1);
    expect_result(request_host_is_valid, false, longest, sizeof longest);
    for (int byte = 0; byte <= 0xff; byte++) {
        const char host[] = {'h', (char)byte};
        const bool is_valid = byte != 0 && strchr(ALPHANUMERIC "-._~:", byte) != NULL;

        expect_result(request_host_is_valid, is_valid, host, sizeof host);
    }
}

static void header_names_are_tokens_and_values_have_no_control_characters(void **state)
{
    (void)state;
    for (int byte = 0; byte <= 0xff; byte++) {
        const char text[] = {'a', (char)byte, 'b'};
        const bool is_token = byte != 0 && strchr(ALPHANUMERIC "!#$%&'*+-.^_`|~", byte) != NULL;
        const bool is_text = byte == '\t' || (byte >= ' ' && byte != 0x7f);

        assert_int_equal(request_field_is_valid(text, 3, "v", 1), is_token);
        assert_int_equal(request_field_is_valid(text, 2, "v", 1), is_token);
        assert_int_equal(request_field_is_valid("Name", 4, text, 3), is_text);
        assert_true(request_field_is_valid("Name", 4, text, 1));
    }
    assert_false(request_field_is_valid("", 0, "v", 1));
    assert_true(request_field_is_valid("Name", 4, "\n", 0));
}

static void content_length_is_zero_if_all_digits_are(void **state)
{
    static const struct row rows[] = {{true, {"0", "0000"}}, {false, {"", "0001", "10", "0x"}}};

    (void)state;
    expect_results(request_length_is_zero, rows, COUNT_OF(rows));
    expect_result(request_length_is_zero, true, "0001", 3);
    expect_result(request_length_is_zero, false, "0\0", 2);
}

static void only_the_expectation_100_continue_is_known(void **state)
{
    static const struct row rows[] = {
        {true, {"", ",", "100-continue", "100-CONTINUE , 100-continue", " ,\t, 100-Continue\t,"}},
        {false,
         {"a", "100-continu", "100-continues", "x100-continue", "100-continue 100-continue"}},
        {false, {"100-continue;a", "100-continue=a", "100-continue,a", "a,100-continue"}},
    };

    (void)state;
    expect_results(request_expectation_is_known, rows, COUNT_OF(rows));
    expect_result(request_expectation_is_known, true, "100-continues", strlen("100-continue"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_are_case_sensitive_tokens),
        cmocka_unit_test(targets_are_split_by_form),
        cmocka_unit_test(other_targets_are_malformed),
        cmocka_unit_test(targets_contain_only_bytes_of_a_uri),
        cmocka_unit_test(each_form_fits_certain_methods),
        cmocka_unit_test(hosts_are_names_or_addresses_with_an_optional_port),
        cmocka_unit_test(header_names_are_tokens_and_values_have_no_control_characters),
        cmocka_unit_test(content_length_is_zero_if_all_digits_are),
        cmocka_unit_test(only_the_expectation_100_continue_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
