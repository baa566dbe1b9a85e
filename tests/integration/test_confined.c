/* What a sandboxed process can do. A new process makes each attempt: it enters the sandbox, or one
 * part of it, and then tries one thing. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox.h"

enum { NOT_ENTERED = 200, KILLED = 128 + SIGSYS, ABORTED = 128 + SIGABRT };

enum part { NOTHING, SECCOMP, LANDLOCK, BOTH };

/* Descriptors in each process that makes an attempt. */
enum { CLIENT = 100, BOUND, ABSTRACT };

static struct sockaddr_in listener_address;
static struct sockaddr_un abstract_address;
static socklen_t abstract_size = sizeof abstract_address;
static _Alignas(4096) char page[4096];

static const struct sockaddr_in LOOPBACK = {.sin_family = AF_INET,
                                            .sin_addr.s_addr = 0x0100007f /* little-endian */};

/* Converts the result of a call to 0 or its error. */
static int error_of(long result)
{
    return result < 0 ? errno : 0;
}

/* Moves a new socket to a descriptor. Returns false on failure. */
static bool open_socket(int descriptor, int family)
{
    const int opened = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return opened >= 0 && dup2(opened, descriptor) == descriptor;
}

static bool enter(enum part part)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ((part != LANDLOCK && part != BOTH) || sandbox_enter_landlock() > 0) &&
           ((part != SECCOMP && part != BOTH) || sandbox_enter_seccomp() == 0);
}

/* One thing to try: a function that returns 0 or an error, or else a raw system call, because a
 * libc would replace some calls. */
struct attempt {
    const char *name;
    int (*function)(void);
    long call;
    long arguments[6];
};

/* In the child: enters, tries, and exits with the outcome. It exits with a raw call because
 * sanitizers inspect the stack before a call that they intercept. */
__attribute__((noreturn)) static void run(enum part part, const struct attempt *attempt)
{
    const long *a = attempt->arguments;
    int outcome = NOT_ENTERED;

    if (open_socket(CLIENT, AF_INET) && open_socket(BOUND, AF_INET) &&
        open_socket(ABSTRACT, AF_UNIX) &&
        bind(BOUND, (const struct sockaddr *)&LOOPBACK, sizeof LOOPBACK) == 0 && enter(part))
        outcome = attempt->function != NULL
                      ? attempt->function()
                      : error_of(syscall(attempt->call, a[0], a[1], a[2], a[3], a[4], a[5]));
    (void)syscall(SYS_exit_group, outcome);
    __builtin_trap(); /* the sandbox forbids even exit_group() */
}

static pid_t start(enum part part, const struct attempt *attempt)
{
    const pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        run(part, attempt);
    return child;
}

/* Waits for a child. Returns its exit code, or 128 and the number of the signal that ended it. */
static int wait_for(pid_t child)
{
    int status = 0;

    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int outcome_of(enum part part, int (*function)(void))
{
    const struct attempt attempt = {.function = function};

    return wait_for(start(part, &attempt));
}

static void expect_outcome(enum part part, const struct attempt *attempt, int expected)
{
    const int outcome = wait_for(start(part, attempt));

    if (outcome != expected)
        fail_msg("%s: %d instead of %d", attempt->name, outcome, expected);
}

static int do_nothing(void)
{
    return 0;
}

/* Skips the test on kernels that lack a part. */
static void require_part(enum part part)
{
    if (outcome_of(part, do_nothing) != NOT_ENTERED)
        return;
    print_message("skipped: this kernel has no %s\n", part == SECCOMP ? "seccomp" : "Landlock");
    skip();
}

static int set_up(void **state)
{
    socklen_t size = sizeof listener_address;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_int_equal(bind(listener, (const struct sockaddr *)&LOOPBACK, sizeof LOOPBACK), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&listener_address, &size), 0);
    /* The kernel chooses an abstract name: a NUL and five digits. */
    abstract_address.sun_family = AF_UNIX;
    assert_int_equal(bind(server, (struct sockaddr *)&abstract_address, sizeof(sa_family_t)), 0);
    assert_int_equal(getsockname(server, (struct sockaddr *)&abstract_address, &abstract_size), 0);
    assert_int_equal(listen(server, 8), 0);
    return 0;
}

static long pointer(const void *at)
{
    return (long)(uintptr_t)at;
}

/* Makes each attempt in `part` and checks its outcome. Outside of the sandbox most of them succeed,
 * so that their failure within means something. tests/unit/test_sandbox.c has every call. */
static void check_attempts(enum part part)
{
    enum { UNTRIED = -1 };
    static const struct sockaddr_in any_port = {.sin_family = AF_INET};
    static char *const command[] = {NULL};
    static const int on = 1;
    static char buffer[512];
    const long passwd = pointer("/etc/passwd");
    const long file = pointer("/tmp/versiond.confined");
    const long to = pointer(&listener_address);
    const long size = sizeof listener_address;
    const long self = getpid();
    const int read_exec = PROT_READ | PROT_EXEC;
    const struct {
        struct attempt attempt;
        int outcomes[3]; /* by part */
        int landlock;    /* version of its ABI that has this restriction */
    } rows[] = {
        /* clang-format off */
        {{"execve", NULL, SYS_execve, {pointer("/bin/true"), pointer((const void *)command), pointer((const void *)command)}}, {UNTRIED, KILLED, EACCES}, 1},
        {{"fork", NULL, SYS_clone, {SIGCHLD}}, {0, KILLED, UNTRIED}, 0},
        {{"open", NULL, SYS_openat, {AT_FDCWD, passwd, O_RDONLY}}, {0, EACCES, EACCES}, 1},
        {{"create", NULL, SYS_openat, {AT_FDCWD, file, O_WRONLY | O_CREAT, 0600}}, {UNTRIED, EACCES, EACCES}, 1},
        {{"stat", NULL, SYS_newfstatat, {AT_FDCWD, passwd, pointer(buffer)}}, {0, EACCES, UNTRIED}, 0},
        {{"mkdir", NULL, SYS_mkdirat, {AT_FDCWD, file, 0700}}, {UNTRIED, ENOSYS, EACCES}, 1},
        {{"socket", NULL, SYS_socket, {AF_INET, SOCK_STREAM}}, {0, KILLED, UNTRIED}, 0},
        {{"connect", NULL, SYS_connect, {CLIENT, to, size}}, {0, KILLED, EACCES}, 4},
        /* Connects without connect(), which Landlock does not restrict in Linux 6.18. */
        {{"connect by sendto", NULL, SYS_sendto, {CLIENT, pointer("x"), 1, MSG_FASTOPEN, to, size}}, {0, KILLED, UNTRIED}, 0},
        {{"bind", NULL, SYS_bind, {CLIENT, pointer(&any_port), sizeof any_port}}, {0, KILLED, EACCES}, 4},
        {{"listen", NULL, SYS_listen, {BOUND, 1}}, {0, KILLED, UNTRIED}, 0},
        {{"connect to an abstract Unix socket", NULL, SYS_connect, {ABSTRACT, pointer(&abstract_address), abstract_size}}, {0, KILLED, EPERM}, 6},
        {{"signal another process", NULL, SYS_kill, {self}}, {0, KILLED, EPERM}, 6},
        {{"signal a thread of another process", NULL, SYS_tgkill, {self, self}}, {0, KILLED, EPERM}, 6},
        {{"make written memory executable", NULL, SYS_mprotect, {pointer(page), sizeof page, read_exec}}, {0, KILLED, UNTRIED}, 0},
        {{"map executable memory", NULL, SYS_mmap, {0, sizeof page, read_exec | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1}}, {0, KILLED, UNTRIED}, 0},
        {{"set another socket option", NULL, SYS_setsockopt, {CLIENT, SOL_SOCKET, SO_REUSEADDR, pointer(&on), sizeof on}}, {0, EACCES, UNTRIED}, 0},
        /* clang-format on */
    };
    const long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct attempt *attempt = &rows[i].attempt;
        const int expected = rows[i].outcomes[part];

        if (expected == UNTRIED || (part == LANDLOCK && abi < rows[i].landlock))
            continue;
        /* TCP Fast Open may be switched off. */
        if (part == NOTHING && attempt->call == SYS_sendto &&
            wait_for(start(part, attempt)) == EOPNOTSUPP)
            continue;
        expect_outcome(part, attempt, expected);
    }
}

static void attempts_succeed_outside_the_sandbox(void **state)
{
    (void)state;
    check_attempts(NOTHING);
}

static void seccomp_stops_attempts(void **state)
{
    (void)state;
    require_part(SECCOMP);
    check_attempts(SECCOMP);
}

static void landlock_alone_stops_attempts(void **state)
{
    (void)state;
    require_part(LANDLOCK);
    check_attempts(LANDLOCK);
}

static void *touch(void *at)
{
    *(volatile char *)at = 1;
    return at;
}

static int try_threads(void)
{
    int result = 0;

    for (int i = 0; i < 8 && result == 0; i++) {
        pthread_t thread;

        result = pthread_create(&thread, NULL, touch, page);
        if (result == 0)
            result = pthread_join(thread, NULL);
    }
    return result;
}

/* Allocates, grows and frees small and large blocks. */
static int try_memory(void)
{
    bool succeeded = true;

    for (size_t size = 1; size < (size_t)128 << 20 && succeeded; size *= 4) {
        char *memory = malloc(size);
        char *larger = memory == NULL ? NULL : realloc(memory, 3 * size);

        succeeded = larger != NULL;
        free(succeeded ? larger : memory);
    }
    return succeeded ? 0 : ENOMEM;
}

static int try_abort(void)
{
    abort();
}

/* These functions use different calls on each libc and kernel. Instrumentation replaces them. */
static void libc_functions_work(void **state)
{
    static const struct {
        struct attempt attempt;
        int outcome;
    } rows[] = {
        {{.name = "threads", .function = try_threads}, 0},
        {{.name = "memory", .function = try_memory}, 0},
        {{.name = "abort", .function = try_abort}, ABORTED},
    };

    (void)state;
    require_part(BOTH);
#ifdef INSTRUMENTED
    print_message("skipped: not in an instrumented build\n");
    skip();
#endif
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_outcome(BOTH, &rows[i].attempt, rows[i].outcome);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attempts_succeed_outside_the_sandbox),
        cmocka_unit_test(seccomp_stops_attempts),
        cmocka_unit_test(landlock_alone_stops_attempts),
        cmocka_unit_test(libc_functions_work),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
