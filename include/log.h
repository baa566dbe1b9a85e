/* The log: one event a line, on one descriptor, as JSON or as text. */
#ifndef VERSIOND_LOG_H
#define VERSIOND_LOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* LOG_FORMAT_AUTO is text on a terminal and JSON elsewhere. */
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

enum {
    /* The longest line, with its newline. A pipe takes a write of this size whole or not at all:
     * it is the least PIPE_BUF that Linux has (pipe(7)). */
    LOG_LINE_MAX = 4096,
    /* What each line keeps free of it to say how many lines were left out. */
    LOG_DROPPED_MAX = 80,
    /* The most bytes of one field's text that are logged; the rest is left out. */
    LOG_TEXT_MAX = 256,
};

/* A name with a text (`text` is not NULL) or a number. The name is a constant of the program's own,
 * made of lower-case letters and underscores; the text may be anything, and is escaped. */
struct log_field {
    const char *name;
    const char *text;
    int64_t number;
};

struct log {
    int descriptor;
    enum log_format format; /* never LOG_FORMAT_AUTO */
    enum log_level level;
    uint32_t rate; /* lines a second that log_admit() admits; 0: all; to be set after log_init() */
    pthread_mutex_t lock;
    bool is_torn;          /* the last line was written in part; under `lock` */
    uint64_t told_dropped; /* of the two totals, what lines have said; under `lock` */
    uint64_t told_limited;
    atomic_uint_fast64_t dropped; /* lines that the descriptor did not take at once */
    atomic_uint_fast64_t limited; /* lines that log_admit() refused for their number */
    atomic_uint_fast64_t window;  /* a second of CLOCK_MONOTONIC, and how many lines it has had */
    atomic_int_fast64_t again;    /* when to ask the descriptor again, milliseconds of that clock */
};

/* Sets up `log` to write events up to `level` to `descriptor`, which stays the caller's.
 * `log` must not move afterwards. Threads may then share it. */
void log_init(struct log *log, int descriptor, enum log_format format, enum log_level level);

/* Writes one line: time (RFC 3339, UTC, milliseconds), level, `message` (a constant), and `count`
 * fields. A field that does not fit into LOG_LINE_MAX less LOG_DROPPED_MAX is left out.
 *
 * Never waits for a slow reader and never fails: a line that the descriptor does not take at once
 * is dropped, and the next line written says how many were ("dropped"). Allocates nothing. */
void log_write(struct log *log, enum log_level level, const char *message,
               const struct log_field *fields, size_t count);

/* To be asked before a line is put together that a client makes us write. Returns false when it is
 * not to be written: the level is not logged; this second has had `rate` such lines, and the next
 * line says how many more there were ("limited"); or the descriptor took nothing a moment ago, and
 * the line counts as dropped. Takes no lock and makes no system call. */
bool log_admit(struct log *log, enum log_level level);

/* How many lines were dropped, and how many log_admit() has refused for their number, ever. */
uint64_t log_count_dropped(struct log *log);
uint64_t log_count_limited(struct log *log);

#endif
