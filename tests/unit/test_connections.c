/* wraps: calloc free clock_gettime getsockopt */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "client.h"
#include "connections.h"
#include "failing.h"
#include "listener.h"

static const struct timespec *clock_shows; /* NULL: the real time */
static bool kernel_says_little;            /* as one before Linux 4.1 does */
static struct connection *begins_request;  /* while the kernel is asked; NULL: none */
static atomic_int blocks;                  /* of calloc() that are not freed */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __real_free(void *block);
void __wrap_free(void *block);
int __real_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);

void *__wrap_calloc(size_t count, size_t size)
{
    if (failing_now())
        return NULL;
    atomic_fetch_add(&blocks, 1);
    return __real_calloc(count, size);
}

void __wrap_free(void *block)
{
    if (block != NULL)
        atomic_fetch_sub(&blocks, 1);
    __real_free(block);
}

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    if (clock_shows == NULL || id != CLOCK_MONOTONIC)
        return __real_clock_gettime(id, now);
    *now = *clock_shows;
    return 0;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    if (kernel_says_little)
        *size = 104; /* of struct tcp_info in Linux 3.14 */
    if (begins_request != NULL) {
        atomic_store(&begins_request->in_request, true);
        atomic_fetch_add(&begins_request->read, 1000);
    }
    return __real_getsockopt(fd, level, name, value, size);
}

static int restore_calls(void **state)
{
    (void)state;
    clock_shows = NULL;
    kernel_says_little = false;
    begins_request = NULL;
    failing_at(0);
    return 0;
}

/* Both ends of a TCP connection. */
struct pair {
    int client;
    int server;
};

static struct pair open_pair(void)
{
    const int listener = listener_open("127.0.0.1", 0);
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    struct pair pair;

    assert_true(listener >= 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    pair.client = client_connect(ntohs(address.sin_port));
    assert_int_equal(poll(&ready, 1, PATIENCE), 1);
    pair.server = accept(listener, NULL, NULL);
    assert_true(pair.server >= 0);
    (void)close(listener);
    return pair;
}

static void close_pair(const struct pair *pair)
{
    (void)close(pair->client);
    (void)close(pair->server);
}

/* Sends bytes, and waits until all that were ever sent on the pair (`total`) have arrived. */
static void send_and_wait(const struct pair *pair, const char *bytes, size_t total)
{
    char buffer[64];
    ssize_t n = 0;

    assert_true(total <= sizeof buffer);
    client_send_text(pair->client, bytes);
    while ((size_t)n < total) {
        n = recv(pair->server, buffer, total, MSG_PEEK | MSG_WAITALL);
        assert_true(n > 0);
    }
}

/* The sockets of the list's records, in their order. Checks that both directions agree. */
static void expect_list(const struct connections *connections, const int *sockets, size_t count)
{
    const struct connection *previous = NULL;
    const struct connection *at = connections->first;

    for (size_t i = 0; i < count; i++) {
        assert_non_null(at);
        assert_int_equal(at->socket, sockets[i]);
        assert_ptr_equal(at->previous, previous);
        previous = at;
        at = at->next;
    }
    assert_null(at);
    assert_ptr_equal(connections->last, previous);
    assert_uint_equal(connections->open, count);
}

static struct connection *add(struct connections *connections, int socket)
{
    struct connection *connection = connections_add(connections, socket);

    assert_non_null(connection);
    return connection;
}

static void remove_all(struct connections *connections)
{
    while (connections->first != NULL)
        connections_remove(connections, connections->first);
}

static void new_list_is_empty(void **state)
{
    struct connections connections;

    (void)state;
    connections_init(&connections);
    expect_list(&connections, NULL, 0);
    assert_uint_equal(connections_opened(&connections), 0);
    assert_uint_equal(connections.closing, 0);
    assert_false(connections_evict(&connections, 0));
}

static void added_record_is_the_first_and_blank(void **state)
{
    static const struct timespec now = {.tv_sec = 12, .tv_nsec = 345000000};
    struct connections connections;
    struct connection *connection = NULL;

    (void)state;
    connections_init(&connections);
    (void)add(&connections, 7);
    clock_shows = &now;
    connection = add(&connections, 8);
    clock_shows = NULL;
    expect_list(&connections, (const int[]){8, 7}, 2);
    assert_ptr_equal(connections.first, connection);
    assert_int_equal(connection->accepted, 12345);
    assert_int_equal(atomic_load(&connection->completed), 12345);
    assert_false(connection->is_shut_down);
    assert_false(atomic_load(&connection->in_request));
    assert_uint_equal(atomic_load(&connection->read), 0);
    assert_uint_equal(connections_opened(&connections), 2);
    remove_all(&connections);
}

static void removed_record_leaves_the_others_in_order(void **state)
{
    static const struct {
        size_t removed; /* of the records 10, 11, 12, 13, in the order in which they were added */
        int left[3];
    } rows[] = {
        {3, {12, 11, 10}}, /* the first of the list */
        {2, {13, 11, 10}},
        {1, {13, 12, 10}},
        {0, {13, 12, 11}}, /* the last */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct connection *added[4];
        struct connections connections;

        connections_init(&connections);
        for (int at = 0; at < 4; at++)
            added[at] = add(&connections, 10 + at);
        connections_remove(&connections, added[rows[i].removed]);
        expect_list(&connections, rows[i].left, 3);
        assert_uint_equal(connections_opened(&connections), 4);
        remove_all(&connections);
    }
}

static void removing_the_only_record_empties_the_list(void **state)
{
    struct connections connections;

    (void)state;
    connections_init(&connections);
    connections_remove(&connections, add(&connections, 7));
    expect_list(&connections, NULL, 0);
    (void)add(&connections, 8);
    expect_list(&connections, (const int[]){8}, 1);
    assert_uint_equal(connections_opened(&connections), 2);
    remove_all(&connections);
}

static void removing_null_changes_nothing(void **state)
{
    struct connections connections;

    (void)state;
    connections_init(&connections);
    (void)add(&connections, 7);
    connections_remove(&connections, NULL);
    expect_list(&connections, (const int[]){7}, 1);
    remove_all(&connections);
}

static void adding_without_memory_counts_as_opened(void **state)
{
    struct connections connections;
    struct connection *connection = NULL;

    (void)state;
    connections_init(&connections);
    (void)add(&connections, 7);
    failing_at(1);
    connection = connections_add(&connections, 8);
    failing_at(0);
    assert_null(connection);
    expect_list(&connections, (const int[]){7}, 1);
    assert_uint_equal(connections_opened(&connections), 2);
    remove_all(&connections);
}

static void has_more_compares_what_arrived_with_what_was_read(void **state)
{
    const struct pair pair = open_pair();
    struct connection connection = {.socket = pair.server};

    (void)state;
    assert_false(connection_has_more(&connection));
    send_and_wait(&pair, "\r\n", 2); /* an empty line begins no request */
    assert_false(connection_has_more(&connection));
    send_and_wait(&pair, "a", 3);
    assert_true(connection_has_more(&connection));
    atomic_store(&connection.read, 1);
    assert_false(connection_has_more(&connection));
    send_and_wait(&pair, "b", 4);
    assert_true(connection_has_more(&connection));
    atomic_store(&connection.read, 4);
    assert_false(connection_has_more(&connection));
    close_pair(&pair);
}

static void has_more_does_not_depend_on_the_socket_having_been_read(void **state)
{
    const struct pair pair = open_pair();
    struct connection connection = {.socket = pair.server};
    char buffer[3];

    (void)state;
    send_and_wait(&pair, "abc", 3);
    assert_int_equal(recv(pair.server, buffer, sizeof buffer, 0), 3);
    assert_true(connection_has_more(&connection));
    atomic_store(&connection.read, 3);
    assert_false(connection_has_more(&connection));
    close_pair(&pair);
}

static void has_more_is_false_where_the_kernel_cannot_say(void **state)
{
    const struct pair pair = open_pair();
    struct connection connection = {.socket = pair.server};

    (void)state;
    send_and_wait(&pair, "abc", 3);
    kernel_says_little = true;
    assert_false(connection_has_more(&connection));
    close_pair(&pair);
}

static void has_more_is_false_on_what_is_no_tcp_socket(void **state)
{
    int sockets[2];
    struct connection connection = {.socket = -1};

    (void)state;
    assert_false(connection_has_more(&connection));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    connection.socket = sockets[0];
    client_send_text(sockets[1], "abc");
    assert_false(connection_has_more(&connection));
    (void)close(sockets[0]);
    (void)close(sockets[1]);
}

/* A list with one record of a pair, accepted at 1000 milliseconds. */
static struct connection *add_pair(struct connections *connections, const struct pair *pair)
{
    struct connection *connection = NULL;

    connections_init(connections);
    connection = add(connections, pair->server);
    connection->accepted = 1000;
    return connection;
}

static void idle_connection_is_shut_down_when_old_enough(void **state)
{
    static const struct {
        int64_t accepted;
        bool is_shut_down;
    } rows[] = {{INT64_MIN, false}, {999, false}, {1000, true}, {1001, true}, {INT64_MAX, true}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct pair pair = open_pair();
        struct connections connections;

        (void)add_pair(&connections, &pair);
        assert_uint_equal(connections_shutdown_idle(&connections, rows[i].accepted), 1);
        if (rows[i].is_shut_down)
            client_expect_closed(pair.client);
        else
            assert_true(client_is_quiet(pair.client));
        remove_all(&connections);
        close_pair(&pair);
    }
}

static void connection_in_request_is_not_shut_down(void **state)
{
    const struct pair pair = open_pair();
    struct connections connections;
    struct connection *connection = add_pair(&connections, &pair);

    (void)state;
    atomic_store(&connection->in_request, true);
    assert_uint_equal(connections_shutdown_idle(&connections, 2000), 1);
    assert_true(client_is_quiet(pair.client));
    atomic_store(&connection->in_request, false);
    assert_uint_equal(connections_shutdown_idle(&connections, 2000), 1);
    client_expect_closed(pair.client);
    remove_all(&connections);
    close_pair(&pair);
}

static void connection_with_request_begun_is_not_shut_down(void **state)
{
    const struct pair pair = open_pair();
    struct connections connections;
    struct connection *connection = add_pair(&connections, &pair);

    (void)state;
    send_and_wait(&pair, "GET", 3);
    assert_uint_equal(connections_shutdown_idle(&connections, 2000), 1);
    assert_true(client_is_quiet(pair.client));
    atomic_store(&connection->read, 3);
    assert_uint_equal(connections_shutdown_idle(&connections, 2000), 1);
    client_expect_closed(pair.client);
    remove_all(&connections);
    close_pair(&pair);
}

/* Its thread may read a whole head between any two looks. */
static void connection_that_begins_a_request_meanwhile_is_not_shut_down(void **state)
{
    const struct pair pair = open_pair();
    struct connections connections;
    struct connection *connection = add_pair(&connections, &pair);

    (void)state;
    send_and_wait(&pair, "GET", 3);
    begins_request = connection;
    assert_uint_equal(connections_shutdown_idle(&connections, 2000), 1);
    assert_true(client_is_quiet(pair.client));
    remove_all(&connections);
    close_pair(&pair);
}

static void every_idle_connection_is_shut_down_and_all_are_counted(void **state)
{
    struct pair pairs[4];
    struct connection *added[4];
    struct connections connections;

    (void)state;
    connections_init(&connections);
    assert_uint_equal(connections_shutdown_idle(&connections, INT64_MAX), 0);
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        pairs[i] = open_pair();
        added[i] = add(&connections, pairs[i].server);
    }
    atomic_store(&added[2]->in_request, true);
    assert_uint_equal(connections_shutdown_idle(&connections, INT64_MAX), 4);
    client_expect_closed(pairs[0].client);
    client_expect_closed(pairs[1].client);
    client_expect_closed(pairs[3].client);
    assert_true(client_is_quiet(pairs[2].client));
    remove_all(&connections);
    for (size_t i = 0; i < COUNT_OF(pairs); i++)
        close_pair(&pairs[i]);
}

enum { THREADS = 4, ROUNDS = 500 };

static void *add_and_remove(void *cls)
{
    struct connections *connections = cls;

    for (int i = 0; i < ROUNDS; i++) {
        struct connection *connection = connections_add(connections, -1);

        atomic_store(&connection->in_request, i % 2 == 0);
        connections_remove(connections, connection);
    }
    return NULL;
}

static void list_is_shared_by_threads(void **state)
{
    struct connections connections;
    pthread_t threads[THREADS];

    (void)state;
    connections_init(&connections);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_and_remove, &connections), 0);
    while (connections_opened(&connections) < (uint64_t)THREADS * ROUNDS) {
        assert_true(connections_shutdown_idle(&connections, INT64_MAX) <= THREADS);
        assert_true(connections_shutdown_overdue(&connections, INT64_MAX) <= THREADS);
        (void)connections_evict(&connections, 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    expect_list(&connections, NULL, 0);
    assert_uint_equal(connections_opened(&connections), THREADS * ROUNDS);
    assert_uint_equal(connections.closing, 0);
}

/* It is in no list: nobody else would ever close it. */
static void connection_without_memory_is_shut_down(void **state)
{
    const struct pair pair = open_pair();
    struct connections connections;

    (void)state;
    connections_init(&connections);
    failing_at(1);
    assert_null(connections_add(&connections, pair.server));
    failing_at(0);
    client_expect_closed(pair.client);
    close_pair(&pair);
}

static void connection_is_overdue_when_it_has_completed_nothing_in_time(void **state)
{
    static const struct {
        int64_t before;
        bool is_overdue;
    } rows[] = {{INT64_MIN, false}, {1999, false}, {2000, true}, {2001, true}, {INT64_MAX, true}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct pair pair = open_pair();
        struct connections connections;
        struct connection *connection = add_pair(&connections, &pair);

        atomic_store(&connection->completed, 2000);
        assert_uint_equal(connections_shutdown_overdue(&connections, rows[i].before),
                          rows[i].is_overdue);
        if (rows[i].is_overdue)
            client_expect_closed(pair.client);
        else
            assert_true(client_is_quiet(pair.client));
        remove_all(&connections);
        close_pair(&pair);
    }
}

static void connection_that_has_asked_for_nothing_is_overdue_from_when_it_was_accepted(void **state)
{
    static const struct timespec accepted = {.tv_sec = 5};
    struct connections connections;

    (void)state;
    connections_init(&connections);
    clock_shows = &accepted;
    (void)add(&connections, -1);
    assert_uint_equal(connections_shutdown_overdue(&connections, 4999), 0);
    assert_uint_equal(connections_shutdown_overdue(&connections, 5000), 1);
    remove_all(&connections);
}

static void overdue_connections_are_shut_down_whatever_they_are_at_and_counted_once(void **state)
{
    struct pair pairs[4];
    struct connection *added[COUNT_OF(pairs)];
    struct connections connections;

    (void)state;
    connections_init(&connections);
    assert_uint_equal(connections_shutdown_overdue(&connections, INT64_MAX), 0);
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        pairs[i] = open_pair();
        added[i] = add(&connections, pairs[i].server);
        atomic_store(&added[i]->completed, 1000);
    }
    send_and_wait(&pairs[0], "GET", 3);
    atomic_store(&added[1]->in_request, true);
    atomic_store(&added[2]->completed, 1001);
    assert_uint_equal(connections_shutdown_overdue(&connections, 1000), 3);
    client_expect_closed(pairs[0].client);
    client_expect_closed(pairs[1].client);
    assert_true(client_is_quiet(pairs[2].client));
    client_expect_closed(pairs[3].client);
    assert_uint_equal(connections_shutdown_overdue(&connections, 1000), 0);
    assert_uint_equal(connections_shutdown_overdue(&connections, 1001), 1);
    client_expect_closed(pairs[2].client);
    assert_uint_equal(connections.open, 4); /* until their threads have closed them */
    remove_all(&connections);
    for (size_t i = 0; i < COUNT_OF(pairs); i++)
        close_pair(&pairs[i]);
}

/* Calls the sweep, in which nothing is overdue, and returns whether it has shut the connection
 * down.
 */
static bool is_swept(struct connections *connections, const struct connection *connection)
{
    assert_uint_equal(connections_shutdown_overdue(connections, INT64_MIN), 0);
    return connection->is_shut_down;
}

/* Waits until the end of what the client has sent can be read. */
static void end_client(const struct pair *pair)
{
    struct pollfd end = {.fd = pair->server, .events = POLLRDHUP};

    assert_int_equal(shutdown(pair->client, SHUT_WR), 0);
    assert_int_equal(poll(&end, 1, PATIENCE), 1);
}

static const struct timespec FIVE_SECONDS = {.tv_sec = 5};

static void client_that_has_left_is_swept_at_the_second_look(void **state)
{
    const struct pair pair = open_pair();
    struct connections connections;
    struct connection *connection = NULL;
    char bytes[3];

    (void)state;
    clock_shows = &FIVE_SECONDS;
    connection = add_pair(&connections, &pair);
    for (int i = 0; i < 3; i++)
        assert_false(is_swept(&connections, connection)); /* is there, and idle */
    send_and_wait(&pair, "GET", 3);
    end_client(&pair);
    for (int i = 0; i < 3; i++)
        assert_false(is_swept(&connections, connection)); /* its thread has to read */
    assert_int_equal(recv(pair.server, bytes, sizeof bytes, 0), 3);
    assert_false(is_swept(&connections, connection));
    atomic_store(&connection->completed, 2000); /* was answered: three seconds ago, and less */
    for (int i = 0; i < 3; i++)
        assert_false(is_swept(&connections, connection));
    atomic_store(&connection->completed, 2001);
    assert_false(is_swept(&connections, connection));
    assert_true(is_swept(&connections, connection));
    client_expect_closed(pair.client);
    remove_all(&connections);
    close_pair(&pair);
}

static void client_that_has_left_and_still_reads_is_not_swept(void **state)
{
    static char many[4096];
    const struct pair pair = open_pair();
    struct connections connections;
    const struct connection *connection = NULL;
    char bytes[4096];

    (void)state;
    clock_shows = &FIVE_SECONDS;
    connection = add_pair(&connections, &pair);
    end_client(&pair);
    while (send(pair.server, many, sizeof many, MSG_DONTWAIT) > 0)
        ;
    for (int i = 0; i < 3; i++)
        assert_false(is_swept(&connections, connection));
    while (!is_swept(&connections, connection)) {
        while (recv(pair.client, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
            ;
    }
    remove_all(&connections);
    close_pair(&pair);
}

/* The time that the clock shows, in milliseconds. */
static void set_clock(int64_t milliseconds)
{
    static struct timespec shown;

    shown =
        (struct timespec){.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
    clock_shows = &shown;
}

/* A list with connections that were opened a second after each other, from 1000 ms on. Their
 * sockets are numbers of none, from 1000 on. */
static void add_many(struct connections *connections, struct connection *added[], int count)
{
    connections_init(connections);
    for (int i = 0; i < count; i++) {
        set_clock(1000 + i * 1000);
        added[i] = add(connections, 1000 + i);
    }
    set_clock(1000000);
}

/* Counts a request as completed. */
static void complete(struct connection *connection, int64_t when)
{
    atomic_store(&connection->completed, when);
}

/* Which of the connections are shut down, a character each. */
static void expect_shut_down(struct connection **added, const char *expected)
{
    char actual[64] = "";

    for (size_t i = 0; expected[i] != '\0'; i++)
        actual[i] = added[i]->is_shut_down ? 'x' : '-';
    assert_string_equal(actual, expected);
}

static void only_what_is_above_the_limit_is_evicted(void **state)
{
    struct connections connections;
    struct connection *added[4];

    (void)state;
    add_many(&connections, added, 4);
    assert_false(connections_evict(&connections, SIZE_MAX));
    assert_false(connections_evict(&connections, 4));
    assert_true(connections_evict(&connections, 3));
    expect_shut_down(added, "x---");
    assert_uint_equal(connections.closing, 1);
    assert_false(connections_evict(&connections, 3)); /* that one counts no more */
    assert_uint_equal(connections_count(&connections), 3);
    assert_true(connections_evict(&connections, 1));
    assert_true(connections_evict(&connections, 1));
    assert_false(connections_evict(&connections, 1));
    expect_shut_down(added, "xxx-");
    assert_uint_equal(connections.closing, 3);
    connections_remove(&connections, added[1]);
    assert_uint_equal(connections.closing, 2);
    connections_remove(&connections, added[3]);
    assert_uint_equal(connections.closing, 2);
    assert_false(connections_evict(&connections, 0));
    remove_all(&connections);
    assert_uint_equal(connections.closing, 0);
}

static void who_has_completed_no_request_for_longest_is_evicted(void **state)
{
    static const struct {
        int64_t done[4]; /* 0: none since it was opened at 1000, 2000, 3000, 4000 */
        const char *expected;
    } rows[] = {
        {{0, 0, 0, 0}, "x---"},
        {{5000, 0, 0, 0}, "-x--"},
        {{5000, 6000, 0, 0}, "--x-"},
        {{5000, 6000, 7000, 0}, "---x"},
        {{5000, 6000, 7000, 8000}, "x---"},
        {{8000, 7000, 6000, 5000}, "---x"},
        {{7000, 5000, 6000, 8000}, "-x--"},
        {{1500, 0, 0, 0}, "x---"}, /* has done something, but long ago */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct connections connections;
        struct connection *added[4];

        add_many(&connections, added, 4);
        for (size_t j = 0; j < COUNT_OF(rows[i].done); j++) {
            if (rows[i].done[j] != 0)
                complete(added[j], rows[i].done[j]);
        }
        assert_true(connections_evict(&connections, 3));
        print_message("row %zu\n", i);
        expect_shut_down(added, rows[i].expected);
        remove_all(&connections);
    }
}

/* However many there are: what it costs must not grow with them. What was looked at goes to the
 * begin, so that the next look finds others. */
static void sixteen_are_looked_at_and_then_others(void **state)
{
    struct connections connections;
    struct connection *added[20];

    (void)state;
    add_many(&connections, added, 20);
    for (int i = 0; i < 16; i++)
        complete(added[i], 500000 - i);
    assert_true(connections_evict(&connections, 19));
    expect_shut_down(added, "---------------x----");
    expect_list(&connections,
                (const int[]){1015, 1014, 1013, 1012, 1011, 1010, 1009, 1008, 1007, 1006,
                              1005, 1004, 1003, 1002, 1001, 1000, 1019, 1018, 1017, 1016},
                20);
    assert_true(connections_evict(&connections, 18));
    expect_shut_down(added, "---------------xx---");
    assert_int_equal(connections.last->socket, 1012);
    remove_all(&connections);
}

/* As long as there are no more than are looked at. */
static void order_of_few_does_not_matter(void **state)
{
    struct connections connections;
    struct connection *added[5];

    (void)state;
    add_many(&connections, added, 5);
    set_clock(5005);
    assert_true(connections_evict(&connections, 4));
    expect_list(&connections, (const int[]){1004, 1003, 1002, 1001, 1000}, 5);
    complete(added[1], 5004);
    for (int i = 0; i < 7; i++)
        (void)connections_evict(&connections, 1);
    expect_shut_down(added, "x-xx-"); /* those two were busy just now */
    set_clock(6000);
    assert_true(connections_evict(&connections, 1));
    expect_shut_down(added, "x-xxx");
    remove_all(&connections);
}

static void who_was_busy_just_now_is_spared(void **state)
{
    struct connections connections;
    struct connection *added[2];

    (void)state;
    add_many(&connections, added, 2);
    complete(added[0], 999991);
    complete(added[1], 999991);
    assert_false(connections_evict(&connections, 1));
    complete(added[1], 999990);
    assert_true(connections_evict(&connections, 1));
    expect_shut_down(added, "-x");
    assert_false(connections_evict(&connections, 0));
    set_clock(1000001);
    assert_true(connections_evict(&connections, 0));
    remove_all(&connections);
}

static void connection_that_came_just_now_is_spared(void **state)
{
    struct connections connections;

    (void)state;
    connections_init(&connections);
    set_clock(1000);
    (void)add(&connections, 1000);
    assert_false(connections_evict(&connections, 0));
    set_clock(1009);
    assert_false(connections_evict(&connections, 0));
    set_clock(1010);
    assert_true(connections_evict(&connections, 0));
    remove_all(&connections);
}

static void connections_that_are_shut_down_already_are_passed_over(void **state)
{
    struct connections connections;
    struct connection *added[4];

    (void)state;
    add_many(&connections, added, 4);
    assert_uint_equal(connections_shutdown_overdue(&connections, 2000), 2);
    assert_uint_equal(connections.closing, 2);
    assert_false(connections_evict(&connections, 2));
    assert_true(connections_evict(&connections, 1));
    expect_shut_down(added, "xxx-");
    remove_all(&connections);
}

/* Its thread has something to read, unless it waits for the client to take an answer. */
static void request_that_has_arrived_is_spared(void **state)
{
    struct pair pair = open_pair();
    struct connections connections;
    struct connection *connection = NULL;
    char bytes[3];

    (void)state;
    connection = add_pair(&connections, &pair);
    atomic_store(&connection->completed, 1000);
    send_and_wait(&pair, "GET", 3);
    assert_false(connections_evict(&connections, 0));
    assert_true(client_is_quiet(pair.client));
    atomic_store(&connection->in_request, true);
    assert_true(connections_evict(&connections, 0));
    remove_all(&connections);
    close_pair(&pair);

    pair = open_pair();
    connection = add_pair(&connections, &pair);
    atomic_store(&connection->completed, 1000);
    send_and_wait(&pair, "GET", 3);
    assert_false(connections_evict(&connections, 0));
    assert_int_equal(recv(pair.server, bytes, sizeof bytes, 0), 3);
    atomic_store(&connection->in_request, true);
    atomic_store(&connection->read, 3);
    assert_false(connections_evict(&connections, 0)); /* is being answered */
    atomic_store(&connection->in_request, false);
    assert_true(connections_evict(&connections, 0));
    remove_all(&connections);
    close_pair(&pair);
}

/* Closes the server's end of a connection that was shut down as too old, and returns what its
 * client finds after `length` bytes: 0 for an orderly end, else an errno. */
static int end_of(const struct pair *pair, size_t length)
{
    struct connections connections;
    const struct connection *connection = add_pair(&connections, pair);
    struct pollfd end = {.fd = pair->client, .events = POLLRDHUP};
    char bytes[4096];
    int error = 0;
    socklen_t size = sizeof error;
    ssize_t n = 1;

    assert_non_null(connection);
    assert_uint_equal(connections_shutdown_overdue(&connections, INT64_MAX), 1);
    remove_all(&connections);
    (void)close(pair->server);
    assert_int_equal(poll(&end, 1, PATIENCE), 1);
    for (size_t got = 0; n > 0; got += (size_t)n) {
        n = recv(pair->client, bytes, sizeof bytes, 0);
        assert_true(n <= 0 || got < length);
    }
    if (n < 0)
        return errno;
    assert_int_equal(getsockopt(pair->client, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    return error; /* of a reset that came after the end */
}

static void client_that_does_not_read_its_answer_is_not_spared(void **state)
{
    static char many[4096];
    const struct pair pair = open_pair();
    struct connections connections;
    struct connection *connection = add_pair(&connections, &pair);

    (void)state;
    atomic_store(&connection->completed, 1000);
    atomic_store(&connection->in_request, true);
    assert_false(connections_evict(&connections, 0));
    while (send(pair.server, many, sizeof many, MSG_DONTWAIT) > 0)
        ; /* until the kernel takes no more */
    assert_true(connections_evict(&connections, 0));
    remove_all(&connections);
    close_pair(&pair);
}

static void answer_that_is_not_read_ends_with_its_connection(void **state)
{
    static char many[4096];
    struct pair pair = open_pair();
    size_t sent = 0;
    ssize_t n = 0;

    (void)state;
    /* Until the kernel takes no more: the client's is full, too. */
    while (n = send(pair.server, many, sizeof many, MSG_DONTWAIT), n > 0)
        sent += (size_t)n;
    assert_int_equal(end_of(&pair, sent), ECONNRESET);
    (void)close(pair.client);

    pair = open_pair();
    assert_int_equal(end_of(&pair, 0), 0);
    (void)close(pair.client);

    pair = open_pair();
    client_send_text(pair.server, "an answer");
    send_and_wait(&(const struct pair){.client = pair.client, .server = pair.server}, "-", 1);
    assert_int_equal(recv(pair.server, many, 1, 0), 1);
    assert_int_equal(end_of(&pair, strlen("an answer")), 0); /* has reached the client */
    (void)close(pair.client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(new_list_is_empty, restore_calls),
        cmocka_unit_test_setup(added_record_is_the_first_and_blank, restore_calls),
        cmocka_unit_test_setup(removed_record_leaves_the_others_in_order, restore_calls),
        cmocka_unit_test_setup(removing_the_only_record_empties_the_list, restore_calls),
        cmocka_unit_test_setup(removing_null_changes_nothing, restore_calls),
        cmocka_unit_test_setup(adding_without_memory_counts_as_opened, restore_calls),
        cmocka_unit_test_setup(has_more_compares_what_arrived_with_what_was_read, restore_calls),
        cmocka_unit_test_setup(has_more_does_not_depend_on_the_socket_having_been_read,
                               restore_calls),
        cmocka_unit_test_setup(has_more_is_false_where_the_kernel_cannot_say, restore_calls),
        cmocka_unit_test_setup(has_more_is_false_on_what_is_no_tcp_socket, restore_calls),
        cmocka_unit_test_setup(idle_connection_is_shut_down_when_old_enough, restore_calls),
        cmocka_unit_test_setup(connection_in_request_is_not_shut_down, restore_calls),
        cmocka_unit_test_setup(connection_with_request_begun_is_not_shut_down, restore_calls),
        cmocka_unit_test_setup(connection_that_begins_a_request_meanwhile_is_not_shut_down,
                               restore_calls),
        cmocka_unit_test_setup(every_idle_connection_is_shut_down_and_all_are_counted,
                               restore_calls),
        cmocka_unit_test_setup(list_is_shared_by_threads, restore_calls),
        cmocka_unit_test_setup(connection_without_memory_is_shut_down, restore_calls),
        cmocka_unit_test_setup(client_that_has_left_is_swept_at_the_second_look, restore_calls),
        cmocka_unit_test_setup(client_that_has_left_and_still_reads_is_not_swept, restore_calls),
        cmocka_unit_test_setup(connection_is_overdue_when_it_has_completed_nothing_in_time,
                               restore_calls),
        cmocka_unit_test_setup(
            connection_that_has_asked_for_nothing_is_overdue_from_when_it_was_accepted,
            restore_calls),
        cmocka_unit_test_setup(
            overdue_connections_are_shut_down_whatever_they_are_at_and_counted_once, restore_calls),
        cmocka_unit_test_setup(only_what_is_above_the_limit_is_evicted, restore_calls),
        cmocka_unit_test_setup(who_has_completed_no_request_for_longest_is_evicted, restore_calls),
        cmocka_unit_test_setup(sixteen_are_looked_at_and_then_others, restore_calls),
        cmocka_unit_test_setup(order_of_few_does_not_matter, restore_calls),
        cmocka_unit_test_setup(who_was_busy_just_now_is_spared, restore_calls),
        cmocka_unit_test_setup(connection_that_came_just_now_is_spared, restore_calls),
        cmocka_unit_test_setup(connections_that_are_shut_down_already_are_passed_over,
                               restore_calls),
        cmocka_unit_test_setup(request_that_has_arrived_is_spared, restore_calls),
        cmocka_unit_test_setup(client_that_does_not_read_its_answer_is_not_spared, restore_calls),
        cmocka_unit_test_setup(answer_that_is_not_read_ends_with_its_connection, restore_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
