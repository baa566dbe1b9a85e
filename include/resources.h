/* What the machine grants this process. */
#ifndef VERSIOND_RESOURCES_H
#define VERSIOND_RESOURCES_H

/* The number of CPUs that the process may use, at least 1: the CPUs of its affinity mask, or fewer
 * when the quota of its control group, or of one above it, pays for fewer (cgroup v2 `cpu.max`; a
 * part of a CPU counts as one). Control groups v1 are not asked. `root` is where the control groups
 * are mounted, "/sys/fs/cgroup" but in tests; `self` is the file that names the process' own,
 * "/proc/self/cgroup" but in tests. A file that is missing or unreadable sets no limit. */
unsigned resources_cpus(const char *root, const char *self);

/* Raises the soft limit of open files to the hard one, and returns the limit that then holds, at
 * least 1. */
unsigned resources_open_files(void);

#endif
