/* wraps: clock_gettime */
#include "test.h"

#include <time.h>

#include "clock.h"

static struct timespec now;

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock != CLOCK_BOOTTIME)
        *time = now;
    return 0;
}

static void converts_to_nanoseconds_and_whole_milliseconds(void **state)
{
    static const struct {
        struct timespec now;
        int64_t nanoseconds;
        int64_t milliseconds;
    } rows[] = {
        {{0, 0}, 0, 0},
        {{0, 999999}, 999999, 0},
        {{0, 1000000}, 1000000, 1},
        {{3, 999999999}, 3999999999, 3999},
        {{4000000, 5000001}, 4000000005000001, 4000000005},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        now = rows[i].now;
        assert_int_equal(monotonic_nanoseconds(), rows[i].nanoseconds);
        assert_int_equal(monotonic_milliseconds(), rows[i].milliseconds);
        assert_int_equal(clock_nanoseconds(CLOCK_REALTIME), rows[i].nanoseconds);
    }
    assert_int_equal(clock_nanoseconds(CLOCK_BOOTTIME), 0); /* not available */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converts_to_nanoseconds_and_whole_milliseconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
