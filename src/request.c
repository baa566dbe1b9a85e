#include "request.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* Compares ranges, because strspn() with a set of letters and digits takes a third of the time of a
 * request. */
static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_alphanumeric(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || is_digit(byte);
}

static bool is_one_of(char byte, const char *set)
{
    return byte != '\0' && strchr(set, byte) != NULL;
}

/* RFC 3986, section 2.3, and section 3.3 with the '%' of escapes. */
static bool is_unreserved(char byte)
{
    return is_alphanumeric(byte) || is_one_of(byte, "-._~");
}

static bool is_path_byte(char byte)
{
    return is_alphanumeric(byte) || is_one_of(byte, "/-._~!$&'()*+,;=:@%");
}

static bool is_query_byte(char byte)
{
    return byte == '?' || is_path_byte(byte);
}

/* RFC 9110, section 5.6.2. */
static bool is_token_byte(char byte)
{
    return is_alphanumeric(byte) || is_one_of(byte, "!#$%&'*+-.^_`|~");
}

/* Returns the number of leading bytes for which `is_kind` is true; it must be false for NUL. */
static size_t span(const char *text, bool (*is_kind)(char))
{
    size_t length = 0;

    while (is_kind(text[length]))
        length++;
    return length;
}

enum method request_parse_method(const char *text)
{
    static const struct {
        const char *token;
        enum method method;
    } methods[] = {
        {"GET", METHOD_GET},         {"HEAD", METHOD_HEAD},       {"OPTIONS", METHOD_OPTIONS},
        {"CONNECT", METHOD_CONNECT}, {"POST", METHOD_UNSERVED},   {"PUT", METHOD_UNSERVED},
        {"PATCH", METHOD_UNSERVED},  {"DELETE", METHOD_UNSERVED}, {"TRACE", METHOD_UNSERVED},
    };

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(text, methods[i].token) == 0)
            return methods[i].method;
    }
    if (text[0] == '\0' || text[span(text, is_token_byte)] != '\0')
        return METHOD_MALFORMED;
    return METHOD_UNKNOWN;
}

/* Returns true if every '%' in the text is followed by two hex digits (RFC 3986, section 2.1). */
static bool escapes_are_valid(const char *text)
{
    for (text = strchr(text, '%'); text != NULL; text = strchr(text + 1, '%')) {
        if (!isxdigit((unsigned char)text[1]) || !isxdigit((unsigned char)text[2]))
            return false;
    }
    return true;
}

/* Splits a text that starts with a path: "/…", or an empty path or a query after an authority. */
static struct request_target parse_path(const char *text)
{
    const size_t path = span(text, is_path_byte);
    const size_t query = text[path] == '?' ? span(text + path, is_query_byte) : 0;

    if (text[path + query] != '\0' || !escapes_are_valid(text))
        return (struct request_target){.form = TARGET_MALFORMED};
    if (path == 0) /* RFC 9110, section 4.2.3: an empty path is "/" */
        return (struct request_target){.form = TARGET_PATH, .path = "/", .length = 1};
    return (struct request_target){.form = TARGET_PATH, .path = text, .length = path};
}

/* Splits "http://host/path", which a server must accept (RFC 9112, section 3.2.2). */
static struct request_target parse_absolute(const char *text)
{
    size_t scheme = 0;
    size_t length = 0;

    if (strncasecmp(text, "http://", 7) == 0)
        scheme = 7;
    else if (strncasecmp(text, "https://", 8) == 0)
        scheme = 8;
    length = strcspn(text + scheme, "/?#");
    if (scheme == 0 || !request_host_is_valid(text + scheme, length))
        return (struct request_target){.form = TARGET_MALFORMED};
    return parse_path(text + scheme + length);
}

/* Splits "host:port". CONNECT to an empty port must be refused (RFC 9110, section 9.3.6). */
static struct request_target parse_authority(const char *text)
{
    const size_t length = strlen(text);

    if (length == 0 || !is_digit(text[length - 1]) || strchr(text, ':') == NULL ||
        !request_host_is_valid(text, length))
        return (struct request_target){.form = TARGET_MALFORMED};
    return (struct request_target){.form = TARGET_AUTHORITY};
}

struct request_target request_parse_target(const char *target)
{
    if (target[0] == '/')
        return parse_path(target);
    if (strcmp(target, "*") == 0)
        return (struct request_target){.form = TARGET_ASTERISK};
    if (strstr(target, "://") != NULL)
        return parse_absolute(target);
    return parse_authority(target);
}

bool request_form_is_valid(enum method method, enum target_form form)
{
    if (form == TARGET_MALFORMED)
        return false;
    if (method == METHOD_CONNECT || form == TARGET_AUTHORITY)
        return method == METHOD_CONNECT && form == TARGET_AUTHORITY;
    return form == TARGET_PATH || method == METHOD_OPTIONS;
}

/* Returns the length of the host at the start of `value`, a Host header; 0 if there is none.
 * Modifies `value` during the call. */
static size_t host_length(char *value)
{
    struct in6_addr address;
    char *end = NULL;
    int result = 0;

    if (value[0] != '[')
        return span(value, is_unreserved);
    end = strchr(value, ']');
    if (end == NULL)
        return 0;
    *end = '\0';
    result = inet_pton(AF_INET6, value + 1, &address);
    *end = ']';
    return result == 1 ? (size_t)(end - value) + 1 : 0;
}

bool request_host_is_valid(const char *value, size_t length)
{
    char copy[256 + sizeof ":65535"];
    size_t host = 0;
    unsigned port = 0;

    if (length >= sizeof copy || memchr(value, '\0', length) != NULL)
        return false;
    memcpy(copy, value, length);
    copy[length] = '\0';
    host = host_length(copy);
    if (host == 0)
        return false;
    if (copy[host] == '\0')
        return true;
    if (copy[host] != ':' || span(copy + host + 1, is_digit) != length - host - 1)
        return false;
    for (const char *at = copy + host + 1; *at != '\0' && port <= 65535; at++)
        port = port * 10 + (unsigned)(*at - '0');
    return port <= 65535;
}

bool request_field_is_valid(const char *name, size_t name_length, const char *value,
                            size_t value_length)
{
    if (name_length == 0)
        return false;
    for (size_t i = 0; i < name_length; i++) {
        if (!is_token_byte(name[i]))
            return false;
    }
    for (size_t i = 0; i < value_length; i++) {
        const unsigned char byte = (unsigned char)value[i];

        if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
            return false;
    }
    return true;
}

bool request_length_is_zero(const char *value, size_t length)
{
    size_t zeros = 0;

    while (zeros < length && value[zeros] == '0')
        zeros++;
    return zeros > 0 && zeros == length;
}

bool request_expectation_is_known(const char *value, size_t length)
{
    static const char known[] = "100-continue";
    size_t at = 0;

    while (at < length) {
        if (is_one_of(value[at], ", \t")) {
            at++;
            continue;
        }
        if (length - at < strlen(known) || strncasecmp(value + at, known, strlen(known)) != 0)
            return false;
        at += strlen(known);
        while (at < length && is_one_of(value[at], " \t"))
            at++;
        if (at < length && value[at] != ',')
            return false;
    }
    return true;
}
