/* wraps: clock_gettime */
#include "test.h"

#include <time.h>

#include "clock.h"

int __wrap_clock_gettime(clockid_t clock, struct timespec *time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock == CLOCK_BOOTTIME)
        return -1;
    *time = (struct timespec){4000000 + clock, 5999999};
    return 0;
}

static void converts_to_nanoseconds_and_whole_milliseconds(void **state)
{
    (void)state;
    assert_int_equal(clock_nanoseconds(CLOCK_REALTIME), 4000000005999999);
    assert_int_equal(monotonic_nanoseconds(), 4000001005999999);
    assert_int_equal(monotonic_milliseconds(), 4000001005);
    assert_int_equal(clock_nanoseconds(CLOCK_BOOTTIME), 0); /* not available */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converts_to_nanoseconds_and_whole_milliseconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
