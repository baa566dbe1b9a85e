#include "log.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "escape.h"

/* RFC 3339, in UTC. strftime() would add 6 kB of time zone code to a static program. */
#define TIME "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ"

/* A line being formatted. Only whole fields are added, so the line is always valid. */
struct line {
    char bytes[LOG_LINE_MAX];
    size_t length;
    size_t limit; /* maximum length for now */
    enum log_format format;
};

/* Retry interval for a descriptor that would block, in milliseconds. */
enum { RETRY_INTERVAL = 1 };

/* The low bits of a window count its lines. They hold far more than the highest rate: each thread
 * may exceed the rate by one. */
enum { COUNT_BITS = 24, COUNT_MASK = (1 << COUNT_BITS) - 1 };

/* Length of the end of a line, "}\n". */
enum { END_MAX = 2 };

/* Maximum length of an escaped text (\u00XX for each byte), and of a field with its name. */
enum { ESCAPED_MAX = 6 * LOG_TEXT_MAX + 1, FIELD_MAX = ESCAPED_MAX + 64 };

void log_init(struct log *log, int descriptor, enum log_format format, enum log_level level)
{
    if (format == LOG_FORMAT_AUTO)
        format = isatty(descriptor) ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
    *log = (struct log){.descriptor = descriptor, .format = format, .level = level};
    pthread_mutex_init(&log->lock, NULL);
}

/* Appends `length` bytes if they fit. */
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

static void line_start(struct line *line, enum log_level level, const char *message)
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

/* Writes the line if the descriptor does not block. Returns false on failure. The caller holds the
 * lock, so that no other thread can fill the pipe between poll() and write(). If a line was written
 * partially (the disk is full), the next one starts on a new line. */
static bool line_write(struct log *log, const struct line *line)
{
    ssize_t written = 0;

    if (!is_ready(log->descriptor) || (log->is_torn && write(log->descriptor, "\n", 1) != 1))
        return false;
    written = write(log->descriptor, line->bytes, line->length);
    log->is_torn = written > 0 && (size_t)written < line->length;
    return written == (ssize_t)line->length;
}

/* Adds the counts not yet reported and writes the line, or counts it as dropped. The caller holds
 * the lock. */
static void line_finish(struct log *log, struct line *line)
{
    const uint64_t dropped = atomic_load(&log->dropped);
    const uint64_t limited = atomic_load(&log->limited);

    line->limit = sizeof line->bytes - END_MAX;
    if (dropped > log->reported_dropped)
        line_add_number(line, "dropped", (int64_t)(dropped - log->reported_dropped));
    if (limited > log->reported_limited)
        line_add_number(line, "limited", (int64_t)(limited - log->reported_limited));
    line_end(line);
    if (line_write(log, line)) {
        log->reported_dropped = dropped;
        log->reported_limited = limited;
    } else {
        atomic_fetch_add(&log->dropped, 1);
        atomic_store(&log->retry_at, monotonic_milliseconds() + RETRY_INTERVAL);
    }
}

void log_write(struct log *log, enum log_level level, const char *message,
               const struct log_field *fields, size_t count)
{
    struct line line;

    if (level > log->level)
        return;
    line.length = 0;
    line.limit = sizeof line.bytes - END_MAX - LOG_DROPPED_MAX;
    line.format = log->format;
    line_start(&line, level, message);
    for (size_t i = 0; i < count; i++) {
        if (fields[i].text != NULL)
            line_add_text(&line, fields[i].name, fields[i].text);
        else
            line_add_number(&line, fields[i].name, fields[i].number);
    }
    pthread_mutex_lock(&log->lock);
    line_finish(log, &line);
    pthread_mutex_unlock(&log->lock);
}

/* Counts a line. Returns true if at most `rate` lines were counted in this second. */
static bool is_within_rate(struct log *log, int64_t now)
{
    const uint64_t second = (uint64_t)now / 1000;
    uint64_t window = atomic_load(&log->window);

    /* Only one thread starts the next window. Threads that read the clock earlier use it too. */
    if (window >> COUNT_BITS < second)
        (void)atomic_compare_exchange_strong(&log->window, &window, second << COUNT_BITS);
    /* Avoids writing to a shared cache line once the limit is reached. */
    if ((atomic_load(&log->window) & COUNT_MASK) >= log->rate)
        return false;
    return (atomic_fetch_add(&log->window, 1) & COUNT_MASK) < log->rate;
}

bool log_admit(struct log *log, enum log_level level)
{
    const int64_t now = monotonic_milliseconds();

    if (level > log->level)
        return false;
    if (log->rate != 0 && !is_within_rate(log, now)) {
        atomic_fetch_add(&log->limited, 1);
        return false;
    }
    if (now < atomic_load(&log->retry_at)) {
        atomic_fetch_add(&log->dropped, 1);
        return false;
    }
    return true;
}
