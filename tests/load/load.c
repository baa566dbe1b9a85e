/* The load generator of the tests: sends requests and compares every response to the byte, until
 * SIGTERM or SIGINT.
 *
 *     load HOST PORT KEPT NEW RATE [DOCUMENT DEADLINE]
 *
 * KEPT connections are kept open, NEW connections at a time carry one request each. RATE is in
 * requests per second over all connections; 0: as fast as the server responds.
 *
 * Without DOCUMENT all requests are GET /version, and any build may respond: the first response of
 * a version sets the bytes of the others. With it the requests are a mix, and the first wrong
 * response ends the program. DOCUMENT is a file with the body of GET /version, DEADLINE the
 * server's --request-deadline in milliseconds, after which it may close a connection.
 *
 * A request is lost if its response is wrong, if it has none after a minute, or if its connection
 * fails before. Lost requests are not repeated.
 *
 * Prints a line of JSON per second and one at the end, with the totals so far: requests (with a
 * right response), lost, connections, closed (by the server, while idle), overdue (closed at the
 * deadline), latency_ms (from before the connect), versions, kinds (of the mix, by the
 * labels of the metrics). A lost request is a line of its own, in which "lost" is the reason.
 * Exit status: 0; 1 if a request was lost; 2 if the arguments are wrong.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "documents.h"
#include "escape.h"

enum {
    CONNECTIONS_MAX = 1024,
    DEPTH = 5, /* pipelined requests */
    BUFFER_SIZE = 16 * 1024,
    WHEEL = 1000,
    DATE_SIZE = 29,
    VERSIONS_MAX = 8,
    VERSION_SIZE = 64,
    SHOWN_MAX = 2048, /* bytes of a wrong response */
    UNIT = 10 * 1000, /* of latencies, in nanoseconds */
    UNITS = 1000 * 1000
};

static const int64_t MILLISECOND = 1000000;
static const int64_t SECOND = 1000000000;

#define CLOSE "Connection: close\r\n"
#define REQUEST(line) line " HTTP/1.1\r\nHost: load\r\nUser-Agent: load\r\n\r\n"
/* clang-format off */
#define PROBLEM(status, body) {status, TYPE_PROBLEM, NULL, body, false, false}
#define REFUSED(status, body) {status, TYPE_PROBLEM, NULL, body, true, false}
/* clang-format on */

/* Requests and their responses. A body of NULL with a type is the document of /version. The label
 * is that of the metrics: path, method, code. */
static struct row {
    unsigned weight; /* of WHEEL */
    const char *label;
    const char *request;
    struct client_answer response;
} rows[] = {
    /* clang-format off */
    {730, "/version GET 200", REQUEST("GET /version"), {"200 OK", TYPE_JSON, NULL, NULL, false, false}},
    {20, "/__version__ GET 200", REQUEST("GET /__version__"), {"200 OK", TYPE_JSON, NULL, NULL, false, false}},
    {50, "/version HEAD 200", REQUEST("HEAD /version"), {"200 OK", TYPE_JSON, NULL, NULL, false, true}},
    {50, "/healthz GET 200", REQUEST("GET /healthz"), {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, false, false}},
    {50, "/readyz GET 200", REQUEST("GET /readyz"), {"200 OK", TYPE_JSON, NULL, DOCUMENT_READY, false, false}},
    {20, "/version OPTIONS 204", REQUEST("OPTIONS /version"), {"204 No Content", NULL, ALLOW_READ, NULL, false, false}},
    {6, "other OPTIONS 204", REQUEST("OPTIONS *"), {"204 No Content", NULL, ALLOW_READ, NULL, false, false}},
    {40, "other other 501", REQUEST("BREW /nowhere"), PROBLEM("501 Not Implemented", DOCUMENT_NOT_IMPLEMENTED)},
    {20, "/version other 405", REQUEST("POST /version"),
     {"405 Method Not Allowed", TYPE_PROBLEM, ALLOW_READ, DOCUMENT_NOT_ALLOWED, false, false}},
    {10, "/version other 501", REQUEST("BREW /version"), PROBLEM("501 Not Implemented", DOCUMENT_NOT_IMPLEMENTED)},
    /* The server closes the connection after these. */
    {1, "/version GET 400", "GET /version HTTP/1.1\r\nHost: a,b\r\n\r\n", REFUSED("400 Bad Request", DOCUMENT_BAD_HOST)},
    {1, "/version other 400", "GET /version HTTP/1.1\r\nHost : load\r\n\r\n", REFUSED("400 Bad Request", DOCUMENT_REFUSED)},
    {1, "/version other 413", "POST /version HTTP/1.1\r\nHost: load\r\nContent-Length: 5\r\n\r\n",
     REFUSED("413 Content Too Large", DOCUMENT_BODY)},
    {1, "/version GET 200", "GET /version HTTP/1.1\r\nHost: load\r\n" CLOSE "\r\n",
     {"200 OK", TYPE_JSON, NULL, NULL, true, false}},
    /* clang-format on */
};

enum { KINDS = COUNT_OF(rows), KEPT = 0, CLOSED = KINDS - 1 };

struct build {
    char version[VERSION_SIZE];
    char *response;
    uint64_t count;
};

struct client {
    int socket; /* -1: none */
    bool is_kept;
    bool is_closing; /* the last response ends the connection */
    int64_t period;  /* between two requests, nanoseconds */
    int64_t due;     /* when the next request is sent */
    int64_t sent;    /* when the outstanding requests were sent, or the connection begun for them */
    int64_t answered; /* when the last answered requests were sent, or before the connect */
    size_t first;     /* of `outstanding`: the oldest without a response */
    size_t count;
    size_t outstanding[DEPTH]; /* indices of rows */
    size_t used;
    char buffer[BUFFER_SIZE + 1];
};

static struct {
    unsigned long kept;
    unsigned long fresh;
    unsigned long rate;
    const char *document; /* NULL: no mix */
    int64_t deadline;
    struct addrinfo *server;
} options;

static struct client clients[CONNECTIONS_MAX];
static size_t client_count;
static char *expected[KINDS]; /* responses, without CLOSE, their date as in client_receive() */
static uint64_t received[KINDS];
static struct build builds[VERSIONS_MAX];
static size_t wheel[WHEEL];
static int epoll;
static bool is_stopping;

static uint64_t requests;
static uint64_t lost;
static uint64_t connections;
static uint64_t closed;
static uint64_t overdue;
static uint64_t latencies[UNITS];

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(2);
}

static void count_latency(int64_t nanoseconds)
{
    const int64_t unit = nanoseconds / UNIT;

    latencies[unit < UNITS ? unit : UNITS - 1]++;
}

/* Returns the milliseconds within which a share of the responses came. */
static double find_latency(double share)
{
    uint64_t left = (uint64_t)((double)requests * share);
    size_t i = 0;

    while (i < UNITS - 1 && left > latencies[i])
        left -= latencies[i++];
    return (double)(i + 1) * UNIT / (double)MILLISECOND;
}

static void report(void)
{
    (void)printf("{\"time\":%lld,\"requests\":%" PRIu64 ",\"lost\":%" PRIu64
                 ",\"connections\":%" PRIu64 ",\"closed\":%" PRIu64 ",\"overdue\":%" PRIu64
                 ",\"latency_ms\":{",
                 (long long)time(NULL), requests, lost, connections, closed, overdue);
    (void)printf("\"p50\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"max\":%.2f},\"versions\":{",
                 find_latency(0.5), find_latency(0.99), find_latency(0.999), find_latency(1));
    for (size_t i = 0; i < VERSIONS_MAX && builds[i].response != NULL; i++)
        (void)printf("%s\"%s\":%" PRIu64, i > 0 ? "," : "", builds[i].version, builds[i].count);
    (void)printf("},\"kinds\":["); /* two rows may have the same label */
    for (size_t i = 0; options.document != NULL && i < KINDS; i++)
        (void)printf("%s[\"%s\",%" PRIu64 "]", i > 0 ? "," : "", rows[i].label, received[i]);
    (void)puts("]}");
    (void)fflush(stdout);
}

static void print_member(const char *name, const char *value, size_t length)
{
    static char text[6 * SHOWN_MAX + 1];

    (void)escape_bytes(text, sizeof text, value, length < SHOWN_MAX ? length : SHOWN_MAX,
                       ESCAPE_JSON);
    (void)printf(",\"%s\":\"%s\"", name, text);
}

static void disconnect(struct client *client)
{
    if (client->socket >= 0)
        (void)close(client->socket);
    client->socket = -1;
    client->first = client->count = client->used = 0;
    client->is_closing = false;
}

/* Counts the outstanding requests, or a connection that has not ended, as lost. */
static void lose(struct client *client, const char *why)
{
    const bool is_answered = client->first > 0 && client->first == client->count;
    const size_t last = is_answered ? client->first - 1 : client->first;
    const size_t left = client->count - client->first;
    const size_t kind = client->outstanding[last];

    lost += left > 0 ? left : 1;
    (void)printf("{\"time\":%lld", (long long)time(NULL));
    print_member("lost", why, strlen(why));
    (void)printf(",\"connection\":\"%s\",\"ms\":%lld", client->is_kept ? "kept" : "new",
                 (long long)((monotonic_nanoseconds() - client->sent) / MILLISECOND));
    print_member("request", rows[kind].request, strlen(rows[kind].request));
    print_member("received", client->buffer, client->used);
    if (options.document != NULL)
        print_member("expected", expected[kind], strlen(expected[kind]));
    (void)puts("}");
    (void)fflush(stdout);
    if (options.document != NULL)
        exit(1);
    disconnect(client);
}

/* Removes `part` from `text`. Returns false if it is not there. */
static bool cut(char *text, const char *part)
{
    char *at = strstr(text, part);

    if (at != NULL)
        memmove(at, at + strlen(part), strlen(at + strlen(part)) + 1);
    return at != NULL;
}

static void prepare_responses(void)
{
    static char document[4096];
    const int file = options.document == NULL ? -1 : open(options.document, O_RDONLY | O_CLOEXEC);
    size_t slot = 0;

    if (options.document != NULL && read(file, document, sizeof document - 1) <= 0)
        die(options.document);
    for (size_t i = 0; i < KINDS; i++) {
        if (rows[i].response.type != NULL && rows[i].response.body == NULL)
            rows[i].response.body = document;
        expected[i] = client_print_answer(&rows[i].response);
        (void)cut(expected[i], CLOSE);
        for (unsigned n = 0; n < rows[i].weight && slot < WHEEL; n++)
            wheel[slot++] = i;
    }
}

/* A date must be within a minute of now. */
static bool is_date(const char *text)
{
    const time_t now = time(NULL);
    char date[DATE_SIZE + 1] = "";

    for (int i = 0; i <= 120; i++) {
        const time_t at = now + (i % 2 == 0 ? i / 2 : -(i + 1) / 2);

        (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&at));
        if (strncmp(text, date, DATE_SIZE) == 0)
            return true;
    }
    return false;
}

/* Counts a response whose version may be any, if it is that of its build. */
static bool is_of_build(const char *text)
{
    struct client_answer response = rows[KEPT].response;
    const char *member = strstr(text, "\"version\":\"");
    char version[VERSION_SIZE] = "";
    size_t i = 0;

    if (member == NULL || sscanf(member, "\"version\":\"%63[^\"]", version) != 1)
        return false;
    while (i < VERSIONS_MAX && builds[i].response != NULL &&
           strcmp(builds[i].version, version) != 0)
        i++;
    if (i == VERSIONS_MAX)
        return false;
    if (builds[i].response == NULL) {
        response.body = strstr(text, "\r\n\r\n") + 4;
        builds[i].response = client_print_answer(&response);
        memcpy(builds[i].version, version, sizeof version);
    }
    if (strcmp(builds[i].response, text) != 0)
        return false;
    builds[i].count++;
    return true;
}

/* Compares a complete response, which it changes. Without a mix the server may close any
 * connection, as it does while draining. */
static bool is_right(struct client *client, size_t kind, char *text)
{
    const bool closes = rows[kind].response.close;
    char *date = strstr(text, "\r\nDate: ");

    if (date == NULL || !is_date(date + strlen("\r\nDate: ")))
        return false;
    date += strlen("\r\nDate: ");
    memcpy(date, "DATE", 4);
    memmove(date + 4, date + DATE_SIZE, strlen(date + DATE_SIZE) + 1);
    client->is_closing = cut(text, CLOSE);
    if (client->is_closing != closes && (closes || options.document != NULL))
        return false;
    received[kind]++;
    return options.document == NULL ? is_of_build(text) : strcmp(text, expected[kind]) == 0;
}

/* Returns the size of the response at the start of `text`, or 0 if it is not complete. */
static size_t measure(const char *text, size_t kind)
{
    const char *end = strstr(text, "\r\n\r\n");
    const char *length = strstr(text, "\r\nContent-Length: ");
    size_t size = 0;

    if (end == NULL)
        return 0;
    size = (size_t)(end - text) + 4;
    if (length != NULL && length < end && !rows[kind].response.is_head)
        size += strtoul(length + strlen("\r\nContent-Length: "), NULL, 10);
    return size <= strlen(text) ? size : 0;
}

/* xorshift: the same sequence in every run. */
static uint32_t draw(uint32_t below)
{
    static uint32_t state = 2463534242;

    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % below;
}

static size_t draw_kind(const struct client *client)
{
    if (options.document == NULL)
        return client->is_kept ? KEPT : CLOSED;
    if (!client->is_kept && draw(2) == 0)
        return CLOSED;
    return wheel[draw(WHEEL)];
}

static void watch(struct client *client, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};

    if (epoll_ctl(epoll, operation, client->socket, &event) != 0)
        die("epoll_ctl");
}

static void send_requests(struct client *client)
{
    char text[DEPTH * 128] = "";
    size_t length = 0;

    for (size_t i = 0; i < client->count; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s",
                                   rows[client->outstanding[i]].request);
    /* If it fails, the connection has ended, which on_bytes() finds. */
    (void)send(client->socket, text, length, MSG_NOSIGNAL);
}

/* Draws the next requests, of which only the last may close the connection, and sends them. */
static void start(struct client *client)
{
    const size_t depth = options.document != NULL && client->is_kept && draw(8) == 0 ? DEPTH : 1;
    const int64_t now = monotonic_nanoseconds();
    const int on = 1;

    client->sent = now;
    client->due += client->period;
    if (client->due < now) /* requests that were missed do not come in a burst */
        client->due = now;
    do {
        client->outstanding[client->count++] = draw_kind(client);
    } while (client->count < depth && !rows[client->outstanding[client->count - 1]].response.close);
    if (client->socket >= 0) {
        send_requests(client);
        return;
    }
    connections++;
    client->answered = now;
    client->socket =
        socket(options.server->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->socket < 0)
        die("socket");
    (void)setsockopt(client->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(client->socket, options.server->ai_addr, options.server->ai_addrlen) != 0 &&
        errno != EINPROGRESS)
        lose(client, strerror(errno));
    else
        watch(client, EPOLL_CTL_ADD, EPOLLOUT);
}

/* Sends the next requests if they are due. */
static void go_on(struct client *client)
{
    if (is_stopping)
        disconnect(client);
    else if (client->due <= monotonic_nanoseconds())
        start(client);
}

static void on_end(struct client *client, const char *why)
{
    const int64_t held = monotonic_nanoseconds() - client->answered;

    if (client->count == 0)
        closed++;
    else if (client->first == client->count)
        ; /* after the response that said so */
    else if (options.document != NULL && held >= options.deadline)
        overdue++;
    else
        lose(client, why);
    disconnect(client);
    go_on(client);
}

/* Takes the complete responses off the buffer. Returns false if one was wrong. */
static bool take_responses(struct client *client)
{
    static char text[BUFFER_SIZE + 1];

    while (client->first < client->count) {
        const size_t kind = client->outstanding[client->first];
        const size_t size = measure(client->buffer, kind);

        if (size == 0)
            return true;
        memcpy(text, client->buffer, size);
        text[size] = '\0';
        if (!is_right(client, kind, text))
            return false;
        requests++;
        count_latency(monotonic_nanoseconds() - client->sent);
        client->first++;
        client->used -= size;
        memmove(client->buffer, client->buffer + size, client->used + 1);
    }
    return client->used == 0;
}

static void on_bytes(struct client *client)
{
    const ssize_t n =
        recv(client->socket, client->buffer + client->used, BUFFER_SIZE - client->used, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        on_end(client, n == 0 ? "the connection ended before the response" : strerror(errno));
        return;
    }
    client->used += (size_t)n;
    client->buffer[client->used] = '\0';
    if (!take_responses(client)) {
        lose(client, "wrong response");
    } else if (client->first == client->count && !client->is_closing) {
        client->answered = client->sent;
        client->first = client->count = 0;
        if (!client->is_kept)
            disconnect(client);
        go_on(client);
    }
}

/* Sends what is due, and gives up on what is late. */
static bool turn(void)
{
    const int64_t now = monotonic_nanoseconds();
    bool is_busy = false;

    for (size_t i = 0; i < client_count; i++) {
        struct client *client = &clients[i];

        if (client->count == 0)
            go_on(client);
        else if (now - client->sent > PATIENCE * MILLISECOND)
            lose(client,
                 client->first < client->count ? "no response" : "no end of the connection");
        is_busy = is_busy || client->count > 0;
    }
    return is_busy;
}

static void on_event(struct client *client, uint32_t events)
{
    if (client == NULL) {
        is_stopping = true;
    } else if ((events & (EPOLLOUT | EPOLLERR)) == EPOLLOUT) {
        watch(client, EPOLL_CTL_MOD, EPOLLIN);
        send_requests(client);
    } else if (client->socket >= 0) {
        on_bytes(client);
    }
}

static void run(void)
{
    struct epoll_event events[128];
    int64_t reported = monotonic_nanoseconds();

    while (turn() || !is_stopping) {
        const int count = epoll_wait(epoll, events, COUNT_OF(events), options.rate > 0 ? 1 : 1000);

        for (int i = 0; i < count; i++)
            on_event(events[i].data.ptr, events[i].events);
        if (monotonic_nanoseconds() > reported + SECOND) {
            report();
            reported += SECOND;
        }
    }
    report();
}

static void parse_arguments(int argc, char **argv)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int error = 0;

    if (argc == 6 || argc == 8) {
        options.kept = strtoul(argv[3], NULL, 10);
        options.fresh = strtoul(argv[4], NULL, 10);
        options.rate = strtoul(argv[5], NULL, 10);
    }
    if (argc == 8) {
        options.document = argv[6];
        options.deadline = strtol(argv[7], NULL, 10) * MILLISECOND;
    }
    if (options.kept + options.fresh < 1 || options.kept + options.fresh > CONNECTIONS_MAX) {
        (void)fputs("usage: load HOST PORT KEPT NEW RATE [DOCUMENT DEADLINE]\n", stderr);
        exit(2);
    }
    error = getaddrinfo(argv[1], argv[2], &hints, &options.server);
    if (error != 0) {
        (void)fprintf(stderr, "load: %s: %s\n", argv[1], gai_strerror(error));
        exit(2);
    }
}

/* Spreads the first requests over the time between two of a connection. */
static void prepare_clients(void)
{
    const int64_t now = monotonic_nanoseconds();

    client_count = options.kept + options.fresh;
    for (size_t i = 0; i < client_count; i++) {
        struct client *client = &clients[i];

        client->socket = -1;
        client->is_kept = i < options.kept;
        client->due = now;
        if (options.rate > 0) {
            client->period = SECOND * (int64_t)client_count / (int64_t)options.rate;
            client->due += client->period * (int64_t)i / (int64_t)client_count;
        }
    }
}

int main(int argc, char **argv)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    sigset_t signals;
    int stop = -1;

    parse_arguments(argc, argv);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    stop = signalfd(-1, &signals, SFD_CLOEXEC);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, stop, &event) != 0)
        die("signalfd, epoll");
    prepare_responses();
    prepare_clients();
    run();
    return lost > 0;
}
