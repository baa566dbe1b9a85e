/* wraps: epoll_wait */
/* Input: how many cuts ('0' to '7', by its low bits), a byte for each that says how many bytes come
 * before it, then all that a client sends. The server is the real one, with one thread; it listens
 * on a Unix socket, where the kernel says how much a server has read. So each part is sent when the
 * server has done all it can with the one before, and no two runs differ.
 * Expected, beside what answers.h says of each answer: the same bytes uncut get the same answers;
 * the connection ends after an answer that says so, without the client's doing, and else with the
 * client's end; each line of the access log is an object, for one of the answers, in their order;
 * and the next client gets its answers. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "answers.h"
#include "config.h"
#include "fuzz.h"
#include "handlers.h"
#include "log.h"
#include "metrics.h"
#include "server.h"
#include "usage.h"

enum { PATIENCE = 20 * 1000, LOG_ROOM = 64 * 1024 };

/* The server, which lives as long as the process. */
static struct {
    struct sockaddr_un address;
    socklen_t address_size;
    struct config config;
    struct build_info info;
    struct usage usage;
    struct log log;
    struct metrics *metrics;
    struct handlers *handlers;
    struct server *server;
    int log_end; /* what the server has logged is read there */
} world;

/* Whether the server's thread waits for something to happen; each time that it begins to, `woken`
 * can be read. */
static atomic_bool is_idle;
static int woken = -1;

int __real_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout);

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout)
{
    const uint64_t one = 1;
    int result = __real_epoll_wait(epoll, events, count, 0);

    if (result != 0 || timeout == 0)
        return result;
    atomic_store(&is_idle, true);
    (void)!write(woken, &one, sizeof one);
    result = __real_epoll_wait(epoll, events, count, timeout);
    atomic_store(&is_idle, false);
    return result;
}

/* So that what is still allocated at the end is a leak. */
static void end_world(void)
{
    server_stop(world.server);
    handlers_free(world.handlers);
    metrics_free(world.metrics);
    usage_close(&world.usage);
}

static void start_log(void)
{
    int ends[2] = {-1, -1};

    expect(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0, "a pipe");
    world.log_end = ends[0];
    log_init(&world.log, ends[1], LOG_FORMAT_JSON, LOG_INFO);
}

/* The kernel picks a name. */
static int start_listening(void)
{
    const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    world.address.sun_family = AF_UNIX;
    world.address_size = sizeof world.address;
    expect(listener >= 0 &&
               bind(listener, (const struct sockaddr *)&world.address, sizeof(sa_family_t)) == 0 &&
               getsockname(listener, (struct sockaddr *)&world.address, &world.address_size) == 0 &&
               listen(listener, 8) == 0,
           "a socket");
    return listener;
}

static void start_world(void)
{
    static const char *const arguments[] = {
        "versiond",
        "--threads=1",
        "--max-connections=8",
        "--request-deadline=10m",
        "--base-path=/some/prefix",
        "--access-log=all",
        "--access-log-rate=0",
        "--trusted-proxies=::/0",
    };
    /* It changes none of them. */
    char *const *words = (char *const *)(uintptr_t)arguments;
    char error[512] = "";

    expect(config_read(&world.config, sizeof arguments / sizeof *arguments, words, error,
                       sizeof error) == 0,
           "settings");
    start_log();
    world.info = build_info_get();
    usage_open(&world.usage, "/proc/self", 1024);
    world.metrics =
        metrics_create(&(const struct metrics_parts){&world.info, &world.log, &world.usage, 1, 8});
    world.handlers = handlers_create(&world.info, world.config.base_path, world.metrics);
    woken = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    expect(world.metrics != NULL && world.handlers != NULL && woken >= 0, "memory");
    world.server = server_start(&(const struct server_parts){
        &world.config, world.handlers, &world.log, world.metrics, start_listening(), false});
    expect(world.server != NULL, "a server");
    answers_init(&world.info, world.config.base_path);
    expect(atexit(end_world) == 0, "memory");
}

/* A connection, and what came on it. */
struct client {
    int socket;
    bool is_closed;
    struct bytes got;
};

static void open_client(struct client *client)
{
    client->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    client->is_closed = false;
    client->got.length = 0;
    expect(client->socket >= 0 && connect(client->socket, (const struct sockaddr *)&world.address,
                                          world.address_size) == 0,
           "a connection");
}

/* Waits until something can be read. libFuzzer's clock interrupts. */
static void await(struct pollfd *ready, nfds_t count)
{
    const int result = poll(ready, count, PATIENCE);

    expect(result > 0 || (result < 0 && errno == EINTR), "a server that goes on");
}

static void receive(struct client *client)
{
    for (;;) {
        struct bytes *got = &client->got;
        const ssize_t n =
            recv(client->socket, got->bytes + got->length, sizeof got->bytes - got->length, 0);

        expect(got->length < sizeof got->bytes, "answers that are not larger than the room");
        if (n < 0 && errno == EAGAIN)
            return;
        client->is_closed = n <= 0;
        if (n <= 0)
            return;
        got->length += (size_t)n;
    }
}

/* Waits until the server has read all, has done what it can with it, and all that it sent is here.
 */
static void settle(struct client *client)
{
    for (;;) {
        struct pollfd ready[] = {{.fd = woken, .events = POLLIN},
                                 {.fd = client->is_closed ? -1 : client->socket, .events = POLLIN}};
        uint64_t times = 0;
        int unread = 0;

        /* In this order: an idle server that has read all was idle after it had read it. */
        expect(ioctl(client->socket, SIOCOUTQ, &unread) == 0, "the number of bytes not read");
        if (unread == 0 && atomic_load(&is_idle)) {
            if (!client->is_closed)
                receive(client);
            return;
        }
        await(ready, 2);
        (void)!read(woken, &times, sizeof times);
        if (!client->is_closed)
            receive(client);
    }
}

/* A server that has ended the connection need not take it. */
static void send_part(struct client *client, const char *bytes, size_t length)
{
    while (length > 0 && !client->is_closed) {
        const ssize_t n = send(client->socket, bytes, length, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN)
            break;
        bytes += n > 0 ? n : 0;
        length -= n > 0 ? (size_t)n : 0;
        settle(client);
    }
    settle(client);
}

/* Ends the connection, on the client's side first unless it should have ended already. */
static void close_client(struct client *client, bool should_be_closed)
{
    if (should_be_closed)
        expect(client->is_closed, "the connection ends after an answer that says so");
    (void)shutdown(client->socket, SHUT_WR);
    while (!client->is_closed) {
        struct pollfd ready = {.fd = client->socket, .events = POLLIN};

        await(&ready, 1);
        receive(client);
    }
    settle(client);
    (void)close(client->socket);
}

/* Sends the bytes in parts of the lengths that `cuts` has, and the rest. */
static void converse(struct client *client, const uint8_t *cuts, size_t count, const char *bytes,
                     size_t length, struct answers *answers)
{
    open_client(client);
    for (size_t i = 0; i < count; i++) {
        const size_t part = cuts[i] < length ? cuts[i] : length;

        send_part(client, bytes, part);
        bytes += part;
        length -= part;
    }
    send_part(client, bytes, length);
    answers_read(&client->got, answers);
    close_client(client, answers->is_closing);
}

/* What the library cannot parse it refuses with an answer, or without one when it hardly looks like
 * HTTP; which, and with which status, it decides by what has come so far. */
static size_t count_parsed(const struct answers *answers)
{
    const size_t count = answers->count;

    return count > 0 && answers_is_refusal(&answers->items[count - 1]) ? count - 1 : count;
}

static void expect_same(const struct answers *a, const struct answers *b)
{
    const size_t count = count_parsed(a);

    expect(count == count_parsed(b), "as many answers, however the bytes are cut");
    for (size_t i = 0; i < count; i++)
        expect(a->items[i].document == b->items[i].document &&
                   a->items[i].is_head == b->items[i].is_head,
               "the same answers, however the bytes are cut");
}

static void judge_next_client(struct client *client)
{
    static const char requests[] = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
                                   "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    static struct answers answers;

    converse(client, NULL, 0, requests, sizeof requests - 1, &answers);
    expect(answers.count == 2 && answers.is_closing && answers_is_alive(&answers.items[0]) &&
               answers_is_alive(&answers.items[1]),
           "the next client is told twice that all is well");
}

/* Moves `*i` behind the next answer that has the status of the line. Returns false when none has.
 */
static bool find_logged(const char *line, const struct answers *answers, size_t *i)
{
    size_t length = 0;
    const char *status = fuzz_find_member(line, "status", &length);

    expect(status != NULL, "a status");
    for (size_t at = *i; at < answers->count; at++) {
        if (answers->items[at].status == strtoul(status, NULL, 10)) {
            *i = at + 1;
            return true;
        }
    }
    return false;
}

/* Judges the lines that a connection has left: none is for an answer that was never sent. */
static void judge_log(const struct answers *answers)
{
    static char lines[LOG_ROOM + 1];
    const ssize_t n = read(world.log_end, lines, sizeof lines - 1);
    size_t i = 0;

    lines[n > 0 ? n : 0] = '\0';
    for (char *line = lines, *end = NULL; *line != '\0'; line = end) {
        char *copy = NULL;

        end = strchr(line, '\n');
        expect(end != NULL, "whole lines");
        copy = fuzz_text(line, (size_t)(++end - line));
        expect(fuzz_read_object(copy, false) >= 9, "a line of the log");
        expect(find_logged(copy, answers, &i), "a line for an answer");
        free(copy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct client client;
    static struct answers cut;
    static struct answers uncut;
    size_t count = size > 0 ? data[0] & 7U : 0;
    char *bytes = NULL;

    if (world.server == NULL)
        start_world();
    if (size < 1 + count)
        return 0;
    size -= 1 + count;
    bytes = fuzz_bytes(data + 1 + count, size);
    converse(&client, data + 1, count, bytes, size, &cut);
    judge_log(&cut);
    answers_compare_with_request(&cut, bytes, size);
    converse(&client, NULL, 0, bytes, size, &uncut);
    judge_log(&uncut);
    expect_same(&cut, &uncut);
    judge_next_client(&client);
    free(bytes);
    return 0;
}
