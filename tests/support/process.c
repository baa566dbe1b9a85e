#include "process.h"

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "text.h"

enum { WORDS_MAX = 64 };

bool process_has_runner(void)
{
    const char *runner = getenv("RUNNER");

    return runner != NULL && runner[0] != '\0';
}

/* Splits RUNNER into words and appends the program and its arguments. */
static void build_command(char **words, char *runner, const char *const *arguments)
{
    const char *program = getenv("PROGRAM");
    size_t count = 0;

    assert_non_null(program);
    for (char *word = strtok(runner, " "); word != NULL; word = strtok(NULL, " "))
        words[count++] = word;
    words[count++] = (char *)(uintptr_t)program;
    for (size_t i = 0; arguments != NULL && arguments[i] != NULL; i++) {
        assert_true(count < WORDS_MAX - 1);
        words[count++] = (char *)(uintptr_t)arguments[i];
    }
    words[count] = NULL;
}

static void build_environment(char **words, const char *const *environment)
{
    static const char *const kept[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
                                       "LSAN_OPTIONS"};
    static char options[COUNT_OF(kept)][1024];
    static char off[] = "SANDBOX=off"; /* it would restrict the runner, too */
    size_t count = 0;

    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
        assert_true(count < WORDS_MAX - COUNT_OF(kept) - 2);
        words[count++] = (char *)(uintptr_t)environment[i];
    }
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        if (getenv(kept[i]) == NULL)
            continue;
        (void)snprintf(options[i], sizeof options[i], "%s=%s", kept[i], getenv(kept[i]));
        words[count++] = options[i];
    }
    if (process_has_runner())
        words[count++] = off;
    words[count] = NULL;
}

/* In the child: executes the program. Resets the signal mask and ignored signals, which it would
 * inherit. */
static void become(char **command, char **environment, int out, int err, void (*prepare)(void))
{
    sigset_t none;

    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGHUP, SIG_DFL); /* nohup ignores it */
    if (dup2(open("/dev/null", O_RDONLY), STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(err, STDERR_FILENO) < 0)
        _exit(126);
    /* A failed test does not end its process. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (prepare != NULL)
        prepare();
    (void)execvpe(command[0], command, environment);
    _exit(127);
}

struct process *process_start_with(const char *const *arguments, const char *const *environment,
                                   void (*prepare)(void))
{
    struct process *process = calloc(1, sizeof *process);
    char runner[1024] = "";
    char *command[WORDS_MAX];
    char *variables[WORDS_MAX];
    int out[2];
    int err[2];

    assert_non_null(process);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    if (process_has_runner())
        (void)snprintf(runner, sizeof runner, "%s", getenv("RUNNER"));
    build_command(command, runner, arguments);
    build_environment(variables, environment);
    process->pid = fork();
    assert_true(process->pid >= 0);
    if (process->pid == 0)
        become(command, variables, out[1], err[1], prepare);
    (void)close(out[1]);
    (void)close(err[1]);
    process->out = out[0];
    process->err = err[0];
    return process;
}

struct process *process_start(const char *const *arguments, const char *const *environment)
{
    return process_start_with(arguments, environment, NULL);
}

/* Appends available bytes to `text`. Closes the descriptor at end of file. */
static void read_some(int *descriptor, char *text)
{
    const size_t used = strlen(text);
    const ssize_t n = read(*descriptor, text + used, PROCESS_OUTPUT_MAX - 1 - used);

    assert_true(used < PROCESS_OUTPUT_MAX - 1);
    assert_true(n >= 0);
    text[used + (size_t)n] = '\0';
    if (n == 0) {
        (void)close(*descriptor);
        *descriptor = -1;
    }
}

/* Waits for output on either pipe and reads it. Returns false at the end of both. */
static bool read_output(struct process *process, int64_t deadline)
{
    struct pollfd pipes[] = {{.fd = process->out, .events = POLLIN},
                             {.fd = process->err, .events = POLLIN}};
    const int64_t left = deadline - monotonic_milliseconds();

    if (process->out < 0 && process->err < 0)
        return false;
    if (poll(pipes, 2, left > 0 ? (int)left : 0) <= 0)
        fail_msg("no more output before the timeout; stderr so far: %s", process->stderr_text);
    if (pipes[0].revents != 0)
        read_some(&process->out, process->stdout_text);
    if (pipes[1].revents != 0)
        read_some(&process->err, process->stderr_text);
    return true;
}

const char *process_wait_for(struct process *process, const char *text)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;

    while (strstr(process->stderr_text, text) == NULL) {
        if (!read_output(process, deadline))
            fail_msg("ended without logging %s; stderr: %s", text, process->stderr_text);
    }
    return strstr(process->stderr_text, text);
}

uint16_t process_wait_for_port(struct process *process)
{
    const char *line = process_wait_for(process, "\"msg\":\"listening\"");
    const char *port = NULL;

    while (strchr(line, '\n') == NULL) /* the rest of the line */
        assert_true(read_output(process, monotonic_milliseconds() + PATIENCE));
    port = strstr(line, "\"port\":");
    assert_non_null(port);
    return (uint16_t)strtoul(port + strlen("\"port\":"), NULL, 10);
}

struct process *process_serve(const char *const *arguments, uint16_t *port)
{
    struct process *process = process_start(arguments, NULL);

    *port = process_wait_for_port(process);
    return process;
}

void process_stop(struct process *process)
{
    process_signal(process, SIGTERM);
    assert_int_equal(process_wait(process), 0);
    process_end(process);
}

void process_signal(const struct process *process, int number)
{
    assert_int_equal(kill(process->pid, number), 0);
}

int process_wait(struct process *process)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    int status = 0;

    while (read_output(process, deadline))
        ;
    assert_int_equal(waitpid(process->pid, &status, 0), process->pid);
    process->pid = 0;
    if (strstr(process->stderr_text, "Sanitizer") != NULL)
        fail_msg("%s", process->stderr_text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void process_end(struct process *process)
{
    if (process == NULL)
        return;
    if (process->pid > 0) {
        (void)kill(process->pid, SIGKILL);
        (void)waitpid(process->pid, NULL, 0);
    }
    if (process->out >= 0)
        (void)close(process->out);
    if (process->err >= 0)
        (void)close(process->err);
    free(process);
}

void process_expect(const char *const *arguments, const char *const *environment, int code,
                    const char *stdout_text, const char *stderr_text)
{
    struct process *process = process_start(arguments, environment);
    const int actual = process_wait(process);

    assert_text_equal(process->stderr_text, stderr_text);
    assert_text_equal(process->stdout_text, stdout_text);
    assert_int_equal(actual, code);
    process_end(process);
}
