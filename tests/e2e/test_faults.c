/* Faults outside the process: the log cannot be written, clients reset connections while they
 * receive responses, the process is stopped for a while. tests/faults has the faults of system
 * calls. */
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "documents.h"
#include "process.h"

#define POST "POST /version HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct client_answer ALIVE = {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, false, false};
static const struct client_answer NOT_ALLOWED = {"405 Method Not Allowed", TYPE_PROBLEM, ALLOW_READ,
                                                 DOCUMENT_NOT_ALLOWED,     false,        false};

static const char *const ARGUMENTS[] = {"--port=0", "--access-log-rate=0", NULL};

/* Sends requests until lines of the access log are dropped, and checks every response. */
static void drop_lines(int client)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;

    while (client_read_series(client, "log_lines_dropped_total{reason=\"slow_reader\"}") < 10) {
        assert_true(monotonic_milliseconds() < deadline);
        for (int i = 0; i < 10; i++)
            client_expect_answer(client, POST, &NOT_ALLOWED);
    }
}

/* Whether the pipe is full, or closed. */
static void survives_a_log_that_nobody_reads(void **state)
{
    (void)state;
    for (int is_closed = 0; is_closed < 2; is_closed++) {
        uint16_t port = 0;
        struct process *process = process_serve(ARGUMENTS, &port);
        const int client = client_connect(port);

        if (is_closed) {
            (void)close(process->err);
            process->err = -1;
        }
        drop_lines(client);
        (void)close(client);
        if (!is_closed)
            (void)process_wait_for(process, "\"msg\":\"request\""); /* reads the log from here on */
        process_signal(process, SIGTERM);
        assert_int_equal(process_wait(process), 0);
        assert_true(is_closed || strstr(process->stderr_text, "\"dropped\":") != NULL);
        process_end(process);
    }
}

enum { FILE_LIMIT = 600, FILE_TEXT_MAX = 64 * 1024 };

static int log_file = -1; /* the stderr of a process */
static char log_text[FILE_TEXT_MAX];

/* The limit leaves space for two lines and part of a third. */
static void limit_log(void)
{
    const struct rlimit limit = {.rlim_cur = FILE_LIMIT, .rlim_max = RLIM_INFINITY};

    if (dup2(log_file, STDERR_FILENO) < 0 || setrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(126);
}

static const char *find_in_log(const char *text)
{
    const ssize_t length = pread(log_file, log_text, sizeof log_text - 1, 0);

    assert_true(length >= 0);
    log_text[length] = '\0';
    return strstr(log_text, text);
}

static uint16_t wait_for_port(void)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;

    while (find_in_log("\"max_connections\":") == NULL) {
        assert_true(monotonic_milliseconds() < deadline);
        (void)sched_yield();
    }
    return (uint16_t)strtoul(find_in_log("\"port\":") + strlen("\"port\":"), NULL, 10);
}

/* Once the file has space again, the partial line ends with a newline, and the next line is
 * complete and reports the number of dropped lines. */
static void survives_a_log_file_at_its_size_limit(void **state)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;
    struct process *process = NULL;
    const char *line = NULL;
    int client = -1;

    (void)state;
    log_file = memfd_create("log", MFD_CLOEXEC);
    assert_int_equal(fcntl(log_file, F_SETFL, O_APPEND), 0);
    process = process_start_with(ARGUMENTS, NULL, limit_log);
    client = client_connect(wait_for_port());
    drop_lines(client);
    assert_int_equal(ftruncate(log_file, 0), 0);
    while (line == NULL) { /* the log is not retried immediately */
        assert_true(monotonic_milliseconds() < deadline);
        client_expect_answer(client, POST, &NOT_ALLOWED);
        line = find_in_log("\"dropped\":");
    }
    while (line[-1] != '{')
        line--;
    assert_int_equal(line[-2], '\n');
    assert_memory_equal(line, "\"time\":", strlen("\"time\":"));
    (void)close(client);
    process_stop(process);
    (void)close(log_file);
}

/* Opens connections that request more than their buffers hold, and resets them once responses have
 * begun to arrive. */
static void reset_during_responses(uint16_t port)
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
        assert_int_equal(recv(clients[i], &byte, 1, MSG_PEEK), 1);
        assert_int_equal(setsockopt(clients[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        assert_int_equal(close(clients[i]), 0);
    }
}

static void reset_connections_leave_nothing_behind(void **state)
{
    enum { ROUNDS = 3 };
    uint16_t port = 0;
    struct process *process = process_serve(ARGUMENTS, &port);
    const int client = client_connect(port);
    const double descriptors = client_read_series(client, "process_open_fds");

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        reset_during_responses(port);
        client_wait_for_series(client, "http_connections_open", 1, 1);
        client_wait_for_series(client, "process_open_fds", descriptors, descriptors);
    }
    assert_true(client_read_series(client, "http_requests_failed_total") == 0);
    client_expect_answer(client, GET("/healthz"), &ALIVE);
    (void)close(client);
    process_stop(process);
}

/* The process is stopped for longer than the request deadline. */
static void answers_requests_that_arrive_while_stopped(void **state)
{
    static const char *const arguments[] = {"--port=0", "--threads=1", "--request-deadline=4s",
                                            NULL};
    enum { CLIENTS = 20, STOPPED_TIME = 4500 };
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
    assert_int_equal(poll(NULL, 0, STOPPED_TIME), 0);
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
        cmocka_unit_test(survives_a_log_that_nobody_reads),
        cmocka_unit_test(survives_a_log_file_at_its_size_limit),
        cmocka_unit_test(reset_connections_leave_nothing_behind),
        cmocka_unit_test(answers_requests_that_arrive_while_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
