/* Runs the program under test as a process of its own: the one that the variable PROGRAM names,
 * with the words of RUNNER, if there are any, in front of it (valgrind and its flags). */
#ifndef VERSIOND_PROCESS_H
#define VERSIOND_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROCESS_OUTPUT_MAX = 256 * 1024 };

/* True when the program runs under another one, such as valgrind, which keeps descriptors of its
 * own. */
bool process_has_runner(void);

struct process {
    pid_t pid;
    int out; /* reading ends; -1 at the end of the file */
    int err;
    char stdout_text[PROCESS_OUTPUT_MAX]; /* what it has written so far, with a NUL */
    char stderr_text[PROCESS_OUTPUT_MAX];
};

/* Starts the program with `arguments` (NULL at the end, without the program's name) in an
 * environment that holds nothing but `environment` (NULL at the end, or NULL for none) and the
 * options of the sanitizers, and, when the program runs under another one, SANDBOX=off. Fails the
 * test when it cannot. The test ends it with process_end(). */
struct process *process_start(const char *const *arguments, const char *const *environment);

/* The same, with a function that the child calls before it becomes the program; NULL: none. */
struct process *process_start_with(const char *const *arguments, const char *const *environment,
                                   void (*prepare)(void));

/* Reads what the process writes until its stderr has `text`; fails the test when that does not
 * happen. Returns where it stands in stderr_text. */
const char *process_wait_for(struct process *process, const char *text);

/* Waits until the process says that it listens, and returns the port. */
uint16_t process_wait_for_port(struct process *process);

/* Starts a server with `arguments` and waits until it listens. */
struct process *process_serve(const char *const *arguments, uint16_t *port);

/* Sends SIGTERM, waits for a clean end (exit code 0), and frees the process. */
void process_stop(struct process *process);

void process_signal(const struct process *process, int number);

/* Waits for the end of the process, and of what it wrote. Returns its exit code, or 128 and the
 * number of the signal that ended it. */
int process_wait(struct process *process);

/* Kills the process if it still runs, and frees it; NULL is ignored. */
void process_end(struct process *process);

/* Runs the program to its end and checks everything it did: exit code, stdout and stderr. */
void process_expect(const char *const *arguments, const char *const *environment, int code,
                    const char *stdout_text, const char *stderr_text);

#endif
