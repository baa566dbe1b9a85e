/* The floor of `make bench`: what a server of this kind costs when it does nothing but the kernel's
 * part. It waits with epoll, reads, and writes the same bytes again; of a request it only looks at
 * the last four bytes. It is no server to use.
 *
 *     floor PORT THREADS ANSWER
 *
 * ANSWER is a file with a whole HTTP response. Each thread has an epoll of its own, with the one
 * listening socket in it, as versiond's have. It serves 127.0.0.1 until it is killed. Exit status:
 * 1 when something failed, 2 for wrong arguments.
 */
#include "parse.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static char answer[4096];
static size_t answer_length;
static int listener;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Reads the answer. A full buffer may have cut it. */
static void read_answer(const char *path)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL)
        fail(path);
    answer_length = fread(answer, 1, sizeof(answer), file);
    if (answer_length == 0 || answer_length == sizeof(answer)) {
        fprintf(stderr, "floor: %s: not an answer of less than %zu bytes\n", path, sizeof(answer));
        exit(1);
    }
    fclose(file);
}

static void listen_on(uint32_t port)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;

    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        fail("socket");
    if (bind(listener, (const struct sockaddr *)&address, sizeof(address)) != 0)
        fail("bind");
    if (listen(listener, SOMAXCONN) != 0)
        fail("listen");
}

static void watch(int epoll, int descriptor, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = descriptor};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0)
        fail("epoll_ctl");
}

/* Another thread may have been faster: then there is none to accept. */
static void accept_one(int epoll)
{
    const int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (client >= 0)
        watch(epoll, client, EPOLLIN);
}

/* A request comes in one piece here. What is anything else ends the connection, and so the
 * measurement. */
static void serve(int client)
{
    char request[4096];
    const ssize_t got = read(client, request, sizeof(request));

    if (got < 4 || memcmp(request + got - 4, "\r\n\r\n", 4) != 0 ||
        write(client, answer, answer_length) != (ssize_t)answer_length)
        close(client);
}

static void *run(void *unused)
{
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[64];

    (void)unused;
    if (epoll < 0)
        fail("epoll_create1");
    watch(epoll, listener, EPOLLIN | EPOLLEXCLUSIVE);
    for (;;) {
        const int count = epoll_wait(epoll, events, 64, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_one(epoll);
            else
                serve(events[i].data.fd);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    uint32_t port = 0;
    uint32_t threads = 0;

    if (argc != 4 || !parse_number(argv[1], 1, 65535, &port) ||
        !parse_number(argv[2], 1, 256, &threads)) {
        fputs("usage: floor PORT THREADS ANSWER\n", stderr);
        return 2;
    }
    read_answer(argv[3]);
    listen_on(port);
    for (uint32_t i = 1; i < threads; i++) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, run, NULL) != 0)
            fail("pthread_create");
    }
    run(NULL);
}
