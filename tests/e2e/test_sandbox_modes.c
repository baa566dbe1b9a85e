/* --sandbox: what the program makes of it on this kernel, and on kernels that lack a part. */
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

/* What the program is expected to say: what a process of ours finds out on this kernel. */
static char holds[TEXT_MAX];
static bool holds_all;
static bool is_instrumented; /* the program, as this test */

/* Lets a child enter the sandbox and tell of it. */
static int find_out(void **state)
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
    length = read(ends[0], holds, sizeof holds - 1);
    assert_true(length > 0);
    holds[length] = '\0';
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    holds_all = status == 0;
#ifdef INSTRUMENTED
    (void)strcpy(holds, "none in an instrumented build");
    holds_all = false;
    is_instrumented = true;
#endif
    print_message("this kernel: %s\n", holds);
    return 0;
}

/* A runner's calls would be judged, too: the harness gives it no sandbox. */
static void need_no_runner(void)
{
    if (!process_has_runner())
        return;
    print_message("skipped: not below another program\n");
    skip();
}

/* Makes calls of `number` fail with `error`; only those with the first argument `argument`, unless
 * it is negative. For a child that becomes the program. */
static void refuse(uint32_t number, int argument, uint32_t error)
{
    struct sock_filter filter[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, number},
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, args)},
        {BPF_JMP | (argument < 0 ? BPF_JGE : BPF_JEQ) | BPF_K, 0, 1,
         argument < 0 ? 0 : (uint32_t)argument},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    const struct sock_fprog program = {.len = COUNT_OF(filter), .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(126);
}

/* Linux before 5.13. */
static void have_no_landlock(void)
{
    refuse(444, -1, ENOSYS);
}

/* Switched off by the boot parameter lsm=. */
static void have_landlock_switched_off(void)
{
    refuse(444, -1, EOPNOTSUPP);
}

/* A container's profile that is older than the call. */
static void may_not_use_landlock(void)
{
    refuse(446, -1, EPERM);
}

static void have_no_seccomp(void)
{
    refuse(SYS_seccomp, -1, EINVAL);
}

/* Linux before 4.14, which would take "kill the process" for "kill the thread". */
static void cannot_kill_processes(void)
{
    refuse(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, EINVAL);
}

static void may_not_use_seccomp(void)
{
    refuse(SYS_seccomp, SECCOMP_SET_MODE_FILTER, EPERM);
}

static void cannot_give_up_privileges(void)
{
    refuse(SYS_prctl, PR_SET_NO_NEW_PRIVS, EINVAL);
}

/* Kernels that lack a part, and what then holds; parts that this one lacks are as they are. */
static const struct {
    const char *name;
    void (*prepare)(void);
    const char *text;
} LACKING[] = {
    {"no Landlock", have_no_landlock, "no landlock (Function not implemented), seccomp"},
    {"Landlock switched off", have_landlock_switched_off, "no landlock (*), seccomp"},
    {"Landlock forbidden", may_not_use_landlock, "no landlock (Operation not permitted), seccomp"},
    {"no seccomp", have_no_seccomp, "landlock *, no seccomp (Invalid argument)"},
    {"no end for a process", cannot_kill_processes, "landlock *, no seccomp (Invalid argument)"},
    {"seccomp forbidden", may_not_use_seccomp, "landlock *, no seccomp (Operation not permitted)"},
    {"no giving up of privileges", cannot_give_up_privileges,
     "no landlock (Invalid argument), no seccomp (Invalid argument)"},
};

/* True when a text is like the pattern, in which '*' stands for anything without a comma. */
static bool is_like(const char *text, const char *pattern)
{
    const char *star = strchr(pattern, '*');
    const size_t before = star == NULL ? strlen(pattern) : (size_t)(star - pattern);

    if (strncmp(text, pattern, before) != 0)
        return false;
    if (star == NULL)
        return text[before] == '\0';
    text += before;
    return strcmp(text + strcspn(text, ",)"), star + 1) == 0;
}

/* Copies the text of a field from a line of the log; fails the test when there is none. */
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

/* The number behind `name` in a file of /proc; -1 when it is not there. */
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

/* Checks that each thread of a process has as many filters more than this one, which may run in a
 * container's own. */
static void expect_filters(const struct process *process, long more)
{
    const long ours = read_status("/proc/self/status", "Seccomp_filters");
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
        if (ours >= 0) /* since Linux 5.9 */
            assert_int_equal(read_status(path, "Seccomp_filters"), ours + more);
        threads++;
    }
    (void)closedir(folder);
    assert_true(threads >= 3); /* ThreadSanitizer has one more */
}

static void sandbox_is_what_the_kernel_has(void **state)
{
    static const char *const arguments[] = {"--port=0", "--threads=2", NULL};
    struct process *process = NULL;
    char text[TEXT_MAX];

    (void)state;
    need_no_runner();
    process = process_start(arguments, NULL);
    expect_service(process);
    read_field(process, "listening", "sandbox", text);
    assert_string_equal(text, holds);
    expect_filters(process, strstr(holds, ", seccomp") != NULL ? 1 : 0);
    process_stop(process);
}

static void sandbox_can_be_off(void **state)
{
    static const char *const arguments[] = {"--port=0", "--threads=2", "--sandbox=off", NULL};
    struct process *process = NULL;
    char text[TEXT_MAX];

    (void)state;
    need_no_runner();
    process = process_start(arguments, NULL);
    expect_service(process);
    read_field(process, "listening", "sandbox", text);
    assert_string_equal(text, "off");
    expect_filters(process, 0);
    process_stop(process);
}

/* NULL: whatever the error is. */
static void expect_no_start(struct process *process, const char *pattern)
{
    char text[TEXT_MAX];

    read_field(process, "cannot enter the sandbox", "error", text);
    if (pattern != NULL && !is_like(text, pattern))
        fail_msg("'%s' is not like '%s'", text, pattern);
    assert_non_null(strstr(process->stderr_text,
                           "\",\"allowed\":\"--sandbox auto takes what there is, --sandbox off "
                           "does without\"}\n"));
    assert_int_equal(process_wait(process), 1);
    assert_ptr_equal(strchr(process->stderr_text, '\n'), strrchr(process->stderr_text, '\n'));
    process_end(process);
}

static void required_sandbox_is_there_or_nothing_starts(void **state)
{
    static const char *const arguments[] = {"--port=0", NULL};
    static const char *const environment[] = {"SANDBOX=require", NULL};
    struct process *process = NULL;

    (void)state;
    need_no_runner();
    process = process_start(arguments, environment);
    if (!holds_all) {
        expect_no_start(process, holds);
        return;
    }
    expect_service(process);
    process_stop(process);
}

static void kernel_that_lacks_a_part_is_taken_as_it_is(void **state)
{
    static const char *const arguments[] = {"--port=0", NULL};

    (void)state;
    need_no_runner();
    for (size_t i = 0; i < COUNT_OF(LACKING); i++) {
        struct process *process = process_start_with(arguments, NULL, LACKING[i].prepare);
        char text[TEXT_MAX];

        print_message("%s\n", LACKING[i].name);
        expect_service(process);
        read_field(process, "listening", "sandbox", text);
        if (holds_all && !is_like(text, LACKING[i].text))
            fail_msg("'%s' is not like '%s'", text, LACKING[i].text);
        process_stop(process);
    }
}

static void kernel_that_lacks_a_part_cannot_have_what_is_required(void **state)
{
    static const char *const arguments[] = {"--port=0", "--sandbox=require", NULL};

    (void)state;
    need_no_runner();
    for (size_t i = 0; i < COUNT_OF(LACKING); i++) {
        const char *other = is_instrumented ? holds : NULL;

        print_message("%s\n", LACKING[i].name);
        expect_no_start(process_start_with(arguments, NULL, LACKING[i].prepare),
                        holds_all ? LACKING[i].text : other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sandbox_is_what_the_kernel_has),
        cmocka_unit_test(sandbox_can_be_off),
        cmocka_unit_test(required_sandbox_is_there_or_nothing_starts),
        cmocka_unit_test(kernel_that_lacks_a_part_is_taken_as_it_is),
        cmocka_unit_test(kernel_that_lacks_a_part_cannot_have_what_is_required),
    };

    return cmocka_run_group_tests(tests, find_out, NULL);
}
