/* Input: seven texts, a NUL after each: name, version, commit, description, date, source, build;
 * one that is not there is right, and "-" is no URL. Expected: what is taken has the form that its
 * contract says, by regular expressions; what is refused is named in one printable line that ends
 * within its room; of what is taken the document is one line of JSON, and page and badge have no
 * more markup than those of harmless values. */
#include "build_info.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "page.h"

enum { VALUES = 7, TEXT_MAX = 512 };

static const char *const RIGHT[VALUES] = {
    "a", "1.2.3", "unknown", "a", "2026-11-22T09:00:00Z", "https://a/b", "http://a/b"};

#define NUMBER "(0|[1-9][0-9]*)"
#define WORD "[0-9]*[A-Za-z-][0-9A-Za-z-]*"
#define IDENTIFIERS "(" NUMBER "|" WORD ")([.](" NUMBER "|" WORD "))*"
#define URL "^https?://[][A-Za-z0-9._~:/?#@!$&'()*+,;=%-]+$"

static struct fuzz_pattern patterns[VALUES] = {
    {.expression = "^[a-z][a-z0-9-]{0,62}$"},
    {.expression = "^" NUMBER "[.]" NUMBER "[.]" NUMBER "(-" IDENTIFIERS ")?"
                   "([+][0-9A-Za-z-]+([.][0-9A-Za-z-]+)*)?$"},
    {.expression = "^([0-9a-f]{40}|unknown)$"},
    {.expression = "."},
    {.expression = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
                   "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$"},
    {.expression = URL},
    {.expression = URL},
};
static struct fuzz_pattern first_of_url = {.expression = "^https?://[[A-Za-z0-9]"};

/* The character at `*at` of UTF-8 by the rules of RFC 3629; 0 when there is none. Moves `*at`. */
static uint32_t read_character(const unsigned char **at)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    const unsigned char first = **at;
    const int more = (first >= 0xc0) + (first >= 0xe0) + (first >= 0xf0);
    uint32_t character = more == 0 ? first : first & (0x3fU >> more);

    if ((first >= 0x80 && first < 0xc0) || first >= 0xf8)
        return 0;
    for (int i = 1; i <= more; i++) {
        if (((*at)[i] & 0xc0) != 0x80)
            return 0;
        character = character << 6 | ((*at)[i] & 0x3fU);
    }
    *at += more + 1;
    return character >= least[more] && character <= 0x10ffff &&
                   (character < 0xd800 || character > 0xdfff)
               ? character
               : 0;
}

/* Characters, none of them for control. */
static bool is_clean(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    while (*at != '\0') {
        const uint32_t character = read_character(&at);

        if (character < 0x20 || (character >= 0x7f && character < 0xa0))
            return false;
    }
    return true;
}

static bool is_right(int i, const char *value)
{
    if (i >= 5 && value == NULL)
        return true;
    return strlen(value) <= TEXT_MAX && fuzz_matches(&patterns[i], value) &&
           (i != 3 || is_clean(value)) && (i < 5 || fuzz_matches(&first_of_url, value));
}

static size_t count_byte(const char *text, char byte)
{
    size_t count = 0;

    for (; *text != '\0'; text++)
        count += *text == byte ? 1 : 0;
    return count;
}

/* Both are freed. */
static void compare_markup(char *page, char *harmless)
{
    static const char markup[] = "<>\"'";

    expect(page != NULL && harmless != NULL, "memory");
    for (size_t i = 0; markup[i] != '\0'; i++)
        expect(count_byte(page, markup[i]) == count_byte(harmless, markup[i]),
               "no value becomes markup");
    free(page);
    free(harmless);
}

static void judge_documents(const struct build_info *info)
{
    const struct build_info harmless = {RIGHT[0],
                                        RIGHT[1],
                                        RIGHT[2],
                                        RIGHT[3],
                                        RIGHT[4],
                                        info->source ? RIGHT[5] : NULL,
                                        info->build ? RIGHT[6] : NULL};
    char *document = build_info_document(info);

    expect(document != NULL, "memory");
    expect(fuzz_read_object(document, true) ==
               5 + (info->source != NULL ? 1 : 0) + (info->build != NULL ? 1 : 0),
           "a document of one line, with a member for each value");
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
    while (wrong < VALUES && is_right(wrong, values[wrong]))
        wrong++;
    expect(build_info_check(&info, error, sizeof error) == (wrong == VALUES),
           "values are taken that have their forms");
    if (wrong == VALUES) {
        judge_documents(&info);
        return;
    }
    expect(memchr(error, '\0', sizeof error) != NULL && fuzz_is_printable(error), "a line");
    (void)snprintf(begin, sizeof begin, "%s: '", macros[wrong]);
    expect(strncmp(error, begin, strlen(begin)) == 0, "the first value that is wrong is named");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *values[VALUES];
    char *texts[VALUES] = {NULL};

    for (int i = 0; i < VALUES; i++) {
        const bool is_given = size > 0;

        texts[i] = fuzz_take_text(&data, &size);
        values[i] = is_given ? texts[i] : RIGHT[i];
        if (i >= 5 && strcmp(values[i], "-") == 0)
            values[i] = NULL;
    }
    judge(values);
    for (int i = 0; i < VALUES; i++)
        free(texts[i]);
    return 0;
}
