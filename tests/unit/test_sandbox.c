/* wraps: prctl syscall */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

#ifdef __x86_64__
enum { ALLOWED_CALLS = 41 };
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
enum { ALLOWED_CALLS = 38 };
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define KILL SECCOMP_RET_KILL_PROCESS
#define ALLOW SECCOMP_RET_ALLOW
#define NO_ACCESS (SECCOMP_RET_ERRNO | EACCES)
#define NO_CALL (SECCOMP_RET_ERRNO | ENOSYS)

/* The steps of entering, in order; with the error of each (0: it succeeds) and the steps taken. */
enum step { PRIVILEGES, ABI_VERSION, CREATE, RESTRICT, ACTION, FILTER, STEPS };
static int errors[STEPS];
static char trace[16];

static long abi;
static uint64_t rights[3];
static struct sock_filter installed[SANDBOX_PROGRAM_MAX];
static size_t installed_length;
static int ruleset;

int __wrap_prctl(int option, ...);
long __wrap_syscall(long number, ...);

static int take_step(enum step step, int result)
{
    trace[strlen(trace)] = "pvcraf"[step];
    errno = errors[step];
    return errors[step] == 0 ? result : -1;
}

int __wrap_prctl(int option, ...)
{
    va_list list;

    va_start(list, option);
    assert_int_equal(option, PR_SET_NO_NEW_PRIVS);
    assert_int_equal(va_arg(list, int), 1);
    va_end(list);
    return take_step(PRIVILEGES, 0);
}

static long create_ruleset(const void *attributes, size_t size, uint32_t flags)
{
    if (flags == 1) {
        assert_true(attributes == NULL && size == 0);
        return take_step(ABI_VERSION, (int)abi);
    }
    assert_int_equal(flags, 0);
    assert_uint_equal(size, sizeof rights);
    memcpy(rights, attributes, sizeof rights);
    if (errors[CREATE] == 0)
        ruleset = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return take_step(CREATE, ruleset);
}

static long call_seccomp(long operation, long flags, const void *argument)
{
    const struct sock_fprog *filter = argument;

    assert_int_equal(flags, 0);
    if (operation == SECCOMP_GET_ACTION_AVAIL) {
        assert_uint_equal(*(const uint32_t *)argument, KILL);
        return take_step(ACTION, 0);
    }
    assert_int_equal(operation, SECCOMP_SET_MODE_FILTER);
    installed_length = filter->len;
    memcpy(installed, filter->filter, filter->len * sizeof *installed);
    return take_step(FILTER, 0);
}

long __wrap_syscall(long number, ...)
{
    long arguments[3] = {0};
    va_list list;

    va_start(list, number);
    for (size_t i = 0; i < (number == SYS_landlock_restrict_self ? 2 : 3); i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_landlock_create_ruleset)
        return create_ruleset((void *)(uintptr_t)arguments[0], (size_t)arguments[1],
                              (uint32_t)arguments[2]);
    if (number == SYS_seccomp)
        return call_seccomp(arguments[0], arguments[1], (void *)(uintptr_t)arguments[2]);
    assert_int_equal(number, SYS_landlock_restrict_self);
    assert_int_equal(arguments[0], ruleset);
    assert_int_equal((int)arguments[1], 0);
    return take_step(RESTRICT, 0);
}

static int set_up(void **state)
{
    (void)state;
    memset(errors, 0, sizeof errors);
    memset(trace, 0, sizeof trace);
    abi = 7;
    ruleset = -1;
    return 0;
}

static void enters_both_parts_or_names_the_error(void **state)
{
    static const struct {
        enum step step;
        int error;
        const char *text;
        const char *trace;
    } rows[] = {
        {STEPS, 0, "landlock 7, seccomp", "pvcraf"},
        {PRIVILEGES, EINVAL, "no landlock (Invalid argument), no seccomp (Invalid argument)", "p"},
        {ABI_VERSION, ENOSYS, "no landlock (Function not implemented), seccomp", "pvaf"},
        {CREATE, EMFILE, "no landlock (Too many open files), seccomp", "pvcaf"},
        {RESTRICT, E2BIG, "no landlock (Argument list too long), seccomp", "pvcraf"},
        {ACTION, EINVAL, "landlock 7, no seccomp (Invalid argument)", "pvcra"},
        {FILTER, ENOMEM, "landlock 7, no seccomp (Cannot allocate memory)", "pvcraf"},
    };
    char text[SANDBOX_TEXT_MAX];

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)set_up(state);
        if (rows[i].step < STEPS)
            errors[rows[i].step] = rows[i].error;
        assert_int_equal(sandbox_enter(text), rows[i].error == 0);
        assert_string_equal(text, rows[i].text);
        assert_string_equal(trace, rows[i].trace);
        assert_int_equal(fcntl(ruleset, F_GETFD), -1); /* closed */
    }
    for (int error = 1; error < 134; error++) {
        (void)set_up(state);
        errors[PRIVILEGES] = error;
        assert_false(sandbox_enter(text));
        assert_int_equal(text[strlen(text) - 1], ')'); /* not truncated */
    }
}

static void landlock_restricts_every_right_that_the_abi_knows(void **state)
{
    static const struct {
        long abi;
        uint64_t rights[3]; /* files, ports, scope */
    } rows[] = {
        {1, {0x1fff, 0, 0}},   {2, {0x3fff, 0, 0}},     {3, {0x7fff, 0, 0}}, {4, {0x7fff, 3, 0}},
        {5, {0xffff, 3, 0}},   {6, {0xffff, 3, 3}},     {8, {0xffff, 3, 3}}, {9, {0x1ffff, 3, 3}},
        {10, {0x1ffff, 3, 3}}, {1000, {0x1ffff, 3, 3}},
    };

#ifdef LANDLOCK_SCOPE_SIGNAL /* the headers are those of version 6 or later */
    assert_uint_equal(rows[0].rights[0], 2 * LANDLOCK_ACCESS_FS_MAKE_SYM - 1);
    assert_uint_equal(rows[1].rights[0] - rows[0].rights[0], LANDLOCK_ACCESS_FS_REFER);
    assert_uint_equal(rows[2].rights[0] - rows[1].rights[0], LANDLOCK_ACCESS_FS_TRUNCATE);
    assert_uint_equal(rows[3].rights[1],
                      LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP);
    assert_uint_equal(rows[4].rights[0] - rows[3].rights[0], LANDLOCK_ACCESS_FS_IOCTL_DEV);
    assert_uint_equal(rows[5].rights[2],
                      LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL);
#endif
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)set_up(state);
        abi = rows[i].abi;
        assert_int_equal(sandbox_enter_landlock(), abi);
        assert_memory_equal(rights, rows[i].rights, sizeof rights);
    }
}

static void installs_the_program_for_this_process(void **state)
{
    struct sock_filter expected[SANDBOX_PROGRAM_MAX];

    (void)state;
    assert_int_equal(sandbox_enter_seccomp(), 0);
    assert_uint_equal(installed_length, sandbox_build(expected, (uint32_t)getpid()));
    assert_memory_equal(installed, expected, installed_length * sizeof *expected);
}

enum { PID = 4711, NUMBERS = 1024 };

static struct sock_filter program[SANDBOX_PROGRAM_MAX];
static size_t program_length;

static int build(void **state)
{
    (void)state;
    program_length = sandbox_build(program, PID);
    return program_length <= SANDBOX_PROGRAM_MAX ? 0 : -1;
}

/* Runs the program as the kernel does, and fails the test where the kernel would reject it.
 * tests/integration/test_confined.c makes real calls. */
static uint32_t judge(uint32_t architecture, long number, const uint64_t arguments[6])
{
    struct seccomp_data data = {.nr = (int)number, .arch = architecture};
    uint32_t words[sizeof data / sizeof(uint32_t)];
    uint32_t accumulator = 0;

    memcpy(data.args, arguments, sizeof data.args);
    memcpy(words, &data, sizeof words);
    for (size_t at = 0; at < program_length; at++) {
        const struct sock_filter *now = &program[at];

        switch (now->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(now->k % 4 == 0 && now->k < sizeof data);
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
        default:
            assert_int_equal(now->code, BPF_RET | BPF_K);
            return now->k;
        }
    }
    fail_msg("a jump leaves the program");
    return 0;
}

static const uint64_t NO_BITS[6] = {0};
static const uint64_t ALL_BITS[6] = {UINT64_MAX, UINT64_MAX, UINT64_MAX,
                                     UINT64_MAX, UINT64_MAX, UINT64_MAX};

static void expect(long number, const uint64_t arguments[6], uint32_t expected)
{
    const uint32_t actual = judge(ARCHITECTURE, number, arguments);

    if (actual != expected)
        fail_msg("call %ld (%#lx, %#lx, %#lx): %#x instead of %#x", number, (long)arguments[0],
                 (long)arguments[1], (long)arguments[2], actual, expected);
}

static void expect_list(const long *numbers, size_t count, uint32_t expected)
{
    for (size_t i = 0; i < count; i++) {
        expect(numbers[i], NO_BITS, expected);
        expect(numbers[i], ALL_BITS, expected);
    }
}

static void calls_have_the_result_of_their_purpose(void **state)
{
    /* clang-format off */
    static const long killed[] = {
        SYS_execve, SYS_execveat, SYS_kill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo,
        SYS_pidfd_send_signal, SYS_unshare, SYS_setns, SYS_socket, SYS_socketpair, SYS_connect,
        SYS_bind, SYS_listen, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
        SYS_pidfd_getfd, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_pkey_mprotect,
        SYS_memfd_create, SYS_shmat, SYS_rt_sigreturn, SYS_mount, SYS_umount2, SYS_pivot_root,
        SYS_chroot, SYS_open_tree, SYS_move_mount, SYS_fsopen, SYS_open_by_handle_at,
        SYS_init_module, SYS_finit_module, SYS_kexec_load, SYS_io_uring_setup, SYS_io_uring_enter,
        SYS_io_uring_register, SYS_add_key, SYS_request_key, SYS_keyctl,
    };
    /* clang-format on */
    static const long x32[] = {0x40000000, 0x40000000 | SYS_getpid, 0x7fffffff, -2};
    static const long files[] = {SYS_openat, SYS_faccessat, SYS_readlinkat};
    /* The number of a call that a tracer removes is -1. */
    static const long unknown[] = {SYS_statx,  SYS_clone3,   SYS_getcpu, SYS_openat2, SYS_ioctl,
                                   SYS_setuid, SYS_unlinkat, SYS_dup3,   448,         0x3fffffff,
                                   -1};
#ifdef SYS_open
    static const long old_killed[] = {SYS_fork, SYS_vfork};
    static const long old_files[] = {SYS_open, SYS_access, SYS_stat, SYS_lstat, SYS_readlink};

    expect_list(old_killed, COUNT_OF(old_killed), KILL);
    expect_list(old_files, COUNT_OF(old_files), NO_ACCESS);
#endif
    (void)state;
    expect_list(killed, COUNT_OF(killed), KILL);
    expect_list(x32, COUNT_OF(x32), KILL);
    expect_list(files, COUNT_OF(files), NO_ACCESS);
    expect_list(unknown, COUNT_OF(unknown), NO_CALL);
}

static void arguments_decide(void **state)
{
    enum { THREAD = 0x3d0f00, OTHER_PID = 0x7ffffff0 };
    static const struct {
        long call;
        uint64_t arguments[6];
        uint32_t result;
    } rows[] = {
        {SYS_sendto, {5, 0, 1, MSG_NOSIGNAL | MSG_MORE | MSG_DONTWAIT}, ALLOW},
        {SYS_sendto, {5, 0, 1, MSG_NOSIGNAL | MSG_FASTOPEN}, KILL},
        {SYS_sendmsg, {5, 0, MSG_NOSIGNAL | MSG_MORE}, ALLOW},
        {SYS_sendmsg, {5, 0, MSG_FASTOPEN}, KILL},
        {SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE}, ALLOW},
        {SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC}, KILL},
        {SYS_mprotect, {4096, 4096, PROT_READ | PROT_WRITE}, ALLOW},
        {SYS_mprotect, {4096, 4096, PROT_READ | PROT_WRITE | PROT_EXEC}, KILL},
        {SYS_clone, {THREAD}, ALLOW},
        {SYS_clone, {THREAD | CLONE_DETACHED}, ALLOW},
        {SYS_clone, {SIGCHLD}, KILL},
        {SYS_clone, {THREAD | SIGCHLD}, KILL},
        {SYS_clone, {THREAD & ~(uint64_t)CLONE_THREAD}, KILL},
        {SYS_clone, {THREAD | CLONE_NEWUSER}, KILL},
        {SYS_tgkill, {PID, 1, SIGABRT}, ALLOW},
        {SYS_tgkill, {OTHER_PID, 1, SIGABRT}, KILL},
        {SYS_tgkill, {(uint64_t)-1, 1, SIGABRT}, KILL},
        {SYS_tkill, {1, SIGABRT}, ALLOW},
        {SYS_tkill, {1, 0}, KILL},
        {SYS_setsockopt, {5, IPPROTO_TCP, TCP_NODELAY}, ALLOW},
        {SYS_setsockopt, {5, IPPROTO_TCP, TCP_CORK}, ALLOW},
        {SYS_setsockopt, {5, IPPROTO_TCP, TCP_USER_TIMEOUT}, ALLOW},
        {SYS_setsockopt, {5, SOL_SOCKET, SO_LINGER}, ALLOW},
        {SYS_setsockopt, {5, IPPROTO_TCP, TCP_CONGESTION}, NO_ACCESS}, /* as SO_LINGER */
        {SYS_setsockopt, {5, IPPROTO_TCP, TCP_MAXSEG}, NO_ACCESS},
        {SYS_setsockopt, {5, IPPROTO_TCP, TCP_REPAIR}, NO_ACCESS},
        {SYS_setsockopt, {5, SOL_SOCKET, SO_RCVLOWAT}, NO_ACCESS}, /* as TCP_USER_TIMEOUT */
        {SYS_setsockopt, {5, SOL_SOCKET, SO_DEBUG}, NO_ACCESS},    /* as TCP_NODELAY */
        {SYS_fcntl, {5, F_GETFL}, ALLOW},
        {SYS_fcntl, {5, F_SETFL}, NO_ACCESS},
        {SYS_prctl, {PR_SET_NAME}, ALLOW},
        {SYS_prctl, {PR_SET_DUMPABLE}, NO_CALL},
        {SYS_newfstatat, {5, 0, 0, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW}, ALLOW},
        {SYS_newfstatat, {5, 0, 0, AT_SYMLINK_NOFOLLOW}, NO_ACCESS},
        {SYS_restart_syscall, {0}, ALLOW},      /* resumes calls with a timeout after SIGCONT */
        {SYS_futex, {0, 0}, ALLOW},             /* FUTEX_WAIT */
        {SYS_futex, {0, 129}, ALLOW},           /* FUTEX_WAKE, private */
        {SYS_futex, {0, 9 | 128 | 256}, ALLOW}, /* FUTEX_WAIT_BITSET, CLOCK_REALTIME */
        {SYS_futex, {0, 3 | 128}, NO_CALL},     /* FUTEX_REQUEUE */
        {SYS_futex, {0, 6}, NO_CALL},           /* FUTEX_LOCK_PI */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect(rows[i].call, rows[i].arguments, rows[i].result);
    /* No bit is free but the one in which TCP_NODELAY and TCP_CORK differ. */
    for (unsigned bit = 0; bit < 32; bit++) {
        const uint32_t option = TCP_NODELAY ^ (UINT32_C(1) << bit);

        expect(SYS_setsockopt, (const uint64_t[6]){5, IPPROTO_TCP, option},
               option == TCP_CORK ? ALLOW : NO_ACCESS);
    }
}

/* No other call is allowed, and no number leads out of the program. */
static void every_number_has_a_result(void **state)
{
    static const uint32_t others[] = {AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_RISCV64, 0};
    size_t allowed = 0;

    (void)state;
    for (size_t at = 0; at < program_length; at++) {
        if (BPF_CLASS(program[at].code) == BPF_JMP)
            assert_true(at + 1 + program[at].jt < program_length &&
                        at + 1 + program[at].jf < program_length);
    }
    for (long number = 0; number < NUMBERS; number++) {
        const uint32_t result = judge(ARCHITECTURE, number, ALL_BITS);

        allowed += result == ALLOW;
        assert_true(number < 448 || result == NO_CALL);
        for (size_t i = 0; i < COUNT_OF(others); i++)
            assert_uint_equal(judge(others[i], number, ALL_BITS), KILL);
    }
    assert_uint_equal(allowed, ALLOWED_CALLS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(enters_both_parts_or_names_the_error, set_up),
        cmocka_unit_test_setup(landlock_restricts_every_right_that_the_abi_knows, set_up),
        cmocka_unit_test_setup(installs_the_program_for_this_process, set_up),
        cmocka_unit_test_setup(calls_have_the_result_of_their_purpose, build),
        cmocka_unit_test_setup(arguments_decide, build),
        cmocka_unit_test_setup(every_number_has_a_result, build),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
