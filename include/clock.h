/* What clocks say; most ask for the time that only goes forward, CLOCK_MONOTONIC. */
#ifndef VERSIOND_CLOCK_H
#define VERSIOND_CLOCK_H

#include <stdint.h>
#include <time.h>

/* What a clock of the kernel says (clock_gettime(2)), in nanoseconds; 0 when there is no such
 * clock. */
int64_t clock_nanoseconds(clockid_t clock);

/* The time of CLOCK_MONOTONIC, since some moment in the past. No system call where the kernel has a
 * vDSO. */
int64_t monotonic_nanoseconds(void);
int64_t monotonic_milliseconds(void);

#endif
