/* wraps: server_drain server_stop_accepting server_close_idle server_sweep */
/* wraps: notify_stopping monotonic_milliseconds sigtimedwait sigprocmask */
#include "test.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "failing.h"
#include "inspect.h"
#include "lifecycle.h"
#include "notify.h"

enum { START = 123456789, GRACE = 250, NOTIFIER = 4321 };

/* What happens during a run, and what must come of it. All times are in milliseconds since the
 * start of the run, on a clock that only waiting moves. */
struct row {
    const char *name;
    struct {
        int number; /* 0: none */
        int64_t at;
    } signals[2];
    uint32_t delay;
    uint32_t timeout;
    size_t open[4];         /* connections left at each check; the last value repeats */
    unsigned failing_wait;  /* number of the wait that fails; 0: none */
    int error;              /* its errno */
    int64_t sweep_interval; /* 0: 1000 */
    /* Expected. */
    int result;
    int64_t end;
    unsigned checks;
    unsigned sweeps;
    const char *calls; /* with their times; only the first that closes idle connections */
    const char *lines; /* of the log */
};

static const struct row *row;
static int64_t now;
static int64_t next_sweep;
static unsigned checks;
static unsigned sweeps;
static unsigned waits;
static unsigned received; /* signals */
static char calls[512];

void __wrap_server_drain(struct server *server);
void __wrap_server_stop_accepting(struct server *server);
size_t __wrap_server_close_idle(struct server *server, int64_t accepted);
int64_t __wrap_server_sweep(struct server *server);
void __wrap_notify_stopping(int notifier, uint32_t milliseconds, struct log *log);
int64_t __wrap_monotonic_milliseconds(void);
int __wrap_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout);

static void note(const char *call)
{
    const size_t used = strlen(calls);

    (void)snprintf(calls + used, sizeof calls - used, "%s@%" PRId64 " ", call, now - START);
}

void __wrap_server_drain(struct server *server)
{
    (void)server;
    note("drain");
}

void __wrap_server_stop_accepting(struct server *server)
{
    (void)server;
    note("stop_accepting");
}

void __wrap_notify_stopping(int notifier, uint32_t milliseconds, struct log *log)
{
    (void)log;
    assert_int_equal(notifier, NOTIFIER);
    assert_int_equal(milliseconds, row->delay + row->timeout + 5000);
    note("notify");
}

size_t __wrap_server_close_idle(struct server *server, int64_t accepted)
{
    const unsigned last = COUNT_OF(row->open) - 1;
    const unsigned check = checks++;

    (void)server;
    if (accepted != INT64_MIN) {
        assert_int_equal(accepted, now - GRACE);
        if (strstr(calls, "close_idle") == NULL)
            note("close_idle");
    }
    return row->open[check < last ? check : last];
}

int64_t __wrap_server_sweep(struct server *server)
{
    (void)server;
    assert_int_equal(now, next_sweep);
    next_sweep += row->sweep_interval == 0 ? 1000 : row->sweep_interval;
    sweeps++;
    return next_sweep - now;
}

int64_t __wrap_monotonic_milliseconds(void)
{
    errno = EINVAL; /* must not be taken for an error of sigtimedwait() */
    return now;
}

FAILING_WRAPPER(int, sigprocmask, -1, (int how, const sigset_t *set, sigset_t *old),
                (how, set, old))

/* Moves the clock by `timeout`, by half of it if interrupted, or to the next signal. */
int __wrap_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    const int64_t length = timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000;

    (void)info;
    assert_int_in_range(timeout->tv_nsec, 0, 999999999);
    if (++waits == row->failing_wait) {
        now += length / 2;
        errno = row->error;
        return -1;
    }
    if (received < COUNT_OF(row->signals) && row->signals[received].number != 0 &&
        row->signals[received].at <= now - START + length) {
        if (now < START + row->signals[received].at)
            now = START + row->signals[received].at;
        assert_int_equal(sigismember(set, row->signals[received].number), 1);
        return row->signals[received++].number;
    }
    now += length;
    errno = EAGAIN;
    return -1;
}

#define LINE(level, text) "{\"time\":\"TIME\",\"level\":\"" level "\",\"msg\":\"" text "}\n"
#define DRAINING(signal, delay, timeout)                                                           \
    LINE("info", "draining\",\"signal\":\"" signal "\",\"drain_delay_ms\":" #delay                 \
                 ",\"shutdown_timeout_ms\":" #timeout)
#define SECOND LINE("warn", "second signal, exiting immediately\"")
#define TIMED_OUT LINE("warn", "shutdown timeout, closing connections\",\"connections\":3")
#define CANNOT_WAIT LINE("error", "cannot wait for signals\",\"error\":\"Operation not permitted\"")

/* clang-format off */
#define TERM {SIGTERM, 0}
#define STUCK {3, 3, 3, 3}
/* clang-format on */
#define DRAIN "drain@0 notify@0 "
#define STOP DRAIN "stop_accepting@0 "
#define TERM_8000 DRAINING("SIGTERM", 0, 8000)

/* clang-format off */
static const struct row ROWS[] = {
    {"no connections", {TERM}, 0, 8000, {0}, 0, 0, 0, 0, 10, 2, 1, STOP, TERM_8000},
    {"an interrupted wait", {{SIGINT, 5500}}, 0, 8000, {0}, 2, EINTR, 0, 0, 5510, 2, 6,
     "drain@5500 notify@5500 stop_accepting@5500 ", DRAINING("SIGINT", 0, 8000)},
    {"frequent sweeps", {{SIGHUP, 30}}, 0, 8000, {0}, 0, 0, 7, 0, 40, 2, 6,
     "drain@30 notify@30 stop_accepting@30 ", DRAINING("SIGHUP", 0, 8000)},
    {"a connection that ends", {TERM}, 0, 8000, {1, 0}, 0, 0, 0, 0, 20, 3, 1, STOP, TERM_8000},
    {"a connection counted late", {TERM}, 0, 8000, {0, 1, 0}, 0, 0, 0, 0, 30, 4, 1, STOP, TERM_8000},
    {"an interrupted delay", {TERM}, 1500, 8000, {0}, 3, EINTR, 0, 0, 1510, 2, 2,
     DRAIN "stop_accepting@1500 close_idle@1500 ", DRAINING("SIGTERM", 1500, 8000)},
    {"a delay that includes the grace period", {TERM}, 250, 1, STUCK, 0, 0, 0, 0, 251, 2, 1,
     DRAIN "stop_accepting@250 close_idle@250 ", DRAINING("SIGTERM", 250, 1) TIMED_OUT},
    {"a shorter delay", {TERM}, 249, 251, STUCK, 0, 0, 0, 0, 500, 27, 1,
     DRAIN "stop_accepting@249 close_idle@259 ", DRAINING("SIGTERM", 249, 251) TIMED_OUT},
    {"no timeout", {TERM}, 0, 0, STUCK, 0, 0, 0, 0, 0, 1, 1, STOP, DRAINING("SIGTERM", 0, 0) TIMED_OUT},
    {"a timeout", {TERM}, 0, 8003, STUCK, 0, 0, 0, 0, 8003, 802, 9, STOP "close_idle@250 ",
     DRAINING("SIGTERM", 0, 8003) TIMED_OUT},
    {"an end at the timeout", {TERM}, 0, 10, {1, 0}, 0, 0, 0, 0, 10, 2, 1, STOP, DRAINING("SIGTERM", 0, 10)},
    {"two signals at once", {TERM, {SIGINT, 0}}, 0, 8000, STUCK, 0, 0, 0, 1, 0, 0, 0, DRAIN, TERM_8000 SECOND},
    {"a second signal during the shutdown", {TERM, {SIGTERM, 5432}}, 0, 8000, STUCK, 0, 0, 0, 1, 5432, 544, 6,
     STOP "close_idle@250 ", TERM_8000 SECOND},
    {"waiting is not permitted", {TERM}, 0, 8000, STUCK, 1, EPERM, 0, 1, 0, 0, 0, "", CANNOT_WAIT},
    {"nor during the delay", {TERM}, 0, 8000, STUCK, 2, EPERM, 0, 1, 0, 0, 0, DRAIN, TERM_8000 CANNOT_WAIT},
    {"nor during the shutdown", {TERM}, 0, 8000, STUCK, 3, EPERM, 0, 1, 5, 1, 1, STOP, TERM_8000 CANNOT_WAIT},
};
/* clang-format on */

static void runs_until_a_signal_and_shuts_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        const struct config config = {.drain_delay = ROWS[i].delay,
                                      .shutdown_timeout = ROWS[i].timeout};
        const int file = memfd_create("log", MFD_CLOEXEC);
        char text[1024] = "";
        struct log log;

        print_message("%s\n", ROWS[i].name);
        row = &ROWS[i];
        now = next_sweep = START;
        checks = sweeps = waits = received = 0;
        calls[0] = '\0';
        log_init(&log, file, LOG_FORMAT_JSON, LOG_DEBUG);
        assert_int_equal(lifecycle_run(NULL, &config, &log, NOTIFIER), row->result);
        assert_true(pread(file, text, sizeof text - 1, 0) >= 0);
        (void)close(file);
        inspect_replace_times(text);
        assert_string_equal(text, row->lines);
        assert_string_equal(calls, row->calls);
        assert_int_equal(now - START, row->end);
        assert_int_equal(checks, row->checks);
        assert_int_equal(sweeps, row->sweeps);
    }
}

static void blocks_the_signals_that_stop_the_service(void **state)
{
    static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGCHLD};
    static const int blocked[] = {SIGTERM, SIGINT, SIGHUP};
    sigset_t expected;
    sigset_t mask;

    (void)state;
    failing_arm("sigprocmask", 1, EPERM);
    assert_int_equal(lifecycle_block_signals(), -EPERM);
    for (unsigned last = 2; last <= 3; last++) {
        /* Ignored, as under nohup(1), SIGHUP is not blocked. */
        (void)signal(SIGHUP, last == 2 ? SIG_IGN : SIG_DFL);
        assert_int_equal(lifecycle_block_signals(), 0);
        sigemptyset(&expected);
        for (unsigned i = 0; i < last; i++)
            sigaddset(&expected, blocked[i]);
        assert_int_equal(__real_sigprocmask(SIG_UNBLOCK, &expected, &mask), 0);
        assert_memory_equal(&mask, &expected, NSIG / 8); /* the bytes that the kernel stores */
    }
    for (size_t i = 0; i < COUNT_OF(ignored); i++)
        assert_ptr_equal(signal(ignored[i], SIG_DFL), SIG_IGN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_until_a_signal_and_shuts_down),
        cmocka_unit_test(blocks_the_signals_that_stop_the_service),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
