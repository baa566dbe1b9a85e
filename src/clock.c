#include "clock.h"

int64_t clock_nanoseconds(clockid_t clock)
{
    struct timespec now = {0};

    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t monotonic_nanoseconds(void)
{
    return clock_nanoseconds(CLOCK_MONOTONIC);
}

int64_t monotonic_milliseconds(void)
{
    return monotonic_nanoseconds() / 1000000;
}
