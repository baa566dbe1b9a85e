/* Runs the program under test: the environment variable PROGRAM names it, and RUNNER, if set, is a
 * command to run it under (valgrind and its flags). Every function fails the test on an error. */
#ifndef VERSIOND_PROCESS_H
#define VERSIOND_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROCESS_OUTPUT_MAX = 256 * 1024 };

/* Returns true if the program runs under another one, which may use descriptors of its own. */
bool process_has_runner(void);

struct process {
    pid_t pid;
    int out; /* read ends of its pipes; -1 after end of file */
    int err;
    char stdout_text[PROCESS_OUTPUT_MAX]; /* its output so far, NUL-terminated */
    char stderr_text[PROCESS_OUTPUT_MAX];
};

/* Starts the program with `arguments`, a NULL-terminated list without the program's name. Its
 * environment is `environment` (NULL-terminated, or NULL for none) plus the options of sanitizers
 * and, under a runner, SANDBOX=off. The caller frees the result with process_end() or
 * process_stop(). The program is killed if the test program ends first. */
struct process *process_start(const char *const *arguments, const char *const *environment);

/* Like process_start(); the child calls `prepare` (NULL: nothing) before it executes the program.
 */
struct process *process_start_with(const char *const *arguments, const char *const *environment,
                                   void (*prepare)(void));

/* Reads the output of the process until its stderr contains `text`. Returns a pointer to it in
 * stderr_text. */
const char *process_wait_for(struct process *process, const char *text);

/* Waits until the process logs that it is listening (in JSON). Returns its port. */
uint16_t process_wait_for_port(struct process *process);

/* Starts a server and waits until it is listening. Stores its port in `*port`. */
struct process *process_serve(const char *const *arguments, uint16_t *port);

/* Sends SIGTERM, waits for the process to exit with status 0, and frees it. */
void process_stop(struct process *process);

void process_signal(const struct process *process, int number);

/* Reads the rest of the output and waits for the process to end. Returns its exit code, or 128 plus
 * the number of the signal that ended it. A sanitizer report fails the test. */
int process_wait(struct process *process);

/* Kills the process if it is still running, and frees it. NULL is ignored. */
void process_end(struct process *process);

/* Runs the program to its end and checks its exit code, stdout and stderr. */
void process_expect(const char *const *arguments, const char *const *environment, int code,
                    const char *stdout_text, const char *stderr_text);

#endif
