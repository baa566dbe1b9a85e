/* Which signals stop the program, also as process 1. */
#include "test.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "documents.h"
#include "file.h"
#include "process.h"

static const char *const ARGUMENTS[] = {"--port=0", NULL};

static void stop_signals_stop_cleanly_and_are_named(void **state)
{
    static const struct {
        int number;
        const char *line;
    } rows[] = {
        {SIGTERM, "\"msg\":\"draining\",\"signal\":\"SIGTERM\""},
        {SIGINT, "\"msg\":\"draining\",\"signal\":\"SIGINT\""},
        {SIGHUP, "\"msg\":\"draining\",\"signal\":\"SIGHUP\""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint16_t port = 0;
        struct process *process = process_serve(ARGUMENTS, &port);

        process_signal(process, rows[i].number);
        (void)process_wait_for(process, rows[i].line);
        assert_int_equal(process_wait(process), 0);
        process_end(process);
    }
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

/* As nohup(1) starts programs. */
static void hangup_that_was_ignored_at_start_stays_ignored(void **state)
{
    struct process *process = process_start_with(ARGUMENTS, NULL, ignore_hangup);
    const uint16_t port = process_wait_for_port(process);

    (void)state;
    process_signal(process, SIGHUP);
    process_signal(process, SIGPIPE);
    process_signal(process, SIGCHLD);
    expect_service(port);
    process_signal(process, SIGTERM);
    (void)process_wait_for(process, "\"msg\":\"draining\",\"signal\":\"SIGTERM\"");
    assert_int_equal(process_wait(process), 0);
    process_end(process);
}

static void stop_and_continue_changes_nothing(void **state)
{
    uint16_t port = 0;
    struct process *process = process_serve(ARGUMENTS, &port);

    (void)state;
    process_signal(process, SIGSTOP);
    process_signal(process, SIGCONT);
    expect_service(port);
    process_stop(process);
}

enum { NO_NAMESPACE = 125 };

/* Goes on as process 1 of a new namespace; the parent stays, and ends as that process does. */
static void become_process_1(void)
{
    pid_t child = 0;
    int status = 0;

    if (unshare(CLONE_NEWPID | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) != 0)
        _exit(NO_NAMESPACE);
    child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* is not inherited */
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

/* True when this machine lets us make a process 1. */
static int can_make_process_1(void)
{
    const pid_t child = fork();
    int status = 0;

    if (child == 0)
        _exit(unshare(CLONE_NEWPID | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) == 0 ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

/* The kernel drops signals to process 1 that it has no handler for. */
static void process_1_stops_on_sigterm(void **state)
{
    struct process *process = NULL;
    uint16_t port = 0;

    (void)state;
    if (!can_make_process_1())
        skip(); /* no namespaces for this user here */
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
        cmocka_unit_test(stop_signals_stop_cleanly_and_are_named),
        cmocka_unit_test(hangup_that_was_ignored_at_start_stays_ignored),
        cmocka_unit_test(stop_and_continue_changes_nothing),
        cmocka_unit_test(process_1_stops_on_sigterm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
