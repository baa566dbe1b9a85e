/* Failures outside the process: its log cannot be written, clients reset connections in the middle
 * of responses, the process is stopped for a while. Failing system calls are tested in
 * tests/faults. */
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "documents.h"
#include "process.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct client_answer ALIVE = {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, false, false};
static const struct client_answer NOT_FOUND = {"404 Not Found",    TYPE_PROBLEM, NULL,
                                               DOCUMENT_NOT_FOUND, false,        false};

static const char *const ARGUMENTS[] = {"--port=0", "--access-log-rate=0", NULL};

/* Sends requests that are logged until lines are dropped. All of them are answered. */
static void drop_lines(int client)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;

    while (client_read_series(client, "log_lines_dropped_total{reason=\"slow_reader\"}") < 10) {
        assert_true(monotonic_milliseconds() < deadline);
        for (int i = 0; i < 10; i++)
            client_expect_answer(client, GET("/nowhere"), &NOT_FOUND);
    }
}

static void survives_a_closed_log_pipe(void **state)
{
    uint16_t port = 0;
    struct process *process = process_serve(ARGUMENTS, &port);
    const int client = client_connect(port);

    (void)state;
    (void)close(process->err);
    process->err = -1;
    drop_lines(client);
    (void)close(client);
    process_signal(process, SIGTERM);
    assert_int_equal(process_wait(process), 0);
    process_end(process);
}

enum { FILE_LIMIT = 600, FILE_TEXT_MAX = 64 * 1024 };

/* The file that is the stderr of a process, and its contents. */
static char log_path[128];
static char log_text[FILE_TEXT_MAX];

static void open_log(void)
{
    const int file = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);

    if (file < 0 || dup2(file, STDERR_FILENO) < 0 || (file != STDERR_FILENO && close(file) != 0))
        _exit(126);
}

/* The limit leaves space for two lines and part of a third. */
static void limit_log(void)
{
    const struct rlimit limit = {.rlim_cur = FILE_LIMIT, .rlim_max = RLIM_INFINITY};

    open_log();
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(126);
}

/* Reads the log through the descriptor of the process, since the file may be in its own mount
 * namespace. Until the process has opened the file, the descriptor is a pipe, and the log empty. */
static void read_log(const struct process *process, char text[FILE_TEXT_MAX])
{
    char path[64];
    struct stat status = {0};
    int file = -1;
    ssize_t length = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/fd/2", (int)process->pid);
    file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file >= 0 && fstat(file, &status) == 0 && S_ISREG(status.st_mode))
        length = read(file, text, FILE_TEXT_MAX - 1);
    assert_true(length >= 0);
    text[length] = '\0';
    if (file >= 0)
        (void)close(file);
}

static const char *wait_for_log(const struct process *process, const char *text)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;

    do {
        if (monotonic_milliseconds() > deadline)
            fail_msg("no %s in %s", text, log_text);
        (void)sched_yield();
        read_log(process, log_text);
    } while (strstr(log_text, text) == NULL);
    return strstr(log_text, text);
}

static uint16_t wait_for_port(const struct process *process)
{
    const char *line = wait_for_log(process, "\"max_connections\":");
    const char *port = NULL;

    while (line[-1] != '{')
        line--;
    port = strstr(line, "\"port\":");
    assert_non_null(port);
    return (uint16_t)strtoul(port + strlen("\"port\":"), NULL, 10);
}

/* Checks the log once writing works again: the truncated line ends with a newline, and the next
 * line is complete and reports the number of dropped lines. */
static void expect_recovery(struct process *process, int client)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    const char *line = NULL;

    while (line == NULL) { /* the log is not retried immediately */
        assert_true(monotonic_milliseconds() < deadline);
        client_expect_answer(client, GET("/nowhere"), &NOT_FOUND);
        read_log(process, log_text);
        line = strstr(log_text, "\"dropped\":");
    }
    while (line[-1] != '{')
        line--;
    assert_int_equal(line[-2], '\n');
    assert_memory_equal(line, "\"time\":", strlen("\"time\":"));
    (void)close(client);
    process_signal(process, SIGTERM);
    assert_int_equal(process_wait(process), 0);
    process_end(process);
}

static void survives_a_log_file_at_its_size_limit(void **state)
{
    char folder[] = "/tmp/test_faults_XXXXXX";
    struct process *process = NULL;
    int client = -1;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(log_path, sizeof log_path, "%s/log", folder);
    process = process_start_with(ARGUMENTS, NULL, limit_log);
    client = client_connect(wait_for_port(process));
    drop_lines(client);
    assert_int_equal(truncate(log_path, 0), 0);
    expect_recovery(process, client);
    assert_int_equal(unlink(log_path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static char mount_point[] = "/tmp/test_faults_XXXXXX";

/* Mounts a disk of two pages in a mount namespace of its own. */
static bool has_mounted(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", mount_point, "tmpfs", 0, "size=8k") == 0;
}

/* Requires root, and does not work in every container. */
static bool may_mount(void)
{
    const pid_t child = fork();
    int status = -1;

    assert_true(child >= 0);
    if (child == 0)
        _exit(has_mounted() ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

/* Another file takes one of the two pages. */
static void mount_small_disk(void)
{
    static const char page[4096];
    char path[64];
    int other = -1;

    if (!has_mounted())
        _exit(126);
    (void)snprintf(path, sizeof path, "%s/other", mount_point);
    other = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (write(other, page, sizeof page) != sizeof page || close(other) != 0)
        _exit(126);
    open_log();
}

static void survives_a_full_disk(void **state)
{
    struct process *process = NULL;
    char other[128];
    int client = -1;

    (void)state;
    assert_non_null(mkdtemp(mount_point));
    if (!may_mount()) {
        assert_int_equal(rmdir(mount_point), 0);
        skip();
    }
    (void)snprintf(log_path, sizeof log_path, "%s/log", mount_point);
    process = process_start_with(ARGUMENTS, NULL, mount_small_disk);
    client = client_connect(wait_for_port(process));
    drop_lines(client);
    (void)snprintf(other, sizeof other, "/proc/%d/root%s/other", (int)process->pid, mount_point);
    assert_int_equal(unlink(other), 0);
    expect_recovery(process, client);
    assert_int_equal(rmdir(mount_point), 0);
}

/* Resets connections that have requested more than fits into the buffers, and read nothing. */
static void reset_in_the_middle_of_answers(uint16_t port)
{
    enum { CLIENTS = 64, REQUESTS = 200 };
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    int clients[CLIENTS];
    char byte = 0;

    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = client_connect(port);
        for (size_t j = 0; j < REQUESTS; j++)
            client_send_text(clients[i], GET("/openapi.json"));
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(recv(clients[i], &byte, 1, MSG_PEEK),
                         1); /* responses have begun to arrive */
        assert_int_equal(setsockopt(clients[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        assert_int_equal(close(clients[i]), 0);
    }
}

static void clients_that_reset_leave_nothing_behind(void **state)
{
    enum { ROUNDS = 3 };
    uint16_t port = 0;
    struct process *process = process_serve(ARGUMENTS, &port);
    const int client = client_connect(port);
    const double descriptors = client_read_series(client, "process_open_fds");

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        reset_in_the_middle_of_answers(port);
        client_wait_for_series(client, "http_connections_open", 1, 1);
        client_wait_for_series(client, "process_open_fds", descriptors, descriptors);
    }
    assert_true(client_read_series(client, "http_requests_failed_total") == 0);
    client_expect_answer(client, GET("/healthz"), &ALIVE);
    (void)close(client);
    process_stop(process);
}

/* The standstill is longer than the request deadline. */
static void answers_requests_that_arrive_during_a_standstill(void **state)
{
    static const char *const arguments[] = {"--port=0", "--threads=1", "--request-deadline=4s",
                                            NULL};
    enum { CLIENTS = 20, STANDSTILL = 4500 };
    uint16_t port = 0;
    struct process *process = process_serve(arguments, &port);
    int clients[CLIENTS];

    (void)state;
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = client_connect(port);
        client_expect_answer(clients[i], GET("/healthz"), &ALIVE);
    }
    process_signal(process, SIGSTOP);
    for (size_t i = 0; i < CLIENTS; i++)
        client_send_text(clients[i], GET("/healthz"));
    assert_int_equal(poll(NULL, 0, STANDSTILL), 0);
    process_signal(process, SIGCONT);
    for (size_t i = 0; i < CLIENTS; i++) {
        client_expect_answer(clients[i], "", &ALIVE);
        (void)close(clients[i]);
    }
    process_stop(process);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_a_closed_log_pipe),
        cmocka_unit_test(survives_a_log_file_at_its_size_limit),
        cmocka_unit_test(survives_a_full_disk),
        cmocka_unit_test(clients_that_reset_leave_nothing_behind),
        cmocka_unit_test(answers_requests_that_arrive_during_a_standstill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
