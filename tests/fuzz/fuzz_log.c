/* Input: the format, then for each field whether it is a number ('#'), and its value.
 * Expected: one line of printable ASCII and at most LOG_LINE_MAX bytes. In JSON it is an object
 * with the given members, cut to LOG_TEXT_MAX bytes; a member is missing only if it did not fit. No
 * line is dropped. */
#include "log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "escape.h"
#include "fuzz.h"

enum { FIELDS_MAX = 8 };

static const char *const NAMES[FIELDS_MAX] = {"remote", "method", "path", "user_agent",
                                              "status", "bytes",  "a",    "forwarded_for"};

/* `unused` is the number of bytes that the line could still hold. */
static void judge_member(const char *line, const cJSON *object, const struct log_field *field,
                         size_t unused)
{
    char text[6 * LOG_TEXT_MAX + 1] = "";
    char expected[sizeof text + 64] = "";

    if (field->text == NULL) {
        (void)snprintf(expected, sizeof expected, ",\"%s\":%" PRId64, field->name, field->number);
    } else {
        (void)escape_bytes(text, sizeof text, field->text, strnlen(field->text, LOG_TEXT_MAX),
                           ESCAPE_JSON);
        (void)snprintf(expected, sizeof expected, ",\"%s\":\"%s\"", field->name, text);
    }
    if (cJSON_HasObjectItem(object, field->name))
        expect(strstr(line, expected) != NULL, "the value of the field");
    else
        expect(strlen(expected) > unused, "no field missing that fits");
}

static void judge(char *line, const struct log_field *fields, size_t count, bool is_json)
{
    const size_t length = strlen(line);
    cJSON *object = NULL;

    expect(length > 0 && length <= LOG_LINE_MAX && line[length - 1] == '\n', "a line");
    line[length - 1] = '\0';
    expect(fuzz_is_printable(line), "printable ASCII");
    if (!is_json)
        return;
    object = cJSON_ParseWithOpts(line, NULL, true);
    expect(cJSON_IsObject(object) && cJSON_GetArraySize(object) >= 3, "time, level and msg");
    for (size_t i = 0; i < count; i++)
        judge_member(line, object, &fields[i], LOG_LINE_MAX - LOG_DROPPED_MAX - length);
    cJSON_Delete(object);
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
    expect(n > 0 && memchr(line, '\0', (size_t)n) == NULL, "text");
    line[n] = '\0';
    expect(atomic_load(&log.dropped) == 0, "no dropped line");
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
