/* What a process cannot be made to do from outside; tests/e2e/test_cli.c covers the rest. */
/* wraps: open isatty getsockname lifecycle_block_signals resources_open_files */
/* wraps: resources_cpus metrics_create handlers_create listener_take sandbox_enter server_start */
/* wraps: lifecycle_run server_stop */
/* main() becomes an ordinary function. Included first because cmocka defines fail() too. */
int versiond_main(int argc, char *argv[]);
#define main versiond_main
#include "../../src/main.c" /* NOLINT(bugprone-suspicious-include) */
#undef main

#include "test.h"

#include <netinet/in.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/un.h>

#include "inspect.h"

/* The condition or step that fails, and the steps taken, a letter each. */
enum step { NONE, DEVNULL, TTY, NAMELESS, SIGNALS, METRICS, HANDLERS, TAKE, SANDBOX, START, RUN };
static enum step failing;
static char trace[16];

static uint32_t files;
static uint32_t cpus;
static bool is_passed; /* the service manager passes a socket */
static int manager;    /* receives the notifications */
static char err[2048];

/* What the server was started with. */
static struct server_parts seen;
static struct config seen_config;
static struct log seen_log;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_lifecycle_block_signals(void);
unsigned __wrap_resources_open_files(void);
unsigned __wrap_resources_cpus(const char *root, const char *self);
struct metrics *__real_metrics_create(const struct metrics_parts *parts);
struct metrics *__wrap_metrics_create(const struct metrics_parts *parts);
struct handlers *__real_handlers_create(const struct route_context *context, const char *base_path,
                                        unsigned threads);
struct handlers *__wrap_handlers_create(const struct route_context *context, const char *base_path,
                                        unsigned threads);
int __wrap_listener_take(char *error, size_t size);
bool __wrap_sandbox_enter(char text[SANDBOX_TEXT_MAX]);
struct server *__wrap_server_start(const struct server_parts *parts);
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *size);
int __wrap_lifecycle_run(struct server *server, const struct config *config, struct log *log,
                         int notifier);
void __wrap_server_stop(struct server *server);
int __wrap_isatty(int descriptor);

/* Adds a letter to the trace. Returns false if the step fails. */
static bool take_step(enum step step, char letter)
{
    trace[strlen(trace)] = letter;
    return failing != step;
}

int __wrap_open(const char *path, int flags, ...)
{
    return failing == DEVNULL ? -1 : __real_open(path, flags);
}

int __wrap_lifecycle_block_signals(void)
{
    return take_step(SIGNALS, 's') ? 0 : -EPERM;
}

unsigned __wrap_resources_open_files(void)
{
    return files;
}

unsigned __wrap_resources_cpus(const char *root, const char *self)
{
    assert_string_equal(root, "/sys/fs/cgroup");
    assert_string_equal(self, "/proc/self/cgroup");
    return cpus;
}

struct metrics *__wrap_metrics_create(const struct metrics_parts *parts)
{
    return take_step(METRICS, 'm') ? __real_metrics_create(parts) : NULL;
}

struct handlers *__wrap_handlers_create(const struct route_context *context, const char *base_path,
                                        unsigned threads)
{
    return take_step(HANDLERS, 'h') ? __real_handlers_create(context, base_path, threads) : NULL;
}

int __wrap_listener_take(char *error, size_t size)
{
    (void)snprintf(error, size, "LISTEN_FDS: '2' is not 1");
    if (!take_step(TAKE, 't'))
        return -EINVAL;
    return is_passed ? memfd_create("listener", MFD_CLOEXEC) : -ENOENT;
}

bool __wrap_sandbox_enter(char text[SANDBOX_TEXT_MAX])
{
    const bool succeeds = take_step(SANDBOX, 'x');

    (void)snprintf(text, SANDBOX_TEXT_MAX, "%s", succeeds ? "all of it" : "some of it");
    return succeeds;
}

struct server *__wrap_server_start(const struct server_parts *parts)
{
    seen = *parts;
    seen_config = *parts->config;
    seen_log = *parts->log;
    if (take_step(START, 'S'))
        return (struct server *)(void *)&seen;
    (void)close(parts->listener);
    return NULL;
}

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    const struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(4242), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    assert_int_equal(fd, seen.listener);
    assert_true(*size >= sizeof name);
    if (failing == NAMELESS)
        return -1;
    memcpy(address, &name, sizeof name);
    return 0;
}

int __wrap_lifecycle_run(struct server *server, const struct config *config, struct log *log,
                         int notifier)
{
    assert_ptr_equal(server, &seen);
    assert_true(config == seen.config && log == seen.log && notifier >= 0);
    return take_step(RUN, 'R') ? 0 : 1;
}

void __wrap_server_stop(struct server *server)
{
    assert_ptr_equal(server, &seen);
    (void)take_step(NONE, 'T');
    (void)close(seen.listener);
}

int __wrap_isatty(int descriptor)
{
    return failing == TTY && descriptor == STDOUT_FILENO;
}

static int set_up(void **state)
{
    size_t count = 0;
    const struct setting *settings = config_settings(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        if (settings[i].variable != NULL)
            (void)unsetenv(settings[i].variable);
    }
    (void)setenv("PORT", "0", 1);
    failing = NONE;
    files = 1024;
    cpus = 2;
    is_passed = false;
    return 0;
}

/* Calls main() with up to two arguments. */
static int call_main(const char *first, const char *second)
{
    static char name[] = "program";
    char *argv[] = {name, (char *)(uintptr_t)first, (char *)(uintptr_t)second, NULL};

    memset(trace, 0, sizeof trace);
    return versiond_main(1 + (first != NULL) + (second != NULL), argv);
}

static int redirect(int descriptor, int file)
{
    const int saved = dup(descriptor);

    assert_true(file >= 0 && saved >= 0 && dup2(file, descriptor) == descriptor);
    (void)close(file);
    return saved;
}

static void restore(int descriptor, int saved)
{
    (void)dup2(saved, descriptor);
    (void)close(saved);
}

/* Drops what could not be written to stdout. */
static void clear_stdout(void)
{
    __fpurge(stdout);
    clearerr(stdout);
}

/* Runs main() with stdout going to a file. Stores what it writes to stderr. */
static int run_to(const char *out, const char *first, const char *second)
{
    const int file = memfd_create("stderr", MFD_CLOEXEC);
    int saved_out = -1;
    int saved_err = -1;
    int status = -1;
    char byte = 0;

    (void)fflush(stdout);
    saved_out = redirect(STDOUT_FILENO, __real_open(out, O_WRONLY | O_CLOEXEC));
    saved_err = redirect(STDERR_FILENO, dup(file));
    status = call_main(first, second);
    restore(STDERR_FILENO, saved_err);
    restore(STDOUT_FILENO, saved_out);
    clear_stdout();
    memset(err, 0, sizeof err);
    assert_true(pread(file, err, sizeof err - 1, 0) >= 0);
    (void)close(file);
    inspect_replace_times(err);
    assert_int_equal(recv(manager, &byte, 1, MSG_DONTWAIT) == 1, strchr(trace, 'R') != NULL);
    return status;
}

static void expect_run(const char *argument, int status, const char *text)
{
    const size_t before = inspect_count_descriptors();
    const int actual = run_to("/dev/null", argument, NULL);

    assert_string_equal(err, text);
    assert_int_equal(actual, status);
    assert_uint_equal(inspect_count_descriptors(), before);
}

#define LINE(level, message, rest)                                                                 \
    "{\"time\":\"TIME\",\"level\":\"" level "\",\"msg\":\"" message "\"" rest "}\n"
#define ERROR(message, rest) LINE("error", message, ",\"error\":\"" rest "\"")
#ifdef INSTRUMENTED /* does not enter the sandbox */
#define ENTER ""
#define HOLDS(text) "none in an instrumented build"
#else
#define ENTER "x"
#define HOLDS(text) text
#endif
#define SERVED(address, sandbox, rest)                                                             \
    LINE("info", "listening",                                                                      \
         ",\"address\":" address ",\"threads\":2,\"max_connections\":996,\"version\":\"" VERSION   \
         "\",\"commit\":\"" COMMIT "\",\"sandbox\":\"" sandbox "\"" rest)                          \
    LINE("info", "stopped", "")
#define LOOPBACK "\"127.0.0.1\",\"port\":4242"
#define NO_MEMORY ERROR("cannot start", "out of memory preparing responses")

/* Descriptors of the steps before the failing one are closed; leak checkers confirm that memory is
 * freed. */
static void each_failing_step_is_logged_and_ends_the_program(void **state)
{
    static const struct {
        enum step failing;
        int status;
        const char *argument;
        const char *err;
        const char *trace;
    } rows[] = {
        {NONE, 0, NULL, SERVED(LOOPBACK, HOLDS("all of it"), ""), "smht" ENTER "SRT"},
        {NONE, 0, "--sandbox=off", SERVED(LOOPBACK, "off", ""), "smhtSRT"},
        {NONE, 2, "--port=x", NAME ": --port: 'x' is not an integer from 0 to 65535\n", ""},
        {TTY, 1, "--licenses", NAME ": --licenses: the output is a gzip file; pipe it to gunzip\n",
         ""},
        {SIGNALS, 1, NULL, ERROR("cannot block signals", "Operation not permitted"), "s"},
        {METRICS, 1, NULL, NO_MEMORY, "sm"},
        {HANDLERS, 1, NULL, NO_MEMORY, "smh"},
        {TAKE, 1, NULL,
         ERROR("cannot use the socket passed by the service manager",
               "LISTEN_FDS: '2' is not 1\",\"allowed\":\"LISTEN_FDS=1 and a listening TCP socket"),
         "smht"},
        {NAMELESS, 0, NULL, SERVED("\"unknown\",\"port\":0", HOLDS("all of it"), ""),
         "smht" ENTER "SRT"},
        {SANDBOX, 0, NULL, SERVED(LOOPBACK, HOLDS("some of it"), ""), "smht" ENTER "SRT"},
        {SANDBOX, 1, "--sandbox=require",
         ERROR("cannot enter the sandbox",
               HOLDS("some of it") "\",\"allowed\":\"--sandbox auto uses what the kernel supports, "
                                   "--sandbox off disables it"),
         "smht" ENTER},
        {START, 1, NULL, ERROR("cannot start", "out of memory, threads or file descriptors"),
         "smht" ENTER "S"},
        {RUN, 1, NULL, SERVED(LOOPBACK, HOLDS("all of it"), ""), "smht" ENTER "SRT"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        failing = rows[i].failing;
        expect_run(rows[i].argument, rows[i].status, rows[i].err);
        assert_string_equal(trace, rows[i].trace);
    }
}

static void passed_socket_and_settings_reach_the_server(void **state)
{
    (void)state;
    (void)setenv("LOG_FORMAT", "text", 1);
    (void)setenv("LOG_LEVEL", "warn", 1);
    assert_int_equal(run_to("/dev/null", "--access-log-rate=7", NULL), 0);
    assert_false(seen.is_shared);
    assert_int_equal(seen_log.rate, 7);
    assert_int_equal(seen_log.format, LOG_FORMAT_TEXT);
    assert_int_equal(seen_log.level, LOG_WARN);
    (void)set_up(state);
    is_passed = true;
    expect_run(NULL, 0, SERVED(LOOPBACK, HOLDS("all of it"), ",\"socket\":\"passed\""));
    assert_true(seen.is_shared);
}

/* Checks both kinds of builds in each. */
static void sandbox_is_entered_unless_off_or_instrumented(void **state)
{
    static const struct {
        enum sandbox_mode mode;
        bool is_instrumented;
        enum step failing;
        bool succeeds;
        const char *text;
    } rows[] = {
        {SANDBOX_REQUIRE, false, NONE, true, "all of it"},
        {SANDBOX_REQUIRE, false, SANDBOX, false, "some of it"},
        {SANDBOX_REQUIRE, true, NONE, false, "none in an instrumented build"},
        {SANDBOX_AUTO, false, SANDBOX, true, "some of it"},
        {SANDBOX_AUTO, true, NONE, true, "none in an instrumented build"},
        {SANDBOX_OFF, true, SANDBOX, true, "off"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct config config = {.sandbox = rows[i].mode};
        char text[SANDBOX_TEXT_MAX] = "";

        memset(trace, 0, sizeof trace);
        failing = rows[i].failing;
        assert_int_equal(enter_sandbox(&config, rows[i].is_instrumented, text), rows[i].succeeds);
        assert_string_equal(text, rows[i].text);
    }
}

static void defaults_depend_on_the_machine(void **state)
{
    static const struct {
        uint32_t files;
        uint32_t cpus;
        const char *arguments[2];
        uint32_t threads;
        uint32_t max_connections;
        bool fails;
    } rows[] = {
        {4294967295, 256, {NULL}, 256, 10000, false},
        {10040, 4, {NULL}, 4, 10000, false},
        {10039, 4, {NULL}, 4, 9999, false},
        {30, 2, {NULL}, 2, 2, false},
        {1024, 2, {"-t8"}, 8, 960, false},
        {1024, 8, {"--max-connections=3"}, 3, 3, false},
        {1024, 2, {"-t4", "--max-connections=5"}, 4, 5, false},
        {1024, 2, {"-t9", "--max-connections=5"}, 5, 5, false},
        {1024, 2, {"--max-connections=996"}, 2, 996, false},
        {1024, 2, {"--max-connections=997"}, 2, 997, true},
        {29, 2, {NULL}, 2, 1, true}, /* one connection for two threads */
        {1, 2, {NULL}, 2, 0, true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char expected[256];

        files = rows[i].files;
        cpus = rows[i].cpus;
        (void)snprintf(expected, sizeof expected,
                       LINE("error", "the open-file limit is too low",
                            ",\"limit\":%u,\"threads\":%u,\"max_connections\":%u"),
                       rows[i].files, rows[i].threads, rows[i].max_connections);
        assert_int_equal(run_to("/dev/null", rows[i].arguments[0], rows[i].arguments[1]),
                         rows[i].fails);
        assert_int_equal(strcmp(err, expected) == 0, rows[i].fails);
        assert_true(rows[i].fails || (seen_config.threads == rows[i].threads &&
                                      seen_config.max_connections == rows[i].max_connections));
    }
}

/* The value is truncated, the name of the setting and the allowed values never are. */
static void errors_are_complete_for_the_longest_values(void **state)
{
    char value[512] = "";
    size_t count = 0;
    const struct setting *settings = config_settings(&count);

    memset(value, 1, sizeof value - 1);
    for (size_t i = 0; i < count; i++) {
        char start[64];
        char end[CONFIG_ALLOWED_MAX + 8];

        if (settings[i].variable == NULL)
            continue;
        (void)set_up(state);
        (void)setenv(settings[i].variable, value, 1);
        assert_int_equal(run_to("/dev/null", NULL, NULL), 2);
        (void)snprintf(start, sizeof start, NAME ": %s: '\\x01", settings[i].variable);
        assert_memory_equal(err, start, strlen(start));
        config_print_allowed(end, CONFIG_ALLOWED_MAX, &settings[i]);
        (void)snprintf(end + strlen(end), 2, "\n");
        assert_string_equal(err + strlen(err) - strlen(end), end);
    }
}

/* Makes a write to stdout fail, as on a disk that is full for a while. */
static void fail_stdout_once(void)
{
    int saved = -1;

    (void)fflush(stdout);
    saved = redirect(STDOUT_FILENO, __real_open("/dev/full", O_WRONLY | O_CLOEXEC));
    (void)putchar('x');
    assert_int_equal(fflush(stdout), EOF);
    __fpurge(stdout);
    restore(STDOUT_FILENO, saved);
}

static void failed_writes_to_stdout_exit_1(void **state)
{
    (void)state;
    assert_int_equal(run_to("/dev/null", "--version", NULL), 0);
    assert_int_equal(run_to("/dev/full", "--version", NULL), 1);
    assert_string_equal(err, NAME ": cannot write to stdout\n");
    assert_int_equal(run_to("/dev/full", "--licenses", NULL), 1);
    fail_stdout_once();
    assert_int_equal(run_to("/dev/null", "--version", NULL), 1);
}

static void closed_standard_descriptors_are_opened(void **state)
{
    static const struct {
        int descriptor;
        enum step failing;
        int status;
    } rows[] = {
        {STDIN_FILENO, NONE, 0},
        {STDOUT_FILENO, NONE, 1}, /* the version cannot be written */
        {STDERR_FILENO, NONE, 0},
        {STDIN_FILENO, DEVNULL, 1},
    };
    const size_t before = inspect_count_descriptors();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const int saved = dup(rows[i].descriptor);
        const int out = redirect(STDOUT_FILENO, memfd_create("stdout", MFD_CLOEXEC));
        bool is_open = false;
        int status = -1;

        failing = rows[i].failing;
        (void)close(rows[i].descriptor);
        status = call_main("--version", NULL);
        is_open = fcntl(rows[i].descriptor, F_GETFD) >= 0;
        restore(STDOUT_FILENO, out);
        restore(rows[i].descriptor, saved);
        clear_stdout();
        assert_int_equal(status, rows[i].status);
        assert_int_equal(is_open, failing == NONE);
        failing = NONE; /* coverage is written by open(), too */
    }
    assert_uint_equal(inspect_count_descriptors(), before);
}

/* Opens the socket of a service manager. */
static int listen_to_notifications(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int length =
        snprintf(address.sun_path, sizeof address.sun_path, "@versiond-%d", getpid());

    (void)state;
    (void)setenv("NOTIFY_SOCKET", address.sun_path, 1);
    address.sun_path[0] = '\0'; /* an abstract name */
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return bind(manager, (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_failing_step_is_logged_and_ends_the_program, set_up),
        cmocka_unit_test_setup(passed_socket_and_settings_reach_the_server, set_up),
        cmocka_unit_test_setup(sandbox_is_entered_unless_off_or_instrumented, set_up),
        cmocka_unit_test_setup(defaults_depend_on_the_machine, set_up),
        cmocka_unit_test_setup(errors_are_complete_for_the_longest_values, set_up),
        cmocka_unit_test_setup(failed_writes_to_stdout_exit_1, set_up),
        cmocka_unit_test_setup(closed_standard_descriptors_are_opened, set_up),
    };

    return cmocka_run_group_tests(tests, listen_to_notifications, NULL);
}
