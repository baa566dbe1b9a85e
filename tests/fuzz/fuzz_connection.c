/* wraps: epoll_wait */
/* Input: the number of cuts ('0' to '7', by its low bits), for each a byte with the length of the
 * part before it, then all that a client sends. The server is the real one, with one thread. It
 * listens on a Unix socket, where the kernel reports how many bytes a server has not read yet, so
 * that each part is sent when the server has processed the one before, and an input always has the
 * same result. Expected, in addition to responses.h: the same bytes uncut get the same responses;
 * the connection closes after a response with "Connection: close", and otherwise with the client's
 * end; each line of the access log is an object and belongs to a response, in the same order; the
 * next client is served. */
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

#include <cjson/cJSON.h>

#include "config.h"
#include "fuzz.h"
#include "handlers.h"
#include "log.h"
#include "metrics.h"
#include "responses.h"
#include "server.h"
#include "usage.h"

enum { PATIENCE = 20 * 1000, LOG_ROOM = 64 * 1024, INPUT_MAX = 64 * 1024 };

/* The server, which runs until the process exits. */
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
    int log_end; /* the end of a pipe to read the log from */
} world;

/* True while the server's thread waits for events. `idled` becomes readable each time it starts to
 * wait. */
static atomic_bool is_idle;
static int idled = -1;

int __real_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout);

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout)
{
    const uint64_t one = 1;
    int result = __real_epoll_wait(epoll, events, count, 0);

    if (result != 0 || timeout == 0)
        return result;
    atomic_store(&is_idle, true);
    (void)!write(idled, &one, sizeof one);
    result = __real_epoll_wait(epoll, events, count, timeout);
    atomic_store(&is_idle, false);
    return result;
}

/* Frees everything, so that a leak is reported. */
static void end_world(void)
{
    server_stop(world.server);
    handlers_free(world.handlers);
    metrics_free(world.metrics);
    usage_close(&world.usage);
}

/* Listens on a name that the kernel chooses. */
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
    };
    char *const *words = (char *const *)(uintptr_t)arguments; /* config_read() changes none */
    char error[CONFIG_ERROR_MAX] = "";
    int log_ends[2] = {-1, -1};

    expect(config_read(&world.config, sizeof arguments / sizeof *arguments, words, error),
           "settings");
    expect(pipe2(log_ends, O_CLOEXEC | O_NONBLOCK) == 0, "a pipe");
    world.log_end = log_ends[0];
    log_init(&world.log, log_ends[1], LOG_FORMAT_JSON, LOG_INFO);
    world.info = build_info_get();
    usage_open(&world.usage, "/proc/self", 1024);
    world.metrics =
        metrics_create(&(const struct metrics_parts){&world.info, &world.log, &world.usage, 1, 8});
    world.handlers = handlers_create(&(const struct route_context){&world.info, world.metrics},
                                     world.config.base_path, 1);
    idled = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    expect(world.metrics != NULL && world.handlers != NULL && idled >= 0, "memory");
    world.server = server_start(&(const struct server_parts){
        &world.config, world.handlers, &world.log, world.metrics, start_listening(), false});
    expect(world.server != NULL, "a server");
    responses_init(&world.info);
    expect(atexit(end_world) == 0, "memory");
}

/* A connection, and all that was received on it. */
struct client {
    int socket;
    bool is_closed;
    size_t length;
    char bytes[4 * 1024 * 1024 + 1];
};

static void receive(struct client *client)
{
    while (!client->is_closed) {
        const ssize_t n = recv(client->socket, client->bytes + client->length,
                               sizeof client->bytes - 1 - client->length, 0);

        expect(client->length < sizeof client->bytes - 1, "fewer bytes");
        if (n < 0 && errno == EAGAIN)
            return;
        client->is_closed = n <= 0;
        client->length += n > 0 ? (size_t)n : 0;
    }
}

/* Waits until the server goes idle or the socket is readable, and receives what is there.
 * libFuzzer's timer may interrupt it. */
static void await(struct client *client)
{
    struct pollfd ready[] = {{.fd = idled, .events = POLLIN},
                             {.fd = client->is_closed ? -1 : client->socket, .events = POLLIN}};
    uint64_t times = 0;

    expect(poll(ready, 2, PATIENCE) > 0 || errno == EINTR, "a server that makes progress");
    (void)!read(idled, &times, sizeof times);
    receive(client);
}

/* Returns true if the server waits for events and has read everything. The order of the questions
 * matters: an idle server without unread bytes became idle after it had read them. */
static bool is_settled(const struct client *client)
{
    int unread = 0;

    expect(ioctl(client->socket, SIOCOUTQ, &unread) == 0, "the number of unread bytes");
    return unread == 0 && atomic_load(&is_idle);
}

static void settle(struct client *client)
{
    while (!is_settled(client))
        await(client);
    receive(client);
}

/* Sends bytes in parts of the lengths in `cuts`, then the rest, and reads the responses. The
 * connection must be closed after "Connection: close", and otherwise once the client has closed its
 * side. */
static void converse(struct client *client, const uint8_t *cuts, size_t count, const char *bytes,
                     size_t length, struct responses *responses)
{
    client->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    client->is_closed = false;
    client->length = 0;
    expect(connect(client->socket, (const struct sockaddr *)&world.address, world.address_size) ==
               0,
           "a connection");
    for (size_t i = 0; i <= count; i++) {
        const size_t part = i < count && cuts[i] < length ? cuts[i] : length;

        if (!client->is_closed)
            expect(send(client->socket, bytes, part, MSG_NOSIGNAL) == (ssize_t)part ||
                       errno == EPIPE,
                   "a part that fits the buffer of the socket");
        bytes += part;
        length -= part;
        settle(client);
    }
    client->bytes[client->length] = '\0';
    responses_read(client->bytes, client->length, responses);
    if (responses->count > 0 && responses->items[responses->count - 1].is_closing)
        expect(client->is_closed, "a closed connection after \"Connection: close\"");
    (void)shutdown(client->socket, SHUT_WR);
    while (!client->is_closed)
        await(client);
    settle(client);
    (void)close(client->socket);
}

/* Counts the responses to requests that libmicrohttpd could parse. It rejects others with a
 * response, or without one if they hardly look like HTTP; which of them, and with which status,
 * depends on what it has received so far. */
static size_t count_parsed(const struct responses *responses)
{
    const size_t count = responses->count;

    return count > 0 && responses->items[count - 1].is_refusal ? count - 1 : count;
}

static void expect_same(const struct responses *a, const struct responses *b)
{
    const size_t count = count_parsed(a);

    expect(count == count_parsed(b), "the same number of responses, regardless of cuts");
    for (size_t i = 0; i < count; i++)
        expect(a->items[i].status == b->items[i].status &&
                   a->items[i].length == b->items[i].length &&
                   a->items[i].is_head == b->items[i].is_head,
               "the same responses, regardless of cuts");
}

static void judge_next_client(struct client *client)
{
    static const char requests[] = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
                                   "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    static struct responses responses;

    converse(client, NULL, 0, requests, sizeof requests - 1, &responses);
    expect(responses.count == 2 && responses.items[0].status == 200 &&
               responses.items[1].status == 200 && responses.items[1].is_closing,
           "two responses for the next client");
}

/* Expects each line that a connection has left in the access log to belong to a response. */
static void judge_log(const struct responses *responses)
{
    static char lines[LOG_ROOM + 1];
    const ssize_t n = read(world.log_end, lines, sizeof lines - 1);
    size_t i = 0;

    lines[n > 0 ? n : 0] = '\0';
    for (char *line = lines, *end = NULL; *line != '\0'; line = end + 1) {
        cJSON *object = NULL;
        const cJSON *status = NULL;

        end = strchr(line, '\n');
        expect(end != NULL, "whole lines");
        *end = '\0';
        object = cJSON_ParseWithOpts(line, NULL, true);
        status = cJSON_GetObjectItem(object, "status");
        expect(fuzz_is_printable(line) && cJSON_GetArraySize(object) >= 9 && status != NULL,
               "a line of the access log");
        while (i < responses->count && (int)responses->items[i].status != status->valueint)
            i++;
        expect(i++ < responses->count, "a response for each line");
        cJSON_Delete(object);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct client client;
    static struct responses cut;
    static struct responses uncut;
    size_t count = size > 0 ? data[0] & 7U : 0;
    char *bytes = NULL;

    if (world.server == NULL)
        start_world();
    if (size < 1 + count || size > INPUT_MAX)
        return 0;
    size -= 1 + count;
    bytes = fuzz_bytes(data + 1 + count, size);
    converse(&client, data + 1, count, bytes, size, &cut);
    judge_log(&cut);
    responses_compare(&cut, bytes, size);
    converse(&client, NULL, 0, bytes, size, &uncut);
    judge_log(&uncut);
    expect_same(&cut, &uncut);
    judge_next_client(&client);
    free(bytes);
    return 0;
}
