/* Input: 't' and a request target, or 'h' and the value of a Host header. Expected: see each
 * function. The value has no NUL at the end, so that a sanitizer reports reads beyond it. */
#include "request.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fuzz.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *rest = data + 1;
    size_t length = size > 0 ? size - 1 : 0;
    char *text = NULL;

    if (size == 0)
        return 0;
    text = *data == 'h' ? fuzz_bytes(rest, length) : fuzz_take_text(&rest, &length);
    if (*data == 'h')
        judge_host(text, length);
    else if (*data == 't')
        judge_target(text);
    free(text);
    return 0;
}
