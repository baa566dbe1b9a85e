#include "request.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define DIGITS "0123456789"
#define HEX DIGITS "abcdefABCDEF"
#define ALPHA "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define UNRESERVED ALPHA DIGITS "-._~"
#define PCHAR UNRESERVED "!$&'()*+,;=:@%"

enum method request_parse_method(const char *token)
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
        if (strcmp(token, methods[i].token) == 0)
            return methods[i].method;
    }
    return METHOD_UNKNOWN;
}

/* True when every '%' in the text is followed by two hex digits (RFC 3986, section 2.1). */
static bool escapes_are_valid(const char *text)
{
    for (text = strchr(text, '%'); text != NULL; text = strchr(text + 1, '%')) {
        if (text[1] == '\0' || text[2] == '\0' || strchr(HEX, text[1]) == NULL ||
            strchr(HEX, text[2]) == NULL)
            return false;
    }
    return true;
}

/* Takes apart what begins with a path: "/…", or nothing or a query after an authority. */
static struct request_target parse_path(const char *text)
{
    const size_t path = strspn(text, PCHAR "/");
    const size_t query = text[path] == '?' ? strspn(text + path, PCHAR "/?") : 0;

    if (text[path + query] != '\0' || !escapes_are_valid(text))
        return (struct request_target){.form = TARGET_MALFORMED};
    if (path == 0) /* RFC 9110, section 4.2.3: an empty path is "/" */
        return (struct request_target){.form = TARGET_PATH, .path = "/", .length = 1};
    return (struct request_target){.form = TARGET_PATH, .path = text, .length = path};
}

/* Takes apart "http://host/path", which a server must accept (RFC 9112, section 3.2.2). */
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

struct request_target request_parse_target(const char *target)
{
    if (target[0] == '/')
        return parse_path(target);
    if (strcmp(target, "*") == 0)
        return (struct request_target){.form = TARGET_ASTERISK};
    if (strstr(target, "://") != NULL)
        return parse_absolute(target);
    if (strchr(target, ':') != NULL && request_host_is_valid(target, strlen(target)))
        return (struct request_target){.form = TARGET_AUTHORITY};
    return (struct request_target){.form = TARGET_MALFORMED};
}

bool request_form_is_valid(enum method method, enum target_form form)
{
    if (form == TARGET_MALFORMED)
        return false;
    if (method == METHOD_CONNECT || form == TARGET_AUTHORITY)
        return method == METHOD_CONNECT && form == TARGET_AUTHORITY;
    return form == TARGET_PATH || method == METHOD_OPTIONS;
}

/* The length of the host at the start of `value`, a copy of a Host field; 0 when there is none. */
static size_t host_length(char *value)
{
    struct in6_addr address;
    char *end = NULL;
    int result = 0;

    if (value[0] != '[')
        return strspn(value, UNRESERVED);
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
    char copy[256 + sizeof ":65535"]; /* a name in DNS has at most 253 characters */
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
    if (copy[host] != ':' || strspn(copy + host + 1, DIGITS) != length - host - 1)
        return false;
    for (const char *at = copy + host + 1; *at != '\0' && port <= 65535; at++)
        port = port * 10 + (unsigned)(*at - '0');
    return port <= 65535;
}

bool request_field_is_valid(const char *name, size_t name_length, const char *value,
                            size_t value_length)
{
    static const char token[] = ALPHA DIGITS "!#$%&'*+-.^_`|~";

    if (name_length == 0)
        return false;
    for (size_t i = 0; i < name_length; i++) {
        if (name[i] == '\0' || strchr(token, name[i]) == NULL)
            return false;
    }
    for (size_t i = 0; i < value_length; i++) {
        const unsigned char byte = (unsigned char)value[i];

        if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
            return false;
    }
    return true;
}
