/* Strict parsers for the values of settings. They accept no white space, sign or trailing garbage,
 * check for overflow and ignore the locale. */
#ifndef VERSIOND_PARSE_H
#define VERSIOND_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* Maximum length of a base path, excluding the NUL. */
enum { PARSE_BASE_PATH_MAX = 128 };

/* Parses a decimal integer from `lowest` to `highest`, inclusive. Rejects leading zeros, which
 * other programs interpret as octal. Returns false if invalid; `*number` is then unchanged. */
bool parse_number(const char *text, uint32_t lowest, uint32_t highest, uint32_t *number);

/* Parses a decimal integer with a unit (ms, s, m or h) into milliseconds from `lowest` to
 * `highest`, inclusive. Returns false if it is invalid; `*milliseconds` is then unchanged. */
bool parse_duration(const char *text, uint32_t lowest, uint32_t highest, uint32_t *milliseconds);

/* Returns true if `text` is a valid prefix of paths: it starts with '/', does not end with '/', has
 * at most PARSE_BASE_PATH_MAX bytes, and each segment consists of one or more unreserved characters
 * (RFC 3986, section 2.3) and is neither "." nor "..". */
bool parse_base_path(const char *text);

#endif
