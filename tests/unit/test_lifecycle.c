/* wraps: server_drain server_stop_accepting server_close_idle server_sweep */
/* wraps: notify_stopping monotonic_milliseconds sigtimedwait sigprocmask */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "inspect.h"
#include "lifecycle.h"
#include "notify.h"

/* The tests run on a clock of their own, which waiting moves on. It starts at START; all times in
 * the tests count from there. */
enum { START = 123456789, GRACE = 250, SWEEP_INTERVAL = 1000 };
static int64_t now;

/* What happens while lifecycle_run() waits. */
static struct {
    struct {
        int number; /* 0: none */
        int64_t comes;
    } signals[2]; /* in their order */
    size_t connections;
    int64_t connections_end;
    int64_t look_takes;     /* at the connections */
    int64_t sweep_interval; /* that the server wants; 0: SWEEP_INTERVAL */
    unsigned interruptions; /* of waits that take time, as SIGSTOP and SIGCONT make them */
    unsigned failing_wait;  /* 1: the first; 0: none */
    bool is_unblockable;    /* whatever signal is to be blocked */
    int64_t standstill; /* at the end of the first wait that takes time, as while SIGSTOP lasts */
} script;

static char
    trace[1024]; /* what was called and when; of looks at the connections the first of a kind */
static uint32_t announced; /* milliseconds that the stop may take; 0: it was not announced */
static int64_t last_look;
static int64_t last_end; /* of a wait */
static unsigned looks;   /* that took no time, one after the other */
static int64_t last_sweep;
static int64_t longest_without_sweep;
static size_t sweeps;
static int64_t swept[16]; /* when, as far as there is room */

void __wrap_server_drain(struct server *server);
void __wrap_server_stop_accepting(struct server *server);
void __wrap_notify_stopping(int notifier, uint32_t milliseconds, struct log *log);
size_t __wrap_server_close_idle(struct server *server, int64_t accepted);
int64_t __wrap_monotonic_milliseconds(void);
int64_t __wrap_server_sweep(struct server *server);
int __real_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout);
int __wrap_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout);
int __real_sigprocmask(int how, const sigset_t *set, sigset_t *old);
int __wrap_sigprocmask(int how, const sigset_t *set, sigset_t *old);

enum { NOTIFIER = 4321 };

/* Nothing looks into the server. */
static struct server *some_server(void)
{
    static char place;

    return (struct server *)(void *)&place;
}

/* Adds a line to the trace, unless it is there already: with any time when `is_look`. */
static void note(const struct server *server, const char *what, bool is_look)
{
    char line[64];

    assert_ptr_equal(server, some_server());
    if (is_look && strstr(trace, what) != NULL)
        return;
    (void)snprintf(line, sizeof line, "%s at %" PRId64 "\n", what, now - START);
    assert_true(strlen(trace) + strlen(line) < sizeof trace);
    (void)strncat(trace, line, sizeof trace - strlen(trace) - 1);
}

void __wrap_server_drain(struct server *server)
{
    note(server, "drain", false);
}

void __wrap_server_stop_accepting(struct server *server)
{
    note(server, "stop accepting", false);
}

/* After the begin of the drain, and before the server accepts no more. */
void __wrap_notify_stopping(int notifier, uint32_t milliseconds, struct log *log)
{
    assert_int_equal(notifier, NOTIFIER);
    assert_int_equal(announced, 0);
    assert_int_equal(log->level, LOG_DEBUG);
    assert_int_equal(strncmp(trace, "drain at ", strlen("drain at ")), 0);
    assert_null(strchr(strchr(trace, '\n') + 1, '\n'));
    announced = milliseconds;
}

size_t __wrap_server_close_idle(struct server *server, int64_t accepted)
{
    if (accepted == INT64_MIN)
        note(server, "count", true);
    else if (accepted == now - GRACE)
        note(server, "close idle", true);
    else
        fail_msg("closes what was accepted by %" PRId64 " at %" PRId64, accepted - START,
                 now - START);
    last_look = now - START;
    now += script.look_takes;
    return last_look < script.connections_end ? script.connections : 0;
}

/* The clock may have an error of its own, which is none of the wait before it. */
int64_t __wrap_monotonic_milliseconds(void)
{
    errno = EINVAL;
    return now;
}

static void note_time_without_sweep(void)
{
    if (now - last_sweep > longest_without_sweep)
        longest_without_sweep = now - last_sweep;
}

int64_t __wrap_server_sweep(struct server *server)
{
    assert_ptr_equal(server, some_server());
    note_time_without_sweep();
    last_sweep = now;
    if (sweeps < COUNT_OF(swept))
        swept[sweeps] = now - START;
    sweeps++;
    return script.sweep_interval != 0 ? script.sweep_interval : SWEEP_INTERVAL;
}

int __wrap_sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
    if (!script.is_unblockable)
        return __real_sigprocmask(how, set, old);
    errno = EPERM;
    return -1;
}

/* Moves the clock on by `timeout`, or to the signal of the script, whichever is first. */
int __wrap_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    static const struct timespec none;
    const int64_t end = now + timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000;
    int number = 0;

    if (script.failing_wait == 1) {
        errno = EPERM;
        return -1;
    }
    if (script.failing_wait > 1)
        script.failing_wait--;
    looks = end == now && end == last_end ? looks + 1 : 0;
    last_end = end;
    number = __real_sigtimedwait(set, info, &none);
    assert_true(looks < 4); /* else time stands still here */
    assert_int_in_range(timeout->tv_sec, 0, 1);
    assert_int_in_range(timeout->tv_nsec, 0, 999999999);
    if (number > 0)
        return number;
    if (script.interruptions > 0 && end > now) {
        script.interruptions--;
        now += (end - now) / 2;
        errno = EINTR;
        return -1;
    }
    if (script.signals[0].number != 0 && START + script.signals[0].comes <= end) {
        if (now < START + script.signals[0].comes)
            now = START + script.signals[0].comes;
        assert_int_equal(raise(script.signals[0].number), 0);
        script.signals[0] = script.signals[1];
        script.signals[1].number = 0;
        return __real_sigtimedwait(set, info, &none);
    }
    assert_true(end < START + 3600000); /* nothing would end it */
    if (end > now) {
        now = end + script.standstill;
        script.standstill = 0;
    }
    errno = EAGAIN;
    return -1;
}

static const int SIGNALS[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGXFSZ, SIGCHLD};

/* What the process does with its signals, to be restored after each test. */
static struct {
    sigset_t mask;
    struct sigaction actions[COUNT_OF(SIGNALS)];
} before;

static void reset_clock(void)
{
    trace[0] = '\0';
    announced = 0;
    now = START;
    last_end = START;
    looks = 0;
    last_sweep = START;
    longest_without_sweep = 0;
    sweeps = 0;
}

static int save_signals(void **state)
{
    const struct sigaction none_is_ignored = {.sa_handler = SIG_DFL};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(SIGNALS); i++)
        (void)sigaction(SIGNALS[i], &none_is_ignored, &before.actions[i]);
    memset(&script, 0, sizeof script);
    reset_clock();
    return pthread_sigmask(SIG_SETMASK, NULL, &before.mask);
}

/* Takes away the signals that are left, and puts everything back. */
static int restore_signals(void **state)
{
    static const struct timespec none;
    sigset_t set;

    (void)state;
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT_OF(SIGNALS); i++)
        sigaddset(&set, SIGNALS[i]);
    while (__real_sigtimedwait(&set, NULL, &none) > 0)
        ;
    for (size_t i = 0; i < COUNT_OF(SIGNALS); i++)
        (void)sigaction(SIGNALS[i], &before.actions[i], NULL);
    return pthread_sigmask(SIG_SETMASK, &before.mask, NULL);
}

#define DRAINING(signal, delay, timeout)                                                           \
    "{\"time\":\"TIME\",\"level\":\"info\",\"msg\":\"draining\",\"signal\":\"" signal              \
    "\",\"drain_delay_ms\":" #delay ",\"shutdown_timeout_ms\":" #timeout "}\n"
#define INTERRUPTED                                                                                \
    "{\"time\":\"TIME\",\"level\":\"warn\",\"msg\":\"second signal, leaving at once\"}\n"
#define TIMED_OUT(count)                                                                           \
    "{\"time\":\"TIME\",\"level\":\"warn\",\"msg\":\"shutdown timeout, closing connections\","     \
    "\"connections\":" #count "}\n"

/* Runs with these settings, and checks what is returned, called and logged; the first signal is
 * there already, or comes as the script says. */
static void expect_run(uint32_t drain_delay, uint32_t shutdown_timeout, int result,
                       const char *calls, const char *lines)
{
    const struct config config = {.drain_delay = drain_delay, .shutdown_timeout = shutdown_timeout};
    const int64_t standstill = script.standstill;
    const int file = memfd_create("log", MFD_CLOEXEC);
    char text[2048] = "";
    struct log log;

    assert_true(file >= 0);
    log_init(&log, file, LOG_FORMAT_JSON, LOG_DEBUG);
    assert_int_equal(lifecycle_run(some_server(), &config, &log, NOTIFIER), result);
    assert_int_equal(announced, calls[0] == '\0' ? 0 : drain_delay + shutdown_timeout + 5000);
    assert_true(pread(file, text, sizeof text - 1, 0) >= 0);
    (void)close(file);
    inspect_replace_times(text);
    assert_string_equal(text, lines);
    assert_string_equal(trace, calls);
    note_time_without_sweep();
    assert_true(longest_without_sweep <= SWEEP_INTERVAL + script.look_takes + 2 * standstill);
}

static void signals_that_cannot_be_blocked_are_an_error(void **state)
{
    (void)state;
    script.is_unblockable = true;
    assert_int_equal(lifecycle_block_signals(), -EPERM);
}

static void begin(int signal)
{
    assert_int_equal(lifecycle_block_signals(), 0);
    assert_int_equal(raise(signal), 0);
}

static void block_signals_blocks_those_that_stop_and_no_others(void **state)
{
    sigset_t mask;

    (void)state;
    assert_int_equal(lifecycle_block_signals(), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    for (int number = 1; number < NSIG; number++) {
        const bool stops = number == SIGTERM || number == SIGINT || number == SIGHUP;
        const bool is_blocked = sigismember(&mask, number) == 1;

        if (is_blocked != (stops || sigismember(&before.mask, number) == 1))
            fail_msg("signal %d is %sblocked", number, is_blocked ? "" : "not ");
    }
}

static void block_signals_ignores_broken_pipes_full_files_and_children(void **state)
{
    static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGCHLD};
    struct sigaction action;

    (void)state;
    assert_int_equal(lifecycle_block_signals(), 0);
    for (size_t i = 0; i < COUNT_OF(ignored); i++) {
        assert_int_equal(sigaction(ignored[i], NULL, &action), 0);
        assert_ptr_equal(action.sa_handler, SIG_IGN);
    }
}

static void signal_stops_in_order_and_is_named(void **state)
{
    static const struct {
        int signal;
        const char *lines;
    } rows[] = {
        {SIGTERM, DRAINING("SIGTERM", 0, 8000)},
        {SIGINT, DRAINING("SIGINT", 0, 8000)},
        {SIGHUP, DRAINING("SIGHUP", 0, 8000)},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        reset_clock();
        begin(rows[i].signal);
        expect_run(0, 8000, 0, "drain at 0\nstop accepting at 0\ncount at 0\n", rows[i].lines);
    }
}

static void signal_that_was_ignored_stays_ignored(void **state)
{
    (void)state;
    (void)signal(SIGHUP, SIG_IGN); /* as nohup(1) does */
    begin(SIGHUP);
    begin(SIGTERM);
    script.signals[0].number = SIGHUP;
    script.signals[0].comes = 50;
    expect_run(100, 8000, 0, "drain at 0\nstop accepting at 100\ncount at 100\n",
               DRAINING("SIGTERM", 100, 8000));
}

static void waiting_for_the_first_signal_goes_on_after_interruptions(void **state)
{
    (void)state;
    assert_int_equal(lifecycle_block_signals(), 0);
    script.interruptions = 2;
    script.signals[0].number = SIGTERM;
    script.signals[0].comes = 5000;
    expect_run(0, 8000, 0, "drain at 5000\nstop accepting at 5000\ncount at 5000\n",
               DRAINING("SIGTERM", 0, 8000));
    assert_uint_equal(script.interruptions, 0);
}

static void server_is_swept_when_it_wants_to_be(void **state)
{
    static const struct {
        int64_t signal_comes;
        size_t sweeps;
    } rows[] = {{0, 0}, {999, 1}, {1001, 2}, {1999, 2}, {2001, 3}, {600500, 601}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char calls[64];

        reset_clock();
        assert_int_equal(lifecycle_block_signals(), 0);
        script.signals[0].number = SIGTERM;
        script.signals[0].comes = rows[i].signal_comes;
        script.signals[1] = script.signals[0]; /* leaves at once */
        (void)snprintf(calls, sizeof calls, "drain at %" PRId64 "\n", rows[i].signal_comes);
        expect_run(0, 8000, 1, calls, DRAINING("SIGTERM", 0, 8000) INTERRUPTED);
        assert_uint_equal(sweeps, rows[i].sweeps);
    }
}

static void expect_sweeps(const int64_t *times, size_t count)
{
    assert_uint_equal(sweeps, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(swept[i], times[i]);
}

static void server_is_swept_more_often_when_it_wants_to_be(void **state)
{
    static const int64_t times[] = {0, 7, 14, 21, 28};

    (void)state;
    assert_int_equal(lifecycle_block_signals(), 0);
    script.sweep_interval = 7;
    script.signals[0].number = SIGTERM;
    script.signals[0].comes = 30;
    script.signals[1] = script.signals[0]; /* leaves at once */
    expect_run(0, 8000, 1, "drain at 30\n", DRAINING("SIGTERM", 0, 8000) INTERRUPTED);
    expect_sweeps(times, COUNT_OF(times));
}

/* Neither the delay nor the stop begins its second anew. */
static void server_is_swept_while_it_drains_and_stops(void **state)
{
    static const int64_t times[] = {0, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000};

    (void)state;
    assert_int_equal(lifecycle_block_signals(), 0);
    script.signals[0].number = SIGTERM;
    script.signals[0].comes = 1700;
    script.connections = 3;
    script.connections_end = INT64_MAX;
    expect_run(1600, 5000, 0, "drain at 1700\nstop accepting at 3300\nclose idle at 3300\n",
               DRAINING("SIGTERM", 1600, 5000) TIMED_OUT(3));
    expect_sweeps(times, COUNT_OF(times));
}

static void server_is_swept_also_when_looks_at_the_connections_take_long(void **state)
{
    static const int64_t times[] = {0, 1200, 2400, 3600};

    (void)state;
    begin(SIGTERM);
    script.connections = 3;
    script.connections_end = INT64_MAX;
    script.look_takes = 300;
    expect_run(0, 4000, 0, "drain at 0\nstop accepting at 0\ncount at 0\nclose idle at 300\n",
               DRAINING("SIGTERM", 0, 4000) TIMED_OUT(3));
    expect_sweeps(times, COUNT_OF(times));
}

/* Else requests that came meanwhile would be overdue before anybody has read them. */
static void sweep_after_a_standstill_is_left_out(void **state)
{
    static const struct {
        int64_t standstill;
        int64_t times[2];
    } rows[] = {{999, {2000, 3000}}, {1000, {3000, 4000}}, {3600000 - 10000, {3592000, 3593000}}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        reset_clock();
        assert_int_equal(lifecycle_block_signals(), 0);
        script.standstill = rows[i].standstill;
        script.signals[0].number = SIGTERM;
        script.signals[0].comes = rows[i].times[1] + 1;
        expect_run(0, 8000, 0, trace, DRAINING("SIGTERM", 0, 8000));
        assert_int_equal(swept[1], rows[i].times[0] - (i == 0 ? 1 : 0));
    }
}

static void drain_delay_is_kept(void **state)
{
    (void)state;
    begin(SIGTERM);
    expect_run(1500, 8000, 0, "drain at 0\nstop accepting at 1500\nclose idle at 1500\n",
               DRAINING("SIGTERM", 1500, 8000));
}

static void drain_delay_is_kept_through_interruptions(void **state)
{
    (void)state;
    begin(SIGTERM);
    script.interruptions = 3;
    expect_run(1500, 8000, 0, "drain at 0\nstop accepting at 1500\nclose idle at 1500\n",
               DRAINING("SIGTERM", 1500, 8000));
    assert_uint_equal(script.interruptions, 0);
}

static void second_signal_in_the_drain_delay_leaves_at_once(void **state)
{
    (void)state;
    begin(SIGTERM);
    script.signals[0].number = SIGINT;
    script.signals[0].comes = 400;
    script.connections = 3;
    script.connections_end = INT64_MAX;
    expect_run(1500, 8000, 1, "drain at 0\n", DRAINING("SIGTERM", 1500, 8000) INTERRUPTED);
    assert_int_equal(now - START, 400);
}

static void second_signal_that_is_there_already_leaves_at_once(void **state)
{
    (void)state;
    begin(SIGTERM);
    begin(SIGINT);
    expect_run(0, 8000, 1, "drain at 0\n", DRAINING("SIGINT", 0, 8000) INTERRUPTED);
    assert_int_equal(now - START, 0);
}

static void second_signal_while_connections_are_open_leaves_at_once(void **state)
{
    (void)state;
    begin(SIGTERM);
    script.signals[0].number = SIGTERM;
    script.signals[0].comes = 5432;
    script.connections = 3;
    script.connections_end = INT64_MAX;
    expect_run(0, 8000, 1, "drain at 0\nstop accepting at 0\ncount at 0\nclose idle at 250\n",
               DRAINING("SIGTERM", 0, 8000) INTERRUPTED);
    assert_int_equal(now - START, 5432);
}

static void second_signal_is_seen_also_when_time_has_run_out(void **state)
{
    (void)state;
    begin(SIGTERM);
    script.signals[0].number = SIGINT;
    script.signals[0].comes = 8001;
    script.connections = 3;
    script.connections_end = INT64_MAX;
    script.look_takes = 11000;
    expect_run(0, 8000, 1, "drain at 0\nstop accepting at 0\ncount at 0\n",
               DRAINING("SIGTERM", 0, 8000) INTERRUPTED);
}

static void connections_that_end_in_time_end_the_wait(void **state)
{
    (void)state;
    begin(SIGTERM);
    script.connections = 3;
    script.connections_end = 4321;
    expect_run(1000, 8000, 0, "drain at 0\nstop accepting at 1000\nclose idle at 1000\n",
               DRAINING("SIGTERM", 1000, 8000));
    assert_int_in_range(now - START, 4321, 4321 + 20); /* soon */
}

static void connections_that_stay_are_logged_when_time_is_up(void **state)
{
    static const struct {
        uint32_t delay;
        uint32_t timeout;
        const char *calls;
        const char *lines;
    } rows[] = {
        {0, 0, "drain at 0\nstop accepting at 0\ncount at 0\n",
         DRAINING("SIGTERM", 0, 0) TIMED_OUT(3)},
        {0, 8000, "drain at 0\nstop accepting at 0\ncount at 0\nclose idle at 250\n",
         DRAINING("SIGTERM", 0, 8000) TIMED_OUT(3)},
        {100, 8003, "drain at 0\nstop accepting at 100\ncount at 100\nclose idle at 250\n",
         DRAINING("SIGTERM", 100, 8003) TIMED_OUT(3)},
        {249, 251, "drain at 0\nstop accepting at 249\ncount at 249\nclose idle at 259\n",
         DRAINING("SIGTERM", 249, 251) TIMED_OUT(3)},
        {250, 1, "drain at 0\nstop accepting at 250\nclose idle at 250\n",
         DRAINING("SIGTERM", 250, 1) TIMED_OUT(3)},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        reset_clock();
        begin(SIGTERM);
        script.connections = 3;
        script.connections_end = INT64_MAX;
        expect_run(rows[i].delay, rows[i].timeout, 0, rows[i].calls, rows[i].lines);
        assert_int_equal(now - START, rows[i].delay + rows[i].timeout);
        assert_int_equal(last_look, now - START);
    }
}

static void connections_that_end_with_the_time_are_not_logged(void **state)
{
    (void)state;
    begin(SIGTERM);
    script.connections = 1;
    script.connections_end = 8000;
    expect_run(0, 8000, 0, "drain at 0\nstop accepting at 0\ncount at 0\nclose idle at 250\n",
               DRAINING("SIGTERM", 0, 8000));
}

#define CANNOT_WAIT                                                                                \
    "{\"time\":\"TIME\",\"level\":\"error\",\"msg\":\"cannot wait for signals\","                  \
    "\"error\":\"Operation not permitted\"}\n"

/* A sandbox may forbid it: to ask again and again would help nobody. */
static void wait_that_is_not_allowed_ends_the_service_and_is_said(void **state)
{
    static const struct {
        const char *calls;
        const char *lines;
    } rows[] = {
        {"", CANNOT_WAIT},
        {"drain at 0\n", DRAINING("SIGTERM", 0, 8000) CANNOT_WAIT},
        {"drain at 0\nstop accepting at 0\ncount at 0\n", DRAINING("SIGTERM", 0, 8000) CANNOT_WAIT},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        reset_clock();
        begin(SIGTERM);
        script.connections = 3;
        script.connections_end = INT64_MAX;
        script.failing_wait = i + 1;
        expect_run(0, 8000, 1, rows[i].calls, rows[i].lines);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(signals_that_cannot_be_blocked_are_an_error, save_signals,
                                        restore_signals),
        cmocka_unit_test_setup_teardown(block_signals_blocks_those_that_stop_and_no_others,
                                        save_signals, restore_signals),
        cmocka_unit_test_setup_teardown(block_signals_ignores_broken_pipes_full_files_and_children,
                                        save_signals, restore_signals),
        cmocka_unit_test_setup_teardown(signal_stops_in_order_and_is_named, save_signals,
                                        restore_signals),
        cmocka_unit_test_setup_teardown(signal_that_was_ignored_stays_ignored, save_signals,
                                        restore_signals),
        cmocka_unit_test_setup_teardown(waiting_for_the_first_signal_goes_on_after_interruptions,
                                        save_signals, restore_signals),
        cmocka_unit_test_setup_teardown(server_is_swept_when_it_wants_to_be, save_signals,
                                        restore_signals),
        cmocka_unit_test_setup_teardown(server_is_swept_more_often_when_it_wants_to_be,
                                        save_signals, restore_signals),
        cmocka_unit_test_setup_teardown(server_is_swept_while_it_drains_and_stops, save_signals,
                                        restore_signals),
        cmocka_unit_test_setup_teardown(
            server_is_swept_also_when_looks_at_the_connections_take_long, save_signals,
            restore_signals),
        cmocka_unit_test_setup_teardown(sweep_after_a_standstill_is_left_out, save_signals,
                                        restore_signals),
        cmocka_unit_test_setup_teardown(drain_delay_is_kept, save_signals, restore_signals),
        cmocka_unit_test_setup_teardown(drain_delay_is_kept_through_interruptions, save_signals,
                                        restore_signals),
        cmocka_unit_test_setup_teardown(second_signal_in_the_drain_delay_leaves_at_once,
                                        save_signals, restore_signals),
        cmocka_unit_test_setup_teardown(second_signal_that_is_there_already_leaves_at_once,
                                        save_signals, restore_signals),
        cmocka_unit_test_setup_teardown(second_signal_while_connections_are_open_leaves_at_once,
                                        save_signals, restore_signals),
        cmocka_unit_test_setup_teardown(second_signal_is_seen_also_when_time_has_run_out,
                                        save_signals, restore_signals),
        cmocka_unit_test_setup_teardown(connections_that_end_in_time_end_the_wait, save_signals,
                                        restore_signals),
        cmocka_unit_test_setup_teardown(connections_that_stay_are_logged_when_time_is_up,
                                        save_signals, restore_signals),
        cmocka_unit_test_setup_teardown(connections_that_end_with_the_time_are_not_logged,
                                        save_signals, restore_signals),
        cmocka_unit_test_setup_teardown(wait_that_is_not_allowed_ends_the_service_and_is_said,
                                        save_signals, restore_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
