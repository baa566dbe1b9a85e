/* Validates the parts of a request that libmicrohttpd does not check. Pure functions, independent
 * of libmicrohttpd. */
#ifndef VERSIOND_REQUEST_H
#define VERSIOND_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

/* Bits, so that a route can list the methods that it allows. METHOD_UNSERVED stands for the
 * standard methods (RFC 9110, section 9.3, and PATCH, RFC 5789) that no route allows,
 * METHOD_UNKNOWN for any other token, METHOD_MALFORMED for anything that is not a token. */
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
    TARGET_AUTHORITY, /* a host, a colon and a port, for CONNECT only */
    TARGET_ASTERISK,  /* "*", the server as a whole, for OPTIONS only */
};

struct request_target {
    enum target_form form;
    const char *path; /* points into the parsed text, or to "/" if that has none; else NULL */
    size_t length;    /* of the path, without the query */
};

/* Returns the method that a text names. Methods are case-sensitive (RFC 9110, section 9.1). */
enum method request_parse_method(const char *text);

/* Splits a raw (undecoded) request target. Malformed are: any other form, a byte that is forbidden
 * in a URI, a '%' without two hex digits, a fragment, and in absolute-form a scheme other than http
 * and https or an authority that request_host_is_valid() rejects. */
struct request_target request_parse_target(const char *target);

/* Returns true if the form of the target fits the method: an authority requires CONNECT and vice
 * versa, "*" requires OPTIONS (RFC 9112, section 3.2). */
bool request_form_is_valid(enum method method, enum target_form form);

/* Returns true for a valid Host header (RFC 9110, section 7.2): a name of letters, digits and
 * -._~, or an IPv6 address in brackets, optionally followed by a port. At most 262 bytes: a DNS
 * name has up to 253. This is stricter than the grammar, which allows sub-delimiters and
 * percent-encoding in a name: no real host has them, and a comma means that a list was sent. */
bool request_host_is_valid(const char *value, size_t length);

/* Returns true if the name is a token and the value has no control character except HTAB (RFC 9110,
 * sections 5.1 and 5.5). */
bool request_field_is_valid(const char *name, size_t name_length, const char *value,
                            size_t value_length);

/* Returns true if a Content-Length header, which consists of digits, means zero. */
bool request_length_is_zero(const char *value, size_t length);

/* Returns true if an Expect header (RFC 9110, section 10.1.1), which is a list, contains nothing
 * but 100-continue. */
bool request_expectation_is_known(const char *value, size_t length);

#endif
