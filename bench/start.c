/* Measures how long a server takes to start: from before the fork until the first bytes of a 200
 * are read.
 *
 *     start LOG PORT COUNT COMMAND [ARGUMENT]...
 *
 * Runs COMMAND, which is to serve 127.0.0.1:PORT, COUNT times, with its output in the file LOG.
 * Asks it for /version without a pause until it answers, ends it, and prints the microseconds that
 * each start took, one a line. The asking costs some ten microseconds a try, and a CPU of its own:
 * with one CPU the figures are too high. Exit status: 1 when a start failed or took more than half
 * a minute, 2 for wrong arguments.
 */
#include "parse.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24 /* of <linux/in.h> */
#endif

enum { LONGEST = 30 * 1000 * 1000 };

/* The server of this moment, for on_signal; 0 when there is none. */
static volatile pid_t server;

static long long now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (long long)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/* Whoever ends this ends the server, too. */
static void on_signal(int signal)
{
    if (server > 0)
        kill(-server, SIGTERM);
    _exit(128 + signal);
}

/* Starts COMMAND as the leader of a process group of its own, with its output in `log`. Returns 0
 * or an error. */
static int spawn(int log, char **command)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    int error = posix_spawnattr_init(&attributes);

    if (error != 0)
        return error;
    error = posix_spawn_file_actions_init(&actions);
    if (error != 0)
        return error;
    error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&actions, log, STDOUT_FILENO);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&actions, log, STDERR_FILENO);
    if (error == 0)
        error = posix_spawnp(&pid, command[0], &actions, &attributes, command, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    server = pid;
    return error;
}

static struct sockaddr_in local(uint32_t address, uint32_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(address)};
}

/* Returns a socket whose address is another than the server's: among so many tries one would else
 * be given the server's own port, and be connected to itself. */
static int open_client(void)
{
    const struct sockaddr_in source = local(INADDR_LOOPBACK + 1, 0);
    const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;

    if (client >= 0 &&
        (setsockopt(client, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) != 0 ||
         bind(client, (const struct sockaddr *)&source, sizeof(source)) != 0)) {
        close(client);
        return -1;
    }
    return client;
}

/* Returns whether the answer on `client`, to a request that is sent, begins with a 200. */
static bool exchange(int client)
{
    static const char request[] =
        "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    char answer[sizeof("HTTP/1.1 200") - 1];

    return send(client, request, sizeof(request) - 1, MSG_NOSIGNAL) ==
               (ssize_t)sizeof(request) - 1 &&
           recv(client, answer, sizeof(answer), MSG_WAITALL) == (ssize_t)sizeof(answer) &&
           memcmp(answer + sizeof("HTTP/1.1"), "200", 3) == 0;
}

/* Returns whether the server has answered 200 on a connection of its own. */
static bool ask(uint32_t port)
{
    const struct sockaddr_in address = local(INADDR_LOOPBACK, port);
    const int client = open_client();
    bool is_answer = false;

    if (client < 0)
        return false;
    if (connect(client, (const struct sockaddr *)&address, sizeof(address)) == 0)
        is_answer = exchange(client);
    close(client);
    return is_answer;
}

/* Kills the server and its workers, and waits for each: this process is their subreaper. How a
 * server stops is not measured here, and some lose a SIGTERM that comes while they start. */
static void stop(void)
{
    kill(-server, SIGKILL);
    while (waitpid(-server, NULL, 0) > 0)
        ;
    server = 0;
}

/* Returns the microseconds of a start, or -1. */
static long long start(int log, uint32_t port, char **command)
{
    const long long started = now();
    long long took = 0;
    const int error = spawn(log, command);

    if (error != 0) {
        fprintf(stderr, "start: %s: %s\n", command[0], strerror(error));
        return -1;
    }
    while (!ask(port)) {
        if (waitpid(server, NULL, WNOHANG) != 0) {
            server = 0;
            fputs("start: it has ended\n", stderr);
            return -1;
        }
        if (now() - started > LONGEST) {
            fputs("start: it does not answer 200\n", stderr);
            stop();
            return -1;
        }
    }
    took = now() - started;
    stop();
    return took;
}

int main(int argc, char **argv)
{
    uint32_t port = 0;
    uint32_t count = 0;
    int log = -1;

    if (argc < 5 || !parse_number(argv[2], 1, 65535, &port) ||
        !parse_number(argv[3], 1, 1000000, &count)) {
        fputs("usage: start LOG PORT COUNT COMMAND [ARGUMENT]...\n", stderr);
        return 2;
    }
    log = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (log < 0) {
        perror(argv[1]);
        return 1;
    }
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
        perror("start: PR_SET_CHILD_SUBREAPER");
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    for (uint32_t i = 0; i < count; i++) {
        const long long took = start(log, port, argv + 4);

        if (took < 0)
            return 1;
        printf("%lld\n", took);
    }
    return 0;
}
