/* Reads clocks as integers. */
#ifndef VERSIOND_CLOCK_H
#define VERSIOND_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Returns the time of a clock (clock_gettime(2)) in nanoseconds, or 0 if the kernel lacks it. */
int64_t clock_nanoseconds(clockid_t clock);

/* Return the time of CLOCK_MONOTONIC. Make no system call if the kernel has a vDSO. */
int64_t monotonic_nanoseconds(void);
int64_t monotonic_milliseconds(void);

#endif
