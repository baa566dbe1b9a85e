/* Input: a letter for the kind of the rest: 't' a target, 'h' the value of a Host header, 'f' the
 * name and the value of a header, separated by a NUL, 'm' a method, 'r' a base path and a path,
 * separated by a NUL. Expected: see each function. Bytes with a length have no NUL at the end, so
 * that a sanitizer reports reads beyond them. */
#include "request.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fuzz.h"
#include "parse.h"
#include "routes.h"

/* Expects the same path if a scheme and a host precede the target. */
static void judge_absolute(const char *origin, const struct request_target *expected,
                           const char *before)
{
    const size_t size = strlen(before) + strlen(origin) + 1;
    char *text = malloc(size);
    struct request_target target;

    expect(text != NULL, "memory");
    (void)snprintf(text, size, "%s%s", before, origin);
    target = request_parse_target(text);
    expect(target.form == expected->form, "the same form");
    expect(target.length == expected->length, "the same path");
    expect(target.form != TARGET_PATH || target.path == text + strlen(before),
           "a path within the text");
    free(text);
}

/* Expects a path that lies within the text, starts with '/' and ends before the query, in a target
 * of allowed bytes. */
static void judge_path(const char *text, const struct request_target *target)
{
    static struct fuzz_pattern uri = {
        .expression = "^(https?://[^/?#]+)?(/([A-Za-z0-9/._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)?"
                      "([?]([A-Za-z0-9/?._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)?$"};
    char *lower = strdup(text);

    for (size_t i = 0; lower[i] != '\0' && lower[i] != '/'; i++)
        lower[i] = (char)tolower((unsigned char)lower[i]);
    expect(fuzz_matches(&uri, lower), "a target of RFC 9112, section 3.2");
    free(lower);
    expect(target->length > 0 && target->path[0] == '/', "a path");
    expect(memchr(target->path, '?', target->length) == NULL, "a path without its query");
    if (target->path < text || target->path >= text + strlen(text)) {
        expect(target->length == 1, "/ instead of a missing path");
        return;
    }
    expect(target->path + target->length <= text + strlen(text), "a path within the text");
    expect(strchr("?", target->path[target->length]) != NULL, "the whole path");
}

/* Expects the same form for a copy of the target, and each form with its methods only. */
static void judge_target(const char *text)
{
    const struct request_target target = request_parse_target(text);
    char *copy = strdup(text);
    const struct request_target again = request_parse_target(copy);

    expect(again.form == target.form && again.length == target.length, "the same when copied");
    free(copy);
    expect((target.path != NULL) == (target.form == TARGET_PATH), "a path in this form only");
    expect((target.form == TARGET_ASTERISK) == (strcmp(text, "*") == 0), "a single asterisk");
    if (target.form == TARGET_PATH)
        judge_path(text, &target);
    if (target.form == TARGET_AUTHORITY)
        expect(strchr(text, ':') != NULL && isdigit((unsigned char)text[strlen(text) - 1]) &&
                   request_host_is_valid(text, strlen(text)),
               "a host with a port");
    if (text[0] == '/') {
        judge_absolute(text, &target, "http://a");
        judge_absolute(text, &target, "HTTPS://[::1]:65535");
        judge_absolute(text, &target, "hTTp://a.example:80");
    }
    for (unsigned method = METHOD_UNKNOWN; method <= METHOD_UNSERVED;
         method = method * 2 + !method) {
        const bool expected = target.form != TARGET_MALFORMED &&
                              (method == METHOD_CONNECT) == (target.form == TARGET_AUTHORITY) &&
                              (target.form != TARGET_ASTERISK || method == METHOD_OPTIONS);

        expect(request_form_is_valid(method, target.form) == expected,
               "a form that the method allows");
    }
}

/* Expects a host to be accepted if it is a name or an IPv6 address with at most one port. */
static void judge_host(const char *value, size_t length)
{
    static struct fuzz_pattern host = {.expression =
                                           "^([A-Za-z0-9._~-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]*)?$"};
    char *text = strndup(value, length);
    char *colon = strrchr(text, ':');
    bool expected = strlen(text) == length && length <= 262 && fuzz_matches(&host, text);
    struct in6_addr address;

    if (expected && colon != NULL && strchr(colon, ']') == NULL) {
        expected = strtoul(colon + 1, NULL, 10) <= 65535;
        *colon = '\0';
    }
    if (expected && text[0] == '[') {
        text[strlen(text) - 1] = '\0';
        expected = inet_pton(AF_INET6, text + 1, &address) == 1;
    }
    expect(request_host_is_valid(value, length) == expected, "a name or an address");
    free(text);
}

static bool is_path(const char *path, size_t length, const char *prefix, const char *rest)
{
    char whole[PARSE_BASE_PATH_MAX + 64];
    const int size = snprintf(whole, sizeof whole, "%s%s", prefix, rest);

    return length == (size_t)size && memcmp(path, whole, length) == 0;
}

/* Expects a route to be found if the path equals its path, alone or after the base path. */
static void judge_route(const char *base_path, const char *path, size_t length)
{
    size_t count = 0;
    const struct route *routes = routes_all(&count);
    const struct route *expected = NULL;
    const bool has_base_path = parse_base_path(base_path);

    for (size_t i = 0; i < count; i++) {
        if (is_path(path, length, "", routes[i].path) ||
            (has_base_path && is_path(path, length, base_path, routes[i].path)))
            expected = &routes[i];
    }
    expect(routes_find(has_base_path ? base_path : NULL, path, length) == expected,
           "the route with this path");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t kind = size > 0 ? *data : 0;
    const uint8_t *rest = size > 0 ? data + 1 : data;
    size_t length = size > 0 ? size - 1 : 0;
    char *bytes = fuzz_bytes(rest, length);
    char *text = fuzz_take_text(&rest, &length);
    char *value = fuzz_bytes(rest, length);

    if (kind == 't')
        judge_target(text);
    else if (kind == 'h')
        judge_host(bytes, size - 1);
    else if (kind == 'r')
        judge_route(text, value, length);
    free(value);
    free(text);
    free(bytes);
    return 0;
}
