/* wraps: open build_info_check lifecycle_block_signals resources_open_files resources_cpus */
/* wraps: metrics_create metrics_free handlers_create handlers_free listener_take listener_open */
/* wraps: notify_open sandbox_enter server_start getsockname lifecycle_run server_stop */
/* wraps: notify_ready probe_readiness isatty */
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

#include "inspect.h"

/* The step that fails, and the steps taken, a letter each. */
enum step {
    NONE,
    BUILD_INFO,
    SIGNALS,
    METRICS,
    HANDLERS,
    TAKE,
    LISTEN,
    SANDBOX,
    START,
    RUN,
    PROBE
};
static enum step failing;
static char trace[32];

static uint32_t files;
static uint32_t cpus;
static bool is_passed; /* the service manager passes a socket */
static bool is_terminal;
static bool has_name; /* the listener's address is known */
static bool can_open;

/* What the steps got. */
static struct {
    struct config config;
    char base_path[16];
    struct log log;
    bool is_shared;
} seen;

enum { LISTENER = 1234 };

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
bool __wrap_build_info_check(const struct build_info *info, char *error, size_t size);
int __wrap_lifecycle_block_signals(void);
unsigned __wrap_resources_open_files(void);
unsigned __wrap_resources_cpus(const char *root, const char *self);
struct metrics *__real_metrics_create(const struct metrics_parts *parts);
struct metrics *__wrap_metrics_create(const struct metrics_parts *parts);
void __real_metrics_free(struct metrics *metrics);
void __wrap_metrics_free(struct metrics *metrics);
struct handlers *__real_handlers_create(const struct route_context *context, const char *base_path,
                                        unsigned threads);
struct handlers *__wrap_handlers_create(const struct route_context *context, const char *base_path,
                                        unsigned threads);
void __real_handlers_free(struct handlers *handlers);
void __wrap_handlers_free(struct handlers *handlers);
int __wrap_listener_take(char *error, size_t size);
int __wrap_listener_open(const char *address, uint16_t port);
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

/* Adds a letter to the trace. Returns false if the step fails. */
static bool take_step(enum step step, char letter)
{
    trace[strlen(trace)] = letter;
    return failing != step;
}

int __wrap_open(const char *path, int flags, ...)
{
    return can_open ? __real_open(path, flags) : -1;
}

bool __wrap_build_info_check(const struct build_info *info, char *error, size_t size)
{
    (void)snprintf(error, size, "VERSION of %s: 'v1'", info->name);
    return failing != BUILD_INFO;
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
    seen.config.threads = parts->threads;
    seen.config.max_connections = parts->max_connections;
    assert_int_equal(parts->usage->max_open, files);
    return take_step(METRICS, 'm') ? __real_metrics_create(parts) : NULL;
}

void __wrap_metrics_free(struct metrics *metrics)
{
    if (metrics != NULL)
        (void)take_step(NONE, 'M');
    __real_metrics_free(metrics);
}

struct handlers *__wrap_handlers_create(const struct route_context *context, const char *base_path,
                                        unsigned threads)
{
    (void)snprintf(seen.base_path, sizeof seen.base_path, "%s", base_path ? base_path : "none");
    assert_int_equal(threads, seen.config.threads);
    return take_step(HANDLERS, 'h') ? __real_handlers_create(context, base_path, threads) : NULL;
}

void __wrap_handlers_free(struct handlers *handlers)
{
    if (handlers != NULL)
        (void)take_step(NONE, 'H');
    __real_handlers_free(handlers);
}

int __wrap_listener_take(char *error, size_t size)
{
    (void)snprintf(error, size, "LISTEN_FDS: '2' is not 1");
    if (!take_step(TAKE, 't'))
        return -EINVAL;
    return is_passed ? LISTENER : -ENOENT;
}

int __wrap_listener_open(const char *address, uint16_t port)
{
    (void)address;
    (void)port;
    return take_step(LISTEN, 'l') ? LISTENER : -EADDRINUSE;
}

/* Returns a descriptor that the program closes. */
int __wrap_notify_open(struct log *log)
{
    (void)log;
    (void)take_step(NONE, 'n');
    return memfd_create("notifier", MFD_CLOEXEC);
}

void __wrap_notify_ready(int notifier, const char *version, struct log *log)
{
    (void)log;
    assert_true(notifier >= 0);
    assert_string_equal(version, VERSION);
    (void)take_step(NONE, 'r');
}

bool __wrap_sandbox_enter(char text[SANDBOX_TEXT_MAX])
{
    const bool succeeds = take_step(SANDBOX, 'x');

    (void)snprintf(text, SANDBOX_TEXT_MAX, "%s", succeeds ? "all of it" : "some of it");
    return succeeds;
}

struct server *__wrap_server_start(const struct server_parts *parts)
{
    seen.config = *parts->config;
    seen.log = *parts->log;
    seen.is_shared = parts->is_shared;
    assert_int_equal(parts->listener, LISTENER);
    return take_step(START, 'S') ? (struct server *)(void *)&seen : NULL;
}

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    const struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(4242), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    assert_int_equal(fd, LISTENER);
    assert_true(*size >= sizeof name);
    if (has_name)
        memcpy(address, &name, sizeof name);
    return has_name ? 0 : -1;
}

int __wrap_lifecycle_run(struct server *server, const struct config *config, struct log *log,
                         int notifier)
{
    assert_ptr_equal(server, &seen);
    assert_int_equal(config->drain_delay, seen.config.drain_delay);
    assert_true(log->descriptor == STDERR_FILENO && notifier >= 0);
    return take_step(RUN, 'R') ? 0 : 1;
}

void __wrap_server_stop(struct server *server)
{
    assert_ptr_equal(server, &seen);
    (void)take_step(NONE, 'T');
}

int __wrap_probe_readiness(const struct config *config, char *error, size_t size)
{
    (void)snprintf(error, size, "127.0.0.1, port %u: 503", (unsigned)config->port);
    return failing == PROBE ? -1 : 0;
}

int __wrap_isatty(int descriptor)
{
    return is_terminal && descriptor == STDOUT_FILENO;
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
    failing = NONE;
    files = 1024;
    cpus = 2;
    is_passed = false;
    is_terminal = false;
    has_name = true;
    can_open = true;
    return 0;
}

enum { ARGUMENTS_MAX = 8 };

static int call_main(const char *const *arguments)
{
    static char program[] = "program";
    char *argv[ARGUMENTS_MAX + 2] = {program};
    int argc = 1;

    memset(trace, 0, sizeof trace);
    for (; *arguments != NULL; arguments++)
        argv[argc++] = (char *)(uintptr_t)*arguments;
    return versiond_main(argc, argv);
}

static char out[65536];
static char err[2048];

static int redirect(int descriptor, int file)
{
    const int saved = dup(descriptor);

    assert_true(file >= 0 && saved >= 0 && dup2(file, descriptor) == descriptor);
    return saved;
}

static void restore(int descriptor, int saved)
{
    (void)dup2(saved, descriptor);
    (void)close(saved);
}

static void read_all(int file, char *text, size_t size)
{
    const ssize_t n = pread(file, text, size - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    (void)close(file);
}

/* Runs main() with stdout going to `stdout_file`. Stores its output and returns its status. */
static int run_to(const char *const *arguments, int stdout_file)
{
    const int stderr_file = memfd_create("stderr", MFD_CLOEXEC);
    int saved_out = -1;
    int saved_err = -1;
    int status = -1;

    (void)fflush(stdout);
    saved_out = redirect(STDOUT_FILENO, stdout_file);
    saved_err = redirect(STDERR_FILENO, stderr_file);
    status = call_main(arguments);
    restore(STDERR_FILENO, saved_err);
    restore(STDOUT_FILENO, saved_out);
    __fpurge(stdout); /* drops what could not be written */
    clearerr(stdout);
    read_all(stdout_file, out, sizeof out);
    read_all(stderr_file, err, sizeof err);
    inspect_replace_times(err);
    return status;
}

static void expect_run(const char *const *arguments, int status, const char *text)
{
    const size_t before = inspect_count_descriptors();
    const int actual = run_to(arguments, memfd_create("stdout", MFD_CLOEXEC));

    assert_string_equal(err, text);
    assert_string_equal(out, "");
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
#define LISTENING(address, sandbox, rest)                                                          \
    LINE("info", "listening",                                                                      \
         address ",\"threads\":2,\"max_connections\":996,\"version\":\"" VERSION                   \
                 "\",\"commit\":\"" COMMIT "\",\"sandbox\":\"" sandbox "\"" rest)
#define LOOPBACK ",\"address\":\"127.0.0.1\",\"port\":4242"
#define STOPPED LINE("info", "stopped", "")
#define NO_MEMORY ERROR("cannot start", "out of memory preparing responses")

static void exits_and_releases_everything_at_each_failing_step(void **state)
{
    static const struct {
        enum step failing;
        int status;
        const char *argument;
        const char *err;
        const char *trace;
    } rows[] = {
        {NONE, 0, NULL, LISTENING(LOOPBACK, HOLDS("all of it"), "") STOPPED,
         "smhtln" ENTER "SrRTHM"},
        {NONE, 0, "--log-level=error", "", "smhtln" ENTER "SrRTHM"},
        {NONE, 0, "--sandbox=off", LISTENING(LOOPBACK, "off", "") STOPPED, "smhtlnSrRTHM"},
        {BUILD_INFO, 1, "--port=x", NAME ": VERSION of " NAME ": 'v1'\n", ""},
        {NONE, 2, "--port=x", NAME ": --port: 'x' is not an integer from 0 to 65535\n", ""},
        {NONE, 0, "--healthcheck", "", ""},
        {PROBE, 1, "--healthcheck", NAME ": 127.0.0.1, port 5000: 503\n", ""},
        {SIGNALS, 1, NULL, ERROR("cannot block signals", "Operation not permitted"), "s"},
        {METRICS, 1, NULL, NO_MEMORY, "sm"},
        {HANDLERS, 1, NULL, NO_MEMORY, "smhM"},
        {TAKE, 1, NULL,
         ERROR("cannot use the socket passed by the service manager",
               "LISTEN_FDS: '2' is not 1\",\"allowed\":\"LISTEN_FDS=1 and a listening TCP socket"),
         "smhtHM"},
        {LISTEN, 1, NULL,
         LINE("error", "cannot listen",
              ",\"address\":\"::\",\"port\":5000,\"error\":\"Address already in use\""),
         "smhtlHM"},
        {LISTEN, 1, "--address=192.0.2.1",
         LINE("error", "cannot listen",
              ",\"address\":\"192.0.2.1\",\"port\":5000,\"error\":\"Address already in use\""),
         "smhtlHM"},
        {SANDBOX, 0, NULL, LISTENING(LOOPBACK, HOLDS("some of it"), "") STOPPED,
         "smhtln" ENTER "SrRTHM"},
        {SANDBOX, 1, "--sandbox=require",
         ERROR("cannot enter the sandbox",
               HOLDS("some of it") "\",\"allowed\":\"--sandbox auto uses what the kernel supports, "
                                   "--sandbox off disables it"),
         "smhtln" ENTER "HM"},
        {START, 1, NULL, ERROR("cannot start", "out of memory, threads or file descriptors"),
         "smhtln" ENTER "SHM"},
        {RUN, 1, NULL, LISTENING(LOOPBACK, HOLDS("all of it"), "") STOPPED,
         "smhtln" ENTER "SrRTHM"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        failing = rows[i].failing;
        expect_run((const char *const[]){rows[i].argument, NULL}, rows[i].status, rows[i].err);
        assert_string_equal(trace, rows[i].trace);
    }
}

static void logs_a_passed_socket_and_an_unknown_address(void **state)
{
    static const char *const none[] = {NULL};

    (void)state;
    is_passed = true;
    expect_run(none, 0, LISTENING(LOOPBACK, HOLDS("all of it"), ",\"socket\":\"passed\"") STOPPED);
    assert_string_equal(trace, "smhtn" ENTER "SrRTHM");
    assert_true(seen.is_shared);
    is_passed = false;
    has_name = false;
    expect_run(none, 0,
               LISTENING(",\"address\":\"unknown\",\"port\":0", HOLDS("all of it"), "") STOPPED);
    assert_false(seen.is_shared);
}

static void passes_settings_on(void **state)
{
    static const char *const arguments[] = {"--base-path=/prefix", "--access-log-rate=7",
                                            "--drain-delay=5ms",   "--log-format=text",
                                            "--log-level=warn",    NULL};

    (void)state;
    expect_run(arguments, 0, "");
    assert_string_equal(seen.base_path, "/prefix");
    assert_int_equal(seen.config.drain_delay, 5);
    assert_int_equal(seen.log.rate, 7);
    assert_int_equal(seen.log.format, LOG_FORMAT_TEXT);
    assert_int_equal(seen.log.level, LOG_WARN);
}

/* An instrumented build never enters the sandbox, whichever build runs this test. */
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
        const char *arguments[3];
        uint32_t threads;
        uint32_t max_connections;
        bool fails;
    } rows[] = {
        {4294967295, 256, {NULL}, 256, 10000, false},
        {10040, 4, {NULL}, 4, 10000, false},
        {10039, 4, {NULL}, 4, 9999, false},
        {30, 2, {NULL}, 2, 2, false},
        {1024, 2, {"-t8", NULL}, 8, 960, false},
        {1024, 8, {"--max-connections=3", NULL}, 3, 3, false},
        {1024, 2, {"-t4", "--max-connections=5", NULL}, 4, 5, false},
        {1024, 2, {"-t9", "--max-connections=5", NULL}, 5, 5, false},
        {1024, 2, {"--max-connections=996", NULL}, 2, 996, false},
        {1024, 2, {"--max-connections=997", NULL}, 2, 997, true},
        {29, 2, {NULL}, 2, 1, true}, /* one connection for two threads */
        {1, 2, {NULL}, 2, 0, true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *const *arguments = rows[i].arguments;
        char expected[256];

        files = rows[i].files;
        cpus = rows[i].cpus;
        (void)snprintf(expected, sizeof expected,
                       LINE("error", "the open-file limit is too low",
                            ",\"limit\":%u,\"threads\":%u,\"max_connections\":%u"),
                       rows[i].files, rows[i].threads, rows[i].max_connections);
        if (rows[i].fails) {
            expect_run(arguments, 1, expected);
            assert_string_equal(trace, "s");
            continue;
        }
        assert_int_equal(run_to(arguments, memfd_create("stdout", MFD_CLOEXEC)), 0);
        assert_int_equal(seen.config.threads, rows[i].threads);
        assert_int_equal(seen.config.max_connections, rows[i].max_connections);
    }
}

/* No message is cut, however long the value is. */
static void errors_are_whole_for_the_longest_value(void **state)
{
    static const char *const none[] = {NULL};
    char value[512];
    size_t count = 0;
    const struct setting *settings = config_settings(&count);

    memset(value, 1, sizeof value);
    value[sizeof value - 1] = '\0';
    for (size_t i = 0; i < count; i++) {
        char start[64];
        char allowed[CONFIG_ALLOWED_MAX];

        if (settings[i].variable == NULL)
            continue;
        (void)set_up(state);
        (void)setenv(settings[i].variable, value, 1);
        assert_int_equal(run_to(none, memfd_create("stdout", MFD_CLOEXEC)), 2);
        (void)snprintf(start, sizeof start, NAME ": %s: '\\x01", settings[i].variable);
        assert_memory_equal(err, start, strlen(start));
        config_print_allowed(allowed, sizeof allowed, &settings[i]);
        (void)strcat(allowed, "\n");
        assert_string_equal(err + strlen(err) - strlen(allowed), allowed);
    }
    (void)set_up(state);
}

static void output_goes_to_stdout(void **state)
{
    static const char *const version[] = {"--version", NULL};
    static const char *const licenses[] = {"--licenses", NULL};
    size_t size = 0;
    const unsigned char *const file = licenses_get(&size);

    (void)state;
    assert_int_equal(run_to(version, memfd_create("stdout", MFD_CLOEXEC)), 0);
    assert_string_equal(out, NAME " " VERSION "\ncommit " COMMIT ", " BUILD_DATE "\n");
    assert_int_equal(run_to(licenses, memfd_create("stdout", MFD_CLOEXEC)), 0);
    assert_true(size > 0 && size < sizeof out);
    assert_memory_equal(out, file, size);
    is_terminal = true;
    expect_run(licenses, 1, NAME ": --licenses: the output is a gzip file; pipe it to gunzip\n");
}

static int open_full(void)
{
    return __real_open("/dev/full", O_WRONLY | O_CLOEXEC);
}

/* Makes a write to stdout fail, as on a disk that is full for a while. */
static void fail_stdout_once(void)
{
    const int full = open_full();
    int saved = -1;

    (void)fflush(stdout);
    saved = redirect(STDOUT_FILENO, full);
    (void)putchar('x');
    assert_int_equal(fflush(stdout), EOF);
    __fpurge(stdout);
    restore(STDOUT_FILENO, saved);
    (void)close(full);
}

static void failed_write_to_stdout_exits_1(void **state)
{
    static const char *const rows[][2] = {
        {"--version", NULL}, {"--help", NULL}, {"--licenses", NULL}};

    (void)state;
    for (size_t i = 0; i <= COUNT_OF(rows); i++) {
        const bool is_last = i == COUNT_OF(rows);

        if (is_last)
            fail_stdout_once();
        assert_int_equal(run_to(rows[is_last ? 0 : i],
                                is_last ? memfd_create("stdout", MFD_CLOEXEC) : open_full()),
                         1);
        assert_string_equal(err, NAME ": cannot write to stdout\n");
    }
}

static void closed_standard_descriptors_are_opened(void **state)
{
    static const struct {
        int descriptor;
        const char *argument;
        bool can_open;
        int status;
    } rows[] = {
        {STDIN_FILENO, "--healthcheck", true, 0},  {STDOUT_FILENO, "--healthcheck", true, 0},
        {STDERR_FILENO, "--healthcheck", true, 0}, {STDOUT_FILENO, "--help", true, 1},
        {STDIN_FILENO, "--healthcheck", false, 1}, {-1, "--healthcheck", false, 0},
    };
    const size_t before = inspect_count_descriptors();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const int saved = rows[i].descriptor < 0 ? -1 : dup(rows[i].descriptor);
        bool is_open = false;
        int status = -1;

        can_open = rows[i].can_open;
        (void)fflush(stdout);
        if (saved >= 0)
            (void)close(rows[i].descriptor);
        status = call_main((const char *const[]){rows[i].argument, NULL});
        is_open = fcntl(rows[i].descriptor, F_GETFD) >= 0;
        if (saved >= 0)
            restore(rows[i].descriptor, saved);
        __fpurge(stdout);
        clearerr(stdout);
        assert_int_equal(status, rows[i].status);
        assert_int_equal(is_open, saved >= 0 && can_open);
    }
    assert_uint_equal(inspect_count_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(exits_and_releases_everything_at_each_failing_step, set_up),
        cmocka_unit_test_setup(logs_a_passed_socket_and_an_unknown_address, set_up),
        cmocka_unit_test_setup(passes_settings_on, set_up),
        cmocka_unit_test_setup(sandbox_is_entered_unless_off_or_instrumented, set_up),
        cmocka_unit_test_setup(defaults_depend_on_the_machine, set_up),
        cmocka_unit_test_setup(errors_are_whole_for_the_longest_value, set_up),
        cmocka_unit_test_setup(output_goes_to_stdout, set_up),
        cmocka_unit_test_setup(failed_write_to_stdout_exits_1, set_up),
        cmocka_unit_test_setup(closed_standard_descriptors_are_opened, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
