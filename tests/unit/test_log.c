/* wraps: clock_gettime isatty poll write */
#include "test.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "failing.h"
#include "log.h"

/* What every line of these tests begins with. */
#define TIME "2026-11-22T09:00:00.007Z"
#define JSON_HEAD "{\"time\":\"" TIME "\",\"level\":\"info\",\"msg\":\"m\""
#define TEXT_HEAD TIME " info  m"

enum { THREADS = 8, LINES = 200, OUTPUT_MAX = THREADS * LINES * 512, LINE_SIZE = LOG_LINE_MAX + 1 };

static struct timespec now;
static int64_t monotonic;   /* milliseconds */
static int terminal = -1;   /* the one descriptor that is a terminal */
static short polled_events; /* what poll() says instead of the truth; 0: the truth */
static bool writes_are_short;

/* The log under test, and the pipe that it writes to. */
static struct log log_of_test;
static int reader;
static int writer;

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __real_poll(struct pollfd *descriptors, nfds_t count, int timeout);
ssize_t __real_write(int descriptor, const void *bytes, size_t length);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_isatty(int descriptor);
int __wrap_poll(struct pollfd *descriptors, nfds_t count, int timeout);
ssize_t __wrap_write(int descriptor, const void *bytes, size_t length);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
        return __real_clock_gettime(clock, time); /* cmocka's */
    *time = now;
    if (clock == CLOCK_MONOTONIC)
        *time = (struct timespec){.tv_sec = monotonic / 1000,
                                  .tv_nsec = monotonic % 1000 * 1000000 + 999999};
    return 0;
}

int __wrap_isatty(int descriptor)
{
    return descriptor == terminal;
}

int __wrap_poll(struct pollfd *descriptors, nfds_t count, int timeout)
{
    if (failing_now()) {
        errno = EINTR;
        return -1;
    }
    assert_int_equal(timeout, 0);
    if (polled_events != 0) {
        descriptors->revents = polled_events;
        return 1;
    }
    return __real_poll(descriptors, count, timeout);
}

ssize_t __wrap_write(int descriptor, const void *bytes, size_t length)
{
    if (failing_now()) {
        errno = ENOSPC;
        return -1;
    }
    return __real_write(descriptor, bytes, writes_are_short ? length / 2 : length);
}

static int open_pipe(void **state)
{
    int ends[2];

    (void)state;
    now = (struct timespec){.tv_sec = 1795338000, .tv_nsec = 7999999};
    monotonic = 5000;
    terminal = -1;
    polled_events = 0;
    writes_are_short = false;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    reader = ends[0];
    writer = ends[1];
    log_init(&log_of_test, writer, LOG_FORMAT_JSON, LOG_DEBUG);
    return fcntl(reader, F_SETFL, O_NONBLOCK);
}

static int close_pipe(void **state)
{
    (void)state;
    failing_at(0);
    (void)close(reader);
    (void)close(writer);
    return pthread_mutex_destroy(&log_of_test.lock);
}

/* Reads all that is in the pipe. Returns a text that lives until the next call. */
static const char *read_all(void)
{
    static char text[256 * 1024];
    size_t used = 0;
    ssize_t n = 0;

    while ((n = read(reader, text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = '\0';
    return text;
}

/* Adds to a text that has room for LINE_SIZE bytes. */
static void append(char *text, const char *more)
{
    const size_t used = strlen(text);

    (void)snprintf(text + used, LINE_SIZE - used, "%s", more);
}

static void expect_line(const struct log_field *fields, size_t count, const char *expected)
{
    log_write(&log_of_test, LOG_INFO, "m", fields, count);
    assert_string_equal(read_all(), expected);
}

static void write_line(void)
{
    log_write(&log_of_test, LOG_INFO, "m", NULL, 0);
}

static void format_given_stays(void **state)
{
    (void)state;
    terminal = writer;
    log_init(&log_of_test, writer, LOG_FORMAT_JSON, LOG_INFO);
    assert_int_equal(log_of_test.format, LOG_FORMAT_JSON);
    terminal = -1;
    log_init(&log_of_test, writer, LOG_FORMAT_TEXT, LOG_INFO);
    assert_int_equal(log_of_test.format, LOG_FORMAT_TEXT);
}

static void format_not_given_is_text_on_a_terminal_only(void **state)
{
    (void)state;
    terminal = writer;
    log_init(&log_of_test, writer, LOG_FORMAT_AUTO, LOG_INFO);
    assert_int_equal(log_of_test.format, LOG_FORMAT_TEXT);
    terminal = reader;
    log_init(&log_of_test, writer, LOG_FORMAT_AUTO, LOG_INFO);
    assert_int_equal(log_of_test.format, LOG_FORMAT_JSON);
}

static void level_above_the_logs_is_not_written(void **state)
{
    static const enum log_level levels[] = {LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(levels); i++) {
        log_init(&log_of_test, writer, LOG_FORMAT_TEXT, levels[i]);
        for (size_t j = 0; j < COUNT_OF(levels); j++) {
            const bool expected = j <= i;

            log_write(&log_of_test, levels[j], "m", NULL, 0);
            if ((read_all()[0] != '\0') != expected)
                fail_msg("a log of level %zu and a line of level %zu", i, j);
        }
    }
}

static void line_names_its_level(void **state)
{
    static const struct {
        enum log_level level;
        const char *json;
        const char *text;
    } rows[] = {
        {LOG_ERROR, "{\"time\":\"" TIME "\",\"level\":\"error\",\"msg\":\"m\"}\n",
         TIME " error m\n"},
        {LOG_WARN, "{\"time\":\"" TIME "\",\"level\":\"warn\",\"msg\":\"m\"}\n", TIME " warn  m\n"},
        {LOG_INFO, "{\"time\":\"" TIME "\",\"level\":\"info\",\"msg\":\"m\"}\n", TIME " info  m\n"},
        {LOG_DEBUG, "{\"time\":\"" TIME "\",\"level\":\"debug\",\"msg\":\"m\"}\n",
         TIME " debug m\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        log_init(&log_of_test, writer, LOG_FORMAT_JSON, LOG_DEBUG);
        log_write(&log_of_test, rows[i].level, "m", NULL, 0);
        assert_string_equal(read_all(), rows[i].json);
        log_init(&log_of_test, writer, LOG_FORMAT_TEXT, LOG_DEBUG);
        log_write(&log_of_test, rows[i].level, "m", NULL, 0);
        assert_string_equal(read_all(), rows[i].text);
    }
}

static void line_has_the_time_in_utc_to_the_millisecond(void **state)
{
    static const struct {
        struct timespec time;
        const char *text;
    } rows[] = {
        {{0, 0}, "1970-01-01T00:00:00.000Z info  m\n"},
        {{951782399, 999999999}, "2000-02-28T23:59:59.999Z info  m\n"},
        {{1795338000, 7000000}, "2026-11-22T09:00:00.007Z info  m\n"},
        {{1795338001, 70999999}, "2026-11-22T09:00:01.070Z info  m\n"},
        {{4107542399, 1000000}, "2100-02-28T23:59:59.001Z info  m\n"},
    };

    (void)state;
    log_of_test.format = LOG_FORMAT_TEXT;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        now = rows[i].time;
        expect_line(NULL, 0, rows[i].text);
    }
}

static void line_has_texts_and_numbers_in_their_order(void **state)
{
    static const struct log_field fields[] = {
        {.name = "port", .number = 5000},
        {.name = "address", .text = "::"},
        {.name = "lowest", .number = INT64_MIN},
        {.name = "highest", .number = INT64_MAX},
        {.name = "zero"},
        {.name = "empty", .text = ""},
    };

    (void)state;
    expect_line(fields, COUNT_OF(fields),
                JSON_HEAD ",\"port\":5000,\"address\":\"::\",\"lowest\":-9223372036854775808,"
                          "\"highest\":9223372036854775807,\"zero\":0,\"empty\":\"\"}\n");
    log_of_test.format = LOG_FORMAT_TEXT;
    expect_line(fields, COUNT_OF(fields),
                TEXT_HEAD " port=5000 address='::' lowest=-9223372036854775808 "
                          "highest=9223372036854775807 zero=0 empty=''\n");
}

static void line_shows_hostile_text_escaped(void **state)
{
    static const struct log_field field = {.name = "target",
                                           .text = "/\"a'\n\x1b[2J\\\x7f\xc3\xa9\",\"b\":1}"};

    (void)state;
    expect_line(&field, 1,
                JSON_HEAD
                ",\"target\":\"/\\\"a'\\u000a\\u001b[2J\\\\\\u007f\\u00c3\\u00a9\\\",\\\"b\\\""
                ":1}\"}\n");
    log_of_test.format = LOG_FORMAT_TEXT;
    expect_line(&field, 1,
                TEXT_HEAD " target='/\"a\\'\\x0a\\x1b[2J\\\\\\x7f\\xc3\\xa9\",\"b\":1}'\n");
}

/* The bytes 0x01 to 0xff, and what a reader of JSON makes of them: U+0001 to U+00FF in UTF-8. */
static void build_every_byte(char bytes[256], char utf8[512])
{
    size_t used = 0;

    for (unsigned i = 1; i <= 0xff; i++) {
        bytes[i - 1] = (char)i;
        if (i >= 0x80)
            utf8[used++] = (char)(0xc0 | i >> 6);
        utf8[used++] = (char)(i < 0x80 ? i : (0x80 | (i & 0x3f)));
    }
    bytes[255] = '\0';
    utf8[used] = '\0';
}

static void line_with_every_byte_is_valid_json(void **state)
{
    char bytes[256];
    char utf8[512];
    const struct log_field field = {.name = "text", .text = bytes};
    cJSON *object = NULL;

    (void)state;
    build_every_byte(bytes, utf8);
    log_write(&log_of_test, LOG_INFO, "m", &field, 1);
    object = cJSON_Parse(read_all());
    assert_non_null(object);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(object, "text")), utf8);
    cJSON_Delete(object);
}

static void text_longer_than_the_limit_is_cut(void **state)
{
    char text[LOG_TEXT_MAX + 2] = "";
    char expected[LINE_SIZE];
    const struct log_field field = {.name = "a", .text = text};

    (void)state;
    memset(text, 'x', LOG_TEXT_MAX);
    (void)snprintf(expected, sizeof expected, JSON_HEAD ",\"a\":\"%s\"}\n", text);
    expect_line(&field, 1, expected);
    text[LOG_TEXT_MAX] = 'y';
    expect_line(&field, 1, expected);
}

static void text_of_the_longest_escapes_is_whole(void **state)
{
    char text[LOG_TEXT_MAX + 1] = "";
    const struct log_field field = {.name = "a_name_of_thirty_two_characters_", .text = text};
    char expected[LINE_SIZE] = JSON_HEAD ",\"a_name_of_thirty_two_characters_\":\"";

    (void)state;
    memset(text, '\n', LOG_TEXT_MAX);
    for (size_t i = 0; i < LOG_TEXT_MAX; i++)
        append(expected, "\\u000a");
    append(expected, "\"}\n");
    expect_line(&field, 1, expected);
}

/* Fields that fill a line of JSON: some with the longest text, and a last one with what is left. */
enum {
    FIELD_AROUND = sizeof ",\"a\":\"\"" - 1,
    LONG_FIELDS = 15,
    LAST_LENGTH = LOG_LINE_MAX - LOG_DROPPED_MAX - (sizeof JSON_HEAD "}\n" - 1) -
                  (size_t)LONG_FIELDS * (FIELD_AROUND + LOG_TEXT_MAX) - FIELD_AROUND,
};

struct full_line {
    char long_text[LOG_TEXT_MAX + 1];
    char last_text[LAST_LENGTH + 2];
    struct log_field fields[LONG_FIELDS + 2];
    char expected[LINE_SIZE]; /* the line up to the last field */
};

static void build_full_line(struct full_line *line)
{
    memset(line, 0, sizeof *line);
    memset(line->long_text, 'x', LOG_TEXT_MAX);
    memset(line->last_text, 'y', LAST_LENGTH);
    append(line->expected, JSON_HEAD);
    for (size_t i = 0; i < LONG_FIELDS; i++) {
        line->fields[i] = (struct log_field){.name = "a", .text = line->long_text};
        append(line->expected, ",\"a\":\"");
        append(line->expected, line->long_text);
        append(line->expected, "\"");
    }
    line->fields[LONG_FIELDS] = (struct log_field){.name = "b", .text = line->last_text};
    line->fields[LONG_FIELDS + 1] = (struct log_field){.name = "c", .number = 1};
}

static void line_of_the_longest_length_is_whole(void **state)
{
    struct full_line line;

    (void)state;
    build_full_line(&line);
    append(line.expected, ",\"b\":\"");
    append(line.expected, line.last_text);
    append(line.expected, "\"}\n");
    assert_int_equal(strlen(line.expected), LOG_LINE_MAX - LOG_DROPPED_MAX);
    expect_line(line.fields, LONG_FIELDS + 1, line.expected);
    expect_line(line.fields, LONG_FIELDS + 2, line.expected);
}

static void line_leaves_out_the_field_that_does_not_fit(void **state)
{
    struct full_line line;

    (void)state;
    build_full_line(&line);
    line.last_text[LAST_LENGTH] = 'y';
    append(line.expected, ",\"c\":1}\n");
    expect_line(line.fields, LONG_FIELDS + 2, line.expected);
}

static void line_of_many_long_fields_is_valid_json(void **state)
{
    char text[LOG_TEXT_MAX + 1] = "";
    struct log_field fields[64];
    cJSON *object = NULL;

    (void)state;
    memset(text, '\n', LOG_TEXT_MAX);
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        fields[i] = (struct log_field){.name = "a", .text = text};
    log_write(&log_of_test, LOG_INFO, "m", fields, COUNT_OF(fields));
    object = cJSON_Parse(read_all());
    assert_non_null(object);
    assert_int_equal(cJSON_GetArraySize(object), 3 + 2);
    cJSON_Delete(object);
}

static void text_line_of_many_long_fields_has_those_that_fit(void **state)
{
    char text[LOG_TEXT_MAX + 1] = "";
    char expected[LINE_SIZE] = TEXT_HEAD;
    struct log_field fields[64];

    (void)state;
    memset(text, 'x', LOG_TEXT_MAX);
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        fields[i] = (struct log_field){.name = "a", .text = text};
    while (strlen(expected) + strlen(" a=''\n") + LOG_TEXT_MAX <= LOG_LINE_MAX - LOG_DROPPED_MAX) {
        append(expected, " a='");
        append(expected, text);
        append(expected, "'");
    }
    append(expected, "\n");
    log_of_test.format = LOG_FORMAT_TEXT;
    expect_line(fields, COUNT_OF(fields), expected);
}

/* Fills the pipe, and leaves its writing end as it was: one on which a write would wait. */
static void fill_pipe(void)
{
    static const char bytes[4096];

    assert_int_equal(fcntl(writer, F_SETFL, O_NONBLOCK), 0);
    while (__real_write(writer, bytes, sizeof bytes) > 0)
        ;
    assert_int_equal(fcntl(writer, F_SETFL, 0), 0);
}

static void empty_pipe(void)
{
    char bytes[4096];

    while (read(reader, bytes, sizeof bytes) > 0)
        ;
}

static void line_to_a_full_pipe_is_dropped_and_said_later(void **state)
{
    (void)state;
    (void)alarm(PATIENCE / 1000); /* a write that waits would wait for ever */
    fill_pipe();
    write_line();
    write_line();
    empty_pipe();
    expect_line(NULL, 0, JSON_HEAD ",\"dropped\":2}\n");
    expect_line(NULL, 0, JSON_HEAD "}\n");
    log_of_test.format = LOG_FORMAT_TEXT;
    fill_pipe();
    write_line();
    empty_pipe();
    expect_line(NULL, 0, TEXT_HEAD " dropped=1\n");
    expect_line(NULL, 0, TEXT_HEAD "\n");
    (void)alarm(0);
}

static void line_that_is_not_enabled_is_not_dropped(void **state)
{
    (void)state;
    log_init(&log_of_test, -1, LOG_FORMAT_JSON, LOG_INFO);
    log_write(&log_of_test, LOG_DEBUG, "m", NULL, 0);
    assert_uint_equal(log_count_dropped(&log_of_test), 0);
}

static void line_whose_system_calls_fail_is_dropped(void **state)
{
    unsigned n = 1;

    (void)state;
    for (;; n++) {
        failing_at(n);
        write_line();
        if (!failing_has_failed())
            break;
        assert_string_equal(read_all(), "");
        assert_uint_equal(log_count_dropped(&log_of_test), n);
    }
    failing_at(0);
    assert_uint_equal(n, 3); /* poll and write */
    assert_string_equal(read_all(), JSON_HEAD ",\"dropped\":2}\n");
    assert_uint_equal(log_count_dropped(&log_of_test), 2); /* ever */
    expect_line(NULL, 0, JSON_HEAD "}\n");
}

static void line_to_a_descriptor_with_an_error_is_dropped(void **state)
{
    (void)state;
    polled_events = POLLERR;
    write_line();
    polled_events = POLLERR | POLLOUT;
    expect_line(NULL, 0, JSON_HEAD ",\"dropped\":1}\n");
}

static void line_that_is_written_in_part_is_dropped(void **state)
{
    (void)state;
    writes_are_short = true;
    write_line();
    writes_are_short = false;
    (void)read_all();
    /* Not on the line that was torn. */
    expect_line(NULL, 0, "\n" JSON_HEAD ",\"dropped\":1}\n");
    expect_line(NULL, 0, JSON_HEAD "}\n");
}

static void line_after_a_torn_one_waits_for_its_newline(void **state)
{
    (void)state;
    writes_are_short = true;
    write_line();
    writes_are_short = false;
    (void)read_all();
    failing_at(2); /* the newline; the first call that can fail is poll() */
    write_line();
    assert_true(failing_has_failed());
    expect_line(NULL, 0, "\n" JSON_HEAD ",\"dropped\":2}\n");
}

static void line_without_room_still_says_what_was_left_out(void **state)
{
    struct full_line line;

    (void)state;
    build_full_line(&line);
    append(line.expected, ",\"b\":\"");
    append(line.expected, line.last_text);
    append(line.expected, "\",\"dropped\":9223372036854775807,\"limited\":9223372036854775807}\n");
    atomic_store(&log_of_test.dropped, INT64_MAX);
    atomic_store(&log_of_test.limited, INT64_MAX);
    expect_line(line.fields, LONG_FIELDS + 2, line.expected);
    expect_line(NULL, 0, JSON_HEAD "}\n");
}

static void line_nobody_can_read_is_dropped(void **state)
{
    (void)state;
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    (void)close(reader);
    write_line();
    write_line();
    assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    assert_uint_equal(log_count_dropped(&log_of_test), 2);
}

static void line_to_no_descriptor_is_dropped(void **state)
{
    (void)state;
    log_init(&log_of_test, -1, LOG_FORMAT_JSON, LOG_INFO);
    write_line();
    assert_uint_equal(log_count_dropped(&log_of_test), 1);
    log_init(&log_of_test, writer, LOG_FORMAT_JSON, LOG_INFO);
    (void)close(writer);
    write_line();
    assert_uint_equal(log_count_dropped(&log_of_test), 1);
}

/* Writes lines that tell their thread, and are so long that the pipe does not take all at once. */
static void *write_lines(void *letter)
{
    char text[LOG_TEXT_MAX + 1] = "";
    const struct log_field fields[] = {{.name = "text", .text = text}};

    memset(text, *(const char *)letter, sizeof text - 1);
    for (int i = 0; i < LINES; i++)
        log_write(&log_of_test, LOG_INFO, "m", fields, COUNT_OF(fields));
    return NULL;
}

/* Reads from the pipe until its writing end is closed. */
static void *read_lines(void *output)
{
    struct pollfd ready = {.fd = reader, .events = POLLIN};
    size_t used = 0;
    ssize_t n = 1;

    while (n > 0 && used < OUTPUT_MAX) {
        (void)__real_poll(&ready, 1, PATIENCE);
        n = read(reader, (char *)output + used, OUTPUT_MAX - used);
        used += n > 0 ? (size_t)n : 0;
    }
    return NULL;
}

/* Checks a line of write_lines(). Returns how many dropped lines it tells of. */
static uint64_t check_line(const char *line, size_t length)
{
    cJSON *object = cJSON_ParseWithLength(line, length);
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(object, "text"));
    const cJSON *dropped = cJSON_GetObjectItem(object, "dropped");
    const uint64_t count = dropped == NULL ? 0 : (uint64_t)dropped->valueint;

    if (text == NULL || strspn(text, (const char[]){*text, '\0'}) != LOG_TEXT_MAX ||
        cJSON_GetArraySize(object) != (dropped == NULL ? 4 : 5))
        fail_msg("not a line as it was written: %.*s", (int)length, line);
    cJSON_Delete(object);
    return count;
}

static void lines_of_threads_are_whole_and_all_accounted_for(void **state)
{
    static char letters[THREADS];
    static char output[OUTPUT_MAX + 1];
    pthread_t threads[THREADS];
    pthread_t collector;
    uint64_t lines = 0;
    uint64_t told = 0;
    size_t length = 0;

    (void)state;
    assert_int_equal(pthread_create(&collector, NULL, read_lines, output), 0);
    for (size_t i = 0; i < THREADS; i++) {
        letters[i] = (char)('a' + i);
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &letters[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    (void)close(writer);
    assert_int_equal(pthread_join(collector, NULL), 0);
    for (const char *line = output; *line != '\0'; line += length) {
        length = strcspn(line, "\n") + 1;
        told += check_line(line, length);
        lines++;
    }
    /* The last lines may have been dropped, with none after them to say so. */
    assert_uint_equal(lines + log_count_dropped(&log_of_test), THREADS * LINES);
    assert_true(told <= log_count_dropped(&log_of_test));
}

/* How many of so many lines are admitted. */
static unsigned admit(unsigned lines)
{
    unsigned admitted = 0;

    for (unsigned i = 0; i < lines; i++)
        admitted += log_admit(&log_of_test, LOG_INFO);
    return admitted;
}

static void expect_counts(uint64_t dropped, uint64_t limited)
{
    assert_uint_equal(log_count_dropped(&log_of_test), dropped);
    assert_uint_equal(log_count_limited(&log_of_test), limited);
}

static void admitted_are_the_levels_that_are_logged(void **state)
{
    static const enum log_level levels[] = {LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(levels); i++) {
        log_init(&log_of_test, writer, LOG_FORMAT_JSON, levels[i]);
        for (size_t j = 0; j < COUNT_OF(levels); j++)
            assert_int_equal(log_admit(&log_of_test, levels[j]), j <= i);
        expect_counts(0, 0);
    }
}

static void line_whose_level_is_not_logged_uses_up_no_rate(void **state)
{
    (void)state;
    log_init(&log_of_test, writer, LOG_FORMAT_JSON, LOG_INFO);
    log_of_test.rate = 1;
    assert_false(log_admit(&log_of_test, LOG_DEBUG));
    assert_false(log_admit(&log_of_test, LOG_DEBUG));
    assert_int_equal(admit(2), 1);
    assert_false(log_admit(&log_of_test, LOG_DEBUG));
    expect_counts(0, 1);
}

static void rate_of_zero_admits_all(void **state)
{
    (void)state;
    assert_uint_equal(log_of_test.rate, 0); /* as log_init() leaves it */
    assert_int_equal(admit(10000), 10000);
    expect_counts(0, 0);
}

static void rate_admits_so_many_lines_a_second(void **state)
{
    static const unsigned rates[] = {1, 2, 3, 1000};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rates); i++) {
        log_init(&log_of_test, writer, LOG_FORMAT_JSON, LOG_INFO);
        log_of_test.rate = rates[i];
        monotonic = 5000;
        assert_int_equal(admit(rates[i]), rates[i]);
        expect_counts(0, 0);
        assert_int_equal(admit(1), 0);
        expect_counts(0, 1);
        monotonic = 5999;
        assert_int_equal(admit(2), 0);
        expect_counts(0, 3);
        monotonic = 6000;
        assert_int_equal(admit(rates[i] + 1), rates[i]);
        expect_counts(0, 4);
        monotonic = 3600000; /* seconds without a line are not saved up */
        assert_int_equal(admit(rates[i] + 1), rates[i]);
        expect_counts(0, 5);
    }
}

static void rate_counts_the_lines_of_a_whole_second(void **state)
{
    (void)state;
    log_of_test.rate = 3;
    monotonic = 7000;
    assert_int_equal(admit(1), 1);
    monotonic = 7500;
    assert_int_equal(admit(1), 1);
    monotonic = 7999;
    assert_int_equal(admit(2), 1);
    expect_counts(0, 1);
}

static void rate_may_be_a_million(void **state)
{
    (void)state;
    log_of_test.rate = 1000000;
    assert_int_equal(admit(1000002), 1000000);
    expect_counts(0, 2);
    monotonic += 1000;
    assert_int_equal(admit(1), 1);
}

/* As much time as a machine may be up. */
static void rate_holds_after_a_century(void **state)
{
    (void)state;
    log_of_test.rate = 2;
    monotonic = INT64_C(100) * 366 * 24 * 3600 * 1000;
    assert_int_equal(admit(3), 2);
    monotonic += 1000;
    assert_int_equal(admit(3), 2);
}

/* It has read the clock before another thread began the next second. */
static void late_thread_counts_in_the_second_that_has_begun(void **state)
{
    (void)state;
    log_of_test.rate = 2;
    monotonic = 6000;
    assert_int_equal(admit(1), 1);
    monotonic = 5999;
    assert_int_equal(admit(2), 1);
    monotonic = 6000;
    assert_int_equal(admit(1), 0);
    expect_counts(0, 2);
}

static void line_that_is_not_admitted_is_said_by_the_next_one(void **state)
{
    (void)state;
    log_of_test.rate = 1;
    assert_int_equal(admit(4), 1);
    expect_line(NULL, 0, JSON_HEAD ",\"limited\":3}\n");
    expect_line(NULL, 0, JSON_HEAD "}\n");
    assert_int_equal(admit(2), 0);
    polled_events = POLLERR;
    write_line(); /* what it would have said, the next one says */
    polled_events = 0;
    assert_int_equal(admit(1), 0);
    expect_line(NULL, 0, JSON_HEAD ",\"dropped\":1,\"limited\":3}\n");
    log_of_test.format = LOG_FORMAT_TEXT;
    assert_int_equal(admit(1), 0);
    expect_line(NULL, 0, TEXT_HEAD " limited=1\n");
    expect_line(NULL, 0, TEXT_HEAD "\n");
    expect_counts(1, 7); /* ever */
}

/* Lines that no client makes us write are not limited. */
static void line_that_nobody_asked_for_is_written_whatever_the_rate(void **state)
{
    (void)state;
    log_of_test.rate = 1;
    for (int i = 0; i < 3; i++)
        expect_line(NULL, 0, JSON_HEAD "}\n");
    assert_int_equal(admit(1), 1); /* nor do they use it up */
}

static void full_pipe_is_asked_again_a_millisecond_later(void **state)
{
    (void)state;
    polled_events = POLLERR;
    monotonic = 9000;
    assert_int_equal(admit(1), 1);
    write_line();
    expect_counts(1, 0);
    assert_int_equal(admit(2), 0);
    expect_counts(3, 0);
    monotonic = 9001;
    assert_int_equal(admit(2), 2);
    expect_counts(3, 0);
    write_line();
    assert_int_equal(admit(1), 0);
    expect_counts(5, 0);
    polled_events = 0;
    monotonic = 9002;
    assert_int_equal(admit(1), 1);
    expect_line(NULL, 0, JSON_HEAD ",\"dropped\":5}\n");
    assert_int_equal(admit(1), 1);
}

static void full_pipe_uses_up_the_rate_too(void **state)
{
    (void)state;
    log_of_test.rate = 3;
    polled_events = POLLERR;
    assert_int_equal(admit(1), 1);
    write_line();
    assert_int_equal(admit(3), 0);
    expect_counts(3, 1);
    polled_events = 0;
    expect_line(NULL, 0, JSON_HEAD ",\"dropped\":3,\"limited\":1}\n");
}

static void admitting_takes_no_lock_and_no_system_call(void **state)
{
    (void)state;
    (void)alarm(PATIENCE / 1000); /* a lock would be waited for, for ever */
    log_of_test.rate = 1;
    assert_int_equal(pthread_mutex_lock(&log_of_test.lock), 0);
    failing_at(1);
    assert_int_equal(admit(2), 1);
    expect_counts(0, 1);
    assert_false(failing_has_failed());
    failing_at(0);
    assert_int_equal(pthread_mutex_unlock(&log_of_test.lock), 0);
    (void)alarm(0);
}

/* Asks for LINES lines; returns how many were admitted. */
static void *admit_lines(void *admitted)
{
    *(unsigned *)admitted = admit(LINES);
    return NULL;
}

static void threads_share_the_rate_and_all_is_accounted_for(void **state)
{
    pthread_t threads[THREADS];
    unsigned admitted[THREADS] = {0};
    unsigned total = 0;

    (void)state;
    log_of_test.rate = THREADS * LINES / 2 + 1;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, admit_lines, &admitted[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        total += admitted[i];
    }
    assert_int_equal(total, log_of_test.rate);
    expect_counts(0, THREADS * LINES - total);
    expect_line(NULL, 0, JSON_HEAD ",\"limited\":799}\n");
}

#define WITH_PIPE(test) cmocka_unit_test_setup_teardown(test, open_pipe, close_pipe)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PIPE(format_given_stays),
        WITH_PIPE(format_not_given_is_text_on_a_terminal_only),
        WITH_PIPE(level_above_the_logs_is_not_written),
        WITH_PIPE(line_names_its_level),
        WITH_PIPE(line_has_the_time_in_utc_to_the_millisecond),
        WITH_PIPE(line_has_texts_and_numbers_in_their_order),
        WITH_PIPE(line_shows_hostile_text_escaped),
        WITH_PIPE(line_with_every_byte_is_valid_json),
        WITH_PIPE(text_longer_than_the_limit_is_cut),
        WITH_PIPE(text_of_the_longest_escapes_is_whole),
        WITH_PIPE(line_of_the_longest_length_is_whole),
        WITH_PIPE(line_leaves_out_the_field_that_does_not_fit),
        WITH_PIPE(line_of_many_long_fields_is_valid_json),
        WITH_PIPE(text_line_of_many_long_fields_has_those_that_fit),
        WITH_PIPE(line_to_a_full_pipe_is_dropped_and_said_later),
        WITH_PIPE(line_that_is_not_enabled_is_not_dropped),
        WITH_PIPE(line_whose_system_calls_fail_is_dropped),
        WITH_PIPE(line_to_a_descriptor_with_an_error_is_dropped),
        WITH_PIPE(line_that_is_written_in_part_is_dropped),
        WITH_PIPE(line_after_a_torn_one_waits_for_its_newline),
        WITH_PIPE(line_without_room_still_says_what_was_left_out),
        WITH_PIPE(line_nobody_can_read_is_dropped),
        WITH_PIPE(line_to_no_descriptor_is_dropped),
        WITH_PIPE(lines_of_threads_are_whole_and_all_accounted_for),
        WITH_PIPE(admitted_are_the_levels_that_are_logged),
        WITH_PIPE(line_whose_level_is_not_logged_uses_up_no_rate),
        WITH_PIPE(rate_of_zero_admits_all),
        WITH_PIPE(rate_admits_so_many_lines_a_second),
        WITH_PIPE(rate_counts_the_lines_of_a_whole_second),
        WITH_PIPE(rate_may_be_a_million),
        WITH_PIPE(rate_holds_after_a_century),
        WITH_PIPE(late_thread_counts_in_the_second_that_has_begun),
        WITH_PIPE(line_that_is_not_admitted_is_said_by_the_next_one),
        WITH_PIPE(line_that_nobody_asked_for_is_written_whatever_the_rate),
        WITH_PIPE(full_pipe_is_asked_again_a_millisecond_later),
        WITH_PIPE(full_pipe_uses_up_the_rate_too),
        WITH_PIPE(admitting_takes_no_lock_and_no_system_call),
        WITH_PIPE(threads_share_the_rate_and_all_is_accounted_for),
    };

    (void)setenv("TZ", "TST-5:45", 1); /* far from UTC */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
