/* --sandbox on this kernel, and on kernels that lack a part of the sandbox. */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "documents.h"
#include "process.h"
#include "sandbox.h"

#define GET_READYZ "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"

enum { TEXT_MAX = 256 };

static const struct client_answer READY = {"200 OK", TYPE_JSON, NULL, DOCUMENT_READY, false, false};

/* What the program is expected to log: what a child of this test gets on this kernel. */
static char available[TEXT_MAX];
static bool is_complete;
static bool is_instrumented; /* the program and this test */

/* Lets a child enter the sandbox and report the result. */
static int set_up(void **state)
{
    int ends[2];
    pid_t child = -1;
    ssize_t length = 0;
    int status = 0;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char text[SANDBOX_TEXT_MAX];
        const bool all = sandbox_enter(text);

        _exit(write(ends[1], text, strlen(text)) > 0 && all ? 0 : 1);
    }
    (void)close(ends[1]);
    length = read(ends[0], available, sizeof available - 1);
    assert_true(length > 0);
    available[length] = '\0';
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    is_complete = status == 0;
#ifdef INSTRUMENTED
    (void)strcpy(available, "none in an instrumented build");
    is_complete = false;
    is_instrumented = true;
#endif
    print_message("this kernel: %s\n", available);
    return 0;
}

/* The sandbox would restrict a runner, too, so process_start() turns it off. */
static void skip_with_runner(void)
{
    if (!process_has_runner())
        return;
    print_message("skipped: the program runs under another one\n");
    skip();
}

/* Makes a system call fail. Call this in the child that becomes the program. */
static void refuse(uint32_t number, uint32_t error)
{
    struct sock_filter filter[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, number},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    const struct sock_fprog program = {.len = COUNT_OF(filter), .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(126);
}

static void remove_landlock(void)
{
    refuse(SYS_landlock_create_ruleset, ENOSYS);
}

static void remove_seccomp(void)
{
    refuse(SYS_seccomp, EINVAL);
}

/* Kernels that lack a part, and the error. tests/unit/test_sandbox.c has every step that can fail.
 */
static const struct {
    void (*prepare)(void);
    const char *text;
} LACKING[] = {
    {remove_landlock, "no landlock (Function not implemented), seccomp"},
    {remove_seccomp, ", no seccomp (Invalid argument)"},
};

/* Waits for a log message and copies the text of one of its fields. */
static void read_field(struct process *process, const char *message, const char *name,
                       char text[TEXT_MAX])
{
    char begin[64];
    const char *at = NULL;

    (void)snprintf(begin, sizeof begin, "\"msg\":\"%s\"", message);
    (void)process_wait_for(process, begin);
    (void)snprintf(begin, sizeof begin, "\"%s\":\"", name);
    at = process_wait_for(process, begin) + strlen(begin);
    (void)process_wait_for(process, "\"}\n");
    (void)snprintf(text, TEXT_MAX, "%.*s", (int)strcspn(at, "\""), at);
}

static void expect_service(struct process *process)
{
    const int client = client_connect(process_wait_for_port(process));

    client_expect_answer(client, GET_READYZ, &READY);
    (void)close(client);
}

/* Returns the number after `name` in a status file of /proc, or -1 if there is none. */
static long read_status(const char *path, const char *name)
{
    FILE *file = fopen(path, "re");
    char line[TEXT_MAX];
    long number = -1;

    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            number = strtol(line + strlen(name) + 1, NULL, 10);
    }
    (void)fclose(file);
    return number;
}

/* Checks that each thread of a process has `more` filters than this process, which may itself run
 * under a container's filter. */
static void expect_filters(const struct process *process, long more)
{
    const long own = read_status("/proc/self/status", "Seccomp_filters");
    char path[TEXT_MAX];
    size_t threads = 0;
    DIR *folder = NULL;

    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)process->pid);
    folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%d/task/%.20s/status", (int)process->pid,
                       entry->d_name);
        assert_int_equal(read_status(path, "NoNewPrivs"),
                         more > 0 ? 1 : read_status("/proc/self/status", "NoNewPrivs"));
        if (more > 0)
            assert_int_equal(read_status(path, "Seccomp"), 2);
        if (own >= 0) /* since Linux 5.9 */
            assert_int_equal(read_status(path, "Seccomp_filters"), own + more);
        threads++;
    }
    (void)closedir(folder);
    assert_true(threads >= 3); /* ThreadSanitizer has one more */
}

/* Checks that a server logs the sandbox `expected` and every thread has `filters` more filters. */
static void expect_sandbox(const char *flag, const char *expected, long filters)
{
    const char *const arguments[] = {"--port=0", "--threads=2", flag, NULL};
    struct process *process = process_start(arguments, NULL);
    char text[TEXT_MAX];

    expect_service(process);
    read_field(process, "listening", "sandbox", text);
    assert_string_equal(text, expected);
    expect_filters(process, filters);
    process_stop(process);
}

static void every_thread_is_sandboxed_unless_off(void **state)
{
    (void)state;
    skip_with_runner();
    expect_sandbox(NULL, available, strstr(available, ", seccomp") != NULL ? 1 : 0);
    expect_sandbox("--sandbox=off", "off", 0);
}

/* Checks that the program exits with one line, whose error contains `expected`. */
static void expect_no_start(struct process *process, const char *expected)
{
    char text[TEXT_MAX];

    read_field(process, "cannot enter the sandbox", "error", text);
    if (strstr(text, expected) == NULL)
        fail_msg("'%s' does not contain '%s'", text, expected);
    assert_non_null(
        strstr(process->stderr_text,
               "\",\"allowed\":\"--sandbox auto uses what the kernel supports, --sandbox off "
               "disables it\"}\n"));
    assert_int_equal(process_wait(process), 1);
    assert_ptr_equal(strchr(process->stderr_text, '\n'), strrchr(process->stderr_text, '\n'));
    process_end(process);
}

static void require_starts_only_with_a_complete_sandbox(void **state)
{
    static const char *const arguments[] = {"--port=0", NULL};
    static const char *const environment[] = {"SANDBOX=require", NULL};
    struct process *process = NULL;

    (void)state;
    skip_with_runner();
    process = process_start(arguments, environment);
    if (!is_complete) {
        expect_no_start(process, available);
        return;
    }
    expect_service(process);
    process_stop(process);
}

static void auto_uses_what_the_kernel_supports(void **state)
{
    static const char *const arguments[] = {"--port=0", NULL};

    (void)state;
    skip_with_runner();
    for (size_t i = 0; i < COUNT_OF(LACKING); i++) {
        struct process *process = process_start_with(arguments, NULL, LACKING[i].prepare);
        char text[TEXT_MAX];

        expect_service(process);
        read_field(process, "listening", "sandbox", text);
        if (is_complete && strstr(text, LACKING[i].text) == NULL)
            fail_msg("'%s' does not contain '%s'", text, LACKING[i].text);
        process_stop(process);
    }
}

static void require_fails_if_the_kernel_lacks_a_part(void **state)
{
    static const char *const arguments[] = {"--port=0", "--sandbox=require", NULL};

    (void)state;
    skip_with_runner();
    for (size_t i = 0; i < COUNT_OF(LACKING); i++) {
        const char *other = is_instrumented ? available : "";

        expect_no_start(process_start_with(arguments, NULL, LACKING[i].prepare),
                        is_complete ? LACKING[i].text : other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thread_is_sandboxed_unless_off),
        cmocka_unit_test(require_starts_only_with_a_complete_sandbox),
        cmocka_unit_test(auto_uses_what_the_kernel_supports),
        cmocka_unit_test(require_fails_if_the_kernel_lacks_a_part),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
