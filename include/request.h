/* Judges the parts of a request that libmicrohttpd lets through. Pure: knows no MHD. */
#ifndef VERSIOND_REQUEST_H
#define VERSIOND_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

/* Bits, so that a route can say which it takes. METHOD_UNSERVED are those that HTTP knows (RFC
 * 9110, section 9.3, and PATCH, RFC 5789) and no route takes; METHOD_UNKNOWN is any other token,
 * METHOD_MALFORMED what is no token. */
enum method {
    METHOD_UNKNOWN = 0,
    METHOD_GET = 1,
    METHOD_HEAD = 2,
    METHOD_OPTIONS = 4,
    METHOD_CONNECT = 8,
    METHOD_UNSERVED = 16,
    METHOD_MALFORMED = 32,
};

/* The forms of a request target (RFC 9112, section 3.2). */
enum target_form {
    TARGET_MALFORMED,
    TARGET_PATH,      /* origin-form or absolute-form */
    TARGET_AUTHORITY, /* a host, a colon and a port, for CONNECT alone */
    TARGET_ASTERISK,  /* "*", the server as a whole, for OPTIONS alone */
};

struct request_target {
    enum target_form form;
    const char *path; /* within the text that was parsed, or "/" where that has none; else NULL */
    size_t length;    /* of the path, without the query */
};

/* Finds the method that a text names; methods are case-sensitive (RFC 9110, section 9.1). */
enum method request_parse_method(const char *text);

/* Takes a request target apart, as it came, nothing decoded. Malformed are: another form, a byte
 * that a URI may not have, a '%' without two hex digits, a fragment, and in absolute-form a scheme
 * other than http and https or an authority that request_host_is_valid() refuses. */
struct request_target request_parse_target(const char *target);

/* True when the form of the target goes with the method: CONNECT and only it takes an authority,
 * "*" goes with OPTIONS only (RFC 9112, section 3.2). */
bool request_form_is_valid(enum method method, enum target_form form);

/* True for the value of a Host field (RFC 9110, section 7.2): a name of letters, digits and -._~,
 * or an IPv6 address in brackets, and after it at most one port. Stricter than the grammar, in
 * which a name may have sub-delimiters and percent-encoding: no host has them, and lists have
 * commas. At most 262 bytes: a name in DNS has 253. */
bool request_host_is_valid(const char *value, size_t length);

/* True when the name is a token and the value has no control character but HTAB (RFC 9110, sections
 * 5.1 and 5.5). */
bool request_field_is_valid(const char *name, size_t name_length, const char *value,
                            size_t value_length);

/* True for the value of a Content-Length field, which is digits, that says that there is none. */
bool request_length_is_zero(const char *value, size_t length);

/* True when the value of an Expect field (RFC 9110, section 10.1.1), a list, has nothing but
 * 100-continue. */
bool request_expectation_is_known(const char *value, size_t length);

/* The highest weights, in thousandths, that a client gives to the media types of metrics. */
struct request_weights {
    unsigned openmetrics;
    unsigned text;
};

/* Reads the value of an Accept field (RFC 9110, section 12.5.1) into `weights`, which begin as
 * zeros. Several fields are one list (section 5.3): each is read into the same. A malformed weight
 * is taken for the one that it begins with, else for 0. */
void request_read_accept(struct request_weights *weights, const char *value, size_t length);

/* True when OpenMetrics has a weight above 0 and not below that of text/plain. */
bool request_prefers_openmetrics(const struct request_weights *weights);

#endif
