/* Injects failures into calls of wrapped functions. A test file wraps a function with the linker's
 * --wrap: its first line lists them ("wraps: malloc socket"), and FAILING_WRAPPER() defines each
 * wrapper. A test then arms one failure at a time; all other calls succeed. */
#ifndef VERSIOND_FAILING_H
#define VERSIOND_FAILING_H

#include <stdbool.h>

/* Defines the wrapper of `function`, which returns `failure` if this call must fail. For example:
 * FAILING_WRAPPER(void *, malloc, NULL, (size_t size), (size)) */
#define FAILING_WRAPPER(type, function, failure, parameters, arguments)                            \
    type __real_##function parameters;                                                             \
    type __wrap_##function parameters;                                                             \
    type __wrap_##function parameters                                                              \
    {                                                                                              \
        return failing_call(#function) ? (failure) : __real_##function arguments;                  \
    }

/* Makes call number `nth` (1: the next one) of `function` by this thread fail and set errno to
 * `error`. A `function` of NULL counts the calls of all wrapped functions; an `error` of 0 leaves
 * errno to the wrapper; an `nth` of 0 disarms. */
void failing_arm(const char *function, unsigned nth, int error);

/* Returns true if this call must fail, and sets errno. For wrappers. */
bool failing_call(const char *function);

/* Returns true if the armed failure has occurred. If not, all calls that can fail have failed. */
bool failing_has_failed(void);

/* Makes `count` calls of `function`, from number `nth` on, by all threads but this one fail and set
 * errno to `error`. A `count` of 0 disarms. */
void failing_arm_others(const char *function, unsigned nth, unsigned count, int error);

/* Returns true if all calls that failing_arm_others() has armed have failed. */
bool failing_others_have_failed(void);

/* failing_arm() without the name of a function: failing_at(n) is failing_arm(NULL, n, 0). */
void failing_at(unsigned n);
bool failing_now(void);

#endif
