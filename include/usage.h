/* Resource usage of this process. */
#ifndef VERSIOND_USAGE_H
#define VERSIOND_USAGE_H

#include <dirent.h>
#include <pthread.h>
#include <stdint.h>

/* The files are opened once, so that later reads work in the sandbox. */
struct usage {
    int statm;            /* /proc/self/statm; -1: not available */
    DIR *descriptors;     /* /proc/self/fd; NULL: not available */
    int64_t started;      /* milliseconds since 1970 */
    int64_t page;         /* page size, bytes */
    int64_t max_open;     /* limit of descriptors */
    pthread_mutex_t lock; /* protects the position in `descriptors` */
};

/* Unknown figures are -1. */
struct usage_figures {
    int64_t cpu;      /* user and system time of all threads, nanoseconds */
    int64_t resident; /* memory, bytes */
    int64_t virtual;  /* address space, bytes */
    int64_t open;     /* descriptors */
    int64_t max_open; /* limit of descriptors */
    int64_t started;  /* milliseconds since 1970 */
};

/* Opens the files and records the start time. Call this at the start of the process. `self` is the
 * directory of the process, normally "/proc/self"; figures whose file is missing there stay
 * unknown. `max_open` is the final limit of open files. `usage` must not move afterwards. */
void usage_open(struct usage *usage, const char *self, unsigned max_open);

/* Closes the files. */
void usage_close(struct usage *usage);

/* Reads the current figures. Threads may share `usage`. */
struct usage_figures usage_read(struct usage *usage);

#endif
