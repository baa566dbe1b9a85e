#include "usage.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

void usage_open(struct usage *usage, const char *self, unsigned max_open)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof path, "%s/statm", self);
    *usage = (struct usage){
        .statm = open(path, O_RDONLY | O_CLOEXEC),
        .started = clock_nanoseconds(CLOCK_REALTIME) / 1000000,
        .page = sysconf(_SC_PAGESIZE),
        .max_open = max_open,
    };
    (void)snprintf(path, sizeof path, "%s/fd", self);
    usage->descriptors = opendir(path);
    pthread_mutex_init(&usage->lock, NULL);
}

void usage_close(struct usage *usage)
{
    if (usage->statm >= 0)
        (void)close(usage->statm);
    if (usage->descriptors != NULL)
        (void)closedir(usage->descriptors);
}

/* The file starts with the total and the resident size in pages (proc_pid_statm(5)). */
static void read_memory(const struct usage *usage, struct usage_figures *figures)
{
    char line[128];
    const ssize_t length = pread(usage->statm, line, sizeof line - 1, 0);
    char *rest = NULL;

    if (length <= 0)
        return;
    line[length] = '\0';
    figures->virtual = strtoll(line, &rest, 10) * usage->page;
    figures->resident = strtoll(rest, NULL, 10) * usage->page;
}

/* Counts the entries of a directory except "." and "..". Returns -1 on an error. */
static int64_t count_entries(DIR *directory)
{
    int64_t count = -2;

    rewinddir(directory);
    errno = 0;
    while (readdir(directory) != NULL)
        count++;
    return errno == 0 ? count : -1;
}

/* Since Linux 6.2 the size of the directory is the number of open descriptors; older kernels report
 * 0. */
static int64_t count_open(struct usage *usage)
{
    const int descriptor = usage->descriptors == NULL ? -1 : dirfd(usage->descriptors);
    struct stat directory = {0};
    int64_t count = 0;

    if (descriptor < 0)
        return -1;
    if (fstat(descriptor, &directory) == 0 && directory.st_size > 0)
        return directory.st_size;
    pthread_mutex_lock(&usage->lock);
    count = count_entries(usage->descriptors);
    pthread_mutex_unlock(&usage->lock);
    return count;
}

struct usage_figures usage_read(struct usage *usage)
{
    const int64_t cpu = clock_nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    struct usage_figures figures = {
        .cpu = cpu > 0 ? cpu : -1,
        .resident = -1,
        .virtual = -1,
        .open = count_open(usage),
        .max_open = usage->max_open,
        .started = usage->started,
    };

    read_memory(usage, &figures);
    return figures;
}
