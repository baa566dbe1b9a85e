#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__ && !defined __ILP32__
static const enum sandbox_machine MACHINE = SANDBOX_X86_64;
#elif defined __aarch64__ && defined __LP64__ && !defined __AARCH64EB__
static const enum sandbox_machine MACHINE = SANDBOX_AARCH64;
#else
/* cppcheck looks at what no compiler makes of this, too. */
/* cppcheck-suppress preprocessorErrorDirective */
#error "the sandbox has the numbers of system calls of x86-64 and arm64 only"
#endif

/* --- Landlock ---
 * Numbers and rights are those of the kernel's include/uapi/asm-generic/unistd.h and
 * linux/landlock.h as of Linux 7.1. They are here because the headers that one builds with may be
 * older than the kernel that one runs on, or have none of them. */

enum { CALL_LANDLOCK_CREATE_RULESET = 444, CALL_LANDLOCK_RESTRICT_SELF = 446 };

/* LANDLOCK_CREATE_RULESET_VERSION */
enum { ASK_VERSION = 1 };

/* struct landlock_ruleset_attr */
struct rights {
    uint64_t files; /* LANDLOCK_ACCESS_FS_… */
    uint64_t ports; /* LANDLOCK_ACCESS_NET_… */
    uint64_t scope; /* LANDLOCK_SCOPE_… */
};

/* All that an ABI knows: it is that of the last row that does not come after it. */
static const struct {
    uint32_t files;
    uint8_t ports;
    uint8_t scope;
    uint8_t abi;
} RIGHTS[] = {
    {0x1fff, 0, 0, 1},  /* execute, read, write, remove, make */
    {0x3fff, 0, 0, 2},  /* move and link (REFER) */
    {0x7fff, 0, 0, 3},  /* TRUNCATE */
    {0x7fff, 3, 0, 4},  /* BIND_TCP, CONNECT_TCP */
    {0xffff, 3, 0, 5},  /* IOCTL_DEV */
    {0xffff, 3, 3, 6},  /* ABSTRACT_UNIX_SOCKET, SIGNAL */
    {0x1ffff, 3, 3, 9}, /* RESOLVE_UNIX */
};

static struct rights known_rights(long abi)
{
    size_t row = sizeof RIGHTS / sizeof *RIGHTS - 1;

    while (row > 0 && RIGHTS[row].abi > abi)
        row--;
    return (struct rights){RIGHTS[row].files, RIGHTS[row].ports, RIGHTS[row].scope};
}

int sandbox_enter_landlock(void)
{
    const long abi = syscall(CALL_LANDLOCK_CREATE_RULESET, NULL, 0, ASK_VERSION);
    struct rights all;
    long ruleset = -1;
    int result = (int)abi;

    if (abi < 0)
        return -errno;
    all = known_rights(abi);
    /* A kernel takes a longer struct than its own when what it does not know is 0. */
    ruleset = syscall(CALL_LANDLOCK_CREATE_RULESET, &all, sizeof all, 0);
    if (ruleset < 0)
        return -errno;
    if (syscall(CALL_LANDLOCK_RESTRICT_SELF, ruleset, 0) < 0)
        result = -errno;
    (void)close((int)ruleset);
    return result;
}

/* --- seccomp --- */

/* A system call by its numbers; NONE: not on that machine. */
struct call {
    uint16_t number[2]; /* by enum sandbox_machine */
};

enum { NONE = 0xffff };

/* What the service does after its start. */
static const struct call ALLOWED[] = {
    /* requests */
    {{232, NONE}}, /* epoll_wait */
    {{281, 22}},   /* epoll_pwait */
    {{45, 207}},   /* recvfrom */
    /* connections */
    {{288, 242}}, /* accept4 */
    {{233, 21}},  /* epoll_ctl */
    {{48, 210}},  /* shutdown */
    {{3, 57}},    /* close */
    {{55, 209}},  /* getsockopt */
    {{51, 204}},  /* getsockname */
    {{291, 20}},  /* epoll_create1 */
    {{290, 19}},  /* eventfd2 */
    /* metrics and log */
    {{0, 63}},     /* read */
    {{1, 64}},     /* write */
    {{20, 66}},    /* writev */
    {{17, 67}},    /* pread64 */
    {{8, 62}},     /* lseek */
    {{5, 80}},     /* fstat */
    {{217, 61}},   /* getdents64 */
    {{7, NONE}},   /* poll */
    {{271, 73}},   /* ppoll */
    {{228, 113}},  /* clock_gettime, also where the kernel's vDSO has no clock */
    {{96, 169}},   /* gettimeofday */
    {{201, NONE}}, /* time */
    /* memory */
    {{12, 214}},  /* brk */
    {{11, 215}},  /* munmap */
    {{25, 216}},  /* mremap */
    {{28, 233}},  /* madvise */
    {{318, 278}}, /* getrandom */
    /* threads, signals, the end */
    {{24, 124}},  /* sched_yield */
    {{204, 123}}, /* sched_getaffinity */
    {{273, 99}},  /* set_robust_list */
    {{334, 293}}, /* rseq */
    {{39, 172}},  /* getpid */
    {{186, 178}}, /* gettid */
    {{13, 134}},  /* rt_sigaction */
    {{14, 135}},  /* rt_sigprocmask */
    {{128, 137}}, /* rt_sigtimedwait */
    {{219, 128}}, /* restart_syscall, after SIGSTOP and SIGCONT */
    {{60, 93}},   /* exit */
    {{231, 94}},  /* exit_group */
};

/* What only an intruder asks for. */
static const struct call FATAL[] = {
    /* programs and processes */
    {{59, 221}},  /* execve */
    {{322, 281}}, /* execveat */
    {{57, NONE}}, /* fork */
    {{58, NONE}}, /* vfork */
    {{62, 129}},  /* kill */
    {{129, 138}}, /* rt_sigqueueinfo */
    {{297, 240}}, /* rt_tgsigqueueinfo */
    {{424, 424}}, /* pidfd_send_signal */
    {{434, 434}}, /* pidfd_open */
    {{438, 438}}, /* pidfd_getfd */
    {{101, 117}}, /* ptrace */
    {{310, 270}}, /* process_vm_readv */
    {{311, 271}}, /* process_vm_writev */
    {{440, 440}}, /* process_madvise */
    {{312, 272}}, /* kcmp */
    /* a forged frame of a signal: there are no handlers that could return */
    {{15, 139}}, /* rt_sigreturn */
    /* sockets */
    {{41, 198}}, /* socket */
    {{53, 199}}, /* socketpair */
    {{42, 203}}, /* connect */
    {{49, 200}}, /* bind */
    {{50, 201}}, /* listen */
    /* code */
    {{329, 288}}, /* pkey_mprotect */
    {{319, 279}}, /* memfd_create */
    {{447, 447}}, /* memfd_secret */
    {{30, 196}},  /* shmat */
    {{135, 92}},  /* personality */
    /* what else reaches deep into the kernel */
    {{425, 425}}, /* io_uring_setup */
    {{426, 426}}, /* io_uring_enter */
    {{427, 427}}, /* io_uring_register */
    {{321, 280}}, /* bpf */
    {{323, 282}}, /* userfaultfd */
    {{298, 241}}, /* perf_event_open */
    {{248, 217}}, /* add_key */
    {{249, 218}}, /* request_key */
    {{250, 219}}, /* keyctl */
    {{300, 262}}, /* fanotify_init */
    {{304, 265}}, /* open_by_handle_at */
    /* another view of the file system, other rights */
    {{165, 40}},  /* mount */
    {{166, 39}},  /* umount2 */
    {{155, 41}},  /* pivot_root */
    {{161, 51}},  /* chroot */
    {{428, 428}}, /* open_tree */
    {{429, 429}}, /* move_mount */
    {{430, 430}}, /* fsopen */
    {{431, 431}}, /* fsconfig */
    {{432, 432}}, /* fsmount */
    {{433, 433}}, /* fspick */
    {{442, 442}}, /* mount_setattr */
    {{272, 97}},  /* unshare */
    {{308, 268}}, /* setns */
    {{105, 146}}, /* setuid */
    {{106, 144}}, /* setgid */
    {{113, 145}}, /* setreuid */
    {{114, 143}}, /* setregid */
    {{117, 147}}, /* setresuid */
    {{119, 149}}, /* setresgid */
    {{116, 159}}, /* setgroups */
    {{126, 91}},  /* capset */
    /* the machine */
    {{175, 105}},  /* init_module */
    {{313, 273}},  /* finit_module */
    {{176, 106}},  /* delete_module */
    {{246, 104}},  /* kexec_load */
    {{320, 294}},  /* kexec_file_load */
    {{169, 142}},  /* reboot */
    {{172, NONE}}, /* iopl */
    {{173, NONE}}, /* ioperm */
    {{154, NONE}}, /* modify_ldt */
};

/* What a libc may do for files that it can go on without. */
static const struct call NO_FILES[] = {
    {{257, 56}},  /* openat */
    {{2, NONE}},  /* open */
    {{269, 48}},  /* faccessat */
    {{21, NONE}}, /* access */
    {{4, NONE}},  /* stat */
    {{6, NONE}},  /* lstat */
    {{267, 78}},  /* readlinkat */
    {{89, NONE}}, /* readlink */
};

/* The lower 32 bits of an argument: all that the kernel looks at, where they are judged here. */
struct condition {
    uint32_t argument; /* 0 to 5 */
    uint32_t mask;
    uint32_t value; /* of what the mask leaves */
};

enum {
    /* What both libcs start a thread with. musl adds CLONE_DETACHED, without a meaning for long. */
    THREAD = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
             CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
    /* FUTEX_WAIT (0), FUTEX_WAKE, FUTEX_WAIT_BITSET, whoever shares the word, whatever the clock.
     */
    PLAIN_FUTEX = 1 | 8 | 128 | 256,
    /* TCP_NODELAY is 1, TCP_CORK is 3. */
    CORK = 2,
};

/* An answer that no row gives: the next row of the same call decides. */
enum { SEE_NEXT = SECCOMP_RET_KILL_THREAD };

/* What is allowed only with certain arguments: all conditions must hold. A mask of 0 is none. */
static const struct {
    struct call call;
    uint32_t otherwise; /* the answer then */
    struct condition conditions[2];
} CHECKED[] = {
    /* sendmsg and sendto: no MSG_FASTOPEN, which connects a socket that was shut down: the listener
     */
    {{{46, 211}}, SECCOMP_RET_KILL_PROCESS, {{2, MSG_FASTOPEN, 0}}},
    {{{44, 206}}, SECCOMP_RET_KILL_PROCESS, {{3, MSG_FASTOPEN, 0}}},
    /* futex */
    {{{202, 98}}, SECCOMP_RET_ERRNO | ENOSYS, {{1, ~(uint32_t)PLAIN_FUTEX, 0}}},
    /* setsockopt: TCP_NODELAY or TCP_CORK; TCP_USER_TIMEOUT; SO_LINGER */
    {{{54, 208}}, SEE_NEXT, {{1, ~0U, IPPROTO_TCP}, {2, ~(uint32_t)CORK, 1}}},
    {{{54, 208}}, SEE_NEXT, {{1, ~0U, IPPROTO_TCP}, {2, ~0U, TCP_USER_TIMEOUT}}},
    {{{54, 208}}, SECCOMP_RET_ERRNO | EACCES, {{1, ~0U, SOL_SOCKET}, {2, ~0U, SO_LINGER}}},
    /* fcntl: F_GETFL */
    {{{72, 25}}, SECCOMP_RET_ERRNO | EACCES, {{1, ~0U, F_GETFL}}},
    /* mmap and mprotect: no PROT_EXEC */
    {{{9, 222}}, SECCOMP_RET_KILL_PROCESS, {{2, PROT_EXEC, 0}}},
    {{{10, 226}}, SECCOMP_RET_KILL_PROCESS, {{2, PROT_EXEC, 0}}},
    /* clone: a thread */
    {{{56, 220}}, SECCOMP_RET_KILL_PROCESS, {{0, ~(uint32_t)CLONE_DETACHED, THREAD}}},
    /* prctl: PR_SET_NAME, of a thread */
    {{{157, 167}}, SECCOMP_RET_ERRNO | ENOSYS, {{0, ~0U, PR_SET_NAME}}},
    /* newfstatat: fstat() of some libcs */
    {{{262, 79}}, SECCOMP_RET_ERRNO | EACCES, {{3, AT_EMPTY_PATH, AT_EMPTY_PATH}}},
    /* tkill: abort() of musl */
    {{{200, 130}}, SECCOMP_RET_KILL_PROCESS, {{1, ~0U, SIGABRT}}},
};

/* tgkill: abort() of glibc, to this process. */
static const struct call TGKILL = {{234, 131}};

struct builder {
    struct sock_filter *program;
    size_t length;
    enum sandbox_machine machine;
    uint32_t first; /* the numbers that are dealt with now: SPAN of them from this one on */
};

/* The program is a row of blocks, one for so many numbers each. The kernel tries all numbers when
 * it is given a program, and kernels before 5.11 run it for each call: one long list would cost
 * more than all the rest of the sandbox. */
enum { SPAN = 32, NUMBERS = 448 };

static void add(struct builder *builder, uint16_t code, uint32_t k, size_t if_true, size_t if_false)
{
    builder->program[builder->length++] =
        (struct sock_filter){.code = code, .jt = (uint8_t)if_true, .jf = (uint8_t)if_false, .k = k};
}

static void add_load(struct builder *builder, size_t offset)
{
    add(builder, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void add_return(struct builder *builder, uint32_t answer)
{
    add(builder, BPF_RET | BPF_K, answer, 0, 0);
}

static bool is_due(const struct builder *builder, const struct call *call)
{
    const uint32_t number = call->number[builder->machine];

    return number >= builder->first && number < builder->first + SPAN;
}

/* One answer to all calls of a list. */
static void add_list(struct builder *builder, const struct call *calls, size_t count,
                     uint32_t answer)
{
    const size_t first = builder->length;

    for (size_t i = 0; i < count; i++) {
        if (is_due(builder, &calls[i]))
            add(builder, BPF_JMP | BPF_JEQ | BPF_K, calls[i].number[builder->machine], 0, 0);
    }
    if (builder->length == first)
        return;
    /* To the answer, which stands behind the last; from the last, over it. */
    for (size_t i = first; i < builder->length; i++)
        builder->program[i].jt = (uint8_t)(builder->length - 1 - i);
    builder->program[builder->length - 1].jf = 1;
    add_return(builder, answer);
}

/* Three instructions a condition, and two answers: all conditions hold, or not. */
static void add_checked(struct builder *builder, const struct call *call,
                        const struct condition *conditions, size_t count, uint32_t otherwise)
{
    if (!is_due(builder, call))
        return;
    add(builder, BPF_JMP | BPF_JEQ | BPF_K, call->number[builder->machine], 0, 3 * count + 2);
    for (size_t i = 0; i < count; i++) {
        add_load(builder,
                 offsetof(struct seccomp_data, args) + conditions[i].argument * sizeof(uint64_t));
        add(builder, BPF_ALU | BPF_AND | BPF_K, conditions[i].mask, 0, 0);
        add(builder, BPF_JMP | BPF_JEQ | BPF_K, conditions[i].value, 0, 3 * (count - 1 - i) + 1);
    }
    add_return(builder, SECCOMP_RET_ALLOW);
    if (otherwise == SEE_NEXT)
        add_load(builder, offsetof(struct seccomp_data, nr));
    else
        add_return(builder, otherwise);
}

/* What a tracer (strace) makes of a call that it wants to fail: the kernel then calls nothing. */
static const uint32_t NO_CALL = ~0U;

/* Calls of another machine have other numbers: i386 on x86-64, arm on arm64. Those of the x32 ABI
 * have a bit of their own (30), and all bits but for those the numbers of x86-64. */
static void add_machine(struct builder *builder)
{
    const bool is_x86 = builder->machine == SANDBOX_X86_64;

    add_load(builder, offsetof(struct seccomp_data, arch));
    add(builder, BPF_JMP | BPF_JEQ | BPF_K, is_x86 ? AUDIT_ARCH_X86_64 : AUDIT_ARCH_AARCH64, 1, 0);
    add_return(builder, SECCOMP_RET_KILL_PROCESS);
    add_load(builder, offsetof(struct seccomp_data, nr));
    add(builder, BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 2);
    add(builder, BPF_JMP | BPF_JEQ | BPF_K, NO_CALL, 1, 0);
    add_return(builder, SECCOMP_RET_KILL_PROCESS);
}

/* What the lists say of the numbers that are due. */
static void add_block(struct builder *builder, uint32_t pid)
{
    const struct condition own = {.argument = 0, .mask = ~0U, .value = pid};

    add_list(builder, ALLOWED, sizeof ALLOWED / sizeof *ALLOWED, SECCOMP_RET_ALLOW);
    for (size_t i = 0; i < sizeof CHECKED / sizeof *CHECKED; i++)
        add_checked(builder, &CHECKED[i].call, CHECKED[i].conditions,
                    CHECKED[i].conditions[1].mask == 0 ? 1 : 2, CHECKED[i].otherwise);
    add_checked(builder, &TGKILL, &own, 1, SECCOMP_RET_KILL_PROCESS);
    add_list(builder, NO_FILES, sizeof NO_FILES / sizeof *NO_FILES, SECCOMP_RET_ERRNO | EACCES);
    add_list(builder, FATAL, sizeof FATAL / sizeof *FATAL, SECCOMP_RET_KILL_PROCESS);
    add_return(builder, SECCOMP_RET_ERRNO | ENOSYS);
}

size_t sandbox_build(struct sock_filter program[SANDBOX_PROGRAM_MAX], enum sandbox_machine machine,
                     uint32_t pid)
{
    struct builder builder = {.program = program, .machine = machine};

    add_machine(&builder);
    for (; builder.first < NUMBERS; builder.first += SPAN) {
        const size_t head = builder.length;

        add(&builder, BPF_JMP | BPF_JGE | BPF_K, builder.first + SPAN, 0, 0);
        add_block(&builder, pid);
        program[head].jt = (uint8_t)(builder.length - head - 1);
    }
    add_return(&builder, SECCOMP_RET_ERRNO | ENOSYS);
    return builder.length;
}

int sandbox_enter_seccomp(void)
{
    struct sock_filter program[SANDBOX_PROGRAM_MAX];
    const struct sock_fprog filter = {
        .len = (unsigned short)sandbox_build(program, MACHINE, (uint32_t)getpid()),
        .filter = program,
    };
    const uint32_t kill = SECCOMP_RET_KILL_PROCESS;

    /* Kernels that do not know this answer take it for another one. */
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &kill) < 0)
        return -errno;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
        return -errno;
    return 0;
}

/* --- both --- */

bool sandbox_enter(char text[SANDBOX_TEXT_MAX])
{
    const int privileges = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : -errno;
    const int landlock = privileges == 0 ? sandbox_enter_landlock() : privileges;
    const int seccomp = privileges == 0 ? sandbox_enter_seccomp() : privileges;
    int used = 0;

    if (landlock > 0)
        used = snprintf(text, SANDBOX_TEXT_MAX, "landlock %d, ", landlock);
    else
        used = snprintf(text, SANDBOX_TEXT_MAX, "no landlock (%s), ", strerror(-landlock));
    if (seccomp == 0)
        (void)snprintf(text + used, (size_t)(SANDBOX_TEXT_MAX - used), "seccomp");
    else
        (void)snprintf(text + used, (size_t)(SANDBOX_TEXT_MAX - used), "no seccomp (%s)",
                       strerror(-seccomp));
    return landlock > 0 && seccomp == 0;
}
