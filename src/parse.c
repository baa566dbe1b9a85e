#include "parse.h"

#include <stddef.h>
#include <string.h>

/* Parses the digits at the start of `text`. Returns a pointer to the rest, or NULL if there is no
 * digit, a leading zero or a number above UINT32_MAX. */
static const char *read_digits(const char *text, uint32_t *number)
{
    const size_t length = strspn(text, "0123456789");
    uint64_t value = 0;

    if (length == 0 || length > 10 || (text[0] == '0' && length > 1))
        return NULL;
    for (size_t i = 0; i < length; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    if (value > UINT32_MAX)
        return NULL;
    *number = (uint32_t)value;
    return text + length;
}

bool parse_number(const char *text, uint32_t lowest, uint32_t highest, uint32_t *number)
{
    uint32_t value = 0;
    const char *rest = read_digits(text, &value);

    if (rest == NULL || *rest != '\0' || value < lowest || value > highest)
        return false;
    *number = value;
    return true;
}

bool parse_duration(const char *text, uint32_t lowest, uint32_t highest, uint32_t *milliseconds)
{
    static const struct {
        const char *name;
        uint32_t milliseconds;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}};
    uint32_t count = 0;
    const char *unit = read_digits(text, &count);

    if (unit == NULL)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        const uint64_t value = (uint64_t)count * units[i].milliseconds;

        if (strcmp(unit, units[i].name) != 0)
            continue;
        if (value < lowest || value > highest)
            return false;
        *milliseconds = (uint32_t)value;
        return true;
    }
    return false;
}

/* Matches "." and ".." (`length` is not 0), which clients remove from a path before they send it.
 */
static bool is_dot_segment(const char *segment, size_t length)
{
    return length <= 2 && strncmp(segment, "..", length) == 0;
}

bool parse_base_path(const char *text)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-._~";
    const char *at = text;

    if (*at == '\0' || strlen(text) > PARSE_BASE_PATH_MAX)
        return false;
    while (*at == '/') {
        const size_t length = strspn(at + 1, unreserved);

        if (length == 0 || is_dot_segment(at + 1, length))
            return false;
        at += 1 + length;
    }
    return *at == '\0';
}
