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
enum { ARCHITECTURE = (int)AUDIT_ARCH_X86_64 };
#elif defined __aarch64__ && defined __LP64__ && !defined __AARCH64EB__
enum { ARCHITECTURE = (int)AUDIT_ARCH_AARCH64 };
#else
/* cppcheck examines this branch too. */
/* cppcheck-suppress preprocessorErrorDirective */
#error "the sandbox supports x86-64 and arm64 only"
#endif

/* --- Landlock --- */

/* struct landlock_ruleset_attr, including the members that older headers lack. */
struct rights {
    uint64_t files;
    uint64_t ports;
    uint64_t scope;
};

/* The rights that each ABI version added (include/uapi/linux/landlock.h of Linux 7.1). The values
 * are written out because the kernel can be newer than the headers. */
static const struct rights ADDED[] = {
    {.files = 0x1fff},  /* 1: LANDLOCK_ACCESS_FS_EXECUTE to LANDLOCK_ACCESS_FS_MAKE_SYM */
    {.files = 1 << 13}, /* 2: LANDLOCK_ACCESS_FS_REFER */
    {.files = 1 << 14}, /* 3: LANDLOCK_ACCESS_FS_TRUNCATE */
    {.ports = 3},       /* 4: LANDLOCK_ACCESS_NET_BIND_TCP, LANDLOCK_ACCESS_NET_CONNECT_TCP */
    {.files = 1 << 15}, /* 5: LANDLOCK_ACCESS_FS_IOCTL_DEV */
    {.scope = 3},       /* 6: LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET, LANDLOCK_SCOPE_SIGNAL */
    {.files = 0},       /* 7 */
    {.files = 0},       /* 8 */
    {.files = 1 << 16}, /* 9: LANDLOCK_ACCESS_FS_RESOLVE_UNIX */
};

/* Returns all rights that an ABI version knows. */
static struct rights known_rights(long abi)
{
    struct rights rights = {0};

    for (size_t i = 0; i < sizeof ADDED / sizeof *ADDED && (long)i < abi; i++) {
        rights.files |= ADDED[i].files;
        rights.ports |= ADDED[i].ports;
        rights.scope |= ADDED[i].scope;
    }
    return rights;
}

int sandbox_enter_landlock(void)
{
    const uint32_t get_version = 1; /* LANDLOCK_CREATE_RULESET_VERSION */
    const long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, get_version);
    struct rights all;
    long ruleset = -1;
    int result = (int)abi;

    if (abi < 0)
        return -errno;
    all = known_rights(abi);
    /* A kernel accepts a struct longer than its own if the members that it does not know are 0. */
    ruleset = syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    if (ruleset < 0)
        return -errno;
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        result = -errno;
    (void)close((int)ruleset);
    return result;
}

/* --- seccomp --- */

/* What the program does after its start. */
static const int ALLOWED[] = {
/* requests */
#ifdef SYS_epoll_wait
    SYS_epoll_wait,
#endif
    SYS_epoll_pwait,
    SYS_recvfrom,
    /* connections */
    SYS_accept4,
    SYS_epoll_ctl,
    SYS_shutdown,
    SYS_close,
    SYS_getsockopt,
    SYS_getsockname,
    SYS_epoll_create1,
    SYS_eventfd2,
    /* metrics and log */
    SYS_read,
    SYS_write,
    SYS_writev,
    SYS_pread64,
    SYS_lseek,
    SYS_fstat,
    SYS_getdents64,
#ifdef SYS_poll
    SYS_poll,
#endif
    SYS_ppoll,
    SYS_clock_gettime, /* where the vDSO has no clock */
    SYS_gettimeofday,
#ifdef SYS_time
    SYS_time,
#endif
    /* memory */
    SYS_brk,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_getrandom,
    /* threads, signals, the end */
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_getpid,
    SYS_gettid,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigtimedwait,
    SYS_restart_syscall, /* after SIGSTOP and SIGCONT */
    SYS_exit,
    SYS_exit_group,
};

/* What only an attacker does. */
static const int FATAL[] = {
    /* programs and processes */
    SYS_execve,
    SYS_execveat,
#ifdef SYS_fork
    SYS_fork,
    SYS_vfork,
#endif
    SYS_kill,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_pidfd_send_signal,
    SYS_unshare,
    SYS_setns,
    /* sockets */
    SYS_socket,
    SYS_socketpair,
    SYS_connect,
    SYS_bind,
    SYS_listen,
    /* tracing */
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_pidfd_getfd,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    /* executable memory, and forged signal frames: no signal handlers exist that could return */
    SYS_pkey_mprotect,
    SYS_memfd_create,
    SYS_shmat,
    SYS_rt_sigreturn,
    /* mounts */
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_open_by_handle_at,
    /* modules */
    SYS_init_module,
    SYS_finit_module,
    SYS_kexec_load,
    /* io_uring */
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    /* keys */
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
};

/* File calls of a libc that continues without the file. */
static const int NO_FILES[] = {
    SYS_openat, SYS_faccessat, SYS_readlinkat,
#ifdef SYS_open
    SYS_open,   SYS_access,    SYS_stat,       SYS_lstat, SYS_readlink,
#endif
};

/* A condition on the lower 32 bits of an argument. The kernel ignores the upper ones wherever a
 * condition is used here. */
struct condition {
    uint32_t argument; /* 0 to 5 */
    uint32_t mask;
    uint32_t value; /* after masking */
};

enum {
    /* The flags that both libcs start a thread with. musl adds the obsolete CLONE_DETACHED. */
    THREAD = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
             CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
    /* FUTEX_WAIT (0), FUTEX_WAKE and FUTEX_WAIT_BITSET, private or shared, with any clock. */
    PLAIN_FUTEX = 1 | 8 | 128 | 256,
    /* The bit in which TCP_NODELAY (1) and TCP_CORK (3) differ. */
    CORK = 2,
};

/* Not a result of the filter: the next row of the same call decides. */
enum { NEXT_ROW = SECCOMP_RET_KILL_THREAD };

/* A call that is allowed only if all conditions hold. */
struct checked {
    int call;
    uint32_t otherwise;             /* the result if they do not */
    struct condition conditions[2]; /* a mask of 0: no condition */
};

static const struct checked CHECKED[] = {
    /* no MSG_FASTOPEN, which connects a socket that was shut down, such as the listener */
    {SYS_sendmsg, SECCOMP_RET_KILL_PROCESS, {{2, MSG_FASTOPEN, 0}}},
    {SYS_sendto, SECCOMP_RET_KILL_PROCESS, {{3, MSG_FASTOPEN, 0}}},
    {SYS_futex, SECCOMP_RET_ERRNO | ENOSYS, {{1, ~(uint32_t)PLAIN_FUTEX, 0}}},
    /* TCP_NODELAY or TCP_CORK; TCP_USER_TIMEOUT; SO_LINGER */
    {SYS_setsockopt, NEXT_ROW, {{1, ~0U, IPPROTO_TCP}, {2, ~(uint32_t)CORK, 1}}},
    {SYS_setsockopt, NEXT_ROW, {{1, ~0U, IPPROTO_TCP}, {2, ~0U, TCP_USER_TIMEOUT}}},
    {SYS_setsockopt, SECCOMP_RET_ERRNO | EACCES, {{1, ~0U, SOL_SOCKET}, {2, ~0U, SO_LINGER}}},
    {SYS_fcntl, SECCOMP_RET_ERRNO | EACCES, {{1, ~0U, F_GETFL}}},
    {SYS_mmap, SECCOMP_RET_KILL_PROCESS, {{2, PROT_EXEC, 0}}},
    {SYS_mprotect, SECCOMP_RET_KILL_PROCESS, {{2, PROT_EXEC, 0}}},
    {SYS_clone, SECCOMP_RET_KILL_PROCESS, {{0, ~(uint32_t)CLONE_DETACHED, THREAD}}},
    {SYS_prctl, SECCOMP_RET_ERRNO | ENOSYS, {{0, ~0U, PR_SET_NAME}}},
    /* fstat() of some libcs */
    {SYS_newfstatat, SECCOMP_RET_ERRNO | EACCES, {{3, AT_EMPTY_PATH, AT_EMPTY_PATH}}},
    /* abort() of musl */
    {SYS_tkill, SECCOMP_RET_KILL_PROCESS, {{1, ~0U, SIGABRT}}},
};

struct builder {
    struct sock_filter *program;
    size_t length;
    int first; /* first number of the current block */
};

/* The program consists of blocks for SPAN numbers each. The kernel runs it for all numbers when it
 * is installed, and kernels before 5.11 for each call: one long list would cost more than the rest
 * of the sandbox. */
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

static void add_return(struct builder *builder, uint32_t result)
{
    add(builder, BPF_RET | BPF_K, result, 0, 0);
}

static bool is_in_block(const struct builder *builder, int call)
{
    return call >= builder->first && call < builder->first + SPAN;
}

/* Adds one result for all calls of a list. */
static void add_list(struct builder *builder, const int *calls, size_t count, uint32_t result)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_in_block(builder, calls[i]))
            continue;
        add(builder, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i], 0, 1);
        add_return(builder, result);
    }
}

/* Adds three instructions per condition, and two results: all conditions hold, or not. */
static void add_checked(struct builder *builder, const struct checked *checked)
{
    const size_t count = checked->conditions[1].mask == 0 ? 1 : 2;

    if (!is_in_block(builder, checked->call))
        return;
    add(builder, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)checked->call, 0, 3 * count + 2);
    for (size_t i = 0; i < count; i++) {
        const struct condition *condition = &checked->conditions[i];

        add_load(builder,
                 offsetof(struct seccomp_data, args) + condition->argument * sizeof(uint64_t));
        add(builder, BPF_ALU | BPF_AND | BPF_K, condition->mask, 0, 0);
        add(builder, BPF_JMP | BPF_JEQ | BPF_K, condition->value, 0, 3 * (count - 1 - i) + 1);
    }
    add_return(builder, SECCOMP_RET_ALLOW);
    if (checked->otherwise == NEXT_ROW)
        add_load(builder, offsetof(struct seccomp_data, nr));
    else
        add_return(builder, checked->otherwise);
}

/* The number that a tracer (strace) substitutes to make a call fail. */
static const uint32_t NO_CALL = ~0U;

/* Kills callers of another architecture (i386 on x86-64, arm on arm64), whose calls have other
 * numbers, and callers of the x32 ABI, whose numbers have bit 30 set. */
static void add_architecture(struct builder *builder)
{
    add_load(builder, offsetof(struct seccomp_data, arch));
    add(builder, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)ARCHITECTURE, 1, 0);
    add_return(builder, SECCOMP_RET_KILL_PROCESS);
    add_load(builder, offsetof(struct seccomp_data, nr));
    add(builder, BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 2);
    add(builder, BPF_JMP | BPF_JEQ | BPF_K, NO_CALL, 1, 0);
    add_return(builder, SECCOMP_RET_KILL_PROCESS);
}

/* Adds the results for the numbers of the current block. */
static void add_block(struct builder *builder, uint32_t pid)
{
    /* abort() of glibc */
    const struct checked own = {SYS_tgkill, SECCOMP_RET_KILL_PROCESS, {{0, ~0U, pid}}};

    add_list(builder, ALLOWED, sizeof ALLOWED / sizeof *ALLOWED, SECCOMP_RET_ALLOW);
    for (size_t i = 0; i < sizeof CHECKED / sizeof *CHECKED; i++)
        add_checked(builder, &CHECKED[i]);
    add_checked(builder, &own);
    add_list(builder, NO_FILES, sizeof NO_FILES / sizeof *NO_FILES, SECCOMP_RET_ERRNO | EACCES);
    add_list(builder, FATAL, sizeof FATAL / sizeof *FATAL, SECCOMP_RET_KILL_PROCESS);
    add_return(builder, SECCOMP_RET_ERRNO | ENOSYS);
}

size_t sandbox_build(struct sock_filter program[SANDBOX_PROGRAM_MAX], uint32_t pid)
{
    struct builder builder = {.program = program};

    add_architecture(&builder);
    for (; builder.first < NUMBERS; builder.first += SPAN) {
        const size_t head = builder.length;

        add(&builder, BPF_JMP | BPF_JGE | BPF_K, (uint32_t)(builder.first + SPAN), 0, 0);
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
        .len = (unsigned short)sandbox_build(program, (uint32_t)getpid()),
        .filter = program,
    };
    const uint32_t kill = SECCOMP_RET_KILL_PROCESS;

    /* Kernels that do not know this result would interpret it as another one. */
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
