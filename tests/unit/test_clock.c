/* wraps: clock_gettime */
#include "test.h"

#include <time.h>

#include "clock.h"

static const struct timespec *shown; /* by CLOCK_MONOTONIC; NULL: the real time */

int __real_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    if (shown == NULL || id != CLOCK_MONOTONIC)
        return __real_clock_gettime(id, now);
    *now = *shown;
    return 0;
}

static int restore_clock(void **state)
{
    (void)state;
    shown = NULL;
    return 0;
}

static void clock_is_read_in_nanoseconds_and_in_whole_milliseconds(void **state)
{
    static const struct {
        struct timespec shown;
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
        shown = &rows[i].shown;
        assert_int_equal(monotonic_nanoseconds(), rows[i].nanoseconds);
        assert_int_equal(monotonic_milliseconds(), rows[i].milliseconds);
    }
}

static void time_goes_forward(void **state)
{
    const int64_t before = monotonic_nanoseconds();

    (void)state;
    while (monotonic_nanoseconds() == before)
        ;
    assert_true(monotonic_nanoseconds() > before);
    assert_true(monotonic_milliseconds() >= before / 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(clock_is_read_in_nanoseconds_and_in_whole_milliseconds,
                                        restore_clock, restore_clock),
        cmocka_unit_test_setup_teardown(time_goes_forward, restore_clock, restore_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
