#include "failing.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static _Thread_local const char *armed; /* function; NULL: any */
static _Thread_local unsigned countdown;
static _Thread_local int armed_error;
static _Thread_local bool has_failed;

void failing_arm(const char *function, unsigned nth, int error)
{
    armed = function;
    countdown = nth;
    armed_error = error;
    has_failed = false;
}

bool failing_call(const char *function)
{
    if (countdown == 0 || (armed != NULL && strcmp(function, armed) != 0))
        return false;
    countdown--;
    if (countdown > 0)
        return false;
    if (armed_error != 0)
        errno = armed_error;
    has_failed = true;
    return true;
}

bool failing_has_failed(void)
{
    return has_failed;
}

void failing_at(unsigned n)
{
    failing_arm(NULL, n, 0);
}

bool failing_now(void)
{
    return failing_call("");
}
