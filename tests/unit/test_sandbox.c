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

enum { PID = 4711, OTHER_PID = 4712, MACHINES = 2, NUMBERS = 1024, DATA_WORDS = 16 };

enum {
    KILL = (int)SECCOMP_RET_KILL_PROCESS,
    ALLOW = SECCOMP_RET_ALLOW,
    NO_ACCESS = SECCOMP_RET_ERRNO | EACCES,
    NO_CALL = SECCOMP_RET_ERRNO | ENOSYS,
};

static const uint32_t AUDIT_ARCHES[MACHINES] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64};

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

/* As far as the headers that this is built with go. */
static void rights_are_those_of_the_kernel_s_headers(void **state)
{
    (void)state;
    kernel.abi = 1000;
    (void)sandbox_enter_landlock();
#ifdef LANDLOCK_ACCESS_FS_EXECUTE
    assert_uint_equal(rights[0] & (LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1),
                      LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1);
    assert_uint_equal(1 << 12, LANDLOCK_ACCESS_FS_MAKE_SYM);
#endif
#ifdef LANDLOCK_ACCESS_FS_REFER
    assert_uint_equal(1 << 13, LANDLOCK_ACCESS_FS_REFER);
#endif
#ifdef LANDLOCK_ACCESS_FS_TRUNCATE
    assert_uint_equal(1 << 14, LANDLOCK_ACCESS_FS_TRUNCATE);
#endif
#ifdef LANDLOCK_ACCESS_NET_BIND_TCP
    assert_uint_equal(rights[1], LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP);
#endif
#ifdef LANDLOCK_ACCESS_FS_IOCTL_DEV
    assert_uint_equal(1 << 15, LANDLOCK_ACCESS_FS_IOCTL_DEV);
#endif
#ifdef LANDLOCK_SCOPE_SIGNAL
    assert_uint_equal(rights[2], LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL);
#endif
#ifdef LANDLOCK_ACCESS_FS_RESOLVE_UNIX
    assert_uint_equal(1 << 16, LANDLOCK_ACCESS_FS_RESOLVE_UNIX);
#endif
}

static void filter_is_that_of_this_machine_and_process(void **state)
{
    struct sock_filter expected[SANDBOX_PROGRAM_MAX];
#ifdef __x86_64__
    const enum sandbox_machine machine = SANDBOX_X86_64;
#else
    const enum sandbox_machine machine = SANDBOX_AARCH64;
#endif

    (void)state;
    assert_int_equal(sandbox_enter_seccomp(), 0);
    assert_uint_equal(installed_length, sandbox_build(expected, machine, (uint32_t)getpid()));
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

/* The answer to a system call with these arguments (NULL: all 0). */
static uint32_t judge_as(uint32_t audit_arch, enum sandbox_machine machine, long number,
                         const uint64_t *arguments)
{
    struct sock_filter program[SANDBOX_PROGRAM_MAX];
    const size_t length = sandbox_build(program, machine, PID);
    struct seccomp_data data = {.nr = (int)number, .arch = audit_arch};

    assert_true(length <= SANDBOX_PROGRAM_MAX);
    if (arguments != NULL)
        memcpy(data.args, arguments, sizeof data.args);
    return run(program, length, &data);
}

static uint32_t judge(enum sandbox_machine machine, long number, const uint64_t *arguments)
{
    return judge_as(AUDIT_ARCHES[machine], machine, number, arguments);
}

/* A call: its numbers on both machines and on this one. */
struct call {
    const char *name;
    long number[MACHINES];
    long here;
};

/* On both; on x86-64 only; and those that are too new for some headers: one number everywhere. */
/* clang-format off */
#define BOTH(name, x86, arm) {#name, {x86, arm}, SYS_##name}
#ifdef __x86_64__
#define X86(name, x86) {#name, {x86, -1}, SYS_##name}
#else
#define X86(name, x86) {#name, {x86, -1}, -1}
#endif
#define NEW(name, number) {#name, {number, number}, number}
/* clang-format on */

static const struct call ALLOWED[] = {
    BOTH(read, 0, 63),
    BOTH(write, 1, 64),
    BOTH(close, 3, 57),
    BOTH(fstat, 5, 80),
    X86(poll, 7),
    BOTH(lseek, 8, 62),
    BOTH(munmap, 11, 215),
    BOTH(brk, 12, 214),
    BOTH(rt_sigaction, 13, 134),
    BOTH(rt_sigprocmask, 14, 135),
    BOTH(pread64, 17, 67),
    BOTH(writev, 20, 66),
    BOTH(sched_yield, 24, 124),
    BOTH(mremap, 25, 216),
    BOTH(madvise, 28, 233),
    BOTH(getpid, 39, 172),
    BOTH(recvfrom, 45, 207),
    BOTH(shutdown, 48, 210),
    BOTH(getsockname, 51, 204),
    BOTH(getsockopt, 55, 209),
    BOTH(exit, 60, 93),
    BOTH(gettimeofday, 96, 169),
    BOTH(rt_sigtimedwait, 128, 137),
    BOTH(gettid, 186, 178),
    X86(time, 201),
    BOTH(sched_getaffinity, 204, 123),
    BOTH(getdents64, 217, 61),
    BOTH(restart_syscall, 219, 128),
    BOTH(clock_gettime, 228, 113),
    BOTH(exit_group, 231, 94),
    X86(epoll_wait, 232),
    BOTH(epoll_ctl, 233, 21),
    BOTH(ppoll, 271, 73),
    BOTH(set_robust_list, 273, 99),
    BOTH(epoll_pwait, 281, 22),
    BOTH(accept4, 288, 242),
    BOTH(eventfd2, 290, 19),
    BOTH(epoll_create1, 291, 20),
    BOTH(getrandom, 318, 278),
    BOTH(rseq, 334, 293),
};

static const struct call FATAL[] = {
    BOTH(rt_sigreturn, 15, 139),
    BOTH(shmat, 30, 196),
    BOTH(socket, 41, 198),
    BOTH(connect, 42, 203),
    BOTH(bind, 49, 200),
    BOTH(listen, 50, 201),
    BOTH(socketpair, 53, 199),
    X86(fork, 57),
    X86(vfork, 58),
    BOTH(execve, 59, 221),
    BOTH(kill, 62, 129),
    BOTH(ptrace, 101, 117),
    BOTH(setuid, 105, 146),
    BOTH(setgid, 106, 144),
    BOTH(setreuid, 113, 145),
    BOTH(setregid, 114, 143),
    BOTH(setgroups, 116, 159),
    BOTH(setresuid, 117, 147),
    BOTH(setresgid, 119, 149),
    BOTH(capset, 126, 91),
    BOTH(rt_sigqueueinfo, 129, 138),
    BOTH(personality, 135, 92),
    X86(modify_ldt, 154),
    BOTH(pivot_root, 155, 41),
    BOTH(chroot, 161, 51),
    BOTH(mount, 165, 40),
    BOTH(umount2, 166, 39),
    BOTH(reboot, 169, 142),
    X86(iopl, 172),
    X86(ioperm, 173),
    BOTH(init_module, 175, 105),
    BOTH(delete_module, 176, 106),
    BOTH(kexec_load, 246, 104),
    BOTH(add_key, 248, 217),
    BOTH(request_key, 249, 218),
    BOTH(keyctl, 250, 219),
    BOTH(unshare, 272, 97),
    BOTH(rt_tgsigqueueinfo, 297, 240),
    BOTH(perf_event_open, 298, 241),
    BOTH(fanotify_init, 300, 262),
    BOTH(open_by_handle_at, 304, 265),
    BOTH(setns, 308, 268),
    BOTH(process_vm_readv, 310, 270),
    BOTH(process_vm_writev, 311, 271),
    BOTH(kcmp, 312, 272),
    BOTH(finit_module, 313, 273),
    BOTH(memfd_create, 319, 279),
    BOTH(kexec_file_load, 320, 294),
    BOTH(bpf, 321, 280),
    BOTH(execveat, 322, 281),
    BOTH(userfaultfd, 323, 282),
    BOTH(pkey_mprotect, 329, 288),
    NEW(pidfd_send_signal, 424),
    NEW(io_uring_setup, 425),
    NEW(io_uring_enter, 426),
    NEW(io_uring_register, 427),
    NEW(open_tree, 428),
    NEW(move_mount, 429),
    NEW(fsopen, 430),
    NEW(fsconfig, 431),
    NEW(fsmount, 432),
    NEW(fspick, 433),
    NEW(pidfd_open, 434),
    NEW(pidfd_getfd, 438),
    NEW(process_madvise, 440),
    NEW(mount_setattr, 442),
    NEW(memfd_secret, 447),
};

static const struct call NO_FILES[] = {
    X86(open, 2),
    X86(stat, 4),
    X86(lstat, 6),
    X86(access, 21),
    X86(readlink, 89),
    BOTH(openat, 257, 56),
    BOTH(readlinkat, 267, 78),
    BOTH(faccessat, 269, 48),
};

/* Those that are judged by their arguments. */
enum {
    SENDTO,
    SENDMSG,
    FUTEX,
    SETSOCKOPT,
    FCNTL,
    MMAP,
    MPROTECT,
    CLONE,
    PRCTL,
    NEWFSTATAT,
    TKILL,
    TGKILL
};

static const struct call CHECKED[] = {
    [SENDTO] = BOTH(sendto, 44, 206),     [SENDMSG] = BOTH(sendmsg, 46, 211),
    [FUTEX] = BOTH(futex, 202, 98),       [SETSOCKOPT] = BOTH(setsockopt, 54, 208),
    [FCNTL] = BOTH(fcntl, 72, 25),        [MMAP] = BOTH(mmap, 9, 222),
    [MPROTECT] = BOTH(mprotect, 10, 226), [CLONE] = BOTH(clone, 56, 220),
    [PRCTL] = BOTH(prctl, 157, 167),      [NEWFSTATAT] = BOTH(newfstatat, 262, 79),
    [TKILL] = BOTH(tkill, 200, 130),      [TGKILL] = BOTH(tgkill, 234, 131),
};

enum { ANY = 0x7fff0001 }; /* no answer */

static const struct {
    const struct call *calls;
    size_t count;
    uint32_t answer; /* whatever the arguments; ANY: as they are */
} LISTS[] = {
    {ALLOWED, COUNT_OF(ALLOWED), ALLOW},
    {FATAL, COUNT_OF(FATAL), (uint32_t)KILL},
    {NO_FILES, COUNT_OF(NO_FILES), NO_ACCESS},
    {CHECKED, COUNT_OF(CHECKED), ANY},
};

/* The answer that the lists say. */
static uint32_t expected_answer(enum sandbox_machine machine, long number)
{
    for (size_t i = 0; i < COUNT_OF(LISTS); i++) {
        for (size_t j = 0; j < LISTS[i].count; j++) {
            if (LISTS[i].calls[j].number[machine] == number)
                return LISTS[i].answer;
        }
    }
    return NO_CALL;
}

static void every_number_has_the_answer_of_its_list(void **state)
{
    static const uint64_t bits[6] = {UINT64_MAX, UINT64_MAX, UINT64_MAX,
                                     UINT64_MAX, UINT64_MAX, UINT64_MAX};

    (void)state;
    for (enum sandbox_machine machine = SANDBOX_X86_64; machine <= SANDBOX_AARCH64; machine++) {
        for (long number = 0; number < NUMBERS; number++) {
            const uint32_t expected = expected_answer(machine, number);
            const uint32_t actual = judge(machine, number, NULL);

            if (expected != ANY && (actual != expected || judge(machine, number, bits) != expected))
                fail_msg("%ld on machine %d: %#x instead of %#x", number, (int)machine, actual,
                         expected);
        }
    }
}

/* Of this machine; the tests run on both. */
static void numbers_are_those_of_the_kernel_s_headers(void **state)
{
#ifdef __x86_64__
    const size_t machine = SANDBOX_X86_64;
#else
    const size_t machine = SANDBOX_AARCH64;
#endif

    (void)state;
    for (size_t i = 0; i < COUNT_OF(LISTS); i++) {
        for (size_t j = 0; j < LISTS[i].count; j++) {
            const struct call *call = &LISTS[i].calls[j];

            if (call->here != call->number[machine])
                fail_msg("%s is %ld, not %ld", call->name, call->here, call->number[machine]);
        }
    }
}

enum { THREAD = 0x3d0f00 };

static void arguments_decide(void **state)
{
    static const struct {
        size_t call;
        uint64_t arguments[6];
        uint32_t answer;
    } rows[] = {
        {SENDTO, {5, 0, 1, MSG_NOSIGNAL | MSG_MORE | MSG_DONTWAIT}, ALLOW},
        {SENDTO, {5, 0, 1, MSG_NOSIGNAL | MSG_FASTOPEN}, (uint32_t)KILL},
        {SENDMSG, {5, 0, MSG_NOSIGNAL | MSG_MORE}, ALLOW},
        {SENDMSG, {5, 0, MSG_FASTOPEN}, (uint32_t)KILL},
        {MMAP, {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS}, ALLOW},
        {MMAP, {0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS}, ALLOW},
        {MMAP, {0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS}, (uint32_t)KILL},
        {MMAP, {0, 4096, PROT_EXEC, MAP_PRIVATE}, (uint32_t)KILL},
        {MPROTECT, {4096, 4096, PROT_READ | PROT_WRITE}, ALLOW},
        {MPROTECT, {4096, 4096, PROT_READ | PROT_EXEC}, (uint32_t)KILL},
        {MPROTECT, {4096, 4096, PROT_READ | PROT_WRITE | PROT_EXEC}, (uint32_t)KILL},
        {CLONE, {THREAD}, ALLOW},
        {CLONE, {THREAD | CLONE_DETACHED}, ALLOW},
        {CLONE, {0}, (uint32_t)KILL},
        {CLONE, {SIGCHLD}, (uint32_t)KILL},
        {CLONE, {THREAD | SIGCHLD}, (uint32_t)KILL},
        {CLONE, {THREAD & ~(uint64_t)CLONE_THREAD}, (uint32_t)KILL},
        {CLONE, {THREAD & ~(uint64_t)CLONE_VM}, (uint32_t)KILL},
        {CLONE, {THREAD | CLONE_NEWUSER}, (uint32_t)KILL},
        {CLONE, {THREAD | CLONE_PTRACE}, (uint32_t)KILL},
        {CLONE, {CLONE_VM | CLONE_VFORK | SIGCHLD}, (uint32_t)KILL},
        {TGKILL, {PID, 1, SIGABRT}, ALLOW},
        {TGKILL, {PID, 1, SIGUSR1}, ALLOW},
        {TGKILL, {OTHER_PID, 1, SIGABRT}, (uint32_t)KILL},
        {TGKILL, {0, 1, SIGABRT}, (uint32_t)KILL},
        {TGKILL, {(uint64_t)-1, 1, SIGABRT}, (uint32_t)KILL},
        {TKILL, {1, SIGABRT}, ALLOW},
        {TKILL, {1, SIGKILL}, (uint32_t)KILL},
        {TKILL, {1, 0}, (uint32_t)KILL},
        {SETSOCKOPT, {5, 6, 1}, ALLOW},      /* TCP_NODELAY */
        {SETSOCKOPT, {5, 6, 3}, ALLOW},      /* TCP_CORK */
        {SETSOCKOPT, {5, 6, 18}, ALLOW},     /* TCP_USER_TIMEOUT */
        {SETSOCKOPT, {5, 1, 13}, ALLOW},     /* SO_LINGER */
        {SETSOCKOPT, {5, 6, 13}, NO_ACCESS}, /* TCP_CONGESTION */
        {SETSOCKOPT, {5, 1, 18}, NO_ACCESS}, /* SO_RCVLOWAT */
        {SETSOCKOPT, {5, 0, 13}, NO_ACCESS},
        {SETSOCKOPT, {5, 6, 2}, NO_ACCESS},
        {SETSOCKOPT, {5, 6, 31}, NO_ACCESS}, /* TCP_ULP */
        {SETSOCKOPT, {5, 6, 19}, NO_ACCESS}, /* TCP_REPAIR */
        {SETSOCKOPT, {5, 1, 1}, NO_ACCESS},
        {SETSOCKOPT, {5, 41, 1}, NO_ACCESS}, /* IPV6_ADDRFORM */
        {SETSOCKOPT, {5, 0, 3}, NO_ACCESS},
        {FCNTL, {5, F_GETFL}, ALLOW},
        {FCNTL, {5, F_SETFL}, NO_ACCESS},
        {FCNTL, {5, F_DUPFD}, NO_ACCESS},
        {PRCTL, {PR_SET_NAME}, ALLOW},
        {PRCTL, {PR_SET_DUMPABLE}, NO_CALL},
        {PRCTL, {PR_SET_MM}, NO_CALL},
        {NEWFSTATAT, {5, 0, 0, AT_EMPTY_PATH}, ALLOW},
        {NEWFSTATAT, {5, 0, 0, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW}, ALLOW},
        {NEWFSTATAT, {5, 0, 0, 0}, NO_ACCESS},
        {NEWFSTATAT, {(uint64_t)AT_FDCWD, 0, 0, AT_SYMLINK_NOFOLLOW}, NO_ACCESS},
        {FUTEX, {0, 0}, ALLOW},             /* FUTEX_WAIT */
        {FUTEX, {0, 1}, ALLOW},             /* FUTEX_WAKE */
        {FUTEX, {0, 128}, ALLOW},           /* … private */
        {FUTEX, {0, 129}, ALLOW},           /* … */
        {FUTEX, {0, 9 | 256}, ALLOW},       /* FUTEX_WAIT_BITSET, CLOCK_REALTIME */
        {FUTEX, {0, 9 | 128 | 256}, ALLOW}, /* … */
        {FUTEX, {0, 3 | 128}, NO_CALL},     /* FUTEX_REQUEUE */
        {FUTEX, {0, 6}, NO_CALL},           /* FUTEX_LOCK_PI */
        {FUTEX, {0, 11}, NO_CALL},          /* FUTEX_WAIT_REQUEUE_PI */
        {FUTEX, {0, 12 | 128}, NO_CALL},    /* FUTEX_CMP_REQUEUE_PI */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t machine = 0; machine < MACHINES; machine++) {
            const struct call *call = &CHECKED[rows[i].call];
            const uint32_t actual =
                judge((enum sandbox_machine)machine, call->number[machine], rows[i].arguments);

            if (actual != rows[i].answer)
                fail_msg("row %zu, %s on machine %zu: %#x", i, call->name, machine, actual);
        }
    }
}

/* Nothing gets past the architecture, whatever the number means there. */
static void calls_of_another_architecture_kill(void **state)
{
    static const uint32_t others[] = {AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_RISCV64, 0};

    (void)state;
    for (long number = 0; number < NUMBERS; number++) {
        for (size_t i = 0; i < COUNT_OF(others); i++) {
            assert_uint_equal(judge_as(others[i], SANDBOX_X86_64, number, NULL), (uint32_t)KILL);
            assert_uint_equal(judge_as(others[i], SANDBOX_AARCH64, number, NULL), (uint32_t)KILL);
        }
        assert_uint_equal(judge_as(AUDIT_ARCH_AARCH64, SANDBOX_X86_64, number, NULL),
                          (uint32_t)KILL);
        assert_uint_equal(judge_as(AUDIT_ARCH_X86_64, SANDBOX_AARCH64, number, NULL),
                          (uint32_t)KILL);
    }
}

/* x32 has the architecture of x86-64, and a bit in its numbers. */
static void calls_of_x32_kill(void **state)
{
    (void)state;
    for (long number = 0; number < NUMBERS; number++)
        assert_uint_equal(judge(SANDBOX_X86_64, 0x40000000 + number, NULL), (uint32_t)KILL);
    assert_uint_equal(judge(SANDBOX_X86_64, 0x3fffffff, NULL), NO_CALL);
    assert_uint_equal(judge(SANDBOX_X86_64, -2, NULL), (uint32_t)KILL);
}

/* What is traced may have a call taken away, which has that number then. */
static void no_call_is_no_crime(void **state)
{
    (void)state;
    for (int machine = SANDBOX_X86_64; machine <= SANDBOX_AARCH64; machine++)
        assert_uint_equal(judge((enum sandbox_machine)machine, -1, NULL), NO_CALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_of_it_is_entered_in_order, set_up),
        cmocka_unit_test_setup(what_fails_is_said_and_the_rest_is_entered, set_up),
        cmocka_unit_test_setup(longest_errors_have_room, set_up),
        cmocka_unit_test_setup(landlock_takes_every_right_that_the_kernel_knows, set_up),
        cmocka_unit_test_setup(rights_are_those_of_the_kernel_s_headers, set_up),
        cmocka_unit_test_setup(filter_is_that_of_this_machine_and_process, set_up),
        cmocka_unit_test(every_number_has_the_answer_of_its_list),
        cmocka_unit_test(numbers_are_those_of_the_kernel_s_headers),
        cmocka_unit_test(arguments_decide),
        cmocka_unit_test(calls_of_another_architecture_kill),
        cmocka_unit_test(calls_of_x32_kill),
        cmocka_unit_test(no_call_is_no_crime),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
