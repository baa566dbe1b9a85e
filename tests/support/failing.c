#include "failing.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

struct armed {
    const char *function; /* NULL: any */
    unsigned before;      /* calls that succeed first */
    unsigned count;       /* calls that then fail */
    int error;
};

static _Thread_local struct armed own;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct armed others;            /* protected by `lock` */
static _Thread_local bool arms_others; /* and is spared itself */

void failing_arm(const char *function, unsigned nth, int error)
{
    own = (struct armed){function, nth - 1, nth > 0 ? 1 : 0, error};
}

void failing_arm_others(const char *function, unsigned nth, unsigned count, int error)
{
    arms_others = true;
    pthread_mutex_lock(&lock);
    others = (struct armed){function, nth - 1, count, error};
    pthread_mutex_unlock(&lock);
}

/* Counts a call. Returns true if it must fail, and sets errno. */
static bool count_call(struct armed *armed, const char *function)
{
    if (armed->count == 0 || (armed->function != NULL && strcmp(function, armed->function) != 0))
        return false;
    if (armed->before > 0) {
        armed->before--;
        return false;
    }
    armed->count--;
    if (armed->error != 0)
        errno = armed->error;
    return true;
}

bool failing_call(const char *function)
{
    bool fails = count_call(&own, function);

    if (fails || arms_others)
        return fails;
    pthread_mutex_lock(&lock);
    fails = count_call(&others, function);
    pthread_mutex_unlock(&lock);
    return fails;
}

bool failing_has_failed(void)
{
    return own.count == 0;
}

bool failing_others_have_failed(void)
{
    bool have_failed = false;

    pthread_mutex_lock(&lock);
    have_failed = others.count == 0;
    pthread_mutex_unlock(&lock);
    return have_failed;
}

void failing_at(unsigned n)
{
    failing_arm(NULL, n, 0);
}

bool failing_now(void)
{
    return failing_call("");
}
