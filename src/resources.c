#include "resources.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Returns the number of CPUs that a line of `cpu.max` allows, rounded up: 2 for "150000 100000".
 * Returns UINT_MAX if the line sets no limit ("max 100000") or is malformed. */
static unsigned parse_quota(const char *line)
{
    char *rest = NULL;
    const unsigned long long quota = strtoull(line, &rest, 10);
    const unsigned long long period = rest == line ? 0 : strtoull(rest, NULL, 10);

    if (period == 0 || quota / period >= UINT_MAX)
        return UINT_MAX;
    return (unsigned)(quota / period + (quota % period != 0));
}

static unsigned read_quota(const char *path)
{
    FILE *file = fopen(path, "re");
    char line[64] = "";
    unsigned cpus = UINT_MAX;

    if (file == NULL)
        return UINT_MAX;
    if (fgets(line, sizeof line, file) != NULL)
        cpus = parse_quota(line);
    (void)fclose(file);
    return cpus;
}

/* Stores the path of the process's control group in `group` ("" for the root). */
static void read_group(const char *self, char *group, size_t size)
{
    FILE *file = fopen(self, "re");
    char line[PATH_MAX];

    group[0] = '\0';
    if (file == NULL)
        return;
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::/", 4) == 0)
            (void)snprintf(group, size, "%s", line + 3);
    }
    (void)fclose(file);
}

/* Returns the lowest quota of the process's control group and its parents. */
static unsigned group_cpus(const char *root, const char *self)
{
    char group[PATH_MAX];
    unsigned lowest = UINT_MAX;

    read_group(self, group, sizeof group);
    for (;;) {
        char path[2 * PATH_MAX];
        char *parent = strrchr(group, '/');
        unsigned cpus = 0;

        (void)snprintf(path, sizeof path, "%s%s/cpu.max", root, group);
        cpus = read_quota(path);
        if (cpus < lowest)
            lowest = cpus;
        if (parent == NULL)
            return lowest;
        *parent = '\0';
    }
}

/* The call fails if the machine has more CPUs than the mask can hold: returns what it can hold. */
static unsigned affinity_cpus(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return CPU_SETSIZE;
    return (unsigned)CPU_COUNT(&set);
}

unsigned resources_cpus(const char *root, const char *self)
{
    const unsigned affinity = affinity_cpus();
    const unsigned group = group_cpus(root, self);
    const unsigned cpus = group < affinity ? group : affinity;

    return cpus > 0 ? cpus : 1;
}

unsigned resources_open_files(void)
{
    struct rlimit limit;
    struct rlimit raised;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    raised = (struct rlimit){.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
        limit = raised;
    if (limit.rlim_cur == 0)
        return 1;
    return limit.rlim_cur < UINT_MAX ? (unsigned)limit.rlim_cur : UINT_MAX;
}
