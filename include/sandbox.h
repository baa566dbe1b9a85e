/* The sandbox: what the process gives up when all is set up, so that whoever takes it over finds
 * nothing to do: no files, no programs, no connections of his own (see docs/sandbox.md).
 *
 * In this order, each for this process, its later threads and for good:
 * 1. No new privileges (PR_SET_NO_NEW_PRIVS).
 * 2. Landlock: every right that the kernel can take is taken, and none is given back: no file or
 *    folder can be opened, made or removed, and, as far as the kernel's ABI goes, no TCP port bound
 *    or connected to (4), no device asked (5), no abstract Unix socket of others connected to and
 *    no signal sent to others (6), no other Unix socket either (9). What is open stays usable.
 * 3. seccomp: a list of system calls. What is on it is allowed, for some only with the arguments
 *    that are used here. The rest:
 *    - What only an intruder asks for kills the process (SIGSYS): programs, processes, sockets,
 *      signals to others, memory that can be executed, mounts, modules, tracing, keys, io_uring and
 *      their like; and calls of another architecture or of the x32 ABI.
 *    - What opens or looks for files fails with EACCES, as Landlock has it: a libc may look for
 *      time zones, or ask how many CPUs there are, and goes on without.
 *    - All else fails with ENOSYS, as on a kernel that has no such call: what a libc tries first on
 *      newer kernels (clone3, statx, …) makes it fall back, which EPERM would not. */
#ifndef VERSIOND_SANDBOX_H
#define VERSIOND_SANDBOX_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is asked of it: all of it, what the kernel has of it, nothing. */
enum sandbox_mode { SANDBOX_REQUIRE, SANDBOX_AUTO, SANDBOX_OFF };

enum { SANDBOX_TEXT_MAX = 160 };

/* Enters the sandbox, as far as the kernel has it; there is no way back, and errors are no reason
 * to stop half-way. To be called while the process has one thread. Writes what then holds into
 * `text`: "landlock 7, seccomp", where the number is that of the kernel's ABI, or why a part does
 * not: "no landlock (Function not implemented), seccomp". Returns true when both parts hold. */
bool sandbox_enter(char text[SANDBOX_TEXT_MAX]);

/* The two parts, for sandbox_enter() and tests. Both need PR_SET_NO_NEW_PRIVS first. */

/* Returns the number of the kernel's Landlock ABI, at least 1, or a negative errno. */
int sandbox_enter_landlock(void);

/* Returns 0, or a negative errno: -EINVAL from kernels before 4.14, which cannot kill a process. */
int sandbox_enter_seccomp(void);

enum sandbox_machine { SANDBOX_X86_64, SANDBOX_AARCH64 };

enum { SANDBOX_PROGRAM_MAX = 320 };

/* Writes the BPF program that judges system calls on `machine` into `program`, and returns how many
 * instructions it has. `pid` is the process, the only one that may be sent signals. */
size_t sandbox_build(struct sock_filter program[SANDBOX_PROGRAM_MAX], enum sandbox_machine machine,
                     uint32_t pid);

#endif
