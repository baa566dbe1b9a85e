#include "lifecycle.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "notify.h"

/* Milliseconds that a request may be on its way; a stop with idle connections takes this long. */
enum { IDLE_GRACE = 250 };

/* Milliseconds between looks at the connections while stopping. */
enum { POLL_INTERVAL = 10 };

/* Milliseconds that a sweep is late only when the whole process did not run. */
enum { STANDSTILL = 1000 };

/* A signal that is blocked is kept for who waits for it, even when it is ignored: so one that is to
 * stay ignored is left out. */
static sigset_t stop_signals(void)
{
    struct sigaction hangup = {.sa_handler = SIG_DFL};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)sigaction(SIGHUP, NULL, &hangup);
    if (hangup.sa_handler != SIG_IGN)
        sigaddset(&set, SIGHUP);
    return set;
}

int lifecycle_block_signals(void)
{
    const sigset_t set = stop_signals();

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)signal(SIGCHLD, SIG_IGN);
    return sigprocmask(SIG_BLOCK, &set, NULL) == 0 ? 0 : -errno;
}

static const char *signal_name(int number)
{
    switch (number) {
    case SIGTERM:
        return "SIGTERM";
    case SIGINT:
        return "SIGINT";
    default:
        return "SIGHUP";
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Waits for a signal until `deadline`, and at least looks; sweeps the server when that is due, at
 * `*sweep` (both in milliseconds of CLOCK_MONOTONIC). Returns the signal's number, 0, or a negative
 * errno when the kernel does not let us wait. */
static int wait_for_signal(struct server *server, int64_t deadline, int64_t *sweep)
{
    const sigset_t set = stop_signals();

    for (;;) {
        const int64_t left = earlier(deadline, *sweep) - monotonic_milliseconds();
        const struct timespec timeout = {
            .tv_sec = left > 0 ? (time_t)(left / 1000) : 0,
            .tv_nsec = left > 0 ? (long)(left % 1000) * 1000000 : 0,
        };
        const int number = sigtimedwait(&set, NULL, &timeout);
        const int error = errno; /* before the clock is asked, which may have an error of its own */
        const int64_t now = monotonic_milliseconds();

        if (number > 0)
            return number;
        if (error != EAGAIN && error != EINTR) /* EINTR: stopped and continued */
            return -error;
        if (now >= *sweep) {
            /* Who was stopped or asleep until now first reads what has come meanwhile. */
            *sweep = now + (now < *sweep + STANDSTILL ? server_sweep(server) : STANDSTILL);
        }
        if (now >= deadline)
            return 0;
    }
}

/* Waits for the connections to end; `*open` is how many are left. Returns as wait_for_signal(). */
static int wait_for_connections(struct server *server, int64_t timeout, int64_t drained,
                                int64_t *sweep, size_t *open)
{
    const int64_t deadline = monotonic_milliseconds() + timeout;
    size_t last = 1;

    for (;;) {
        const int64_t now = monotonic_milliseconds();
        /* Everybody has the grace from the begin of the drain, late-comers from their own. */
        const int64_t before = now - drained >= IDLE_GRACE ? now - IDLE_GRACE : INT64_MIN;
        int number = 0;

        *open = server_close_idle(server, before);
        /* Twice: a thread may have accepted a connection and not said so yet. */
        if ((*open == 0 && last == 0) || now >= deadline)
            return 0;
        last = *open;
        number = wait_for_signal(server, earlier(now + POLL_INTERVAL, deadline), sweep);
        if (number != 0)
            return number;
    }
}

/* Milliseconds that a stop may take beyond what the settings give it, on a machine that is busy. */
enum { STOP_MARGIN = 5000 };

/* Stops the server's work because of a signal; `*open` is how many connections are left. Returns as
 * wait_for_signal(). */
static int stop(struct server *server, const struct config *config, struct log *log, int notifier,
                int number, int64_t *sweep, size_t *open)
{
    const int64_t drained = monotonic_milliseconds();
    int second = 0;

    server_drain(server);
    log_write(log, LOG_INFO, "draining",
              (const struct log_field[]){
                  {.name = "signal", .text = signal_name(number)},
                  {.name = "drain_delay_ms", .number = config->drain_delay},
                  {.name = "shutdown_timeout_ms", .number = config->shutdown_timeout}},
              3);
    notify_stopping(notifier, config->drain_delay + config->shutdown_timeout + STOP_MARGIN, log);
    second = wait_for_signal(server, drained + config->drain_delay, sweep);
    if (second != 0)
        return second;
    server_stop_accepting(server);
    return wait_for_connections(server, config->shutdown_timeout, drained, sweep, open);
}

int lifecycle_run(struct server *server, const struct config *config, struct log *log, int notifier)
{
    int64_t sweep = monotonic_milliseconds();
    int number = wait_for_signal(server, INT64_MAX, &sweep);
    size_t open = 0;

    if (number > 0)
        number = stop(server, config, log, notifier, number, &sweep, &open);
    if (number < 0)
        log_write(log, LOG_ERROR, "cannot wait for signals",
                  &(const struct log_field){.name = "error", .text = strerror(-number)}, 1);
    else if (number > 0)
        log_write(log, LOG_WARN, "second signal, leaving at once", NULL, 0);
    else if (open > 0)
        log_write(log, LOG_WARN, "shutdown timeout, closing connections",
                  &(const struct log_field){.name = "connections", .number = (int64_t)open}, 1);
    return number == 0 ? 0 : 1;
}
