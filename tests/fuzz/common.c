#include "fuzz.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fuzz_fail(const char *what)
{
    (void)fprintf(stderr, "expected: %s\n", what);
    abort();
}

char *fuzz_text(const void *data, size_t size)
{
    char *text = malloc(size + 1);

    expect(text != NULL, "memory");
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

char *fuzz_bytes(const void *data, size_t size)
{
    char *bytes = malloc(size > 0 ? size : 1);

    expect(bytes != NULL, "memory");
    if (size > 0)
        memcpy(bytes, data, size);
    return bytes;
}

char *fuzz_take_text(const uint8_t **data, size_t *size)
{
    const uint8_t *end = *size > 0 ? memchr(*data, '\0', *size) : NULL;
    const size_t length = end != NULL ? (size_t)(end - *data) : *size;
    const size_t used = end != NULL ? length + 1 : length;
    char *text = fuzz_text(*data, length);

    if (used > 0) {
        *data += used;
        *size -= used;
    }
    return text;
}

uint32_t fuzz_take_number(const uint8_t **data, size_t *size)
{
    uint32_t number = 0;

    for (int i = 0; i < 4; i++) {
        number = number << 8 | (*size > 0 ? **data : 0U);
        if (*size > 0) {
            (*data)++;
            (*size)--;
        }
    }
    return number;
}

bool fuzz_matches(struct fuzz_pattern *pattern, const char *text)
{
    if (!pattern->is_ready) {
        expect(regcomp(&pattern->compiled, pattern->expression, REG_EXTENDED | REG_NOSUB) == 0,
               "a regular expression");
        pattern->is_ready = true;
    }
    return regexec(&pattern->compiled, text, 0, NULL, 0) == 0;
}

bool fuzz_is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < 0x20 || *text > 0x7e)
            return false;
    }
    return true;
}

/* Passes one character of a string, or an escape. Returns what comes after it, or NULL. */
static const char *skip_character(const char *at, bool utf8)
{
    const unsigned char byte = (unsigned char)*at;

    if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !utf8))
        return NULL;
    if (byte != '\\')
        return at + 1;
    if (at[1] == '\0' || strchr("\"\\/bfnrtu", at[1]) == NULL)
        return NULL;
    if (at[1] != 'u')
        return at + 2;
    for (int i = 2; i < 6; i++) {
        if (!isxdigit((unsigned char)at[i]))
            return NULL;
    }
    return at + 6;
}

/* Passes a string with its quotes. Returns what comes after it, or NULL. */
static const char *skip_string(const char *at, bool utf8)
{
    if (*at != '"')
        return NULL;
    for (at++; at != NULL && *at != '"';)
        at = skip_character(at, utf8);
    return at == NULL ? NULL : at + 1;
}

/* Passes a string or a whole number. Returns what comes after it, or NULL. */
static const char *skip_value(const char *at, bool utf8)
{
    size_t digits = 0;

    if (*at == '"')
        return skip_string(at, utf8);
    if (*at == '-')
        at++;
    digits = strspn(at, "0123456789");
    return digits == 0 || (at[0] == '0' && digits > 1) ? NULL : at + digits;
}

int fuzz_read_object(const char *line, bool utf8)
{
    const char *at = line;
    int count = 0;

    do {
        if (*at != (count == 0 ? '{' : ','))
            return -1;
        at = skip_string(at + 1, utf8);
        if (at == NULL || *at != ':')
            return -1;
        at = skip_value(at + 1, utf8);
        if (at == NULL)
            return -1;
        count++;
    } while (*at != '}');
    return strcmp(at, "}\n") == 0 ? count : -1;
}

const char *fuzz_find_member(const char *line, const char *name, size_t *length)
{
    const char *at = line;

    while (*at != '}') {
        const char *end = skip_string(at + 1, true);
        const char *value = end + 1;
        const bool is_wanted =
            (size_t)(end - at) == strlen(name) + 3 && memcmp(at + 2, name, strlen(name)) == 0;

        at = skip_value(value, true);
        if (is_wanted) {
            *length = (size_t)(at - value);
            return value;
        }
    }
    return NULL;
}
