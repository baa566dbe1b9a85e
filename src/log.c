#include "log.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "escape.h"

/* A line being put together. What does not fit is taken back whole, so that a line is always valid.
 */
struct line {
    char bytes[LOG_LINE_MAX];
    size_t length;
    size_t limit; /* of the length, for what is added next */
    enum log_format format;
};

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
    char seconds[32];
    char head[FIELD_MAX];
    int length = 0;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
    length = snprintf(head, sizeof head,
                      json ? "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"msg\":\"%s\""
                           : "%s.%03ldZ %-5s %s",
                      seconds, now.tv_nsec / 1000000, levels[level], message);
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
    line.limit = sizeof line.bytes - END_MAX;
    pthread_mutex_lock(&log->lock);
    if (log->dropped > 0)
        line_add_number(&line, "dropped", (int64_t)log->dropped);
    line_end(&line);
    if (line_write(log, &line))
        log->dropped = 0;
    else
        log->dropped++;
    pthread_mutex_unlock(&log->lock);
}
