/* wraps: open build_info_check lifecycle_block_signals resources_open_files resources_cpus */
/* wraps: handlers_create handlers_free listener_open server_start getsockname lifecycle_run */
/* wraps: server_stop probe_readiness isatty usage_open usage_close metrics_create metrics_free */
/* wraps: sandbox_enter listener_take notify_open notify_ready */
/* The program's main() becomes a function like others. It comes first: cmocka has a fail() too. */
int versiond_main(int argc, char *argv[]);
#define main versiond_main
#include "../../src/main.c" /* NOLINT(bugprone-suspicious-include) */
#undef main

#include "test.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "inspect.h"

/* What the wrapped functions return, and the calls of them, a line each. */
static struct {
    int open_error;
    const char *build_info_error;
    unsigned files;
    unsigned cpus;
    int blocked; /* a negative errno: signals cannot be */
    bool has_metrics;
    bool has_handlers;
    int listener; /* or a negative errno */
    int passed;   /* the same */
    bool has_notifier;
    bool has_name;
    bool has_sandbox;
    bool has_server;
    int run;
    const char *probe_error;
    bool is_terminal;
} calls;
static char trace[1024];
static const struct usage *watched; /* what usage_open() was called with */
static const struct log *logged;    /* what the metrics are to count the lines of */

static int last_notifier; /* that notify_open() returned */

enum { LISTENER = 1234 };

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
bool __wrap_build_info_check(const struct build_info *info, char *error, size_t size);
int __wrap_lifecycle_block_signals(void);
unsigned __wrap_resources_open_files(void);
unsigned __wrap_resources_cpus(const char *root, const char *self);
void __wrap_usage_open(struct usage *usage, const char *self, unsigned max_open);
void __wrap_usage_close(struct usage *usage);
struct metrics *__wrap_metrics_create(const struct metrics_parts *parts);
void __wrap_metrics_free(struct metrics *metrics);
struct handlers *__wrap_handlers_create(const struct route_context *context, const char *base_path,
                                        unsigned threads);
void __wrap_handlers_free(struct handlers *handlers);
int __wrap_listener_open(const char *address, uint16_t port);
int __wrap_listener_take(char *error, size_t size);
int __wrap_notify_open(struct log *log);
void __wrap_notify_ready(int notifier, const char *version, struct log *log);
bool __wrap_sandbox_enter(char text[SANDBOX_TEXT_MAX]);
struct server *__wrap_server_start(const struct server_parts *parts);
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *size);
int __wrap_lifecycle_run(struct server *server, const struct config *config, struct log *log,
                         int notifier);
void __wrap_server_stop(struct server *server);
int __wrap_probe_readiness(const struct config *config, char *error, size_t size);
int __wrap_isatty(int descriptor);

/* Adds a line to the trace. */
__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    const size_t used = strlen(trace);
    va_list list;

    va_start(list, format);
    (void)vsnprintf(trace + used, sizeof trace - used, format, list);
    va_end(list);
}

/* Nothing looks into these. */
static struct handlers *some_handlers(void)
{
    static char place;

    return (struct handlers *)(void *)&place;
}

static struct metrics *some_metrics(void)
{
    static char place;

    return (struct metrics *)(void *)&place;
}

static struct server *some_server(void)
{
    static char place;

    return (struct server *)(void *)&place;
}

static const char *or_none(const char *text)
{
    return text == NULL ? "none" : text;
}

/* The program opens nothing with a mode. */
int __wrap_open(const char *path, int flags, ...)
{
    if (calls.open_error == 0)
        return __real_open(path, flags);
    errno = calls.open_error;
    return -1;
}

bool __wrap_build_info_check(const struct build_info *info, char *error, size_t size)
{
    assert_string_equal(info->name, NAME);
    if (calls.build_info_error != NULL)
        (void)snprintf(error, size, "%s", calls.build_info_error);
    return calls.build_info_error == NULL;
}

int __wrap_lifecycle_block_signals(void)
{
    note("block signals\n");
    return calls.blocked;
}

unsigned __wrap_resources_open_files(void)
{
    return calls.files;
}

unsigned __wrap_resources_cpus(const char *root, const char *self)
{
    assert_string_equal(root, "/sys/fs/cgroup");
    assert_string_equal(self, "/proc/self/cgroup");
    return calls.cpus;
}

void __wrap_usage_open(struct usage *usage, const char *self, unsigned max_open)
{
    watched = usage;
    note("watch %s, %u files\n", self, max_open);
}

void __wrap_usage_close(struct usage *usage)
{
    assert_ptr_equal(usage, watched);
    note("watch no more\n");
}

struct metrics *__wrap_metrics_create(const struct metrics_parts *parts)
{
    assert_string_equal(parts->info->name, NAME);
    assert_ptr_equal(parts->usage, watched);
    logged = parts->log;
    note("create metrics of %u threads, %u connections\n", parts->threads,
         (unsigned)parts->max_connections);
    return calls.has_metrics ? some_metrics() : NULL;
}

void __wrap_metrics_free(struct metrics *metrics)
{
    assert_ptr_equal(metrics, calls.has_metrics ? some_metrics() : NULL);
    if (metrics != NULL)
        note("free metrics\n");
}

struct handlers *__wrap_handlers_create(const struct route_context *context, const char *base_path,
                                        unsigned threads)
{
    assert_ptr_equal(context->metrics, some_metrics());
    assert_true(threads > 0);
    note("create handlers of %s, base path %s\n", context->info->name, or_none(base_path));
    return calls.has_handlers ? some_handlers() : NULL;
}

void __wrap_handlers_free(struct handlers *handlers)
{
    assert_true(handlers == NULL || handlers == some_handlers());
    if (handlers != NULL)
        note("free handlers\n");
}

int __wrap_listener_open(const char *address, uint16_t port)
{
    note("listen at %s, port %u\n", or_none(address), (unsigned)port);
    return calls.listener;
}

int __wrap_listener_take(char *error, size_t size)
{
    if (calls.passed == -EINVAL)
        (void)snprintf(error, size, "LISTEN_FDS: '2' is not 1");
    return calls.passed;
}

/* A descriptor that the program closes. */
int __wrap_notify_open(struct log *log)
{
    assert_ptr_equal(log, logged);
    note("open notifier\n");
    last_notifier = calls.has_notifier ? memfd_create("notifier", MFD_CLOEXEC) : -1;
    return last_notifier;
}

void __wrap_notify_ready(int notifier, const char *version, struct log *log)
{
    assert_int_equal(notifier, last_notifier);
    assert_ptr_equal(log, logged);
    note("ready, version %s\n", version);
}

bool __wrap_sandbox_enter(char text[SANDBOX_TEXT_MAX])
{
    note("enter the sandbox\n");
    (void)snprintf(text, SANDBOX_TEXT_MAX, "%s", calls.has_sandbox ? "all of it" : "some of it");
    return calls.has_sandbox;
}

struct server *__wrap_server_start(const struct server_parts *parts)
{
    assert_ptr_equal(parts->handlers, some_handlers());
    assert_ptr_equal(parts->metrics, some_metrics());
    assert_ptr_equal(parts->log, logged);
    assert_int_equal(parts->listener, LISTENER);
    assert_int_equal(parts->log->descriptor, STDERR_FILENO);
    assert_int_equal(parts->is_shared, calls.passed >= 0);
    note("start %u threads for %u connections, %u lines a second\n",
         (unsigned)parts->config->threads, (unsigned)parts->config->max_connections,
         (unsigned)parts->log->rate);
    return calls.has_server ? some_server() : NULL;
}

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    const struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(4242), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    assert_int_equal(fd, LISTENER);
    assert_true(*size >= sizeof name);
    if (!calls.has_name)
        return -1;
    memcpy(address, &name, sizeof name);
    return 0;
}

int __wrap_lifecycle_run(struct server *server, const struct config *config, struct log *log,
                         int notifier)
{
    assert_ptr_equal(server, some_server());
    assert_int_equal(notifier, last_notifier);
    note("run, drain delay %u\n", (unsigned)config->drain_delay);
    log_write(log, LOG_DEBUG, "running", NULL, 0);
    return calls.run;
}

void __wrap_server_stop(struct server *server)
{
    assert_ptr_equal(server, some_server());
    note("stop\n");
}

int __wrap_probe_readiness(const struct config *config, char *error, size_t size)
{
    note("probe port %u\n", (unsigned)config->port);
    if (calls.probe_error == NULL)
        return 0;
    (void)snprintf(error, size, "%s", calls.probe_error);
    return -1;
}

int __wrap_isatty(int descriptor)
{
    return calls.is_terminal && descriptor == STDOUT_FILENO;
}

/* Everything goes well, and no setting comes from the environment. */
static int set_up(void **state)
{
    static const char *const variables[] = {"ADDRESS",          "PORT",
                                            "THREADS",          "MAX_CONNECTIONS",
                                            "REQUEST_DEADLINE", "DRAIN_DELAY",
                                            "SHUTDOWN_TIMEOUT", "BASE_PATH",
                                            "ACCESS_LOG",       "ACCESS_LOG_RATE",
                                            "SANDBOX",          "LOG_FORMAT",
                                            "LOG_LEVEL"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(variables); i++)
        (void)unsetenv(variables[i]);
    memset(&calls, 0, sizeof calls);
    calls.files = 1024;
    calls.cpus = 2;
    calls.has_metrics = true;
    calls.has_handlers = true;
    calls.listener = LISTENER;
    calls.passed = -ENOENT;
    calls.has_name = true;
    calls.has_sandbox = true;
    calls.has_server = true;
    trace[0] = '\0';
    return 0;
}

enum { ARGUMENTS_MAX = 8 };

/* What a run of the program left behind. */
struct outcome {
    int status;
    char out[16384];
    char err[2048];
};

static int redirect(int descriptor, int file)
{
    const int saved = dup(descriptor);

    assert_true(saved >= 0);
    assert_int_equal(dup2(file, descriptor), descriptor);
    return saved;
}

static void restore(int descriptor, int saved)
{
    (void)dup2(saved, descriptor);
    (void)close(saved);
}

/* Reads a file from its begin, and closes it. */
static void read_all(int file, char *text, size_t size)
{
    const ssize_t n = pread(file, text, size - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    (void)close(file);
}

static int call_main(const char *const *arguments)
{
    static char program[] = "program";
    char *argv[ARGUMENTS_MAX + 2] = {program};
    int argc = 1;

    for (; arguments != NULL && *arguments != NULL; arguments++) {
        assert_true(argc <= ARGUMENTS_MAX);
        argv[argc++] = (char *)(uintptr_t)*arguments;
    }
    return versiond_main(argc, argv);
}

/* Runs the program with `arguments` (NULL at the end), its stdout going to `out`. */
static void run_to(struct outcome *outcome, const char *const *arguments, int out)
{
    const int err = memfd_create("stderr", MFD_CLOEXEC);
    int saved_out = -1;
    int saved_err = -1;

    assert_true(out >= 0 && err >= 0);
    (void)fflush(stdout);
    (void)fflush(stderr);
    saved_out = redirect(STDOUT_FILENO, out);
    saved_err = redirect(STDERR_FILENO, err);
    outcome->status = call_main(arguments);
    (void)fflush(stderr);
    restore(STDERR_FILENO, saved_err);
    restore(STDOUT_FILENO, saved_out);
    __fpurge(stdout); /* what could not be written would come out later */
    clearerr(stdout);
    read_all(out, outcome->out, sizeof outcome->out);
    read_all(err, outcome->err, sizeof outcome->err);
    inspect_replace_times(outcome->err);
}

/* Runs the program, and compares all that it does. */
static void expect_run(const char *const *arguments, int status, const char *out, const char *err)
{
    static struct outcome outcome;

    run_to(&outcome, arguments, memfd_create("stdout", MFD_CLOEXEC));
    assert_string_equal(outcome.err, err);
    assert_string_equal(outcome.out, out);
    assert_int_equal(outcome.status, status);
}

#define LINE(level, rest) "{\"time\":\"TIME\",\"level\":\"" level "\",\"msg\":\"" rest "}\n"
/* A build that cannot be in the sandbox does not try. */
#ifdef INSTRUMENTED
#define ENTER ""
#define HOLDS(text) "none in an instrumented build"
#else
#define ENTER "enter the sandbox\n"
#define HOLDS(text) text
#endif
#define LISTENING_IN(address, port, threads, connections, sandbox)                                 \
    LINE("info",                                                                                   \
         "listening\",\"address\":\"" address "\",\"port\":" #port ",\"threads\":" #threads        \
         ",\"max_connections\":" #connections ",\"version\":\"" VERSION "\",\"commit\":\"" COMMIT  \
         "\",\"sandbox\":\"" sandbox "\"")
#define LISTENING(address, port, threads, connections)                                             \
    LISTENING_IN(address, port, threads, connections, HOLDS("all of it"))
/* The begin and the end of most traces. */
#define METRICS(files, threads, connections)                                                       \
    "block signals\nwatch /proc/self, " #files " files\n"                                          \
    "create metrics of " #threads " threads, " #connections " connections\n"
#define NO_METRICS "free metrics\nwatch no more\n"
#define STOPPED LINE("info", "stopped\"")
#define TOO_FEW(limit, threads, connections)                                                       \
    LINE("error", "the open-file limit is too low\",\"limit\":" #limit ",\"threads\":" #threads    \
                  ",\"max_connections\":" #connections)

static void service_starts_and_stops_in_order(void **state)
{
    (void)state;
    expect_run(NULL, 0, "", LISTENING("127.0.0.1", 4242, 2, 996) STOPPED);
    assert_string_equal(
        trace, METRICS(1024, 2, 996) "create handlers of " NAME ", base path none\n"
                                     "listen at none, port 5000\nopen notifier\n" ENTER
                                     "start 2 threads for 996 connections, 1000 lines a second\n"
                                     "ready, version " VERSION "\n"
                                     "run, drain delay 0\n"
                                     "stop\n"
                                     "free handlers\n" NO_METRICS);
}

static void service_passes_its_settings_on(void **state)
{
    static const char *const arguments[] = {
        "--address=::1",        "--port=80",           "--threads=3",
        "--max-connections=70", "--base-path=/prefix", "--drain-delay=5ms",
        "--log-level=debug",    "--access-log-rate=7", NULL};

    (void)state;
    expect_run(arguments, 0, "",
               LISTENING("127.0.0.1", 4242, 3, 70) LINE("debug", "running\"") STOPPED);
    assert_string_equal(
        trace, METRICS(1024, 3, 70) "create handlers of " NAME ", base path /prefix\n"
                                    "listen at ::1, port 80\nopen notifier\n" ENTER
                                    "start 3 threads for 70 connections, 7 lines a second\n"
                                    "ready, version " VERSION "\n"
                                    "run, drain delay 5\n"
                                    "stop\n"
                                    "free handlers\n" NO_METRICS);
}

static void service_logs_in_the_format_that_is_set(void **state)
{
    static const char *const arguments[] = {"--log-format=text", NULL};
    static struct outcome outcome;
    const char *message = NULL;

    (void)state;
    calls.listener = -EACCES;
    run_to(&outcome, arguments, memfd_create("stdout", MFD_CLOEXEC));
    message = strchr(outcome.err, ' '); /* behind the time */
    assert_non_null(message);
    assert_string_equal(message, " error cannot listen address='::' port=5000 error='Permission "
                                 "denied'\n");
}

static void service_logs_no_more_than_the_level_that_is_set(void **state)
{
    static const char *const arguments[] = {"--log-level=error", NULL};

    (void)state;
    expect_run(arguments, 0, "", "");
}

static void service_that_is_interrupted_exits_with_1(void **state)
{
    (void)state;
    calls.run = 1;
    expect_run(NULL, 1, "", LISTENING("127.0.0.1", 4242, 2, 996) STOPPED);
}

static void service_whose_address_cannot_be_told_runs_all_the_same(void **state)
{
    (void)state;
    calls.has_name = false;
    expect_run(NULL, 0, "", LISTENING("unknown", 0, 2, 996) STOPPED);
}

static void service_whose_signals_cannot_be_blocked_fails(void **state)
{
    (void)state;
    calls.blocked = -EPERM;
    expect_run(NULL, 1, "",
               LINE("error", "cannot block signals\",\"error\":\"Operation not permitted\""));
}

static void service_without_memory_for_metrics_fails(void **state)
{
    (void)state;
    calls.has_metrics = false;
    expect_run(NULL, 1, "",
               LINE("error", "cannot start\",\"error\":\"out of memory preparing responses\""));
    assert_string_equal(trace, METRICS(1024, 2, 996) "watch no more\n");
}

static void service_without_memory_for_answers_fails(void **state)
{
    (void)state;
    calls.has_handlers = false;
    expect_run(NULL, 1, "",
               LINE("error", "cannot start\",\"error\":\"out of memory preparing responses\""));
    assert_string_equal(trace, METRICS(1024, 2, 996) "create handlers of " NAME
                                                     ", base path none\n" NO_METRICS);
}

static void service_that_cannot_listen_says_where_and_why(void **state)
{
    static const struct {
        const char *arguments[3];
        int error;
        const char *address;
        const char *calls;
    } rows[] = {
        {{NULL}, EADDRINUSE, "\"::\",\"port\":5000", "listen at none, port 5000\n"},
        {{"--address=192.0.2.1", "--port=81", NULL},
         EADDRNOTAVAIL,
         "\"192.0.2.1\",\"port\":81",
         "listen at 192.0.2.1, port 81\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char expected[512];

        calls.listener = -rows[i].error;
        trace[0] = '\0';
        (void)snprintf(expected, sizeof expected,
                       LINE("error", "cannot listen\",\"address\":%s,\"error\":\"%s\""),
                       rows[i].address, strerror(rows[i].error));
        expect_run(rows[i].arguments, 1, "", expected);
        (void)snprintf(expected, sizeof expected,
                       METRICS(1024, 2, 996) "create handlers of " NAME ", base path none\n%s"
                                             "free handlers\n" NO_METRICS,
                       rows[i].calls);
        assert_string_equal(trace, expected);
    }
}

static void service_takes_the_socket_that_is_passed(void **state)
{
    static const char *const arguments[] = {"--address=::1", "--port=80", NULL};

    (void)state;
    calls.passed = LISTENER;
    expect_run(arguments, 0, "",
               LINE("info",
                    "listening\",\"address\":\"127.0.0.1\",\"port\":4242,\"threads\":2,"
                    "\"max_connections\":996,\"version\":\"" VERSION "\",\"commit\":\"" COMMIT
                    "\",\"sandbox\":\"" HOLDS("all of it") "\",\"socket\":\"passed\"") STOPPED);
    assert_null(strstr(trace, "listen at"));
    assert_non_null(strstr(trace, "start 2 threads"));
}

static void service_that_is_passed_something_else_says_what_is_allowed(void **state)
{
    (void)state;
    calls.passed = -EINVAL;
    expect_run(
        NULL, 1, "",
        LINE("error",
             "cannot use the socket passed by the service manager\",\"error\":\"LISTEN_FDS: '2' "
             "is not 1\",\"allowed\":\"LISTEN_FDS=1 and a listening TCP socket\""));
    assert_string_equal(trace,
                        METRICS(1024, 2, 996) "create handlers of " NAME
                                              ", base path none\nfree handlers\n" NO_METRICS);
}

static void service_that_is_awaited_closes_its_notifier(void **state)
{
    const size_t before = inspect_count_descriptors();

    (void)state;
    calls.has_notifier = true;
    expect_run(NULL, 0, "", LISTENING("127.0.0.1", 4242, 2, 996) STOPPED);
    assert_uint_equal(inspect_count_descriptors(), before);
}

static void service_serves_in_what_sandbox_there_is(void **state)
{
    static const char *const arguments[] = {"--sandbox=off", NULL};

    (void)state;
    calls.has_sandbox = false;
    expect_run(NULL, 0, "", LISTENING_IN("127.0.0.1", 4242, 2, 996, HOLDS("some of it")) STOPPED);
    trace[0] = '\0';
    expect_run(arguments, 0, "", LISTENING_IN("127.0.0.1", 4242, 2, 996, "off") STOPPED);
    assert_null(strstr(trace, "enter the sandbox"));
}

static void service_without_the_sandbox_that_it_requires_fails(void **state)
{
    static const char *const arguments[] = {"--sandbox=require", NULL};

    (void)state;
    calls.has_sandbox = false;
    expect_run(arguments, 1, "",
               LINE("error",
                    "cannot enter the sandbox\",\"error\":\"" HOLDS(
                        "some of it") "\",\"allowed\":"
                                      "\"--sandbox auto uses what the kernel supports, --sandbox "
                                      "off disables it\""));
    assert_string_equal(trace,
                        METRICS(1024, 2, 996) "create handlers of " NAME ", base path none\n"
                                              "listen at none, port 5000\nopen notifier\n" ENTER
                                              "free handlers\n" NO_METRICS);
}

/* Whatever this build is. */
static void sandbox_is_entered_unless_it_is_off_or_cannot_hold(void **state)
{
    static const struct {
        enum sandbox_mode mode;
        bool is_instrumented;
        bool has_sandbox;
        bool is_fine;
        const char *text;
    } rows[] = {
        {SANDBOX_REQUIRE, false, true, true, "all of it"},
        {SANDBOX_REQUIRE, false, false, false, "some of it"},
        {SANDBOX_REQUIRE, true, true, false, "none in an instrumented build"},
        {SANDBOX_AUTO, false, true, true, "all of it"},
        {SANDBOX_AUTO, false, false, true, "some of it"},
        {SANDBOX_AUTO, true, true, true, "none in an instrumented build"},
        {SANDBOX_OFF, false, true, true, "off"},
        {SANDBOX_OFF, true, false, true, "off"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct config config = {.sandbox = rows[i].mode};
        const bool is_entered = !rows[i].is_instrumented && rows[i].mode != SANDBOX_OFF;
        char text[SANDBOX_TEXT_MAX] = "";

        print_message("row %zu\n", i);
        calls.has_sandbox = rows[i].has_sandbox;
        trace[0] = '\0';
        assert_int_equal(enter_sandbox(&config, rows[i].is_instrumented, text), rows[i].is_fine);
        assert_string_equal(text, rows[i].text);
        assert_string_equal(trace, is_entered ? "enter the sandbox\n" : "");
    }
}

static void service_whose_server_does_not_start_fails(void **state)
{
    (void)state;
    calls.has_server = false;
    expect_run(NULL, 1, "",
               LINE("error", "cannot start\",\"error\":\"out of memory, threads or file "
                             "descriptors\""));
    assert_string_equal(
        trace, METRICS(1024, 2, 996) "create handlers of " NAME ", base path none\n"
                                     "listen at none, port 5000\nopen notifier\n" ENTER
                                     "start 2 threads for 996 connections, 1000 lines a second\n"
                                     "free handlers\n" NO_METRICS);
}

static void numbers_that_are_not_set_follow_from_the_machine(void **state)
{
    static const struct {
        unsigned files;
        unsigned cpus;
        const char *arguments[3];
        const char *start;
    } rows[] = {
        {1000000, 4, {NULL}, "start 4 threads for 10000 connections, "},
        {4294967295, 256, {NULL}, "start 256 threads for 10000 connections, "},
        {10040, 4, {NULL}, "start 4 threads for 10000 connections, "},
        {10039, 4, {NULL}, "start 4 threads for 9999 connections, "},
        {30, 2, {NULL}, "start 2 threads for 2 connections, "},
        {1024, 2, {"-t8", NULL}, "start 8 threads for 960 connections, "},
        {1024, 8, {"--max-connections=3", NULL}, "start 3 threads for 3 connections, "},
        {1024, 8, {"--max-connections=8", NULL}, "start 8 threads for 8 connections, "},
        {1024, 2, {"-t4", "--max-connections=5", NULL}, "start 4 threads for 5 connections, "},
        {1024, 2, {"-t9", "--max-connections=5", NULL}, "start 5 threads for 5 connections, "},
        {1024, 2, {"--max-connections=996", NULL}, "start 2 threads for 996 connections, "},
        {1000, 2, {"-t2", "--max-connections=20", NULL}, "start 2 threads for 20 connections, "},
    };
    static struct outcome outcome;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        calls.files = rows[i].files;
        calls.cpus = rows[i].cpus;
        trace[0] = '\0';
        run_to(&outcome, rows[i].arguments, memfd_create("stdout", MFD_CLOEXEC));
        if (outcome.status != 0 || strstr(trace, rows[i].start) == NULL)
            fail_msg("row %zu: exits with %d, calls\n%swrites\n%s", i, outcome.status, trace,
                     outcome.err);
    }
}

static void too_few_open_files_are_an_error(void **state)
{
    static const struct {
        unsigned files;
        const char *arguments[3];
        const char *err;
    } rows[] = {
        {1024, {"--max-connections=997", NULL}, TOO_FEW(1024, 2, 997)},
        {29, {NULL}, TOO_FEW(29, 2, 1)}, /* a connection for two threads */
        {28, {NULL}, TOO_FEW(28, 2, 0)},
        {1, {NULL}, TOO_FEW(1, 2, 0)},
        {1, {"--max-connections=1", NULL}, TOO_FEW(1, 1, 1)},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        calls.files = rows[i].files;
        trace[0] = '\0';
        expect_run(rows[i].arguments, 1, "", rows[i].err);
        assert_string_equal(trace, "block signals\n");
    }
}

static void version_goes_to_stdout(void **state)
{
    static const char *const arguments[] = {"--version", NULL};

    (void)state;
    expect_run(arguments, 0, NAME " " VERSION "\ncommit " COMMIT ", " BUILD_DATE "\n", "");
    assert_string_equal(trace, "");
}

static void help_goes_to_stdout(void **state)
{
    static const char *const arguments[] = {"--help", NULL};
    char expected[sizeof((struct outcome *)NULL)->out];
    const int file = memfd_create("help", MFD_CLOEXEC);
    FILE *stream = fdopen(dup(file), "w");

    (void)state;
    assert_non_null(stream);
    config_print_help(stream, NAME);
    assert_int_equal(fclose(stream), 0);
    read_all(file, expected, sizeof expected);
    expect_run(arguments, 0, expected, "");
    assert_string_equal(trace, "");
}

static void licenses_go_to_stdout_as_a_file(void **state)
{
    static const char *const arguments[] = {"--licenses", NULL};
    static struct outcome outcome;
    size_t size = 0;
    const unsigned char *const file = licenses_get(&size);

    (void)state;
    run_to(&outcome, arguments, memfd_create("stdout", MFD_CLOEXEC));
    assert_string_equal(outcome.err, "");
    assert_true(size > 0 && size < sizeof outcome.out);
    assert_memory_equal(outcome.out, file, size);
    assert_int_equal(outcome.status, 0);
    calls.is_terminal = true;
    expect_run(arguments, 1, "",
               NAME ": --licenses: the output is a gzip file; pipe it to gunzip\n");
}

static void stdout_that_cannot_be_written_is_an_error(void **state)
{
    static const char *const rows[][2] = {
        {"--version", NULL}, {"--help", NULL}, {"--licenses", NULL}};
    static struct outcome outcome;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        run_to(&outcome, rows[i], __real_open("/dev/full", O_WRONLY | O_CLOEXEC));
        assert_int_equal(outcome.status, 1);
        assert_string_equal(outcome.err, NAME ": cannot write to stdout\n");
    }
}

/* Has a write to stdout fail, as a full disk does for a while; the stream remembers it. */
static void spoil_stdout(void)
{
    const int full = __real_open("/dev/full", O_WRONLY | O_CLOEXEC);
    int saved = -1;

    (void)fflush(stdout);
    saved = redirect(STDOUT_FILENO, full);
    (void)putchar('x');
    assert_int_equal(fflush(stdout), EOF);
    __fpurge(stdout);
    restore(STDOUT_FILENO, saved);
    (void)close(full);
}

static void stdout_that_could_not_be_written_for_a_while_is_an_error(void **state)
{
    static const char *const arguments[] = {"--version", NULL};
    static struct outcome outcome;

    (void)state;
    spoil_stdout();
    run_to(&outcome, arguments, memfd_create("stdout", MFD_CLOEXEC));
    assert_int_equal(outcome.status, 1);
    assert_string_equal(outcome.err, NAME ": cannot write to stdout\n");
}

/* Runs the program with a standard descriptor closed. Returns its exit status. */
static int run_without(int descriptor, const char *const *arguments)
{
    const int saved = dup(descriptor);
    int status = -1;
    bool is_open = false;

    (void)fflush(stdout);
    (void)close(descriptor);
    status = call_main(arguments);
    is_open = fcntl(descriptor, F_GETFD) >= 0;
    restore(descriptor, saved);
    __fpurge(stdout);
    clearerr(stdout);
    if (!is_open)
        fail_msg("descriptor %d is left closed: a socket would get its number", descriptor);
    return status;
}

static void closed_standard_descriptors_are_opened(void **state)
{
    static const char *const arguments[] = {"--healthcheck", NULL};
    const size_t before = inspect_count_descriptors();

    (void)state;
    assert_int_equal(run_without(STDIN_FILENO, arguments), 0);
    assert_int_equal(run_without(STDOUT_FILENO, arguments), 0);
    assert_int_equal(run_without(STDERR_FILENO, arguments), 0);
    assert_uint_equal(inspect_count_descriptors(), before);
}

static void closed_stdout_is_an_error_for_those_who_write_to_it(void **state)
{
    static const char *const rows[][2] = {{"--version", NULL}, {"--help", NULL}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(run_without(STDOUT_FILENO, rows[i]), 1);
}

static void standard_descriptor_that_cannot_be_opened_is_an_error(void **state)
{
    static const char *const arguments[] = {"--version", NULL};
    const int saved = dup(STDIN_FILENO);
    int status = -1;

    (void)state;
    calls.open_error = ENOENT;
    (void)close(STDIN_FILENO);
    status = call_main(arguments);
    restore(STDIN_FILENO, saved);
    assert_int_equal(status, 1);
    assert_string_equal(trace, "");
}

static void descriptors_that_are_open_need_no_dev_null(void **state)
{
    static const char *const arguments[] = {"--healthcheck", NULL};

    (void)state;
    calls.open_error = ENOENT;
    assert_int_equal(call_main(arguments), 0);
}

static void healthcheck_exits_as_the_probe_says(void **state)
{
    static const char *const arguments[] = {"--healthcheck", "--port=81", NULL};

    (void)state;
    expect_run(arguments, 0, "", "");
    assert_string_equal(trace, "probe port 81\n");
    calls.probe_error = "127.0.0.1, port 81: answered 503";
    expect_run(arguments, 1, "", NAME ": 127.0.0.1, port 81: answered 503\n");
}

static void wrong_setting_exits_with_2(void **state)
{
    static const char *const arguments[] = {"--port=65536", NULL};

    (void)state;
    expect_run(arguments, 2, "", NAME ": --port: '65536' is not an integer from 0 to 65535\n");
    assert_string_equal(trace, "");
}

static void malformed_build_info_stops_everything(void **state)
{
    static const char *const rows[][2] = {{NULL}, {"--version", NULL}, {"--port=65536", NULL}};

    (void)state;
    calls.build_info_error = "VERSION: 'v1' is not a version";
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_run(rows[i], 1, "", NAME ": VERSION: 'v1' is not a version\n");
    assert_string_equal(trace, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(service_starts_and_stops_in_order, set_up),
        cmocka_unit_test_setup(service_passes_its_settings_on, set_up),
        cmocka_unit_test_setup(service_logs_in_the_format_that_is_set, set_up),
        cmocka_unit_test_setup(service_logs_no_more_than_the_level_that_is_set, set_up),
        cmocka_unit_test_setup(service_that_is_interrupted_exits_with_1, set_up),
        cmocka_unit_test_setup(service_whose_address_cannot_be_told_runs_all_the_same, set_up),
        cmocka_unit_test_setup(service_whose_signals_cannot_be_blocked_fails, set_up),
        cmocka_unit_test_setup(service_without_memory_for_metrics_fails, set_up),
        cmocka_unit_test_setup(service_without_memory_for_answers_fails, set_up),
        cmocka_unit_test_setup(service_that_cannot_listen_says_where_and_why, set_up),
        cmocka_unit_test_setup(service_takes_the_socket_that_is_passed, set_up),
        cmocka_unit_test_setup(service_that_is_passed_something_else_says_what_is_allowed, set_up),
        cmocka_unit_test_setup(service_that_is_awaited_closes_its_notifier, set_up),
        cmocka_unit_test_setup(service_serves_in_what_sandbox_there_is, set_up),
        cmocka_unit_test_setup(service_without_the_sandbox_that_it_requires_fails, set_up),
        cmocka_unit_test_setup(sandbox_is_entered_unless_it_is_off_or_cannot_hold, set_up),
        cmocka_unit_test_setup(service_whose_server_does_not_start_fails, set_up),
        cmocka_unit_test_setup(numbers_that_are_not_set_follow_from_the_machine, set_up),
        cmocka_unit_test_setup(too_few_open_files_are_an_error, set_up),
        cmocka_unit_test_setup(version_goes_to_stdout, set_up),
        cmocka_unit_test_setup(help_goes_to_stdout, set_up),
        cmocka_unit_test_setup(licenses_go_to_stdout_as_a_file, set_up),
        cmocka_unit_test_setup(stdout_that_cannot_be_written_is_an_error, set_up),
        cmocka_unit_test_setup(stdout_that_could_not_be_written_for_a_while_is_an_error, set_up),
        cmocka_unit_test_setup(closed_standard_descriptors_are_opened, set_up),
        cmocka_unit_test_setup(closed_stdout_is_an_error_for_those_who_write_to_it, set_up),
        cmocka_unit_test_setup(standard_descriptor_that_cannot_be_opened_is_an_error, set_up),
        cmocka_unit_test_setup(descriptors_that_are_open_need_no_dev_null, set_up),
        cmocka_unit_test_setup(healthcheck_exits_as_the_probe_says, set_up),
        cmocka_unit_test_setup(wrong_setting_exits_with_2, set_up),
        cmocka_unit_test_setup(malformed_build_info_stops_everything, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
