/* Input: the format, then for each field whether it is a number, and its value.
 * Expected: one line of at most LOG_LINE_MAX bytes with one newline at its end, all else printable
 * ASCII; in JSON an object whose members are those given, in which each text begins as it was
 * given, unless it had no room; the descriptor takes each line. */
#include "log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "escape.h"
#include "fuzz.h"

enum { FIELDS_MAX = 8 };

static const char *const NAMES[FIELDS_MAX] = {"remote", "method", "path", "user_agent",
                                              "status", "bytes",  "a",    "forwarded_for"};

static void judge_member(const char *line, const struct log_field *field, size_t left)
{
    char wanted[6 * LOG_TEXT_MAX + 3] = "\"";
    size_t length = 0;
    size_t used = 0;
    const char *value = fuzz_find_member(line, field->name, &length);

    if (field->text == NULL) {
        used = (size_t)snprintf(wanted, sizeof wanted, "%" PRId64, field->number);
    } else {
        used = 1 + escape_bytes(wanted + 1, sizeof wanted - 2, field->text,
                                strnlen(field->text, LOG_TEXT_MAX), ESCAPE_JSON);
        wanted[used++] = '"';
    }
    if (value == NULL)
        expect(used + strlen(field->name) + strlen(",\"\":") > left, "room for a field is used");
    else
        expect(length == used && memcmp(value, wanted, used) == 0, "the value");
}

static void judge(const char *line, const struct log_field *fields, size_t count, bool is_json)
{
    const size_t length = strlen(line);
    char *text = fuzz_text(line, length > 0 ? length - 1 : 0);

    expect(length > 0 && length <= LOG_LINE_MAX && line[length - 1] == '\n', "a line");
    expect(fuzz_is_printable(text), "nothing but printable ASCII");
    free(text);
    if (!is_json)
        return;
    expect(fuzz_read_object(line, false) >= 3, "an object with time, level and msg");
    for (size_t i = 0; i < count; i++)
        judge_member(line, &fields[i], LOG_LINE_MAX - LOG_DROPPED_MAX - 2 - (length - 2));
}

static void write_and_read(enum log_format format, const struct log_field *fields, size_t count)
{
    static char line[LOG_LINE_MAX * 2];
    struct log log;
    int ends[2] = {-1, -1};
    ssize_t n = 0;

    expect(pipe2(ends, O_CLOEXEC) == 0, "a pipe");
    log_init(&log, ends[1], format, LOG_INFO);
    log_write(&log, LOG_WARN, "request", fields, count);
    (void)close(ends[1]);
    n = read(ends[0], line, sizeof line - 1);
    (void)close(ends[0]);
    expect(n > 0 && memchr(line, '\0', (size_t)n) == NULL, "a line of text");
    line[n] = '\0';
    expect(log_count_dropped(&log) == 0, "no line is dropped");
    judge(line, fields, count, format == LOG_FORMAT_JSON);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct log_field fields[FIELDS_MAX] = {{0}};
    char *texts[FIELDS_MAX] = {NULL};
    const bool is_json = size > 0 && (data[0] & 1) != 0;
    size_t count = 0;

    data += size > 0 ? 1 : 0;
    size -= size > 0 ? 1 : 0;
    for (; count < FIELDS_MAX && size > 0; count++) {
        const bool is_number = data[0] == '#';

        data++;
        size--;
        fields[count].name = NAMES[count];
        if (is_number)
            fields[count].number = (int32_t)fuzz_take_number(&data, &size);
        else
            fields[count].text = texts[count] = fuzz_take_text(&data, &size);
    }
    write_and_read(is_json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT, fields, count);
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    return 0;
}
