/* The sandbox: drops privileges after start, so that an attacker who takes over the process finds
 * no files, no programs and no outgoing connections (see docs/security.md).
 *
 * In this order, for the process and all its later threads, irrevocably:
 * 1. No new privileges (PR_SET_NO_NEW_PRIVS).
 * 2. Landlock: every right that the kernel can restrict is dropped. No file or directory can be
 *    opened, created or removed and, depending on the kernel's ABI version, no TCP port bound or
 *    connected to (4), no device controlled (5), no signal sent to another process and no abstract
 *    (6) or other (9) Unix socket connected to. Open descriptors remain usable.
 * 3. seccomp: a list of allowed system calls, some of them only with the arguments that the program
 *    uses. All others:
 *    - The short list of calls that only an attacker makes kills the process (SIGSYS): new
 *      programs, processes and sockets, tracing, executable memory, mounts, modules, io_uring and
 *      keys; and so do calls of another architecture or of the x32 ABI.
 *    - Calls that open or look up files fail with EACCES, as under Landlock: a libc may look for
 *      time zones, or for the number of CPUs, and continues without.
 *    - Everything else fails with ENOSYS, as on a kernel without the call: a libc falls back from
 *      newer calls (clone3, statx, ...) that way, which it would not with EPERM. */
#ifndef VERSIOND_SANDBOX_H
#define VERSIOND_SANDBOX_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Require both parts, use what the kernel supports, or none. */
enum sandbox_mode { SANDBOX_REQUIRE, SANDBOX_AUTO, SANDBOX_OFF };

enum { SANDBOX_TEXT_MAX = 160 };

/* Enters the sandbox as far as the kernel supports it. An error in one part does not prevent the
 * other. Call this while the process has a single thread. Writes what is in force to `text`, for
 * example "landlock 7, seccomp", where the number is the kernel's ABI version, or "no landlock
 * (Function not implemented), seccomp". Returns true if both parts are in force. */
bool sandbox_enter(char text[SANDBOX_TEXT_MAX]);

/* The two parts, for sandbox_enter() and tests. Both require PR_SET_NO_NEW_PRIVS. */

/* Returns the version of the kernel's Landlock ABI, at least 1, or a negative errno. */
int sandbox_enter_landlock(void);

/* Returns 0, or a negative errno: -EINVAL from kernels before 4.14, which cannot kill a process. */
int sandbox_enter_seccomp(void);

enum { SANDBOX_PROGRAM_MAX = 320 };

/* Writes the BPF program that filters system calls to `program` and returns its number of
 * instructions. `pid` is this process, the only one that may be sent signals. */
size_t sandbox_build(struct sock_filter program[SANDBOX_PROGRAM_MAX], uint32_t pid);

#endif
