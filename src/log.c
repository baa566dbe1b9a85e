#include "log.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "escape.h"

/* RFC 3339, in UTC. strftime() would bring time zones into a static program, 6 kB. */
#define TIME "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ"

/* A line being put together. What does not fit is taken back whole, so that a line is always valid.
 */
struct line {
    char bytes[LOG_LINE_MAX];
    size_t length;
    size_t limit; /* of the length, for what is added next */
    enum log_format format;
};

/* Milliseconds between questions whether a descriptor that took nothing takes something now. */
enum { AGAIN = 1 };

/* A window's lines are counted in its low bits: twice the highest rate has room, and as a thread
 * may count one more than the rate, all threads. */
enum { COUNT_BITS = 24, COUNT_MASK = (1 << COUNT_BITS) - 1 };

/* The end of a line: "}\n". */
enum { END_MAX = 2 };

/* An escaped text at its longest (\u00XX a byte), and room for what goes around it. */
enum { ESCAPED_MAX = 6 * LOG_TEXT_MAX + 1, FIELD_MAX = ESCAPED_MAX + 64 };

void log_init(struct log *log, int descriptor, enum log_format format, enum log_level level)
{
    if (format == LOG_FORMAT_AUTO)
        format = isatty(descriptor) ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
    *log = (struct log){.descriptor = descriptor, .format = format, .level = level};
    pthread_mutex_init(&log->lock, NULL);
}

static bool is_enabled(const struct log *log, enum log_level level)
{
    return level <= log->level;
}

/* Adds `length` bytes when they fit. */
static void line_add(struct line *line, const char *bytes, int length)
{
    if ((size_t)length > line->limit - line->length)
        return;
    memcpy(line->bytes + line->length, bytes, (size_t)length);
    line->length += (size_t)length;
}

static void line_add_text(struct line *line, const char *name, const char *text)
{
    const bool json = line->format == LOG_FORMAT_JSON;
    char escaped[ESCAPED_MAX];
    char field[FIELD_MAX];
    int length = 0;

    escape_bytes(escaped, sizeof escaped, text, strnlen(text, LOG_TEXT_MAX),
                 json ? ESCAPE_JSON : ESCAPE_TEXT);
    length = snprintf(field, sizeof field, json ? ",\"%s\":\"%s\"" : " %s='%s'", name, escaped);
    line_add(line, field, length);
}

static void line_add_number(struct line *line, const char *name, int64_t number)
{
    const bool json = line->format == LOG_FORMAT_JSON;
    char field[FIELD_MAX];
    const int length =
        snprintf(field, sizeof field, json ? ",\"%s\":%" PRId64 : " %s=%" PRId64, name, number);

    line_add(line, field, length);
}

static void line_begin(struct line *line, enum log_level level, const char *message)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    const bool json = line->format == LOG_FORMAT_JSON;
    struct timespec now = {0};
    struct tm utc = {0};
    char head[FIELD_MAX];
    int length = 0;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    length =
        snprintf(head, sizeof head,
                 json ? "{\"time\":\"" TIME "\",\"level\":\"%s\",\"msg\":\"%s\"" : TIME " %-5s %s",
                 utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                 utc.tm_sec, now.tv_nsec / 1000000, levels[level], message);
    line_add(line, head, length);
}

static void line_end(struct line *line)
{
    if (line->format == LOG_FORMAT_JSON)
        line->bytes[line->length++] = '}';
    line->bytes[line->length++] = '\n';
}

static bool is_ready(int descriptor)
{
    struct pollfd ready = {.fd = descriptor, .events = POLLOUT};

    return poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0;
}

/* Writes the line if the descriptor takes it now. Called with the lock held, so that no other
 * thread fills a pipe between the question and the write. A disk that is nearly full takes part of
 * a line: the next one must not continue it. */
static bool line_write(struct log *log, const struct line *line)
{
    ssize_t written = 0;

    if (!is_ready(log->descriptor) || (log->is_torn && write(log->descriptor, "\n", 1) != 1))
        return false;
    written = write(log->descriptor, line->bytes, line->length);
    log->is_torn = written > 0 && (size_t)written < line->length;
    return written == (ssize_t)line->length;
}

/* Says how many lines were left out since the last line that said so. Called with the lock held. */
static void line_add_left_out(struct line *line, const struct log *log, uint64_t dropped,
                              uint64_t limited)
{
    if (dropped > log->told_dropped)
        line_add_number(line, "dropped", (int64_t)(dropped - log->told_dropped));
    if (limited > log->told_limited)
        line_add_number(line, "limited", (int64_t)(limited - log->told_limited));
}

/* Ends a line and writes it, or counts it as dropped. */
static void finish(struct log *log, struct line *line)
{
    const uint64_t dropped = atomic_load(&log->dropped);
    const uint64_t limited = atomic_load(&log->limited);

    line->limit = sizeof line->bytes - END_MAX;
    line_add_left_out(line, log, dropped, limited);
    line_end(line);
    if (line_write(log, line)) {
        log->told_dropped = dropped;
        log->told_limited = limited;
    } else {
        atomic_fetch_add(&log->dropped, 1);
        atomic_store(&log->again, monotonic_milliseconds() + AGAIN);
    }
}

void log_write(struct log *log, enum log_level level, const char *message,
               const struct log_field *fields, size_t count)
{
    struct line line;

    if (!is_enabled(log, level))
        return;
    line.length = 0;
    line.limit = sizeof line.bytes - END_MAX - LOG_DROPPED_MAX;
    line.format = log->format;
    line_begin(&line, level, message);
    for (size_t i = 0; i < count; i++) {
        if (fields[i].text != NULL)
            line_add_text(&line, fields[i].name, fields[i].text);
        else
            line_add_number(&line, fields[i].name, fields[i].number);
    }
    pthread_mutex_lock(&log->lock);
    finish(log, &line);
    pthread_mutex_unlock(&log->lock);
}

/* True while this second has had fewer lines than it may have; counts one more. */
static bool is_within_rate(struct log *log, int64_t now)
{
    const uint64_t second = (uint64_t)now / 1000;
    uint64_t window = atomic_load(&log->window);

    /* Of several threads one begins the next second. Those that had read the clock before count in
     * it, too. */
    if (window >> COUNT_BITS < second)
        (void)atomic_compare_exchange_strong(&log->window, &window, second << COUNT_BITS);
    /* A flood does not write what all threads read. */
    if ((atomic_load(&log->window) & COUNT_MASK) >= log->rate)
        return false;
    return (atomic_fetch_add(&log->window, 1) & COUNT_MASK) < log->rate;
}

bool log_admit(struct log *log, enum log_level level)
{
    const int64_t now = monotonic_milliseconds();

    if (!is_enabled(log, level))
        return false;
    if (log->rate != 0 && !is_within_rate(log, now)) {
        atomic_fetch_add(&log->limited, 1);
        return false;
    }
    if (now < atomic_load(&log->again)) {
        atomic_fetch_add(&log->dropped, 1);
        return false;
    }
    return true;
}

uint64_t log_count_dropped(struct log *log)
{
    return atomic_load(&log->dropped);
}

uint64_t log_count_limited(struct log *log)
{
    return atomic_load(&log->limited);
}
