#include "build_info.h"

#include <stdio.h>
#include <string.h>

#include "escape.h"
#include "json.h"

#ifndef SOURCE_URL
#define SOURCE_URL NULL
#endif
#ifndef BUILD_URL
#define BUILD_URL NULL
#endif

#define DIGITS "0123456789"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

enum { NAME_MAX_LENGTH = 63, TEXT_MAX_LENGTH = 512 };

struct build_info build_info_get(void)
{
    return (struct build_info){
        .name = NAME,
        .version = VERSION,
        .commit = COMMIT,
        .description = DESCRIPTION,
        .build_date = BUILD_DATE,
        .source = SOURCE_URL,
        .build = BUILD_URL,
    };
}

static bool is_name(const char *text)
{
    const size_t length = strlen(text);

    return strspn(text, LOWER) > 0 && strspn(text, LOWER DIGITS "-") == length &&
           length <= NAME_MAX_LENGTH;
}

/* Skips a number without leading zeros. Returns a pointer to the rest, or NULL if there is none. */
static const char *skip_number(const char *text)
{
    const size_t length = strspn(text, DIGITS);

    return length == 0 || (length > 1 && text[0] == '0') ? NULL : text + length;
}

/* Skips dot-separated identifiers (SemVer 2.0.0, items 9 and 10). If `numbers_are_strict`, numeric
 * ones must not have leading zeros. Returns a pointer to the rest, or NULL if one is invalid. */
static const char *skip_identifiers(const char *text, bool numbers_are_strict)
{
    for (;;) {
        const size_t length = strspn(text, LOWER UPPER DIGITS "-");
        const bool is_number = strspn(text, DIGITS) == length;

        if (length == 0 || (numbers_are_strict && is_number && length > 1 && text[0] == '0'))
            return NULL;
        text += length;
        if (*text != '.')
            return text;
        text++;
    }
}

static bool is_semver(const char *text)
{
    const char *at = text;

    for (int i = 0; i < 3; i++) {
        at = skip_number(at);
        if (at == NULL || (i < 2 && *at != '.'))
            return false;
        if (i < 2)
            at++;
    }
    if (*at == '-')
        at = skip_identifiers(at + 1, true);
    if (at != NULL && *at == '+')
        at = skip_identifiers(at + 1, false);
    return at != NULL && *at == '\0' && at - text <= TEXT_MAX_LENGTH;
}

static bool is_commit(const char *text)
{
    return strcmp(text, "unknown") == 0 ||
           (strlen(text) == 40 && strspn(text, DIGITS "abcdef") == 40);
}

/* Returns the length of the UTF-8 character at `text`, or 0 if it is malformed or a control
 * character (RFC 3629, section 4: no overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t character_length(const unsigned char *text)
{
    static const struct {
        unsigned char first_low, first_high, second_low, second_high;
        size_t length;
    } forms[] = {
        {0xc2, 0xc2, 0xa0, 0xbf, 2}, {0xc3, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    if (text[0] < 0x80)
        return text[0] >= 0x20 && text[0] != 0x7f ? 1 : 0;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        size_t n = 2;

        if (text[0] < forms[i].first_low || text[0] > forms[i].first_high)
            continue;
        if (text[1] < forms[i].second_low || text[1] > forms[i].second_high)
            return 0;
        while (n < forms[i].length && text[n] >= 0x80 && text[n] <= 0xbf)
            n++;
        return n == forms[i].length ? n : 0;
    }
    return 0;
}

static bool is_description(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    while (*at != '\0') {
        const size_t length = character_length(at);

        if (length == 0)
            return false;
        at += length;
    }
    return at != (const unsigned char *)text && strlen(text) <= TEXT_MAX_LENGTH;
}

static int two_digits(const char *text)
{
    return (text[0] - '0') * 10 + (text[1] - '0');
}

/* Accepts only the form that the build writes. Commit times have no leap seconds. A month may have
 * 31 days: this detects other forms, not wrong dates. */
static bool is_date(const char *text)
{
    static const char form[] = "0000-00-00T00:00:00Z";

    for (size_t i = 0; i < sizeof form; i++) {
        const bool is_digit = text[i] >= '0' && text[i] <= '9';

        if (form[i] == '0' ? !is_digit : text[i] != form[i])
            return false;
    }
    return two_digits(text + 5) >= 1 && two_digits(text + 5) <= 12 && two_digits(text + 8) >= 1 &&
           two_digits(text + 8) <= 31 && two_digits(text + 11) <= 23 &&
           two_digits(text + 14) <= 59 && two_digits(text + 17) <= 59;
}

/* Accepts NULL, and URLs made of the characters that RFC 3986, section 2, allows. */
static bool is_url(const char *text)
{
    static const char allowed[] = UPPER LOWER DIGITS "-._~:/?#[]@!$&'()*+,;=%";
    size_t scheme = 0;

    if (text == NULL)
        return true;
    if (strncmp(text, "https://", 8) == 0)
        scheme = 8;
    else if (strncmp(text, "http://", 7) == 0)
        scheme = 7;
    return scheme > 0 && strspn(text + scheme, UPPER LOWER DIGITS "[") > 0 &&
           strspn(text, allowed) == strlen(text) && strlen(text) <= TEXT_MAX_LENGTH;
}

bool build_info_check(const struct build_info *info, char *error, size_t size)
{
    const struct {
        const char *macro;
        const char *value;
        bool (*is_valid)(const char *);
        const char *format;
    } rows[] = {
        {"NAME", info->name, is_name,
         "a lower-case letter, then at most 62 lower-case letters, digits and '-'"},
        {"VERSION", info->version, is_semver,
         "a SemVer 2.0.0 version without a leading 'v', such as 1.2.3 or 1.2.3-rc.1"},
        {"COMMIT", info->commit, is_commit, "40 lower-case hex digits"},
        {"DESCRIPTION", info->description, is_description,
         "1 to 512 bytes of UTF-8 without control characters"},
        {"BUILD_DATE", info->build_date, is_date, "a UTC time such as 2026-11-22T09:00:00Z"},
        {"SOURCE_URL", info->source, is_url, "an http or https URL of at most 512 bytes"},
        {"BUILD_URL", info->build, is_url, "an http or https URL of at most 512 bytes"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char shown[128];

        if (rows[i].is_valid(rows[i].value))
            continue;
        escape_bytes(shown, sizeof shown, rows[i].value, strlen(rows[i].value), ESCAPE_TEXT);
        (void)snprintf(error, size, "%s: '%s' is not %s", rows[i].macro, shown, rows[i].format);
        return false;
    }
    return true;
}

char *build_info_document(const struct build_info *info)
{
    struct json_field fields[7] = {
        {.name = "name", .text = info->name},
        {.name = "version", .text = info->version},
        {.name = "commit", .text = info->commit},
        {.name = "description", .text = info->description},
        {.name = "build_date", .text = info->build_date},
    };
    size_t count = 5;

    if (info->source != NULL)
        fields[count++] = (struct json_field){.name = "source", .text = info->source};
    if (info->build != NULL)
        fields[count++] = (struct json_field){.name = "build", .text = info->build};
    return json_object(fields, count);
}
