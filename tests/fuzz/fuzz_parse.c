/* Input: a lowest and a highest number of 4 bytes each, then a text, which is parsed as a number, a
 * duration, a base path and an address. Expected: a value is accepted if and only if a second
 * implementation (strtoull, regular expressions) accepts it within the bounds; a rejected value
 * changes nothing; an address survives printing and parsing. */
#include "parse.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "fuzz.h"

enum { PORT = 65432 };

static const uint32_t UNTOUCHED = 0xdeadbeef;

/* Reads an integer followed by `unit`. Returns UINT64_MAX if the text is anything else or exceeds
 * 32 bits. */
static uint64_t read_integer(const char *text, const char *unit)
{
    static struct fuzz_pattern integer = {.expression = "^(0|[1-9][0-9]{0,9})[a-z]*$"};
    char *end = NULL;
    uint64_t number = 0;

    if (!fuzz_matches(&integer, text))
        return UINT64_MAX;
    number = strtoull(text, &end, 10);
    return number <= UINT32_MAX && strcmp(end, unit) == 0 ? number : UINT64_MAX;
}

static uint64_t read_duration(const char *text)
{
    static const struct {
        const char *name;
        uint64_t milliseconds;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        const uint64_t number = read_integer(text, units[i].name);

        if (number != UINT64_MAX)
            return number * units[i].milliseconds;
    }
    return UINT64_MAX;
}

typedef bool parse(const char *text, uint32_t lowest, uint32_t highest, uint32_t *result);

static void judge_number(parse *function, const char *text, uint32_t lowest, uint32_t highest,
                         uint64_t expected)
{
    uint32_t parsed = UNTOUCHED;
    const bool is_accepted = function(text, lowest, highest, &parsed);

    expect(is_accepted == (expected >= lowest && expected <= highest),
           "a number or duration is accepted if it is within its bounds");
    expect(parsed == (is_accepted ? expected : UNTOUCHED), "the value of the text");
}

static void judge_base_path(const char *text)
{
    static struct fuzz_pattern path = {.expression = "^(/[A-Za-z0-9._~-]+)+$"};
    static struct fuzz_pattern dots = {.expression = "/[.][.]?(/|$)"};
    const bool is_valid = strlen(text) <= PARSE_BASE_PATH_MAX && fuzz_matches(&path, text) &&
                          !fuzz_matches(&dots, text);

    expect(parse_base_path(text) == is_valid, "a base path is accepted if it is valid");
}

static void judge_address(const char *text)
{
    struct sockaddr_storage address;
    struct sockaddr_storage again;
    socklen_t size = 1;
    char printed[ADDRESS_TEXT_MAX];
    char reprinted[ADDRESS_TEXT_MAX];

    memset(&address, 0xa5, sizeof address);
    again = address;
    if (!address_parse(text, PORT, &address, &size)) {
        expect(size == 1 && memcmp(&address, &again, sizeof address) == 0, "no change");
        return;
    }
    expect(size == (address.ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                                 : sizeof(struct sockaddr_in6)),
           "the size of the address family");
    expect(strspn(text, "0123456789abcdefABCDEF.:") == strlen(text), "an address in numbers");
    expect(address_print((const struct sockaddr *)&address, printed) == PORT, "the port");
    expect(address_parse(printed, PORT, &again, &size), "a printed address can be parsed");
    expect(address_print((const struct sockaddr *)&again, reprinted) == PORT, "the port");
    expect(strcmp(printed, reprinted) == 0, "the same address when parsed again");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint32_t lowest = fuzz_take_number(&data, &size);
    const uint32_t highest = fuzz_take_number(&data, &size);
    char *text = fuzz_take_text(&data, &size);

    judge_number(parse_number, text, lowest, highest, read_integer(text, ""));
    judge_number(parse_number, text, 0, UINT32_MAX, read_integer(text, ""));
    judge_number(parse_duration, text, lowest, highest, read_duration(text));
    judge_number(parse_duration, text, 0, UINT32_MAX, read_duration(text));
    judge_base_path(text);
    judge_address(text);
    free(text);
    return 0;
}
