/* wraps: clock_gettime isatty poll write */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "failing.h"
#include "log.h"

#define TIME "2026-11-22T09:00:00.007Z"
#define JSON "{\"time\":\"" TIME "\",\"level\":\"info\",\"msg\":\"m\""
#define TEXT TIME " info  m"

enum { THREADS = 8, LINES = 200, OUTPUT_MAX = THREADS * LINES * 512, FIELDS = 64 };

/* The log under test, and the pipe that it writes to. */
static struct log test_log;
static int reader;
static int writer;

static struct timespec now;
static int64_t monotonic;   /* milliseconds */
static int terminal;        /* the only descriptor that is a terminal */
static short polled_events; /* reported by poll(); 0: the real events */
static bool writes_partially;

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_isatty(int descriptor);
int __real_poll(struct pollfd *descriptors, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *descriptors, nfds_t count, int timeout);
ssize_t __real_write(int descriptor, const void *bytes, size_t length);
ssize_t __wrap_write(int descriptor, const void *bytes, size_t length);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
        return __real_clock_gettime(clock, time); /* used by cmocka */
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
    assert_int_equal(timeout, 0);
    if (failing_call("poll"))
        return -1;
    descriptors->revents = polled_events;
    return polled_events != 0 ? 1 : __real_poll(descriptors, count, timeout);
}

ssize_t __wrap_write(int descriptor, const void *bytes, size_t length)
{
    if (failing_call("write"))
        return -1;
    return __real_write(descriptor, bytes, writes_partially ? length / 2 : length);
}

static int open_pipe(void **state)
{
    int ends[2];

    (void)state;
    now = (struct timespec){.tv_sec = 1795338000, .tv_nsec = 7999999};
    monotonic = 5000;
    terminal = -1;
    polled_events = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    reader = ends[0];
    writer = ends[1];
    log_init(&test_log, writer, LOG_FORMAT_JSON, LOG_DEBUG);
    return fcntl(reader, F_SETFL, O_NONBLOCK);
}

static int close_pipe(void **state)
{
    (void)state;
    failing_at(0);
    (void)close(reader);
    (void)close(writer);
    return 0;
}

/* Reads everything from the pipe. The result is valid until the next call. */
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

static void write_line(void)
{
    log_write(&test_log, LOG_INFO, "m", NULL, 0);
}

/* Writes a line with `fields` and compares it. */
static void expect_line(const struct log_field *fields, size_t count, const char *expected)
{
    log_write(&test_log, LOG_INFO, "m", fields, count);
    assert_string_equal(read_all(), expected);
}

static void expect_counts(uint64_t dropped, uint64_t limited)
{
    assert_uint_equal(atomic_load(&test_log.dropped), dropped);
    assert_uint_equal(atomic_load(&test_log.limited), limited);
}

static void format_depends_on_the_descriptor_if_automatic(void **state)
{
    static const struct {
        enum log_format format;
        bool is_terminal;
        enum log_format expected;
    } rows[] = {
        {LOG_FORMAT_JSON, true, LOG_FORMAT_JSON},
        {LOG_FORMAT_TEXT, false, LOG_FORMAT_TEXT},
        {LOG_FORMAT_AUTO, true, LOG_FORMAT_TEXT},
        {LOG_FORMAT_AUTO, false, LOG_FORMAT_JSON},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        terminal = rows[i].is_terminal ? writer : reader;
        log_init(&test_log, writer, rows[i].format, LOG_INFO);
        assert_int_equal(test_log.format, rows[i].expected);
    }
}

static void line_has_time_level_and_message(void **state)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    static const struct {
        struct timespec time;
        const char *text;
    } times[] = {
        {{0, 0}, "1970-01-01T00:00:00.000Z"},
        {{951782399, 999999999}, "2000-02-28T23:59:59.999Z"},
        {{1795338001, 70999999}, "2026-11-22T09:00:01.070Z"},
        {{4107542399, 1000000}, "2100-02-28T23:59:59.001Z"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(times) * COUNT_OF(names); i++) {
        const size_t level = i % COUNT_OF(names);
        const char *time = times[i / COUNT_OF(names)].text;
        char expected[128];

        now = times[i / COUNT_OF(names)].time;
        test_log.format = LOG_FORMAT_JSON;
        log_write(&test_log, (enum log_level)level, "m", NULL, 0);
        (void)snprintf(expected, sizeof expected,
                       "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":\"m\"}\n", time, names[level]);
        assert_string_equal(read_all(), expected);
        test_log.format = LOG_FORMAT_TEXT;
        log_write(&test_log, (enum log_level)level, "m", NULL, 0);
        (void)snprintf(expected, sizeof expected, "%s %-5s m\n", time, names[level]);
        assert_string_equal(read_all(), expected);
    }
}

/* Unlogged levels are neither counted nor limited. */
static void only_enabled_levels_are_written_and_admitted(void **state)
{
    (void)state;
    for (int log_level = LOG_ERROR; log_level <= LOG_DEBUG; log_level++) {
        log_init(&test_log, writer, LOG_FORMAT_JSON, (enum log_level)log_level);
        for (int level = LOG_DEBUG; level >= LOG_ERROR; level--) {
            test_log.rate = (uint32_t)log_level + 1;
            log_write(&test_log, (enum log_level)level, "m", NULL, 0);
            assert_int_equal(read_all()[0] != '\0', level <= log_level);
            assert_int_equal(log_admit(&test_log, (enum log_level)level), level <= log_level);
        }
        expect_counts(0, 0);
    }
}

static void line_has_escaped_texts_and_numbers_in_order(void **state)
{
    static const struct log_field fields[] = {
        {.name = "port", .number = 5000},
        {.name = "target", .text = "/\"a'\n\x1b[2J\\\x7f\xc3\xa9\",\"b\":1}"},
        {.name = "lowest", .number = INT64_MIN},
        {.name = "highest", .number = INT64_MAX},
        {.name = "zero"},
        {.name = "empty", .text = ""},
    };

    (void)state;
    expect_line(fields, COUNT_OF(fields),
                JSON ",\"port\":5000,\"target\":\"/"
                     "\\\"a'\\u000a\\u001b[2J\\\\\\u007f\\u00c3\\u00a9\\\",\\\"b\\\":1}\","
                     "\"lowest\":-9223372036854775808,\"highest\":9223372036854775807,"
                     "\"zero\":0,\"empty\":\"\"}\n");
    test_log.format = LOG_FORMAT_TEXT;
    expect_line(fields, COUNT_OF(fields),
                TEXT " port=5000 target='/\"a\\'\\x0a\\x1b[2J\\\\\\x7f\\xc3\\xa9\",\"b\":1}' "
                     "lowest=-9223372036854775808 highest=9223372036854775807 zero=0 empty=''\n");
}

/* Fields of all lengths fill a line: those that fit are whole, the others are omitted. */
static void line_omits_fields_that_do_not_fit(void **state)
{
    static const enum log_format formats[] = {LOG_FORMAT_JSON, LOG_FORMAT_TEXT};
    static const char bytes[] = {'x', '\n'};

    (void)state;
    for (size_t i = 0; i < (size_t)4 * (LOG_TEXT_MAX + 2); i++) {
        const bool is_json = formats[i % 2] == LOG_FORMAT_JSON;
        const char byte = bytes[i / 2 % 2];
        char text[LOG_TEXT_MAX + 2] = "";
        char escaped[6 * LOG_TEXT_MAX + 1] = "";
        struct log_field fields[FIELDS] = {{.name = "length", .number = (int64_t)(i / 4)}};
        char expected[LOG_LINE_MAX + 1];
        const char *const newline = is_json ? "\\u000a" : "\\x0a";
        size_t used = 0;

        memset(text, byte, i / 4);
        for (size_t n = 0; n < i / 4 && n < LOG_TEXT_MAX; n++)
            used += (size_t)snprintf(escaped + used, sizeof escaped - used, "%s",
                                     byte == 'x' ? "x" : newline);
        used = (size_t)snprintf(expected, sizeof expected,
                                is_json ? JSON ",\"length\":%zu" : TEXT " length=%zu", i / 4);
        for (size_t n = 1; n < FIELDS; n++) {
            char field[6 * LOG_TEXT_MAX + 64];
            const size_t length = (size_t)snprintf(
                field, sizeof field, is_json ? ",\"%s\":\"%s\"" : " %s='%s'", "a_name", escaped);

            fields[n] = (struct log_field){.name = "a_name", .text = text};
            if (used + length + strlen("}\n") <= LOG_LINE_MAX - LOG_DROPPED_MAX)
                used += (size_t)snprintf(expected + used, sizeof expected - used, "%s", field);
        }
        (void)snprintf(expected + used, sizeof expected - used, is_json ? "}\n" : "\n");
        test_log.format = formats[i % 2];
        expect_line(fields, FIELDS, expected);
    }
}

/* Also in the longest line. */
static void line_reports_dropped_and_limited_lines(void **state)
{
    char text[LOG_TEXT_MAX + 1] = "";
    struct log_field fields[FIELDS];
    size_t length = 0;

    (void)state;
    memset(text, 'x', LOG_TEXT_MAX);
    for (size_t i = 0; i < FIELDS; i++)
        fields[i] = (struct log_field){.name = "a", .text = text + (i < 15 ? 0 : LOG_TEXT_MAX - 1)};
    log_write(&test_log, LOG_INFO, "m", fields, FIELDS);
    length = strlen(read_all());
    assert_int_in_range(length, LOG_LINE_MAX - LOG_DROPPED_MAX - 7, LOG_LINE_MAX - LOG_DROPPED_MAX);
    atomic_store(&test_log.dropped, INT64_MAX);
    atomic_store(&test_log.limited, INT64_MAX);
    log_write(&test_log, LOG_INFO, "m", fields, FIELDS);
    assert_string_equal(read_all() + length - strlen("}\n"),
                        ",\"dropped\":9223372036854775807,\"limited\":9223372036854775807}\n");
    expect_line(NULL, 0, JSON "}\n");
}

static void line_is_dropped_if_a_call_fails(void **state)
{
    static const char *const calls[] = {"poll", "write"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        failing_arm(calls[i], 1, ENOSPC);
        expect_line(NULL, 0, "");
        expect_counts(2 * i + 1, 0);
        polled_events = POLLERR;
        expect_line(NULL, 0, "");
        polled_events = POLLERR | POLLOUT;
        test_log.format = LOG_FORMAT_TEXT;
        expect_line(NULL, 0, TEXT " dropped=2\n");
        test_log.format = LOG_FORMAT_JSON;
        polled_events = 0;
    }
}

/* The newline that ends the partial line may fail, too. */
static void line_after_a_partial_line_starts_on_a_new_line(void **state)
{
    (void)state;
    writes_partially = true;
    write_line();
    writes_partially = false;
    (void)read_all();
    failing_arm("write", 1, ENOSPC);
    expect_line(NULL, 0, "");
    expect_line(NULL, 0, "\n" JSON ",\"dropped\":2}\n");
    expect_line(NULL, 0, JSON "}\n");
}

/* Returns how many of `lines` are admitted. */
static unsigned admit(unsigned lines)
{
    unsigned admitted = 0;

    for (unsigned i = 0; i < lines; i++)
        admitted += log_admit(&test_log, LOG_INFO);
    return admitted;
}

static void rate_limits_the_lines_of_each_second(void **state)
{
    static const struct {
        uint32_t rate;
        int64_t time;
        unsigned lines;
        unsigned admitted;
    } rows[] = {
        {0, 5000, 10000, 10000},
        {3, 7000, 1, 1},
        {3, 7500, 1, 1},
        {3, 7999, 2, 1},
        {3, 8000, 5, 3},
        {3, 3600000, 4, 3}, /* unused seconds are not saved */
        {3, 3599999, 1, 0}, /* a thread that read the clock earlier */
        {3, 3601000, 1, 1},
        {3, 3600999, 3, 2},
        {1, INT64_C(100) * 366 * 24 * 3600 * 1000, 2, 1},
        {1000000, INT64_C(101) * 366 * 24 * 3600 * 1000, 1000002, 1000000},
        {1000000, INT64_C(102) * 366 * 24 * 3600 * 1000, 1, 1},
    };
    uint64_t limited = 0;

    (void)state;
    assert_int_equal(test_log.rate, 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        test_log.rate = rows[i].rate;
        monotonic = rows[i].time;
        assert_int_equal(admit(rows[i].lines), rows[i].admitted);
        limited += rows[i].lines - rows[i].admitted;
        expect_counts(0, limited);
    }
}

static void limited_lines_are_reported_by_the_next_line(void **state)
{
    (void)state;
    test_log.rate = 1;
    expect_line(NULL, 0, JSON "}\n"); /* log_write() is not limited */
    assert_int_equal(admit(4), 1);
    expect_line(NULL, 0, JSON ",\"limited\":3}\n");
    assert_int_equal(admit(2), 0);
    failing_arm("poll", 1, EINTR);
    write_line(); /* its report is not lost */
    test_log.format = LOG_FORMAT_TEXT;
    expect_line(NULL, 0, TEXT " dropped=1 limited=2\n");
    expect_line(NULL, 0, TEXT "\n");
    expect_counts(1, 5);
}

/* No lock is taken, and no system call is made. */
static void blocked_descriptor_is_retried_after_a_millisecond(void **state)
{
    (void)state;
    (void)alarm(PATIENCE / 1000); /* a lock would block for ever */
    test_log.rate = 4;
    polled_events = POLLERR;
    monotonic = 9000;
    assert_int_equal(admit(1), 1);
    write_line();
    pthread_mutex_lock(&test_log.lock);
    failing_at(1);
    assert_int_equal(admit(4), 0);
    expect_counts(4, 1); /* dropped lines use up the rate */
    monotonic = 10000;
    assert_int_equal(admit(1), 1);
    assert_false(failing_has_failed());
    failing_at(0);
    pthread_mutex_unlock(&test_log.lock);
    write_line();
    monotonic = 10001;
    assert_int_equal(admit(1), 1);
    polled_events = 0;
    expect_line(NULL, 0, JSON ",\"dropped\":5,\"limited\":1}\n");
    (void)alarm(0);
}

static atomic_uint admitted;

/* Writes long lines of one letter, and tries to admit as many. */
static void *use_log(void *letter)
{
    char text[LOG_TEXT_MAX + 1] = "";
    const struct log_field field = {.name = "text", .text = text};

    memset(text, *(const char *)letter, sizeof text - 1);
    for (int i = 0; i < LINES; i++) {
        log_write(&test_log, LOG_INFO, "m", &field, 1);
        atomic_fetch_add(&admitted, log_admit(&test_log, LOG_INFO));
    }
    return NULL;
}

/* All lines are whole, and every line is written or limited. A file takes all of them. */
static void log_can_be_shared_by_threads(void **state)
{
    static char letters[] = "abcdefgh";
    static char output[OUTPUT_MAX];
    const int file = memfd_create("log", MFD_CLOEXEC);
    pthread_t threads[THREADS];
    size_t lines = 0;

    (void)state;
    log_init(&test_log, file, LOG_FORMAT_JSON, LOG_DEBUG);
    test_log.rate = THREADS * LINES / 2 + 1;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_log, &letters[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(pread(file, output, sizeof output - 1, 0) > 0);
    (void)close(file);
    for (const char *line = output; *line != '\0'; line = strchr(line, '\n') + 1) {
        char text[LOG_TEXT_MAX + 1] = "";
        char expected[LOG_LINE_MAX];
        const char *end = strchr(line, '\n');

        memset(text, line[strlen(JSON ",\"text\":\"")], LOG_TEXT_MAX);
        (void)snprintf(expected, sizeof expected, JSON ",\"text\":\"%s\"", text);
        assert_memory_equal(line, expected, strlen(expected));
        assert_ptr_equal(end - 1, strpbrk(line + strlen(expected), "{}\n"));
        lines++;
    }
    assert_int_equal(lines, THREADS * LINES);
    assert_int_equal(admitted, test_log.rate);
    expect_counts(0, THREADS * LINES - test_log.rate);
}

#define WITH_PIPE(test) cmocka_unit_test_setup_teardown(test, open_pipe, close_pipe)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PIPE(format_depends_on_the_descriptor_if_automatic),
        WITH_PIPE(line_has_time_level_and_message),
        WITH_PIPE(only_enabled_levels_are_written_and_admitted),
        WITH_PIPE(line_has_escaped_texts_and_numbers_in_order),
        WITH_PIPE(line_omits_fields_that_do_not_fit),
        WITH_PIPE(line_reports_dropped_and_limited_lines),
        WITH_PIPE(line_is_dropped_if_a_call_fails),
        WITH_PIPE(line_after_a_partial_line_starts_on_a_new_line),
        WITH_PIPE(rate_limits_the_lines_of_each_second),
        WITH_PIPE(limited_lines_are_reported_by_the_next_line),
        WITH_PIPE(blocked_descriptor_is_retried_after_a_millisecond),
        WITH_PIPE(log_can_be_shared_by_threads),
    };

    (void)setenv("TZ", "TST-5:45", 1); /* not UTC */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
