/* What a process cannot be made to do from outside; tests/e2e/test_cli.c covers the rest. */
/* wraps: open isatty lifecycle_block_signals resources_cpus metrics_create handlers_create */
/* wraps: sandbox_enter server_start lifecycle_run server_stop */
/* main() becomes an ordinary function. Included first because cmocka defines fail() too. */
int versiond_main(int argc, char *argv[]);
#define main versiond_main
#include "../../src/main.c" /* NOLINT(bugprone-suspicious-include) */
#undef main

#include "test.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/un.h>

#include "failing.h"
#include "inspect.h"

enum { TEXT_MAX = 1024, CPUS = 2 };

static int server_listener;

FAILING_WRAPPER(int, open, -1, (const char *path, int flags, ...), (path, flags))
FAILING_WRAPPER(int, isatty, 1, (int descriptor), (descriptor))
FAILING_WRAPPER(struct metrics *, metrics_create, NULL, (const struct metrics_parts *parts),
                (parts))
FAILING_WRAPPER(struct handlers *, handlers_create, NULL,
                (const struct route_context *context, const char *base_path, unsigned threads),
                (context, base_path, threads))
int __wrap_lifecycle_block_signals(void);
unsigned __wrap_resources_cpus(const char *root, const char *self);
bool __wrap_sandbox_enter(char text[SANDBOX_TEXT_MAX]);
struct server *__wrap_server_start(const struct server_parts *parts);
int __wrap_lifecycle_run(struct server *server, const struct config *config, struct log *log,
                         int notifier);
void __wrap_server_stop(struct server *server);

int __wrap_lifecycle_block_signals(void)
{
    return failing_call("lifecycle_block_signals") ? -EPERM : 0;
}

unsigned __wrap_resources_cpus(const char *root, const char *self)
{
    assert_string_equal(root, "/sys/fs/cgroup");
    assert_string_equal(self, "/proc/self/cgroup");
    return CPUS;
}

bool __wrap_sandbox_enter(char text[SANDBOX_TEXT_MAX])
{
    const bool fails = failing_call("sandbox_enter");

    (void)snprintf(text, SANDBOX_TEXT_MAX, fails ? "some of it" : "all of it");
    return !fails;
}

/* Owns the listener until it is stopped. */
struct server *__wrap_server_start(const struct server_parts *parts)
{
    server_listener = parts->listener;
    if (!failing_call("server_start"))
        return (struct server *)(void *)&server_listener;
    (void)close(server_listener);
    return NULL;
}

int __wrap_lifecycle_run(struct server *server, const struct config *config, struct log *log,
                         int notifier)
{
    (void)config;
    (void)log;
    assert_ptr_equal(server, &server_listener);
    assert_true(notifier >= 0);
    return 0;
}

void __wrap_server_stop(struct server *server)
{
    assert_ptr_equal(server, &server_listener);
    (void)close(server_listener);
}

static int set_up(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int length = snprintf(address.sun_path, sizeof address.sun_path, "@main-%d", getpid());
    const int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    size_t count = 0;
    const struct setting *settings = config_settings(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        if (settings[i].variable != NULL)
            (void)unsetenv(settings[i].variable);
    }
    (void)setenv("PORT", "0", 1);
    (void)setenv("NOTIFY_SOCKET", address.sun_path, 1);
    address.sun_path[0] = '\0';
    return bind(manager, (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length));
}

/* Runs main() without stdin. Stores what it writes to stderr in `text`. */
static int call_main(const char *argument, char text[TEXT_MAX])
{
    static char name[] = "program";
    char *argv[] = {name, (char *)(uintptr_t)argument, NULL};
    const int file = memfd_create("stderr", MFD_CLOEXEC);
    const int saved_in = dup(STDIN_FILENO);
    const int saved_err = dup(STDERR_FILENO);
    ssize_t length = 0;
    int status = -1;

    assert_true(file >= 0 && saved_in >= 0 && saved_err >= 0);
    (void)close(STDIN_FILENO);
    (void)dup2(file, STDERR_FILENO);
    status = versiond_main(argument == NULL ? 1 : 2, argv);
    (void)dup2(saved_in, STDIN_FILENO);
    (void)dup2(saved_err, STDERR_FILENO);
    (void)close(saved_in);
    (void)close(saved_err);
    length = pread(file, text, TEXT_MAX - 1, 0);
    assert_true(length >= 0);
    text[length] = '\0';
    (void)close(file);
    inspect_replace_times(text);
    return status;
}

#define ERROR(message, error)                                                                      \
    "{\"time\":\"TIME\",\"level\":\"error\",\"msg\":\"" message "\",\"error\":\"" error "\"}\n"
#define NO_MEMORY ERROR("cannot start", "out of memory preparing responses")

/* The descriptors of earlier steps are closed; leak checkers confirm that memory is freed. */
static void each_failing_step_is_logged_and_ends_the_program(void **state)
{
    static const struct {
        const char *step;
        const char *argument;
        const char *err;
    } rows[] = {
        {"open", NULL, NAME ": cannot open /dev/null\n"},
        {"isatty", "--licenses",
         NAME ": --licenses: the output is a gzip file; pipe it to gunzip\n"},
        {"lifecycle_block_signals", NULL, ERROR("cannot block signals", "Operation not permitted")},
        {"metrics_create", NULL, NO_MEMORY},
        {"handlers_create", NULL, NO_MEMORY},
        {"none", "--log-level=error", ""},
        {"server_start", NULL, ERROR("cannot start", "out of memory, threads or file descriptors")},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const size_t before = inspect_count_descriptors();
        char text[TEXT_MAX];

        failing_arm(rows[i].step, 1, 0);
        assert_int_equal(call_main(rows[i].argument, text), rows[i].err[0] != '\0');
        failing_at(0);
        assert_string_equal(text, rows[i].err);
        assert_int_equal(inspect_count_descriptors(), before);
    }
}

/* Checks both kinds of builds in each. */
static void sandbox_is_entered_unless_off_or_instrumented(void **state)
{
    static const struct {
        enum sandbox_mode mode;
        bool is_instrumented;
        const char *failing;
        bool succeeds;
        const char *text;
    } rows[] = {
        {SANDBOX_REQUIRE, false, "", true, "all of it"},
        {SANDBOX_REQUIRE, false, "sandbox_enter", false, "some of it"},
        {SANDBOX_REQUIRE, true, "", false, "none in an instrumented build"},
        {SANDBOX_AUTO, false, "sandbox_enter", true, "some of it"},
        {SANDBOX_AUTO, true, "", true, "none in an instrumented build"},
        {SANDBOX_OFF, true, "sandbox_enter", true, "off"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct config config = {.sandbox = rows[i].mode};
        char text[SANDBOX_TEXT_MAX] = "";

        failing_arm(rows[i].failing, 1, 0);
        assert_int_equal(enter_sandbox(&config, rows[i].is_instrumented, text), rows[i].succeeds);
        assert_string_equal(text, rows[i].text);
    }
}

static void defaults_depend_on_the_machine(void **state)
{
    static const struct {
        uint32_t files;
        struct config config;
        uint32_t threads;
        uint32_t max_connections;
        bool fails;
    } rows[] = {
        {4294967295, {.threads = 256}, 256, 10000, false},
        {10040, {.threads = 4}, 4, 10000, false},
        {10039, {.threads = 4}, 4, 9999, false},
        {30, {0}, CPUS, 2, false},
        {1024, {.threads = 8}, 8, 960, false},
        {1024, {.max_connections = 1}, 1, 1, false},
        {1024, {.threads = 4, .max_connections = 5}, 4, 5, false},
        {1024, {.threads = 9, .max_connections = 5}, 5, 5, false},
        {1024, {.max_connections = 996}, CPUS, 996, false},
        {1024, {.max_connections = 997}, CPUS, 997, true},
        {29, {0}, CPUS, 1, true}, /* one connection for two threads */
        {1, {0}, CPUS, 0, true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct config config = rows[i].config;
        struct log log;

        log_init(&log, memfd_create("log", MFD_CLOEXEC), LOG_FORMAT_JSON, LOG_ERROR);
        if ((resolve_config(&config, rows[i].files, &log) != 0) != rows[i].fails ||
            config.threads != rows[i].threads || config.max_connections != rows[i].max_connections)
            fail_msg("row %zu: %u threads, %u connections", i, config.threads,
                     config.max_connections);
        assert_int_equal(lseek(log.descriptor, 0, SEEK_END) > 0, rows[i].fails);
        (void)close(log.descriptor);
    }
}

/* They are opened for reading, so that writing to them still fails. */
static void closed_standard_descriptors_are_opened(void **state)
{
    (void)state;
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++) {
        const int saved = dup(descriptor);
        bool succeeds = false;
        int flags = -1;

        (void)close(descriptor);
        succeeds = open_standard_descriptors();
        flags = fcntl(descriptor, F_GETFL);
        (void)dup2(saved, descriptor);
        (void)close(saved);
        assert_true(succeeds);
        assert_int_equal(flags & O_ACCMODE, O_RDONLY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failing_step_is_logged_and_ends_the_program),
        cmocka_unit_test(sandbox_is_entered_unless_off_or_instrumented),
        cmocka_unit_test(defaults_depend_on_the_machine),
        cmocka_unit_test(closed_standard_descriptors_are_opened),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
