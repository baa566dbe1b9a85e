#include "request.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* Letters and digits, which most bytes are, are found by their ranges: strspn() with a set of them
 * takes a third of the time of a request. */
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

/* How many bytes at the start of a text are of a kind; its NUL is of none. */
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

static bool is_hex_digit(char byte)
{
    return is_digit(byte) || is_one_of(byte, "abcdefABCDEF");
}

/* True when every '%' in the text is followed by two hex digits (RFC 3986, section 2.1). */
static bool escapes_are_valid(const char *text)
{
    for (text = strchr(text, '%'); text != NULL; text = strchr(text + 1, '%')) {
        if (!is_hex_digit(text[1]) || !is_hex_digit(text[2]))
            return false;
    }
    return true;
}

/* Takes apart what begins with a path: "/…", or nothing or a query after an authority. */
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

/* Takes apart "host:port". CONNECT to an empty port must be refused (RFC 9110, section 9.3.6). */
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

/* The length of the host at the start of `value`, a copy of a Host field; 0 when there is none. */
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

/* A part of a text. */
struct span {
    const char *at;
    size_t length;
};

/* Takes the part up to `separator` off the begin of a text; white space around it is not in it. */
static struct span take_part(struct span *text, char separator)
{
    const char *end = memchr(text->at, separator, text->length);
    struct span part = {text->at, end == NULL ? text->length : (size_t)(end - text->at)};
    const size_t used = end == NULL ? text->length : part.length + 1;

    text->at += used;
    text->length -= used;
    while (part.length > 0 && (part.at[0] == ' ' || part.at[0] == '\t')) {
        part.at++;
        part.length--;
    }
    while (part.length > 0 && (part.at[part.length - 1] == ' ' || part.at[part.length - 1] == '\t'))
        part.length--;
    return part;
}

static bool is_word(struct span part, const char *word)
{
    return part.length == strlen(word) && strncasecmp(part.at, word, part.length) == 0;
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
    struct span list = {value, length};

    while (list.length > 0) {
        const struct span element = take_part(&list, ',');

        if (element.length > 0 && !is_word(element, "100-continue"))
            return false;
    }
    return true;
}

/* The weight that the parameters of a media type say, in thousandths: "q=0.5" is 500, none 1000
 * (RFC 9110, section 12.4.2). */
static unsigned find_weight(struct span parameters)
{
    while (parameters.length > 0) {
        const struct span part = take_part(&parameters, ';');
        unsigned weight = 0;
        unsigned unit = 100;

        if (part.length < 3 || strncasecmp(part.at, "q=", 2) != 0)
            continue;
        if (part.at[2] == '1')
            return 1000;
        for (size_t i = 4; i < part.length && is_digit(part.at[i]); i++) {
            weight += unit * (unsigned)(part.at[i] - '0');
            unit /= 10;
        }
        return weight;
    }
    return 1000;
}

void request_read_accept(struct request_weights *weights, const char *value, size_t length)
{
    struct span list = {value, length};

    while (list.length > 0) {
        struct span element = take_part(&list, ',');
        const struct span type = take_part(&element, ';');

        if (is_word(type, "application/openmetrics-text") &&
            find_weight(element) > weights->openmetrics)
            weights->openmetrics = find_weight(element);
        else if (is_word(type, "text/plain") && find_weight(element) > weights->text)
            weights->text = find_weight(element);
    }
}

bool request_prefers_openmetrics(const struct request_weights *weights)
{
    return weights->openmetrics > 0 && weights->openmetrics >= weights->text;
}
