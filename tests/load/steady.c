/* A steady load for the tests of updates: asks GET /version at a rate, judges every answer, and
 * goes on until SIGTERM or SIGINT.
 *
 *     steady ADDRESS PORT RATE CONNECTIONS
 *
 * ADDRESS is an IPv4 or IPv6 address, RATE the requests a second of all connections together
 * (1 to 100000), CONNECTIONS how many at once (2 to 256). Every other one is kept as long as the
 * server keeps it; the rest are new for each request.
 *
 * A request is lost when it got no answer within 10 s, another one than 200 with a version, or when
 * the connection could not be made or ended first; nothing is asked twice.
 *
 * Prints a line of JSON a second, and one at the end, each about all so far: "answers", "lost",
 * "slowest_ms" of the answers in that second, and "versions" with how many answers each had. For a
 * lost request a line of its own: "lost" is why. Exit status: 0; 1 when a request was lost; 2 for
 * wrong arguments.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 256,
    VERSIONS_MAX = 8,
    VERSION_SIZE = 64,
    ANSWER_SIZE = 4096,
    PATIENCE_SECONDS = 10
};

struct tally {
    char version[VERSION_SIZE];
    uint64_t count;
};

/* What all clients share; `lock` guards what is below it. */
struct load {
    struct sockaddr_storage address;
    socklen_t address_size;
    int64_t interval; /* between two requests of a client, nanoseconds */
    pthread_mutex_t lock;
    bool is_stopping;
    uint64_t answers;
    uint64_t lost;
    int64_t slowest; /* since the last report, nanoseconds */
    struct tally versions[VERSIONS_MAX];
};

struct client {
    struct load *load;
    pthread_t thread;
    int64_t start; /* of its first request, so that the clients do not ask all at once */
    bool is_kept;
    int socket; /* -1: none */
};

static int64_t monotonic_nanoseconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void sleep_until(int64_t at)
{
    const struct timespec time = {.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        ;
}

static bool is_stopping(struct load *load)
{
    bool stopping = false;

    (void)pthread_mutex_lock(&load->lock);
    stopping = load->is_stopping;
    (void)pthread_mutex_unlock(&load->lock);
    return stopping;
}

/* Returns NULL, or what failed. */
static const char *connect_client(struct client *client)
{
    const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    const int on = 1;

    if (client->socket >= 0)
        return NULL;
    client->socket = socket(client->load->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->socket < 0)
        return "socket";
    (void)setsockopt(client->socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    (void)setsockopt(client->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(client->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(client->socket, (const struct sockaddr *)&client->load->address,
                client->load->address_size) != 0)
        return "connect";
    return NULL;
}

static void disconnect(struct client *client)
{
    if (client->socket >= 0)
        (void)close(client->socket);
    client->socket = -1;
}

/* How many bytes an answer has whose head is complete in `text`; 0 when the head is not complete,
 * SIZE_MAX when it has no length that fits. */
static size_t measure(const char *text)
{
    const char *end = strstr(text, "\r\n\r\n");
    const char *length = strcasestr(text, "\r\nContent-Length: ");
    size_t size = 0;

    if (end == NULL)
        return 0;
    if (length == NULL || length > end)
        return SIZE_MAX;
    size = (size_t)(end + 4 - text) + strtoul(length + strlen("\r\nContent-Length: "), NULL, 10);
    return size < ANSWER_SIZE ? size : SIZE_MAX;
}

/* Returns NULL with the whole answer in `text`, or what failed. */
static const char *receive(const struct client *client, char text[ANSWER_SIZE])
{
    size_t used = 0;
    size_t size = 0;

    while (size == 0 || used < size) {
        const ssize_t got = recv(client->socket, text + used, ANSWER_SIZE - 1 - used, 0);

        if (got < 0)
            return "receive";
        if (got == 0)
            return used == 0 ? "the connection ended before the answer"
                             : "the connection ended within the answer";
        used += (size_t)got;
        text[used] = '\0';
        size = measure(text);
        if (size == SIZE_MAX || used == ANSWER_SIZE - 1)
            return "an answer without a length that fits";
    }
    return used == size ? NULL : "more than the answer";
}

/* Copies the version out of an answer. Returns false when it is no 200 with one. */
static bool read_version(const char *text, char version[VERSION_SIZE])
{
    static const char member[] = "\"version\":\"";
    const char *value = strstr(text, member);
    size_t length = 0;

    if (strncmp(text, "HTTP/1.1 200 ", 13) != 0 || value == NULL)
        return false;
    value += sizeof member - 1;
    length = strcspn(value, "\"");
    if (length == 0 || length >= VERSION_SIZE)
        return false;
    memcpy(version, value, length);
    version[length] = '\0';
    return true;
}

static void count_answer(struct load *load, const char *version, int64_t took)
{
    size_t i = 0;

    (void)pthread_mutex_lock(&load->lock);
    load->answers++;
    if (took > load->slowest)
        load->slowest = took;
    while (i < VERSIONS_MAX - 1 && load->versions[i].count > 0 &&
           strcmp(load->versions[i].version, version) != 0)
        i++;
    memcpy(load->versions[i].version, version, strlen(version) + 1);
    load->versions[i].count++;
    (void)pthread_mutex_unlock(&load->lock);
}

static void count_loss(struct client *client, const char *why, int error)
{
    (void)pthread_mutex_lock(&client->load->lock);
    client->load->lost++;
    (void)printf("{\"time\":%lld,\"lost\":\"%s\",\"error\":\"%s\",\"connection\":\"%s\"}\n",
                 (long long)time(NULL), why, error == 0 ? "none" : strerror(error),
                 client->is_kept ? "kept" : "new");
    (void)fflush(stdout);
    (void)pthread_mutex_unlock(&client->load->lock);
}

static void ask(struct client *client)
{
    static const char kept[] = "GET /version HTTP/1.1\r\nHost: versiond\r\n\r\n";
    static const char fresh[] =
        "GET /version HTTP/1.1\r\nHost: versiond\r\nConnection: close\r\n\r\n";
    const char *request = client->is_kept ? kept : fresh;
    const int64_t start = monotonic_nanoseconds();
    char version[VERSION_SIZE];
    char text[ANSWER_SIZE];
    const char *why = NULL;

    errno = 0;
    why = connect_client(client);
    if (why == NULL &&
        send(client->socket, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
        why = "send";
    if (why == NULL)
        why = receive(client, text);
    if (why == NULL && !read_version(text, version))
        why = "an answer that is not 200 with a version";
    if (why != NULL)
        count_loss(client, why, errno);
    else
        count_answer(client->load, version, monotonic_nanoseconds() - start);
    if (why != NULL || !client->is_kept || strcasestr(text, "\r\nConnection: close\r\n") != NULL)
        disconnect(client);
}

static void *run_client(void *argument)
{
    struct client *client = argument;
    int64_t next = client->start;

    while (!is_stopping(client->load)) {
        sleep_until(next);
        ask(client);
        next += client->load->interval;
        if (next < monotonic_nanoseconds()) /* what was missed is not asked in a burst */
            next = monotonic_nanoseconds();
    }
    disconnect(client);
    return NULL;
}

static void report(struct load *load)
{
    (void)pthread_mutex_lock(&load->lock);
    (void)printf("{\"time\":%lld,\"answers\":%llu,\"lost\":%llu,\"slowest_ms\":%.1f,\"versions\":{",
                 (long long)time(NULL), (unsigned long long)load->answers,
                 (unsigned long long)load->lost, (double)load->slowest / 1e6);
    for (size_t i = 0; i < VERSIONS_MAX && load->versions[i].count > 0; i++)
        (void)printf("%s\"%s\":%llu", i > 0 ? "," : "", load->versions[i].version,
                     (unsigned long long)load->versions[i].count);
    (void)puts("}}");
    (void)fflush(stdout);
    load->slowest = 0;
    (void)pthread_mutex_unlock(&load->lock);
}

static bool parse_address(struct load *load, const char *address, const char *port)
{
    struct sockaddr_in *four = (struct sockaddr_in *)&load->address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&load->address;
    const unsigned long number = strtoul(port, NULL, 10);

    if (number == 0 || number > 65535)
        return false;
    if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)number);
        load->address_size = sizeof *four;
        return true;
    }
    six->sin6_family = AF_INET6;
    six->sin6_port = htons((uint16_t)number);
    load->address_size = sizeof *six;
    return inet_pton(AF_INET6, address, &six->sin6_addr) == 1;
}

/* Waits for a signal, and reports every second until then. */
static void watch(struct load *load, const sigset_t *signals)
{
    const struct timespec second = {.tv_sec = 1};

    while (sigtimedwait(signals, NULL, &second) < 0)
        report(load);
    (void)pthread_mutex_lock(&load->lock);
    load->is_stopping = true;
    (void)pthread_mutex_unlock(&load->lock);
}

int main(int argc, char **argv)
{
    static struct load load = {.lock = PTHREAD_MUTEX_INITIALIZER};
    static struct client clients[CONNECTIONS_MAX];
    const unsigned long rate = argc == 5 ? strtoul(argv[3], NULL, 10) : 0;
    const unsigned long connections = argc == 5 ? strtoul(argv[4], NULL, 10) : 0;
    sigset_t signals;

    if (rate < 1 || rate > 100000 || connections < 2 || connections > CONNECTIONS_MAX ||
        !parse_address(&load, argv[1], argv[2])) {
        (void)fputs("usage: steady ADDRESS PORT RATE CONNECTIONS\n", stderr);
        return 2;
    }
    load.interval = (int64_t)(1000000000 * connections / rate);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    for (size_t i = 0; i < connections; i++) {
        clients[i] = (struct client){.load = &load, .is_kept = i % 2 == 0, .socket = -1};
        clients[i].start =
            monotonic_nanoseconds() + (int64_t)i * load.interval / (int64_t)connections;
        if (pthread_create(&clients[i].thread, NULL, run_client, &clients[i]) != 0) {
            (void)fputs("steady: no more threads\n", stderr);
            return 2;
        }
    }
    watch(&load, &signals);
    for (size_t i = 0; i < connections; i++)
        (void)pthread_join(clients[i].thread, NULL);
    report(&load);
    return load.lost > 0;
}
