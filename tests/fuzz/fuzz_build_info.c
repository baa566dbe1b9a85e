/* Input: seven NUL-terminated texts: name, version, commit, description, date, source, build. A
 * missing one is valid, and "-" stands for no URL. Expected: values are accepted if and only if
 * regular expressions accept them. The first wrong value is named in one printable line that fits
 * the buffer. With accepted values, the document is one line of JSON, and the page and the badge
 * have the same markup as with harmless values. */
#include "build_info.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "fuzz.h"
#include "page.h"

enum { VALUES = 7, TEXT_MAX = 512 };

static const char *const VALID[VALUES] = {
    "a", "1.2.3", "unknown", "a", "2026-11-22T09:00:00Z", "https://a/b", "http://a/b"};

#define NUMBER "(0|[1-9][0-9]*)"
#define WORD "[0-9]*[A-Za-z-][0-9A-Za-z-]*"
#define IDENTIFIERS "(" NUMBER "|" WORD ")([.](" NUMBER "|" WORD "))*"
#define URL "^https?://[][A-Za-z0-9._~:/?#@!$&'()*+,;=%-]+$"

/* Well-formed UTF-8 (RFC 3629, section 4) without control characters. */
#define TAIL "[\x80-\xbf]"
#define TEXT                                                                                       \
    "[ -~]|\xc2[\xa0-\xbf]|[\xc3-\xdf]" TAIL "|\xe0[\xa0-\xbf]" TAIL                               \
    "|[\xe1-\xec\xee\xef]" TAIL TAIL "|\xed[\x80-\x9f]" TAIL "|\xf0[\x90-\xbf]" TAIL TAIL          \
    "|[\xf1-\xf3]" TAIL TAIL TAIL "|\xf4[\x80-\x8f]" TAIL TAIL

static struct fuzz_pattern patterns[VALUES] = {
    {.expression = "^[a-z][a-z0-9-]{0,62}$"},
    {.expression = "^" NUMBER "[.]" NUMBER "[.]" NUMBER "(-" IDENTIFIERS ")?"
                   "([+][0-9A-Za-z-]+([.][0-9A-Za-z-]+)*)?$"},
    {.expression = "^([0-9a-f]{40}|unknown)$"},
    {.expression = "^(" TEXT ")+$"},
    {.expression = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
                   "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$"},
    {.expression = URL},
    {.expression = URL},
};
static struct fuzz_pattern first_of_url = {.expression = "^https?://[[A-Za-z0-9]"};

static bool is_valid(int i, const char *value)
{
    if (i >= 5 && value == NULL)
        return true;
    return strlen(value) <= TEXT_MAX && fuzz_matches(&patterns[i], value) &&
           (i < 5 || fuzz_matches(&first_of_url, value));
}

static size_t count_byte(const char *text, char byte)
{
    size_t count = 0;

    for (; *text != '\0'; text++)
        count += *text == byte ? 1 : 0;
    return count;
}

/* Frees both. */
static void compare_markup(char *page, char *harmless)
{
    static const char markup[] = "<>\"'";

    expect(page != NULL && harmless != NULL, "memory");
    for (size_t i = 0; markup[i] != '\0'; i++)
        expect(count_byte(page, markup[i]) == count_byte(harmless, markup[i]),
               "no markup from a value");
    free(page);
    free(harmless);
}

static void judge_documents(const struct build_info *info)
{
    const struct build_info harmless = {VALID[0],
                                        VALID[1],
                                        VALID[2],
                                        VALID[3],
                                        VALID[4],
                                        info->source ? VALID[5] : NULL,
                                        info->build ? VALID[6] : NULL};
    char *document = build_info_document(info);
    cJSON *object = NULL;
    const char *end = "";

    object = cJSON_ParseWithOpts(document, &end, false);
    expect(cJSON_GetArraySize(object) ==
               5 + (info->source != NULL ? 1 : 0) + (info->build != NULL ? 1 : 0),
           "a member for each value");
    expect(strcmp(end, "\n") == 0 && count_byte(document, '\n') == 1, "one line");
    cJSON_Delete(object);
    free(document);
    compare_markup(page_create(info), page_create(&harmless));
    compare_markup(page_create_badge(info), page_create_badge(&harmless));
}

static void judge(const char *const values[VALUES])
{
    static const char *const macros[VALUES] = {
        "NAME", "VERSION", "COMMIT", "DESCRIPTION", "BUILD_DATE", "SOURCE_URL", "BUILD_URL"};
    const struct build_info info = {values[0], values[1], values[2], values[3],
                                    values[4], values[5], values[6]};
    char error[256];
    char begin[32];
    int wrong = 0;

    memset(error, 0xa5, sizeof error);
    while (wrong < VALUES && is_valid(wrong, values[wrong]))
        wrong++;
    expect(build_info_check(&info, error, sizeof error) == (wrong == VALUES),
           "valid values are accepted");
    if (wrong == VALUES) {
        judge_documents(&info);
        return;
    }
    expect(memchr(error, '\0', sizeof error) != NULL && fuzz_is_printable(error), "a line");
    (void)snprintf(begin, sizeof begin, "%s: '", macros[wrong]);
    expect(strncmp(error, begin, strlen(begin)) == 0, "the name of the first wrong value");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *values[VALUES];
    char *texts[VALUES] = {NULL};

    for (int i = 0; i < VALUES; i++) {
        const bool is_given = size > 0;

        texts[i] = fuzz_take_text(&data, &size);
        values[i] = is_given ? texts[i] : VALID[i];
        if (i >= 5 && strcmp(values[i], "-") == 0)
            values[i] = NULL;
    }
    judge(values);
    for (int i = 0; i < VALUES; i++)
        free(texts[i]);
    return 0;
}
