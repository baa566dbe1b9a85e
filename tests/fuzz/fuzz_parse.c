/* Input: lowest, highest, then a text, which is tried as a number, a duration and a base path.
 * Expected: what is taken is what the text says, and within the bounds; what is refused is not, by
 * a second opinion (strtoull, a regular expression), and changes nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "parse.h"

static const uint32_t UNTOUCHED = 0xdeadbeef;

/* What the text says, a whole number and then `unit`; UINT64_MAX when it does not, or above 32
 * bits. */
static uint64_t read_whole(const char *text, const char *unit)
{
    static struct fuzz_pattern whole = {.expression = "^(0|[1-9][0-9]{0,9})[a-z]*$"};
    char *end = NULL;
    uint64_t number = 0;

    if (!fuzz_matches(&whole, text))
        return UINT64_MAX;
    number = strtoull(text, &end, 10);
    return number <= UINT32_MAX && strcmp(end, unit) == 0 ? number : UINT64_MAX;
}

static void judge_number(const char *text, uint32_t lowest, uint32_t highest)
{
    const uint64_t number = read_whole(text, "");
    uint32_t parsed = UNTOUCHED;
    const bool is_taken = parse_number(text, lowest, highest, &parsed);

    expect(is_taken == (number >= lowest && number <= highest),
           "a number is taken when it is one and within its bounds");
    expect(parsed == (is_taken ? number : UNTOUCHED), "a number is what its digits say");
}

static void judge_duration(const char *text, uint32_t lowest, uint32_t highest)
{
    static const struct {
        const char *name;
        uint64_t milliseconds;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    uint64_t wanted = UINT64_MAX;
    uint32_t parsed = UNTOUCHED;
    bool is_taken = false;

    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        const uint64_t number = read_whole(text, units[i].name);

        if (number != UINT64_MAX)
            wanted = number * units[i].milliseconds;
    }
    is_taken = parse_duration(text, lowest, highest, &parsed);
    expect(is_taken == (wanted >= lowest && wanted <= highest),
           "a duration is taken when it is one and within its bounds");
    expect(parsed == (is_taken ? wanted : UNTOUCHED), "a duration is what its digits and unit say");
}

static void judge_base_path(const char *text)
{
    static struct fuzz_pattern path = {.expression = "^(/[A-Za-z0-9._~-]+)+$"};
    static struct fuzz_pattern dots = {.expression = "/[.][.]?(/|$)"};
    const bool wanted = strlen(text) <= PARSE_BASE_PATH_MAX && fuzz_matches(&path, text) &&
                        !fuzz_matches(&dots, text);

    expect(parse_base_path(text) == wanted, "a base path is taken when it is one");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint32_t lowest = fuzz_take_number(&data, &size);
    const uint32_t highest = fuzz_take_number(&data, &size);
    char *text = fuzz_take_text(&data, &size);

    judge_number(text, lowest, highest);
    judge_number(text, 0, UINT32_MAX);
    judge_duration(text, lowest, highest);
    judge_duration(text, 0, UINT32_MAX);
    judge_base_path(text);
    free(text);
    return 0;
}
