/* The time that only goes forward: CLOCK_MONOTONIC. */
#ifndef VERSIOND_CLOCK_H
#define VERSIOND_CLOCK_H

#include <stdint.h>

/* The time now, since some moment in the past. No system call where the kernel has a vDSO. */
int64_t monotonic_nanoseconds(void);
int64_t monotonic_milliseconds(void);

#endif
