/* Which signals stop the program, including when it is process 1. */
#include "test.h"

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "documents.h"
#include "file.h"
#include "process.h"

static const char *const ARGUMENTS[] = {"--port=0", NULL};

/* Sends a signal, checks that the log names it and the process exits with 0, and frees the process.
 */
static void expect_clean_stop(struct process *process, int number, const char *name)
{
    char line[64];

    (void)snprintf(line, sizeof line, "\"msg\":\"draining\",\"signal\":\"%s\"", name);
    process_signal(process, number);
    (void)process_wait_for(process, line);
    assert_int_equal(process_wait(process), 0);
    process_end(process);
}

static void stop_signals_shut_down_cleanly(void **state)
{
    uint16_t port = 0;

    (void)state;
    expect_clean_stop(process_serve(ARGUMENTS, &port), SIGTERM, "SIGTERM");
    expect_clean_stop(process_serve(ARGUMENTS, &port), SIGINT, "SIGINT");
    expect_clean_stop(process_serve(ARGUMENTS, &port), SIGHUP, "SIGHUP");
}

static void ignore_hangup(void)
{
    (void)signal(SIGHUP, SIG_IGN);
}

static void expect_service(uint16_t port)
{
    const struct client_answer alive = {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, false, false};
    const int client = client_connect(port);

    client_expect_answer(client, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", &alive);
    (void)close(client);
}

/* nohup(1) starts programs with SIGHUP ignored. */
static void hangup_ignored_at_start_stays_ignored(void **state)
{
    struct process *process = process_start_with(ARGUMENTS, NULL, ignore_hangup);
    const uint16_t port = process_wait_for_port(process);

    (void)state;
    process_signal(process, SIGHUP);
    process_signal(process, SIGPIPE);
    process_signal(process, SIGCHLD);
    expect_service(port);
    expect_clean_stop(process, SIGTERM, "SIGTERM");
}

/* The next child is process 1 of a new namespace. Returns false if this user may not create one. */
static bool create_namespace(void)
{
    return unshare(CLONE_NEWPID | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) == 0;
}

/* Continues as process 1 of a new namespace. The parent waits and exits with its exit code. */
static void become_process_1(void)
{
    pid_t child = 0;
    int status = 0;

    if (!create_namespace())
        _exit(126);
    child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* fork() clears it */
        return;
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        _exit(126);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static pid_t only_child_of(pid_t parent)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    return (pid_t)file_read_number(path, 0);
}

static bool can_make_process_1(void)
{
    const pid_t child = fork();
    int status = 0;

    if (child == 0)
        _exit(create_namespace() ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

/* The kernel discards signals that process 1 has no handler for. */
static void process_1_stops_on_sigterm(void **state)
{
    struct process *process = NULL;
    uint16_t port = 0;

    (void)state;
    if (!can_make_process_1())
        skip();
    process = process_start_with(ARGUMENTS, NULL, become_process_1);
    port = process_wait_for_port(process);
    expect_service(port);
    assert_int_equal(kill(only_child_of(process->pid), SIGTERM), 0);
    (void)process_wait_for(process, "\"msg\":\"stopped\"");
    assert_int_equal(process_wait(process), 0);
    process_end(process);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stop_signals_shut_down_cleanly),
        cmocka_unit_test(hangup_ignored_at_start_stays_ignored),
        cmocka_unit_test(process_1_stops_on_sigterm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
