/* What a process can do that is in the sandbox: each attempt is that of a process of its own, which
 * enters the sandbox and then tries one thing. */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "sandbox.h"

enum { NOT_ENTERED = 200, KILLED = 128 + SIGSYS, ABORTED = 128 + SIGABRT };

enum part { NOTHING = 0, LANDLOCK = 1, SECCOMP = 2, BOTH = 3 };

/* What the attempts use; made before the sandbox is entered, the sockets by each process. */
static struct {
    int client;            /* a TCP socket, not connected */
    int bound;             /* bound, not listening */
    int abstract;          /* a Unix socket, not connected */
    struct sockaddr_in at; /* where the test listens */
    struct sockaddr_un name;
    socklen_t name_size;
    void *page; /* readable and writable */
    pid_t parent;
} things;

static const struct sockaddr_in ANY_PORT = {.sin_family = AF_INET};

/* 0, or the error. A raw call: a libc would translate some. */
static int result_of(long result)
{
    return result < 0 ? errno : 0;
}

static int call(long number, long a, long b, long c, long d, long e)
{
    return result_of(syscall(number, a, b, c, d, e));
}

static long pointer(const void *at)
{
    return (long)(uintptr_t)at;
}

/* --- attempts: each returns 0 or an errno --- */

static int try_execve(void)
{
    static char name[] = "true";
    static char *const arguments[] = {name, NULL};

    return result_of(execve("/bin/true", arguments, arguments + 1));
}

static int try_execveat(void)
{
    return call(SYS_execveat, AT_FDCWD, pointer("/bin/true"), 0, 0, 0);
}

static int try_fork(void)
{
    return call(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static int try_vfork(void)
{
    return call(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
}

static int try_clone3(void)
{
    uint64_t arguments[8] = {[4] = SIGCHLD};

    return call(435, pointer(arguments), sizeof arguments, 0, 0, 0);
}

static int try_open(void)
{
    return call(SYS_openat, AT_FDCWD, pointer("/etc/passwd"), O_RDONLY, 0, 0);
}

static int try_create(void)
{
    return call(SYS_openat, AT_FDCWD, pointer("/tmp/versiond.confined"), O_WRONLY | O_CREAT, 0600,
                0);
}

static int try_openat2(void)
{
    return call(437, AT_FDCWD, pointer("/etc/passwd"), 0, 0, 0);
}

static int try_stat(void)
{
    struct stat entry = {0};

    return call(SYS_newfstatat, AT_FDCWD, pointer("/etc/passwd"), pointer(&entry), 0, 0);
}

static int try_unlink(void)
{
    return call(SYS_unlinkat, AT_FDCWD, pointer("/tmp/versiond.confined"), 0, 0, 0);
}

static int try_mkdir(void)
{
    return call(SYS_mkdirat, AT_FDCWD, pointer("/tmp/versiond.confined.d"), 0700, 0, 0);
}

static int try_socket(void)
{
    return call(SYS_socket, AF_INET, SOCK_STREAM, 0, 0, 0);
}

static int try_connect(void)
{
    return call(SYS_connect, things.client, pointer(&things.at), sizeof things.at, 0, 0);
}

/* A listener that was shut down can be connected, and this is how without connect(): Linux 6.18
 * does not ask Landlock. Behind a firewall or where it is switched off it fails, but in no other
 * way. */
static int try_fast_open(void)
{
    return result_of(sendto(things.client, "x", 1, MSG_FASTOPEN,
                            (const struct sockaddr *)&things.at, sizeof things.at));
}

static int try_fast_open_of_a_message(void)
{
    const struct msghdr message = {.msg_name = &things.at, .msg_namelen = sizeof things.at};

    return result_of(sendmsg(things.client, &message, MSG_FASTOPEN));
}

static int try_bind(void)
{
    return call(SYS_bind, things.client, pointer(&ANY_PORT), sizeof ANY_PORT, 0, 0);
}

static int try_listen(void)
{
    return call(SYS_listen, things.bound, 1, 0, 0, 0);
}

static int try_connect_abstract(void)
{
    return call(SYS_connect, things.abstract, pointer(&things.name), things.name_size, 0, 0);
}

static int try_kill(void)
{
    return call(SYS_kill, things.parent, 0, 0, 0, 0);
}

static int try_tgkill(void)
{
    return call(SYS_tgkill, things.parent, things.parent, 0, 0, 0);
}

static int try_tgkill_self(void)
{
    return call(SYS_tgkill, getpid(), syscall(SYS_gettid), 0, 0, 0);
}

static int try_ptrace(void)
{
    return call(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0, 0);
}

static int try_mount(void)
{
    return call(SYS_mount, pointer("none"), pointer("/"), pointer("tmpfs"), 0, 0);
}

static int try_unshare(void)
{
    return call(SYS_unshare, CLONE_NEWUSER, 0, 0, 0, 0);
}

static int try_io_uring(void)
{
    uint32_t parameters[30] = {0};

    return call(425, 1, pointer(parameters), 0, 0, 0);
}

static int try_bpf(void)
{
    return call(SYS_bpf, 0, 0, 0, 0, 0);
}

static int try_mprotect_exec(void)
{
    return call(SYS_mprotect, pointer(things.page), 4096, PROT_READ | PROT_EXEC, 0, 0);
}

static int try_mmap_exec(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) == MAP_FAILED
               ? errno
               : 0;
}

static int try_other_socket_option(void)
{
    const int on = 1;

    return call(SYS_setsockopt, things.client, SOL_SOCKET, SO_REUSEADDR, pointer(&on), sizeof on);
}

static int try_nodelay(void)
{
    const int on = 1;

    return call(SYS_setsockopt, things.client, IPPROTO_TCP, TCP_NODELAY, pointer(&on), sizeof on);
}

static int try_undefined(void)
{
    return call(1000, 0, 0, 0, 0, 0);
}

static int try_statx(void)
{
    return call(SYS_statx, things.client, pointer(""), AT_EMPTY_PATH, 0, 0);
}

/* --- what must go on --- */

static void *touch(void *page)
{
    *(volatile char *)page = 1;
    return page;
}

/* Threads, one after the other. */
static int try_threads(void)
{
    int result = 0;

    for (int i = 0; i < 8 && result == 0; i++) {
        pthread_t thread;

        result = pthread_create(&thread, NULL, touch, things.page);
        if (result == 0)
            result = pthread_join(thread, NULL);
    }
    return result;
}

/* Small and large, grown and given back. */
static int try_memory(void)
{
    bool is_fine = true;

    for (size_t size = 1; size < (size_t)128 << 20 && is_fine; size *= 4) {
        char *memory = malloc(size);
        char *larger = memory == NULL ? NULL : realloc(memory, 3 * size);

        is_fine = larger != NULL;
        free(is_fine ? larger : memory);
    }
    return is_fine ? 0 : ENOMEM;
}

static int try_clock(void)
{
    struct timespec now = {0};

    return call(SYS_clock_gettime, CLOCK_MONOTONIC, pointer(&now), 0, 0, 0);
}

static int try_time_zone(void)
{
    const time_t now = 1000000000;
    struct tm parts = {0};

    return gmtime_r(&now, &parts) != NULL && parts.tm_year == 101 && parts.tm_hour == 1 ? 0
                                                                                        : EINVAL;
}

static int try_abort(void)
{
    abort();
}

/* --- the frame --- */

static const struct sockaddr_in LOOPBACK = {
    .sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f /* 127.0.0.1 in a machine of low bytes */};

static bool open_sockets(void)
{
    things.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    things.bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    things.abstract = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return things.client >= 0 && things.abstract >= 0 &&
           bind(things.bound, (const struct sockaddr *)&LOOPBACK, sizeof LOOPBACK) == 0;
}

/* In the child: enters, tries, ends with what came of it. Its end is a raw call, too: sanitizers
 * have a look at the stack before one that they know. */
__attribute__((noreturn)) static void attempt(enum part part, int (*thing)(void))
{
    const bool has_entered = open_sockets() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                             ((part & LANDLOCK) == 0 || sandbox_enter_landlock() > 0) &&
                             ((part & SECCOMP) == 0 || sandbox_enter_seccomp() == 0);
    const int result = has_entered ? thing() : NOT_ENTERED;

    (void)syscall(SYS_exit_group, result);
    __builtin_trap(); /* not even that is left */
}

/* Waits for a child. Returns its exit code, or 128 and the number of the signal that ended it. */
static int wait_for(pid_t child)
{
    int status = 0;

    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int outcome_of(enum part part, int (*thing)(void))
{
    const pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        attempt(part, thing);
    return wait_for(child);
}

static int do_nothing(void)
{
    return 0;
}

struct row {
    const char *name;
    int (*thing)(void);
    int outcome;
    int other_outcome; /* that is as good; 0: none */
};

static void expect_rows(enum part part, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int outcome = outcome_of(part, rows[i].thing);

        print_message("%s\n", rows[i].name);
        if (outcome != rows[i].outcome &&
            (rows[i].other_outcome == 0 || outcome != rows[i].other_outcome))
            fail_msg("%s: %d instead of %d", rows[i].name, outcome, rows[i].outcome);
    }
}

/* Skips a test on a kernel that lacks a part; what is said then is the kernel's reason. */
static void need(enum part part)
{
    if (outcome_of(part, do_nothing) != NOT_ENTERED)
        return;
    print_message("skipped: this kernel has no %s\n", part == SECCOMP ? "seccomp" : "Landlock");
    skip();
}

static int landlock_abi(void)
{
    return (int)syscall(444, NULL, 0, 1);
}

static int set_up(void **state)
{
    socklen_t size = sizeof things.at;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    things.parent = getpid();
    things.page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(things.page, MAP_FAILED);
    assert_int_equal(bind(listener, (const struct sockaddr *)&LOOPBACK, sizeof LOOPBACK), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&things.at, &size), 0);
    /* A name of the kernel's choice: five digits behind a NUL. */
    things.name = (struct sockaddr_un){.sun_family = AF_UNIX};
    assert_int_equal(bind(server, (struct sockaddr *)&things.name, sizeof(sa_family_t)), 0);
    things.name_size = sizeof things.name;
    assert_int_equal(getsockname(server, (struct sockaddr *)&things.name, &things.name_size), 0);
    assert_int_equal(listen(server, 8), 0);
    return 0;
}

/* What a test of an attempt is worth: without the sandbox it succeeds. */
static void attempts_succeed_outside(void **state)
{
    static const struct row rows[] = {
        {"open", try_open, 0, 0},
        {"stat", try_stat, 0, 0},
        {"socket", try_socket, 0, 0},
        {"connect", try_connect, 0, 0},
        {"connect by sending", try_fast_open, 0, EOPNOTSUPP},
        {"bind", try_bind, 0, 0},
        {"listen", try_listen, 0, 0},
        {"connect to an abstract Unix socket", try_connect_abstract, 0, 0},
        {"signal to another process", try_kill, 0, 0},
        {"signal to a thread of another process", try_tgkill, 0, 0},
        {"execution of what was written", try_mprotect_exec, 0, 0},
        {"memory for code", try_mmap_exec, 0, 0},
        {"another socket option", try_other_socket_option, 0, 0},
        {"fork", try_fork, 0, 0},
    };

    (void)state;
    expect_rows(NOTHING, rows, COUNT_OF(rows));
}

static void what_only_an_intruder_wants_kills(void **state)
{
    static const struct row rows[] = {
        {"execve", try_execve, KILLED, 0},
        {"execveat", try_execveat, KILLED, 0},
        {"fork", try_fork, KILLED, 0},
        {"vfork", try_vfork, KILLED, 0},
        {"socket", try_socket, KILLED, 0},
        {"connect", try_connect, KILLED, 0},
        {"connect by sending", try_fast_open, KILLED, 0},
        {"connect by sending a message", try_fast_open_of_a_message, KILLED, 0},
        {"bind", try_bind, KILLED, 0},
        {"listen", try_listen, KILLED, 0},
        {"connect to an abstract Unix socket", try_connect_abstract, KILLED, 0},
        {"signal to another process", try_kill, KILLED, 0},
        {"signal to a thread of another process", try_tgkill, KILLED, 0},
        {"ptrace", try_ptrace, KILLED, 0},
        {"mount", try_mount, KILLED, 0},
        {"unshare", try_unshare, KILLED, 0},
        {"io_uring", try_io_uring, KILLED, 0},
        {"bpf", try_bpf, KILLED, 0},
        {"execution of what was written", try_mprotect_exec, KILLED, 0},
        {"memory for code", try_mmap_exec, KILLED, 0},
    };

    (void)state;
    need(SECCOMP);
    expect_rows(SECCOMP, rows, COUNT_OF(rows));
}

static void what_a_libc_may_try_fails(void **state)
{
    static const struct row rows[] = {
        {"open", try_open, EACCES, 0},
        {"create", try_create, EACCES, 0},
        {"stat", try_stat, EACCES, 0},
        {"openat2", try_openat2, ENOSYS, 0},
        {"unlink", try_unlink, ENOSYS, 0},
        {"mkdir", try_mkdir, ENOSYS, 0},
        {"clone3", try_clone3, ENOSYS, 0},
        {"statx", try_statx, ENOSYS, 0},
        {"a call that there is not yet", try_undefined, ENOSYS, 0},
        {"another socket option", try_other_socket_option, EACCES, 0},
    };

    (void)state;
    need(SECCOMP);
    expect_rows(SECCOMP, rows, COUNT_OF(rows));
}

static void landlock_alone_holds(void **state)
{
    static const struct row files[] = {
        {"execve", try_execve, EACCES, 0},
        {"open", try_open, EACCES, 0},
        {"create", try_create, EACCES, 0},
        {"mkdir", try_mkdir, EACCES, 0},
    };
    static const struct row ports[] = {
        {"connect", try_connect, EACCES, 0},
        {"bind", try_bind, EACCES, 0},
    };
    static const struct row scopes[] = {
        {"connect to an abstract Unix socket", try_connect_abstract, EPERM, 0},
        {"signal to another process", try_kill, EPERM, 0},
        {"signal to a thread of another process", try_tgkill, EPERM, 0},
    };

    (void)state;
    need(LANDLOCK);
    expect_rows(LANDLOCK, files, COUNT_OF(files));
    if (landlock_abi() >= 4)
        expect_rows(LANDLOCK, ports, COUNT_OF(ports));
    if (landlock_abi() >= 6)
        expect_rows(LANDLOCK, scopes, COUNT_OF(scopes));
}

#ifdef __x86_64__
static int try_x32(void)
{
    return call(0x40000000 | SYS_getpid, 0, 0, 0, 0, 0);
}

/* getpid() of i386. */
static int try_i386(void)
{
    long result = 20;

    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
    return result > 0 ? 0 : (int)-result;
}

static void calls_of_other_architectures_kill(void **state)
{
    static const struct row rows[] = {
        {"x32", try_x32, KILLED, 0},
        /* A kernel without i386 has its own end for it. */
        {"i386", try_i386, KILLED, 128 + SIGSEGV},
    };

    (void)state;
    need(SECCOMP);
    expect_rows(SECCOMP, rows, COUNT_OF(rows));
    if (outcome_of(NOTHING, try_i386) == 0)
        assert_int_equal(outcome_of(SECCOMP, try_i386), KILLED);
}
#endif

/* The libc's own ways, which end in other calls on each libc and kernel. In an instrumented build
 * they are not the libc's own. */
static void what_the_libc_needs_goes_on(void **state)
{
    static const struct row rows[] = {
        {"threads", try_threads, 0, 0},     {"memory", try_memory, 0, 0},
        {"the clock", try_clock, 0, 0},     {"the time zone", try_time_zone, 0, 0},
        {"TCP_NODELAY", try_nodelay, 0, 0}, {"a signal to itself", try_tgkill_self, 0, 0},
        {"abort", try_abort, ABORTED, 0},
    };

    (void)state;
    need(BOTH);
#ifdef INSTRUMENTED
    print_message("skipped: not in an instrumented build\n");
    skip();
#endif
    expect_rows(BOTH, rows, COUNT_OF(rows));
}

static int wait_ends[2];

/* Waits for a byte, a minute at most. */
static int try_poll(void)
{
    struct pollfd ready = {.fd = wait_ends[0], .events = POLLIN};
    const int result = poll(&ready, 1, PATIENCE);

    if (result == 0)
        return ETIMEDOUT;
    return result == 1 ? 0 : errno;
}

/* The state of a process: 'S' when it sleeps. */
static char state_of(pid_t process)
{
    char path[64];
    char line[512] = "";
    FILE *file = NULL;
    const char *at = NULL;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    (void)fclose(file);
    at = strrchr(line, ')');
    assert_non_null(at);
    return at[2];
}

static void wait_for_sleep(pid_t process)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;

    while (state_of(process) != 'S') {
        assert_true(monotonic_milliseconds() < deadline);
        (void)sched_yield();
    }
}

/* The kernel goes on with a call that has a timeout through restart_syscall(). */
static void waiting_goes_on_after_stop_and_continue(void **state)
{
    pid_t child = -1;
    int status = 0;

    (void)state;
    need(BOTH);
    assert_int_equal(pipe2(wait_ends, O_CLOEXEC), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        attempt(BOTH, try_poll);
    wait_for_sleep(child);
    assert_int_equal(kill(child, SIGSTOP), 0);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(kill(child, SIGCONT), 0);
    assert_int_equal(waitpid(child, &status, WCONTINUED), child);
    assert_int_equal(write(wait_ends[1], "x", 1), 1);
    assert_int_equal(wait_for(child), 0);
    (void)close(wait_ends[0]);
    (void)close(wait_ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attempts_succeed_outside),
        cmocka_unit_test(what_only_an_intruder_wants_kills),
        cmocka_unit_test(what_a_libc_may_try_fails),
        cmocka_unit_test(landlock_alone_holds),
#ifdef __x86_64__
        cmocka_unit_test(calls_of_other_architectures_kill),
#endif
        cmocka_unit_test(what_the_libc_needs_goes_on),
        cmocka_unit_test(waiting_goes_on_after_stop_and_continue),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
