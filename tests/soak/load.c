/* The load of `make soak`: asks without a pause and compares every answer to the byte, until its
 * standard input ends.
 *
 *     load PORT MODE CONNECTIONS DEADLINE DOCUMENT
 *
 * MODE is "keep" (connections are kept as long as the server keeps them) or "fresh" (one for each
 * request). On those that are kept a few requests are sent at once now and then, else one. DEADLINE
 * is the server's --request-deadline in milliseconds, DOCUMENT a file with its answer to /version.
 *
 * At the end it prints what it has seen, as JSON. Exit status: 0; 1 when an answer was wrong, or a
 * request got none although the server had no right to close the connection.
 */
#include "test.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "documents.h"

enum { CONNECTIONS_MAX = 1024, DEPTH = 5, BUFFER = 16 * 1024, WHEEL = 1000, DATE_SIZE = 29 };

#define ASK(line) line " HTTP/1.1\r\nHost: soak\r\nUser-Agent: soak\r\n\r\n"
/* clang-format off */
#define PROBLEM(status, body) {status, TYPE_PROBLEM, NULL, body, false, false}
#define REFUSED(status, body) {status, TYPE_PROBLEM, NULL, body, true, false}
/* clang-format on */

/* What is asked, and what must be answered. A body of NULL with a type is that of DOCUMENT. The
 * label is how the metrics name it: path, method, code. */
static struct row {
    unsigned weight; /* of WHEEL */
    const char *label;
    const char *request;
    struct client_answer answer;
} rows[] = {
    /* clang-format off */
    {730, "/version GET 200", ASK("GET /version"), {"200 OK", TYPE_JSON, NULL, NULL, false, false}},
    {20, "/__version__ GET 200", ASK("GET /__version__"), {"200 OK", TYPE_JSON, NULL, NULL, false, false}},
    {50, "/version HEAD 200", ASK("HEAD /version"), {"200 OK", TYPE_JSON, NULL, NULL, false, true}},
    {50, "/healthz GET 200", ASK("GET /healthz"), {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, false, false}},
    {50, "/readyz GET 200", ASK("GET /readyz"), {"200 OK", TYPE_JSON, NULL, DOCUMENT_READY, false, false}},
    {20, "/version OPTIONS 204", ASK("OPTIONS /version"), {"204 No Content", NULL, ALLOW_READ, NULL, false, false}},
    {6, "other OPTIONS 204", ASK("OPTIONS *"), {"204 No Content", NULL, ALLOW_READ, NULL, false, false}},
    {40, "other GET 404", ASK("GET /nowhere"), PROBLEM("404 Not Found", DOCUMENT_NOT_FOUND)},
    {20, "/version other 405", ASK("POST /version"),
     {"405 Method Not Allowed", TYPE_PROBLEM, ALLOW_READ, DOCUMENT_NOT_ALLOWED, false, false}},
    {10, "/version other 501", ASK("BREW /version"), PROBLEM("501 Not Implemented", DOCUMENT_NOT_IMPLEMENTED)},
    /* These end their connections. */
    {1, "/version GET 400", "GET /version HTTP/1.1\r\nHost: a,b\r\n\r\n", REFUSED("400 Bad Request", DOCUMENT_BAD_HOST)},
    {1, "/version other 400", "GET /version HTTP/1.1\r\nHost : soak\r\n\r\n", REFUSED("400 Bad Request", DOCUMENT_REFUSED)},
    {1, "/version other 413", "POST /version HTTP/1.1\r\nHost: soak\r\nContent-Length: 5\r\n\r\n",
     REFUSED("413 Content Too Large", DOCUMENT_BODY)},
    {1, "/version GET 200", "GET /version HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n",
     {"200 OK", TYPE_JSON, NULL, NULL, true, false}},
    /* clang-format on */
};

enum { KINDS = COUNT_OF(rows) };

struct kind {
    const struct row *row;
    char *head; /* of the answer, up to the value of Date */
    char *rest; /* from the end of that */
    size_t head_length;
    size_t rest_length;
    uint64_t verified;
};

struct client {
    int socket;
    int64_t asked;    /* when what is outstanding was sent, milliseconds */
    int64_t answered; /* when what was answered last was sent, or before it was connected */
    size_t first;     /* of `outstanding`: the oldest that is not answered */
    size_t count;
    struct kind *outstanding[DEPTH];
    bool closing; /* the last answer ends the connection */
    size_t used;
    char buffer[BUFFER];
};

static struct client clients[CONNECTIONS_MAX];
static struct kind kinds[KINDS];
static struct kind *wheel[WHEEL];
static bool is_fresh;
static bool is_stopping;
static int64_t deadline;
static uint16_t port;
static int epoll;
static int64_t now;
static uint64_t connections;
static uint64_t received; /* bytes of right answers */
static uint64_t overdue;
static size_t busy; /* clients that are not done */

static void die(const struct client *client, const char *what)
{
    const size_t at = client->first < client->count ? client->first : client->count - 1;
    const struct kind *kind = client->outstanding[at];

    (void)fprintf(stderr, "load: %s\nasked %lld ms ago:\n%s", what,
                  (long long)(now - client->asked), kind->row->request);
    (void)fprintf(stderr, "got %zu bytes:\n%.*s\nexpected:\n%sDATE%s\n", client->used,
                  (int)client->used, client->buffer, kind->head, kind->rest);
    exit(1);
}

/* Writes out each answer and cuts it where its date is. */
static void prepare(const char *path)
{
    static char document[4096];
    FILE *file = fopen(path, "rb");
    size_t slot = 0;

    if (file == NULL || fread(document, 1, sizeof document - 1, file) == 0) {
        perror(path);
        exit(1);
    }
    (void)fclose(file);
    for (size_t i = 0; i < KINDS; i++) {
        struct kind *kind = &kinds[i];

        if (rows[i].answer.type != NULL && rows[i].answer.body == NULL)
            rows[i].answer.body = document;
        kind->row = &rows[i];
        kind->head = client_print_answer(&rows[i].answer);
        kind->rest = strstr(kind->head, "DATE") + 4;
        kind->rest[-4] = '\0';
        kind->head_length = strlen(kind->head);
        kind->rest_length = strlen(kind->rest);
        for (unsigned n = 0; n < rows[i].weight && slot < WHEEL; n++)
            wheel[slot++] = kind;
    }
}

/* Looks closely once a second and at what is new: else it must be the very date of the last good
 * one. A date must be one that strftime() would have written, and of this minute. */
static bool is_date(const char *bytes)
{
    static char good[DATE_SIZE + 1];
    static int64_t looked;
    char again[DATE_SIZE + 1] = "";
    char date[DATE_SIZE + 1] = "";
    struct tm utc = {0};
    time_t at = 0;

    if (now < looked + 1000 && memcmp(bytes, good, DATE_SIZE) == 0)
        return true;
    memcpy(date, bytes, DATE_SIZE);
    if (strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &utc) == NULL)
        return false;
    at = timegm(&utc);
    (void)strftime(again, sizeof again, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    if (strcmp(date, again) != 0 || llabs((long long)(time(NULL) - at)) > 60)
        return false;
    memcpy(good, bytes, DATE_SIZE);
    looked = now;
    return true;
}

/* Takes the oldest answer off the buffer when all of it is there. Returns how many bytes it had, 0
 * when it is not complete. What is there must be right either way. */
static size_t take_answer(const struct client *client, const char *at, size_t left)
{
    const struct kind *kind = client->outstanding[client->first];
    const size_t rest = kind->head_length + DATE_SIZE;
    const size_t whole = rest + kind->rest_length;

    if (left < rest)
        return memcmp(at, kind->head, left < kind->head_length ? left : kind->head_length) == 0
                   ? 0
                   : SIZE_MAX;
    if (memcmp(at, kind->head, kind->head_length) != 0 || !is_date(at + kind->head_length) ||
        memcmp(at + rest, kind->rest, (left < whole ? left : whole) - rest) != 0)
        return SIZE_MAX;
    return left < whole ? 0 : whole;
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

static struct kind *draw_kind(void)
{
    if (is_fresh && draw(2) == 0)
        return &kinds[KINDS - 1]; /* has the server close */
    return wheel[draw(WHEEL)];
}

/* Sends the next requests; one that ends the connection is the last of them. */
static void ask(struct client *client)
{
    char text[DEPTH * 128];
    size_t length = 0;
    const size_t depth = is_fresh || draw(8) != 0 ? 1 : DEPTH;

    client->first = 0;
    client->count = 0;
    client->closing = false;
    while (client->count < depth && !client->closing) {
        struct kind *kind = draw_kind();
        const size_t size = strlen(kind->row->request);

        memcpy(text + length, kind->row->request, size);
        length += size;
        client->outstanding[client->count++] = kind;
        client->closing = kind->row->answer.close;
    }
    client->asked = monotonic_milliseconds();
    /* When it is not taken, the server has closed the connection: the next look judges that. */
    (void)send(client->socket, text, length, MSG_NOSIGNAL);
}

static void open_connection(struct client *client)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};

    client->answered = monotonic_milliseconds();
    client->socket = client_connect(port);
    client->used = 0;
    connections++;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, client->socket, &event) != 0) {
        perror("epoll");
        exit(1);
    }
    ask(client);
}

/* Begins anew, unless all is to end. */
static void end_connection(struct client *client)
{
    (void)close(client->socket);
    client->socket = -1;
    if (is_stopping)
        busy--;
    else
        open_connection(client);
}

/* The server may close a connection that has completed no request within the deadline. */
static void judge_end(struct client *client)
{
    if (client->first < client->count) {
        if (monotonic_milliseconds() - client->answered < deadline)
            die(client, "the connection ended before the answer");
        overdue++;
    }
    end_connection(client);
}

static void take_answers(struct client *client)
{
    size_t taken = 0;

    while (client->first < client->count && taken < client->used) {
        const size_t size = take_answer(client, client->buffer + taken, client->used - taken);

        if (size == SIZE_MAX)
            die(client, "a wrong answer");
        if (size == 0)
            break;
        client->outstanding[client->first++]->verified++;
        taken += size;
    }
    if (client->first == client->count && taken < client->used)
        die(client, "more than was asked for");
    client->used -= taken;
    memmove(client->buffer, client->buffer + taken, client->used);
    received += taken;
}

static void serve(struct client *client)
{
    const ssize_t n = recv(client->socket, client->buffer + client->used,
                           sizeof client->buffer - client->used, MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        judge_end(client);
        return;
    }
    client->used += (size_t)n;
    take_answers(client);
    if (client->first < client->count)
        return;
    client->answered = client->asked;
    if (client->closing)
        return; /* its end is awaited */
    if (is_stopping || is_fresh)
        end_connection(client);
    else
        ask(client);
}

static void look_for_silence(void)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (clients[i].count > 0 && clients[i].socket >= 0 && now - clients[i].asked > PATIENCE)
            die(&clients[i], "no answer, or no end of the connection, for a minute");
    }
}

static void run(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct epoll_event events[128];
    int64_t look = 0;

    while (busy > 0) {
        const int count = epoll_wait(epoll, events, COUNT_OF(events), 1000);

        now = monotonic_milliseconds();
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr != NULL) {
                serve(events[i].data.ptr);
                continue;
            }
            is_stopping = true;
            (void)epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
        }
        if (now >= look + 1000) {
            look_for_silence();
            look = now;
        }
        if (is_fresh) /* so that it leaves CPUs and ports to the others */
            (void)nanosleep(&pause, NULL);
    }
}

/* A label may be there twice. */
static void report(void)
{
    (void)printf("{\"connections\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"overdue\": %" PRIu64
                 ", \"requests\": [",
                 connections, received, overdue);
    for (size_t i = 0; i < KINDS; i++)
        (void)printf("%s[\"%s\", %" PRIu64 "]", i > 0 ? ", " : "", rows[i].label,
                     kinds[i].verified);
    (void)puts("]}");
}

int main(int argc, char **argv)
{
    struct epoll_event event = {.events = EPOLLIN};

    if (argc != 6) {
        (void)fputs("usage: load PORT MODE CONNECTIONS DEADLINE DOCUMENT\n", stderr);
        return 2;
    }
    port = (uint16_t)strtoul(argv[1], NULL, 10);
    is_fresh = strcmp(argv[2], "fresh") == 0;
    busy = strtoul(argv[3], NULL, 10);
    if (busy > CONNECTIONS_MAX)
        return 2;
    deadline = strtol(argv[4], NULL, 10);
    prepare(argv[5]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0) {
        perror("epoll");
        return 1;
    }
    for (size_t i = 0; i < busy; i++)
        open_connection(&clients[i]);
    run();
    report();
    return 0;
}
