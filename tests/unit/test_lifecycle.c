/* The order and the times of a shutdown, on a clock that only waiting moves. The integration tests
 * cover signals, the log and the notifications. */
/* wraps: server_drain server_stop_accepting server_close_idle server_sweep */
/* wraps: monotonic_milliseconds sigtimedwait sigprocmask */
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "failing.h"
#include "inspect.h"
#include "lifecycle.h"

enum { START = 123456789, GRACE = 250, SWEEP_INTERVAL = 1000, NEVER = -1 };

/* A shutdown, and what must come of it. Times are in milliseconds since the signal. */
static const struct row {
    const char *name;
    uint32_t delay;
    uint32_t timeout;
    size_t open[4];        /* connections left at each check; the last value repeats */
    unsigned failing_wait; /* 0: none */
    int error;             /* its errno */
    int result;
    int64_t end;
    int64_t stops_accepting;
    int64_t closes_idle; /* for the first time */
    unsigned checks;     /* of the connections */
} ROWS[] = {
    {"no connections", 0, 8000, {0}, 0, 0, 0, 10, 0, NEVER, 2},
    {"a connection that ends", 0, 8000, {1, 0}, 0, 0, 0, 20, 0, NEVER, 3},
    {"a connection counted late", 0, 8000, {0, 1, 0}, 0, 0, 0, 30, 0, NEVER, 4},
    {"an interrupted delay", 1500, 8000, {0}, 3, EINTR, 0, 1510, 1500, 1500, 2},
    {"a delay as long as the grace period", 250, 1, {3, 3, 3, 3}, 0, 0, 0, 251, 250, 250, 2},
    {"a shorter delay", 249, 251, {3, 3, 3, 3}, 0, 0, 0, 500, 249, 259, 27},
    {"no timeout", 0, 0, {3, 3, 3, 3}, 0, 0, 0, 0, 0, NEVER, 1},
    {"a timeout", 0, 8003, {3, 3, 3, 3}, 0, 0, 0, 8003, 0, 250, 802},
    {"an end at the timeout", 0, 10, {1, 0}, 0, 0, 0, 10, 0, NEVER, 2},
    {"a failure before the signal", 0, 8000, {3, 3, 3, 3}, 1, EPERM, 1, 0, NEVER, NEVER, 0},
    {"a failure during the delay", 0, 8000, {3, 3, 3, 3}, 2, EPERM, 1, 0, NEVER, NEVER, 0},
    {"a failure during the shutdown", 0, 8000, {3, 3, 3, 3}, 3, EPERM, 1, 5, 0, NEVER, 1},
};

static const struct row *row;
static int64_t now;
static int64_t next_sweep;
static int64_t stopped_accepting;
static int64_t closed_idle;
static unsigned checks;
static unsigned waits;

void __wrap_server_drain(struct server *server);
void __wrap_server_stop_accepting(struct server *server);
size_t __wrap_server_close_idle(struct server *server, int64_t accepted);
int64_t __wrap_server_sweep(struct server *server);
int64_t __wrap_monotonic_milliseconds(void);
int __wrap_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout);
FAILING_WRAPPER(int, sigprocmask, -1, (int how, const sigset_t *set, sigset_t *old),
                (how, set, old))

void __wrap_server_drain(struct server *server)
{
    (void)server;
    assert_int_equal(now, START);
}

void __wrap_server_stop_accepting(struct server *server)
{
    (void)server;
    stopped_accepting = now - START;
}

size_t __wrap_server_close_idle(struct server *server, int64_t accepted)
{
    const unsigned last = COUNT_OF(row->open) - 1;
    const unsigned check = checks++;

    (void)server;
    if (accepted != INT64_MIN) {
        assert_int_equal(accepted, now - GRACE);
        if (closed_idle == NEVER)
            closed_idle = now - START;
    }
    return row->open[check < last ? check : last];
}

int64_t __wrap_server_sweep(struct server *server)
{
    (void)server;
    assert_int_equal(now, next_sweep);
    next_sweep += SWEEP_INTERVAL;
    return SWEEP_INTERVAL;
}

int64_t __wrap_monotonic_milliseconds(void)
{
    errno = EINVAL; /* must not be taken for an error of sigtimedwait() */
    return now;
}

/* The first wait receives SIGTERM. Another moves the clock by `timeout`, or half of it if it fails.
 */
int __wrap_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    const int64_t length = timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000;
    const bool fails = ++waits == row->failing_wait;

    (void)info;
    assert_int_equal(sigismember(set, SIGTERM), 1);
    assert_int_in_range(timeout->tv_nsec, 0, 999999999);
    if (waits == 1 && !fails)
        return SIGTERM;
    if (waits > 1)
        now += fails ? length / 2 : length;
    errno = fails ? row->error : EAGAIN;
    return -1;
}

#define CANNOT_WAIT                                                                                \
    "{\"time\":\"TIME\",\"level\":\"error\",\"msg\":\"cannot wait for signals\","                  \
    "\"error\":\"Operation not permitted\"}\n"

static void shuts_down_in_order_and_on_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        const struct config config = {.drain_delay = ROWS[i].delay,
                                      .shutdown_timeout = ROWS[i].timeout};
        const int file = memfd_create("log", MFD_CLOEXEC);
        char text[256] = "";
        struct log log;

        print_message("%s\n", ROWS[i].name);
        log_init(&log, file, LOG_FORMAT_JSON, LOG_ERROR);
        row = &ROWS[i];
        now = next_sweep = START;
        stopped_accepting = closed_idle = NEVER;
        checks = waits = 0;
        assert_int_equal(lifecycle_run(NULL, &config, &log, -1), row->result);
        assert_int_equal(now - START, row->end);
        assert_int_equal(stopped_accepting, row->stops_accepting);
        assert_int_equal(closed_idle, row->closes_idle);
        assert_int_equal(checks, row->checks);
        assert_true(pread(file, text, sizeof text - 1, 0) >= 0);
        inspect_replace_times(text);
        assert_string_equal(text, row->result == 0 ? "" : CANNOT_WAIT);
        (void)close(file);
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
        cmocka_unit_test(shuts_down_in_order_and_on_time),
        cmocka_unit_test(blocks_the_signals_that_stop_the_service),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
