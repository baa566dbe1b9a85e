#include "text.h"

#include "test.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { LINE_MAX_SHOWN = 512 };

/* Writes the first line of `text` to `out`, with its end and other control characters escaped. */
static void print_line(char out[LINE_MAX_SHOWN], const char *text)
{
    size_t used = 0;

    out[0] = '\0';
    for (; *text != '\0' && used + 8 < LINE_MAX_SHOWN; text++) {
        const bool is_control = (unsigned char)*text < ' ' || *text == '\x7f';

        used += (size_t)snprintf(out + used, LINE_MAX_SHOWN - used, is_control ? "\\x%02x" : "%c",
                                 (unsigned char)*text);
        if (*text == '\n')
            break;
    }
}

void text_expect_equal(const char *actual, const char *expected, const char *file, int line)
{
    char actual_line[LINE_MAX_SHOWN];
    char expected_line[LINE_MAX_SHOWN];
    size_t start = 0;
    unsigned number = 1;

    if (strcmp(actual, expected) == 0)
        return;
    for (size_t i = 0; actual[i] == expected[i]; i++) {
        if (actual[i] == '\n') {
            start = i + 1;
            number++;
        }
    }
    print_line(actual_line, actual + start);
    print_line(expected_line, expected + start);
    print_error("line %u differs\n  actual:   \"%s\"\n  expected: \"%s\"\n", number, actual_line,
                expected_line);
    _fail(file, line);
}
