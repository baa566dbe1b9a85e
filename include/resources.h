/* Resource limits that apply to this process. */
#ifndef VERSIOND_RESOURCES_H
#define VERSIOND_RESOURCES_H

/* Returns the number of CPUs available to the process, at least 1: the CPUs in its affinity mask,
 * or fewer if the quota of its control group or of a parent allows fewer (cgroup v2 `cpu.max`,
 * rounded up; cgroup v1 is not supported). `root` is the mount point of the control groups and
 * `self` the file that names the control group of the process: outside of tests, "/sys/fs/cgroup"
 * and "/proc/self/cgroup". A missing or unreadable file sets no limit. */
unsigned resources_cpus(const char *root, const char *self);

/* Raises the soft limit of open files to the hard limit. Returns the new limit, at least 1. */
unsigned resources_open_files(void);

#endif
