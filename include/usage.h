/* What this process uses of the machine. */
#ifndef VERSIOND_USAGE_H
#define VERSIOND_USAGE_H

#include <dirent.h>
#include <pthread.h>
#include <stdint.h>

/* The files are opened once, so that reading them needs no right to open any. */
struct usage {
    int statm;            /* /proc/self/statm; -1: not there */
    DIR *descriptors;     /* /proc/self/fd; NULL: not there */
    int64_t started;      /* milliseconds since 1970 */
    int64_t page;         /* bytes */
    int64_t max_open;     /* descriptors */
    pthread_mutex_t lock; /* of the place in `descriptors` */
};

/* -1 stands for what cannot be found out. */
struct usage_figures {
    int64_t cpu;      /* user and system time of all threads, nanoseconds */
    int64_t resident; /* memory, bytes */
    int64_t virtual;  /* the same */
    int64_t open;     /* descriptors */
    int64_t max_open; /* descriptors */
    int64_t started;  /* milliseconds since 1970 */
};

/* Begins to watch the process; to be called at its start, with its limit of open files as it
 * stays. `self` is the folder that the kernel keeps of it, "/proc/self" but in tests. What is
 * missing there is not found out later either. `usage` must not move afterwards. */
void usage_open(struct usage *usage, const char *self, unsigned max_open);

/* Closes what usage_open() has opened. */
void usage_close(struct usage *usage);

/* Reads the figures as they are now. Threads may share `usage`. */
struct usage_figures usage_read(struct usage *usage);

#endif
