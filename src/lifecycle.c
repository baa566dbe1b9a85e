#include "lifecycle.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "notify.h"

/* How long a request can be on its way, in milliseconds. A shutdown with idle connections takes
 * this long. */
enum { IDLE_GRACE = 250 };

/* Time between checks of the connections during shutdown, in milliseconds. */
enum { POLL_INTERVAL = 10 };

/* Extra time for a shutdown on a busy machine, in milliseconds. */
enum { STOP_MARGIN = 5000 };

/* Returns the signals that stop the service. Leaves SIGHUP out if it is ignored: a blocked signal
 * becomes pending even if it is ignored. */
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

/* Waits for a signal until `deadline`, checking at least once, and sweeps the server when `*sweep`
 * is due (both in milliseconds of CLOCK_MONOTONIC). Returns the signal's number, 0 if none arrived,
 * or a negative errno if waiting failed. */
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
        const int error = errno; /* reading the clock may change it */
        const int64_t now = monotonic_milliseconds();

        if (number > 0)
            return number;
        if (error != EAGAIN && error != EINTR) /* EINTR: stopped and continued */
            return -error;
        if (now >= *sweep)
            *sweep = now + server_sweep(server);
        if (now >= deadline)
            return 0;
    }
}

/* Waits for the connections to end, and stores how many are left in `*open`. Returns the same as
 * wait_for_signal(). */
static int wait_for_connections(struct server *server, int64_t timeout, int64_t drained,
                                int64_t *sweep, size_t *open)
{
    const int64_t deadline = monotonic_milliseconds() + timeout;
    size_t last = 1;

    for (;;) {
        const int64_t now = monotonic_milliseconds();
        /* The grace period starts with the drain or, for later connections, when they were
         * accepted. */
        const int64_t before = now - drained >= IDLE_GRACE ? now - IDLE_GRACE : INT64_MIN;
        int number = 0;

        *open = server_close_idle(server, before);
        /* Twice in a row: a thread may have accepted a connection that is not counted yet. */
        if ((*open == 0 && last == 0) || now >= deadline)
            return 0;
        last = *open;
        number = wait_for_signal(server, earlier(now + POLL_INTERVAL, deadline), sweep);
        if (number != 0)
            return number;
    }
}

/* Shuts down because of a signal, and stores how many connections are left in `*open`. Returns the
 * same as wait_for_signal(). */
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
        log_write(log, LOG_WARN, "second signal, exiting immediately", NULL, 0);
    else if (open > 0)
        log_write(log, LOG_WARN, "shutdown timeout, closing connections",
                  &(const struct log_field){.name = "connections", .number = (int64_t)open}, 1);
    return number == 0 ? 0 : 1;
}
