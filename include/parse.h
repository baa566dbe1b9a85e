/* Strict, pure parsers for the values of settings: no locale, no white space, no sign, no overflow,
 * no trailing garbage. */
#ifndef VERSIOND_PARSE_H
#define VERSIOND_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* The longest base path, in bytes, without the NUL. */
enum { PARSE_BASE_PATH_MAX = 128 };

/* Reads a decimal whole number from `lowest` to `highest`, both allowed. Leading zeros are refused:
 * other programs read them as octal. Returns false, and leaves `*number` alone, on anything else.
 */
bool parse_number(const char *text, uint32_t lowest, uint32_t highest, uint32_t *number);

/* Reads a whole number with one of the units ms, s, m or h, and gives milliseconds, from `lowest`
 * to `highest`, both allowed. Returns false, and leaves `*milliseconds` alone, on anything else. */
bool parse_duration(const char *text, uint32_t lowest, uint32_t highest, uint32_t *milliseconds);

/* True when `text` can stand in front of every path: it begins with '/', does not end with one, has
 * at most PARSE_BASE_PATH_MAX bytes, and each segment is one or more unreserved characters
 * (RFC 3986, section 2.3) other than "." and "..". */
bool parse_base_path(const char *text);

#endif
