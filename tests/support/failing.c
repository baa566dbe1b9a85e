#include "failing.h"

static _Thread_local unsigned countdown;
static _Thread_local bool has_failed;

void failing_at(unsigned n)
{
    countdown = n;
    has_failed = false;
}

bool failing_now(void)
{
    if (countdown == 0)
        return false;
    countdown--;
    if (countdown > 0)
        return false;
    has_failed = true;
    return true;
}

bool failing_has_failed(void)
{
    return has_failed;
}
