/* Input: a letter that says what the rest is: 't' a target, 'h' the value of a Host field, 'f' a
 * field, its name up to a NUL, 'a' the value of an Accept field, 'm' a method.
 * Expected: see each function. What has a length has no NUL behind it, so that reading on is seen.
 */
#include "request.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fuzz.h"

/* The same text behind a scheme and a host, as a proxy sends it, leads to the same path. */
static void judge_absolute(const char *origin, const struct request_target *wanted,
                           const char *before)
{
    const size_t size = strlen(before) + strlen(origin) + 1;
    char *text = malloc(size);
    struct request_target target;

    expect(text != NULL, "memory");
    (void)snprintf(text, size, "%s%s", before, origin);
    target = request_parse_target(text);
    expect(target.form == wanted->form, "absolute-form is as well-formed as origin-form");
    expect(target.length == wanted->length, "absolute-form has the same path");
    expect(target.form != TARGET_PATH || target.path == text + strlen(before),
           "the path lies within the text");
    free(text);
}

/* A path lies within the text, begins with '/', and has only bytes that a path may have; nothing
 * but a query follows it. */
static void judge_path(const char *text, const struct request_target *target)
{
    static struct fuzz_pattern uri = {
        .expression = "^(https?://[^/?#]+)?(/([A-Za-z0-9/._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)?"
                      "([?]([A-Za-z0-9/?._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)?$"};
    char *lower = fuzz_text(text, strlen(text));

    for (size_t i = 0; lower[i] != '\0' && lower[i] != '/'; i++)
        lower[i] = (char)tolower((unsigned char)lower[i]);
    expect(fuzz_matches(&uri, lower), "a target of RFC 9112, section 3.2");
    free(lower);
    expect(target->length > 0 && target->path[0] == '/', "a path");
    expect(memchr(target->path, '?', target->length) == NULL, "a path without its query");
    if (target->path < text || target->path >= text + strlen(text)) {
        expect(target->length == 1, "a path that is not there is /");
        return;
    }
    expect(target->path + target->length <= text + strlen(text), "a path within the text");
    expect(strchr("?", target->path[target->length]) != NULL, "all of the path");
}

/* A target has one form, and the same wherever it lies in memory. */
static void judge_target(const char *text)
{
    const struct request_target target = request_parse_target(text);
    char *copy = fuzz_text(text, strlen(text));
    const struct request_target again = request_parse_target(copy);

    expect(again.form == target.form && again.length == target.length, "the same when copied");
    free(copy);
    expect((target.path != NULL) == (target.form == TARGET_PATH), "only that form has a path");
    expect((target.form == TARGET_ASTERISK) == (strcmp(text, "*") == 0), "an asterisk alone");
    if (target.form == TARGET_PATH)
        judge_path(text, &target);
    if (target.form == TARGET_AUTHORITY)
        expect(strchr(text, ':') != NULL && isdigit((unsigned char)text[strlen(text) - 1]) &&
                   request_host_is_valid(text, strlen(text)),
               "an authority is a host with a port");
    if (text[0] == '/') {
        judge_absolute(text, &target, "http://a");
        judge_absolute(text, &target, "HTTPS://[::1]:65535");
        judge_absolute(text, &target, "hTTp://a.example:80");
    }
    for (unsigned method = METHOD_UNKNOWN; method <= METHOD_UNSERVED;
         method = method * 2 + !method) {
        const bool wanted = target.form != TARGET_MALFORMED &&
                            (method == METHOD_CONNECT) == (target.form == TARGET_AUTHORITY) &&
                            (target.form != TARGET_ASTERISK || method == METHOD_OPTIONS);

        expect(request_form_is_valid(method, target.form) == wanted, "a form goes with a method");
    }
}

/* A host is a name or an IPv6 address, then at most one port. */
static void judge_host(const char *value, size_t length)
{
    static struct fuzz_pattern host = {.expression =
                                           "^([A-Za-z0-9._~-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]*)?$"};
    char *text = fuzz_text(value, length);
    char *colon = strrchr(text, ':');
    bool wanted = strlen(text) == length && length <= 262 && fuzz_matches(&host, text);
    struct in6_addr address;

    if (wanted && colon != NULL && strchr(colon, ']') == NULL) {
        wanted = strtoul(colon + 1, NULL, 10) <= 65535;
        *colon = '\0';
    }
    if (wanted && text[0] == '[') {
        text[strlen(text) - 1] = '\0';
        wanted = inet_pton(AF_INET6, text + 1, &address) == 1;
    }
    expect(request_host_is_valid(value, length) == wanted, "a host is a name or an address");
    free(text);
}

/* A field has a token for its name and no control character but a tab in its value. */
static void judge_field(const char *name, const char *value, size_t length)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    bool wanted = name[0] != '\0' && strspn(name, token) == strlen(name);

    for (size_t i = 0; i < length; i++)
        wanted = wanted && (value[i] == '\t' || !iscntrl((unsigned char)value[i]));
    expect(request_field_is_valid(name, strlen(name), value, length) == wanted,
           "a field of RFC 9110, section 5");
}

/* What a value and a second field say. */
static bool prefers(const char *value, size_t length, const char *more)
{
    struct request_weights weights = {0};

    request_read_accept(&weights, value, length);
    request_read_accept(&weights, more, strlen(more));
    return request_prefers_openmetrics(&weights);
}

/* What both say as one list. */
static bool prefers_joined(const char *value, size_t length, const char *more)
{
    char *list = malloc(length + strlen(more) + 1);
    bool result = false;

    expect(list != NULL, "memory");
    memcpy(list, value, length);
    list[length] = ',';
    memcpy(list + length + 1, more, strlen(more));
    result = prefers(list, length + strlen(more) + 1, "");
    free(list);
    return result;
}

/* Who does not name OpenMetrics does not get it; who names it with all the weight there is does;
 * another type, an empty element and a type with no weight change nothing. Two fields are one list.
 */
static void judge_accept(const char *value, size_t length)
{
    static const char *const neutral[] = {"text/html", " ,", "text/plain;q=0", ""};
    static const char most[] = "Application/OpenMetrics-Text;version=1.0.0;q=1";
    const bool result = prefers(value, length, "");
    char *text = fuzz_text(value, length);

    if (strlen(text) == length && strcasestr(text, "application/openmetrics-text") == NULL)
        expect(!result, "only who names it gets it");
    free(text);
    expect(prefers(value, length, most), "who wants it most gets it");
    expect(prefers_joined(value, length, most), "who wants it most gets it");
    for (size_t i = 0; i < sizeof neutral / sizeof *neutral; i++) {
        expect(prefers(value, length, neutral[i]) == result, "another type changes nothing");
        expect(prefers_joined(value, length, neutral[i]) == result, "two fields are one list");
    }
}

/* A method is known when it is one of those of RFC 9110 and 5789, in capitals, and malformed when
 * it is no token. */
static void judge_method(const char *text)
{
    static struct fuzz_pattern served = {.expression = "^(GET|HEAD|OPTIONS|CONNECT)$"};
    static struct fuzz_pattern unserved = {.expression = "^(POST|PUT|PATCH|DELETE|TRACE)$"};
    static struct fuzz_pattern token = {.expression = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"};
    const enum method method = request_parse_method(text);

    expect((method == METHOD_UNSERVED) == fuzz_matches(&unserved, text), "a method not served");
    expect((method == METHOD_MALFORMED) != fuzz_matches(&token, text), "a token");
    expect((method != METHOD_UNSERVED && method != METHOD_MALFORMED && method != METHOD_UNKNOWN) ==
               fuzz_matches(&served, text),
           "a known method");
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
    else if (kind == 'f')
        judge_field(text, value, length);
    else if (kind == 'a')
        judge_accept(bytes, size - 1);
    else if (kind == 'm')
        judge_method(text);
    free(value);
    free(text);
    free(bytes);
    return 0;
}
