/* wraps: prctl syscall */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#if __has_include(<linux/landlock.h>)
#include <linux/landlock.h>
#endif

#include "sandbox.h"

enum { PID = 4711, OTHER_PID = 4712, NUMBERS = 1024, DATA_WORDS = 16 };

enum {
    KILL = (int)SECCOMP_RET_KILL_PROCESS,
    ALLOW = SECCOMP_RET_ALLOW,
    NO_ACCESS = SECCOMP_RET_ERRNO | EACCES,
    NO_CALL = SECCOMP_RET_ERRNO | ENOSYS,
};

#ifdef __x86_64__
static const uint32_t ARCHITECTURE = AUDIT_ARCH_X86_64;
enum { ALLOWED_CALLS = 41 };
#else
static const uint32_t ARCHITECTURE = AUDIT_ARCH_AARCH64;
enum { ALLOWED_CALLS = 38 };
#endif

/* What the kernel answers: errors, or 0. */
static struct {
    int privileges;
    int version;
    int abi;
    int create;
    int restrict_self;
    int action;
    int filter;
} kernel;

/* What it was asked. */
static char trace[256];
static uint64_t rights[3];
static struct sock_filter installed[SANDBOX_PROGRAM_MAX];
static size_t installed_length;
static int ruleset; /* a descriptor, to be closed */

int __wrap_prctl(int option, ...);
long __wrap_syscall(long number, ...);

static int answer(const char *call, int error, int result)
{
    const size_t used = strlen(trace);

    (void)snprintf(trace + used, sizeof trace - used, "%s", call);
    errno = error;
    return error == 0 ? result : -1;
}

int __wrap_prctl(int option, ...)
{
    va_list list;
    unsigned long argument = 0;

    va_start(list, option);
    argument = (unsigned long)va_arg(list, int);
    va_end(list);
    assert_int_equal(option, PR_SET_NO_NEW_PRIVS);
    assert_int_equal(argument, 1);
    return answer("privileges ", kernel.privileges, 0);
}

static long create_ruleset(const void *attributes, size_t size, uint32_t flags)
{
    if (flags == 1) {
        assert_null(attributes);
        assert_uint_equal(size, 0);
        return answer("version ", kernel.version, kernel.abi);
    }
    assert_uint_equal(flags, 0);
    assert_uint_equal(size, sizeof rights);
    memcpy(rights, attributes, sizeof rights);
    ruleset = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return answer("create ", kernel.create, ruleset);
}

static long call_seccomp(unsigned operation, unsigned flags, const void *argument)
{
    const struct sock_fprog *filter = argument;
    uint32_t action = 0;

    assert_uint_equal(flags, 0);
    if (operation == SECCOMP_GET_ACTION_AVAIL) {
        memcpy(&action, argument, sizeof action);
        assert_uint_equal(action, SECCOMP_RET_KILL_PROCESS);
        return answer("action ", kernel.action, 0);
    }
    assert_uint_equal(operation, SECCOMP_SET_MODE_FILTER);
    installed_length = filter->len;
    memcpy(installed, filter->filter, filter->len * sizeof *installed);
    return answer("filter ", kernel.filter, 0);
}

/* The three that are called have at most three arguments, which both architectures pass as longs.
 */
long __wrap_syscall(long number, ...)
{
    va_list list;
    long first = 0;
    long second = 0;
    long third = 0;

    va_start(list, number);
    first = va_arg(list, long);
    second = va_arg(list, long);
    third = number == 446 ? 0 : va_arg(list, long);
    va_end(list);
    switch (number) {
    case 444:
        return create_ruleset((const void *)(uintptr_t)first, (size_t)second, (uint32_t)third);
    case 446:
        assert_int_equal(first, ruleset);
        assert_int_equal((int)second, 0);
        return answer("restrict ", kernel.restrict_self, 0);
    default:
        assert_int_equal(number, SYS_seccomp);
        return call_seccomp((unsigned)first, (unsigned)second, (const void *)(uintptr_t)third);
    }
}

static int set_up(void **state)
{
    (void)state;
    memset(&kernel, 0, sizeof kernel);
    kernel.abi = 7;
    trace[0] = '\0';
    installed_length = 0;
    ruleset = -1;
    return 0;
}

/* --- entering --- */

static void all_of_it_is_entered_in_order(void **state)
{
    char text[SANDBOX_TEXT_MAX];

    (void)state;
    assert_true(sandbox_enter(text));
    assert_string_equal(text, "landlock 7, seccomp");
    assert_string_equal(trace, "privileges version create restrict action filter ");
    assert_int_equal(fcntl(ruleset, F_GETFD), -1);
}

static void what_fails_is_said_and_the_rest_is_entered(void **state)
{
    static const struct {
        int *error;
        int value;
        const char *text;
        const char *trace;
    } rows[] = {
        {&kernel.privileges, EINVAL,
         "no landlock (Invalid argument), no seccomp (Invalid argument)", "privileges "},
        {&kernel.version, ENOSYS, "no landlock (Function not implemented), seccomp",
         "privileges version action filter "},
        {&kernel.version, EOPNOTSUPP, "no landlock (Operation not supported), seccomp",
         "privileges version action filter "},
        {&kernel.create, EMFILE, "no landlock (Too many open files), seccomp",
         "privileges version create action filter "},
        {&kernel.restrict_self, E2BIG, "no landlock (Argument list too long), seccomp",
         "privileges version create restrict action filter "},
        {&kernel.action, EINVAL, "landlock 7, no seccomp (Invalid argument)",
         "privileges version create restrict action "},
        {&kernel.filter, ENOMEM, "landlock 7, no seccomp (Cannot allocate memory)",
         "privileges version create restrict action filter "},
    };
    char text[SANDBOX_TEXT_MAX];

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)set_up(state);
        *rows[i].error = rows[i].value;
        assert_false(sandbox_enter(text));
        assert_string_equal(text, rows[i].text);
        assert_string_equal(trace, rows[i].trace);
        /* The wrapper has opened one, but the kernel would not have. */
        if (kernel.create != 0)
            (void)close(ruleset);
        assert_int_equal(fcntl(ruleset, F_GETFD), -1);
    }
}

static void longest_errors_have_room(void **state)
{
    char text[SANDBOX_TEXT_MAX];
    size_t longest = 0;

    for (int error = 1; error < 134; error++) {
        (void)set_up(state);
        kernel.privileges = error;
        assert_false(sandbox_enter(text));
        if (strlen(text) > longest)
            longest = strlen(text);
        assert_int_equal(text[strlen(text) - 1], ')');
    }
    assert_true(longest < SANDBOX_TEXT_MAX - 1);
}

static void landlock_takes_every_right_that_the_kernel_knows(void **state)
{
    static const uint64_t rows[][4] = {
        /* ABI, files, ports, scope */
        {1, 0x1fff, 0, 0},  {2, 0x3fff, 0, 0},   {3, 0x7fff, 0, 0},     {4, 0x7fff, 3, 0},
        {5, 0xffff, 3, 0},  {6, 0xffff, 3, 3},   {7, 0xffff, 3, 3},     {8, 0xffff, 3, 3},
        {9, 0x1ffff, 3, 3}, {10, 0x1ffff, 3, 3}, {1000, 0x1ffff, 3, 3},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)set_up(state);
        kernel.abi = (int)rows[i][0];
        print_message("ABI %d\n", kernel.abi);
        assert_int_equal(sandbox_enter_landlock(), kernel.abi);
        assert_memory_equal(rights, &rows[i][1], sizeof rights);
    }
}

static void filter_is_that_of_this_machine_and_process(void **state)
{
    struct sock_filter expected[SANDBOX_PROGRAM_MAX];

    (void)state;
    assert_int_equal(sandbox_enter_seccomp(), 0);
    assert_uint_equal(installed_length, sandbox_build(expected, (uint32_t)getpid()));
    assert_memory_equal(installed, expected, installed_length * sizeof *expected);
}

/* --- judging --- */

/* Runs a program as the kernel does. It knows what is used here; each other instruction fails the
 * test, as does whatever the kernel would not take: reading beyond the data, leaving the program.
 */
static uint32_t run(const struct sock_filter *program, size_t length,
                    const struct seccomp_data *data)
{
    uint32_t words[DATA_WORDS] = {0};
    uint32_t accumulator = 0;

    memcpy(words, data, sizeof *data);
    for (size_t at = 0; at < length; at++) {
        const struct sock_filter *now = &program[at];

        switch (now->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(now->k % 4 == 0 && now->k < sizeof *data);
            accumulator = words[now->k / 4];
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            accumulator &= now->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            at += accumulator == now->k ? now->jt : now->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            at += accumulator >= now->k ? now->jt : now->jf;
            break;
        case BPF_RET | BPF_K:
            return now->k;
        default:
            fail_msg("instruction %zu has the code %#x", at, now->code);
        }
    }
    fail_msg("the program does not end");
    return 0;
}

/* Returns the result for a system call with these arguments (NULL: all 0). */
static uint32_t judge_as(uint32_t architecture, long number, const uint64_t *arguments)
{
    struct sock_filter program[SANDBOX_PROGRAM_MAX];
    const size_t length = sandbox_build(program, PID);
    struct seccomp_data data = {.nr = (int)number, .arch = architecture};

    assert_true(length <= SANDBOX_PROGRAM_MAX);
    if (arguments != NULL)
        memcpy(data.args, arguments, sizeof data.args);
    return run(program, length, &data);
}

static uint32_t judge(long number, const uint64_t *arguments)
{
    return judge_as(ARCHITECTURE, number, arguments);
}

static const uint64_t ALL_BITS[6] = {UINT64_MAX, UINT64_MAX, UINT64_MAX,
                                     UINT64_MAX, UINT64_MAX, UINT64_MAX};

/* What an attacker tries, and what a libc tries, whatever the arguments. */
static void calls_are_judged_by_their_purpose(void **state)
{
    static const struct {
        long number;
        uint32_t result;
    } rows[] = {
        {SYS_execve, (uint32_t)KILL},
        {SYS_execveat, (uint32_t)KILL},
        {SYS_kill, (uint32_t)KILL},
        {SYS_unshare, (uint32_t)KILL},
        {SYS_setns, (uint32_t)KILL},
        {SYS_socket, (uint32_t)KILL},
        {SYS_socketpair, (uint32_t)KILL},
        {SYS_connect, (uint32_t)KILL},
        {SYS_bind, (uint32_t)KILL},
        {SYS_listen, (uint32_t)KILL},
        {SYS_ptrace, (uint32_t)KILL},
        {SYS_process_vm_readv, (uint32_t)KILL},
        {SYS_process_vm_writev, (uint32_t)KILL},
        {SYS_bpf, (uint32_t)KILL},
        {SYS_perf_event_open, (uint32_t)KILL},
        {SYS_userfaultfd, (uint32_t)KILL},
        {SYS_pkey_mprotect, (uint32_t)KILL},
        {SYS_memfd_create, (uint32_t)KILL},
        {SYS_shmat, (uint32_t)KILL},
        {SYS_rt_sigreturn, (uint32_t)KILL},
        {SYS_mount, (uint32_t)KILL},
        {SYS_umount2, (uint32_t)KILL},
        {SYS_pivot_root, (uint32_t)KILL},
        {SYS_chroot, (uint32_t)KILL},
        {SYS_open_tree, (uint32_t)KILL},
        {SYS_move_mount, (uint32_t)KILL},
        {SYS_fsopen, (uint32_t)KILL},
        {SYS_open_by_handle_at, (uint32_t)KILL},
        {SYS_init_module, (uint32_t)KILL},
        {SYS_finit_module, (uint32_t)KILL},
        {SYS_kexec_load, (uint32_t)KILL},
        {SYS_io_uring_setup, (uint32_t)KILL},
        {SYS_io_uring_enter, (uint32_t)KILL},
        {SYS_io_uring_register, (uint32_t)KILL},
        {SYS_add_key, (uint32_t)KILL},
        {SYS_request_key, (uint32_t)KILL},
        {SYS_keyctl, (uint32_t)KILL},
        {SYS_rt_sigqueueinfo, (uint32_t)KILL},
        {SYS_pidfd_send_signal, (uint32_t)KILL},
        {SYS_pidfd_getfd, (uint32_t)KILL},
#ifdef SYS_fork
        {SYS_fork, (uint32_t)KILL},
        {SYS_vfork, (uint32_t)KILL},
        {SYS_open, NO_ACCESS},
        {SYS_access, NO_ACCESS},
        {SYS_stat, NO_ACCESS},
        {SYS_readlink, NO_ACCESS},
#endif
        {SYS_openat, NO_ACCESS},
        {SYS_faccessat, NO_ACCESS},
        {SYS_readlinkat, NO_ACCESS},
        {SYS_clone3, NO_CALL},
        {SYS_statx, NO_CALL},
        {SYS_getcpu, NO_CALL},
        {SYS_setuid, NO_CALL},
        {SYS_unlinkat, NO_CALL},
        {SYS_ioctl, NO_CALL},
        {SYS_dup3, NO_CALL},
        {SYS_reboot, NO_CALL},
        {SYS_read, ALLOW},
        {SYS_recvfrom, ALLOW},
        {SYS_epoll_pwait, ALLOW},
        {SYS_accept4, ALLOW},
        {SYS_writev, ALLOW},
        {SYS_close, ALLOW},
        {SYS_exit_group, ALLOW},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (judge(rows[i].number, NULL) != rows[i].result ||
            judge(rows[i].number, ALL_BITS) != rows[i].result)
            fail_msg("row %zu: %#x", i, judge(rows[i].number, NULL));
    }
}

/* A call added to the list by mistake changes the number; new numbers of the kernel do not. */
static void no_other_call_is_allowed(void **state)
{
    unsigned allowed = 0;

    (void)state;
    for (long number = 0; number < NUMBERS; number++)
        allowed += judge(number, ALL_BITS) == ALLOW;
    assert_int_equal(allowed, ALLOWED_CALLS);
    for (long number = 448; number < NUMBERS; number++)
        assert_uint_equal(judge(number, NULL), NO_CALL);
}

enum { THREAD = 0x3d0f00 };

static void arguments_decide(void **state)
{
    static const struct {
        long call;
        uint64_t arguments[6];
        uint32_t answer;
    } rows[] = {
        {SYS_sendto, {5, 0, 1, MSG_NOSIGNAL | MSG_MORE | MSG_DONTWAIT}, ALLOW},
        {SYS_sendto, {5, 0, 1, MSG_NOSIGNAL | MSG_FASTOPEN}, (uint32_t)KILL},
        {SYS_sendmsg, {5, 0, MSG_NOSIGNAL | MSG_MORE}, ALLOW},
        {SYS_sendmsg, {5, 0, MSG_FASTOPEN}, (uint32_t)KILL},
        {SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS}, ALLOW},
        {SYS_mmap, {0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS}, ALLOW},
        {SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS}, (uint32_t)KILL},
        {SYS_mmap, {0, 4096, PROT_EXEC, MAP_PRIVATE}, (uint32_t)KILL},
        {SYS_mprotect, {4096, 4096, PROT_READ | PROT_WRITE}, ALLOW},
        {SYS_mprotect, {4096, 4096, PROT_READ | PROT_EXEC}, (uint32_t)KILL},
        {SYS_mprotect, {4096, 4096, PROT_READ | PROT_WRITE | PROT_EXEC}, (uint32_t)KILL},
        {SYS_clone, {THREAD}, ALLOW},
        {SYS_clone, {THREAD | CLONE_DETACHED}, ALLOW},
        {SYS_clone, {0}, (uint32_t)KILL},
        {SYS_clone, {SIGCHLD}, (uint32_t)KILL},
        {SYS_clone, {THREAD | SIGCHLD}, (uint32_t)KILL},
        {SYS_clone, {THREAD & ~(uint64_t)CLONE_THREAD}, (uint32_t)KILL},
        {SYS_clone, {THREAD & ~(uint64_t)CLONE_VM}, (uint32_t)KILL},
        {SYS_clone, {THREAD | CLONE_NEWUSER}, (uint32_t)KILL},
        {SYS_clone, {THREAD | CLONE_PTRACE}, (uint32_t)KILL},
        {SYS_clone, {CLONE_VM | CLONE_VFORK | SIGCHLD}, (uint32_t)KILL},
        {SYS_tgkill, {PID, 1, SIGABRT}, ALLOW},
        {SYS_tgkill, {PID, 1, SIGUSR1}, ALLOW},
        {SYS_tgkill, {OTHER_PID, 1, SIGABRT}, (uint32_t)KILL},
        {SYS_tgkill, {0, 1, SIGABRT}, (uint32_t)KILL},
        {SYS_tgkill, {(uint64_t)-1, 1, SIGABRT}, (uint32_t)KILL},
        {SYS_tkill, {1, SIGABRT}, ALLOW},
        {SYS_tkill, {1, SIGKILL}, (uint32_t)KILL},
        {SYS_tkill, {1, 0}, (uint32_t)KILL},
        {SYS_setsockopt, {5, 6, 1}, ALLOW},      /* TCP_NODELAY */
        {SYS_setsockopt, {5, 6, 3}, ALLOW},      /* TCP_CORK */
        {SYS_setsockopt, {5, 6, 18}, ALLOW},     /* TCP_USER_TIMEOUT */
        {SYS_setsockopt, {5, 1, 13}, ALLOW},     /* SO_LINGER */
        {SYS_setsockopt, {5, 6, 13}, NO_ACCESS}, /* TCP_CONGESTION */
        {SYS_setsockopt, {5, 1, 18}, NO_ACCESS}, /* SO_RCVLOWAT */
        {SYS_setsockopt, {5, 0, 13}, NO_ACCESS},
        {SYS_setsockopt, {5, 6, 2}, NO_ACCESS},
        {SYS_setsockopt, {5, 6, 31}, NO_ACCESS}, /* TCP_ULP */
        {SYS_setsockopt, {5, 6, 19}, NO_ACCESS}, /* TCP_REPAIR */
        {SYS_setsockopt, {5, 1, 1}, NO_ACCESS},
        {SYS_setsockopt, {5, 41, 1}, NO_ACCESS}, /* IPV6_ADDRFORM */
        {SYS_setsockopt, {5, 0, 3}, NO_ACCESS},
        {SYS_fcntl, {5, F_GETFL}, ALLOW},
        {SYS_fcntl, {5, F_SETFL}, NO_ACCESS},
        {SYS_fcntl, {5, F_DUPFD}, NO_ACCESS},
        {SYS_prctl, {PR_SET_NAME}, ALLOW},
        {SYS_prctl, {PR_SET_DUMPABLE}, NO_CALL},
        {SYS_prctl, {PR_SET_MM}, NO_CALL},
        {SYS_newfstatat, {5, 0, 0, AT_EMPTY_PATH}, ALLOW},
        {SYS_newfstatat, {5, 0, 0, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW}, ALLOW},
        {SYS_newfstatat, {5, 0, 0, 0}, NO_ACCESS},
        {SYS_newfstatat, {(uint64_t)AT_FDCWD, 0, 0, AT_SYMLINK_NOFOLLOW}, NO_ACCESS},
        {SYS_futex, {0, 0}, ALLOW},             /* FUTEX_WAIT */
        {SYS_futex, {0, 1}, ALLOW},             /* FUTEX_WAKE */
        {SYS_futex, {0, 128}, ALLOW},           /* … private */
        {SYS_futex, {0, 129}, ALLOW},           /* … */
        {SYS_futex, {0, 9 | 256}, ALLOW},       /* FUTEX_WAIT_BITSET, CLOCK_REALTIME */
        {SYS_futex, {0, 9 | 128 | 256}, ALLOW}, /* … */
        {SYS_futex, {0, 3 | 128}, NO_CALL},     /* FUTEX_REQUEUE */
        {SYS_futex, {0, 6}, NO_CALL},           /* FUTEX_LOCK_PI */
        {SYS_futex, {0, 11}, NO_CALL},          /* FUTEX_WAIT_REQUEUE_PI */
        {SYS_futex, {0, 12 | 128}, NO_CALL},    /* FUTEX_CMP_REQUEUE_PI */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const uint32_t actual = judge(rows[i].call, rows[i].arguments);

        if (actual != rows[i].answer)
            fail_msg("row %zu: %#x", i, actual);
    }
}

static void calls_of_another_architecture_kill(void **state)
{
    static const uint32_t others[] = {AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_RISCV64, 0};

    (void)state;
    for (long number = 0; number < NUMBERS; number++) {
        for (size_t i = 0; i < COUNT_OF(others); i++)
            assert_uint_equal(judge_as(others[i], number, NULL), (uint32_t)KILL);
    }
}

/* x32 shares the architecture of x86-64 and sets a bit in its numbers. */
static void calls_of_x32_kill(void **state)
{
    (void)state;
    for (long number = 0; number < NUMBERS; number++)
        assert_uint_equal(judge(0x40000000 + number, NULL), (uint32_t)KILL);
    assert_uint_equal(judge(0x3fffffff, NULL), NO_CALL);
    assert_uint_equal(judge(-2, NULL), (uint32_t)KILL);
}

/* A tracer removes a call by setting this number. */
static void number_minus_one_does_not_kill(void **state)
{
    (void)state;
    assert_uint_equal(judge(-1, NULL), NO_CALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_of_it_is_entered_in_order, set_up),
        cmocka_unit_test_setup(what_fails_is_said_and_the_rest_is_entered, set_up),
        cmocka_unit_test_setup(longest_errors_have_room, set_up),
        cmocka_unit_test_setup(landlock_takes_every_right_that_the_kernel_knows, set_up),
        cmocka_unit_test_setup(filter_is_that_of_this_machine_and_process, set_up),
        cmocka_unit_test(calls_are_judged_by_their_purpose),
        cmocka_unit_test(no_other_call_is_allowed),
        cmocka_unit_test(arguments_decide),
        cmocka_unit_test(calls_of_another_architecture_kill),
        cmocka_unit_test(calls_of_x32_kill),
        cmocka_unit_test(number_minus_one_does_not_kill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
