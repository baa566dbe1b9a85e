/* Writes the log: one event per line to one descriptor, as JSON or as text. */
#ifndef VERSIOND_LOG_H
#define VERSIOND_LOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* LOG_FORMAT_AUTO selects text for a terminal and JSON otherwise. */
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

enum {
    /* Maximum length of a line, including its newline. This is PIPE_BUF: writes to a pipe of at
     * most this size are atomic (pipe(7)). */
    LOG_LINE_MAX = 4096,
    /* Bytes reserved in each line for the counts of dropped and limited lines. */
    LOG_DROPPED_MAX = 80,
    /* Maximum number of bytes logged of one text; longer texts are truncated. */
    LOG_TEXT_MAX = 256,
};

/* A named text, or a number if `text` is NULL. The name is a constant made of lower-case letters
 * and underscores. The text may contain any bytes; it is escaped. */
struct log_field {
    const char *name;
    const char *text;
    int64_t number;
};

struct log {
    int descriptor;
    enum log_format format; /* never LOG_FORMAT_AUTO */
    enum log_level level;
    uint32_t rate; /* lines per second that log_admit() admits; 0: all; set it after log_init() */
    pthread_mutex_t lock;
    bool is_torn;              /* the last line was written partially; protected by `lock` */
    uint64_t reported_dropped; /* the part of both totals already reported; protected by `lock` */
    uint64_t reported_limited;
    atomic_uint_fast64_t dropped; /* lines that could not be written without waiting */
    atomic_uint_fast64_t limited; /* lines that log_admit() rejected because of `rate` */
    atomic_uint_fast64_t window;  /* a second of CLOCK_MONOTONIC and the number of lines in it */
    atomic_int_fast64_t retry_at; /* when to try the descriptor again, in milliseconds */
};

/* Initializes `log` to write events up to `level` to `descriptor`, which the caller keeps. `log`
 * must not move afterwards. Threads may share it. */
void log_init(struct log *log, int descriptor, enum log_format format, enum log_level level);

/* Writes one line: time (RFC 3339, UTC, milliseconds), level, `message` (a constant) and `count`
 * fields. Fields that do not fit into LOG_LINE_MAX - LOG_DROPPED_MAX bytes are omitted.
 *
 * Never waits for a slow reader and never fails: a line that cannot be written immediately is
 * dropped, and the next line reports the number of dropped lines ("dropped"). Allocates nothing. */
void log_write(struct log *log, enum log_level level, const char *message,
               const struct log_field *fields, size_t count);

/* Call this before formatting a client-triggered line. Returns false if the line must not be
 * written: its level is not logged; `rate` lines were admitted in this second (the next line
 * reports the rejected ones as "limited"); or the descriptor blocked a moment ago (the line counts
 * as dropped). Takes no lock and makes no system call. */
bool log_admit(struct log *log, enum log_level level);

#endif
