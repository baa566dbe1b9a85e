/* wraps: calloc clock_gettime getsockopt */
#include "test.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "connections.h"
#include "failing.h"
#include "listener.h"

static const struct timespec *clock_shows; /* NULL: the real time */
static bool kernel_says_little;            /* as one before Linux 4.1 does */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
int __real_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);

void *__wrap_calloc(size_t count, size_t size)
{
    return failing_now() ? NULL : __real_calloc(count, size);
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
    return __real_getsockopt(fd, level, name, value, size);
}

static int restore_calls(void **state)
{
    (void)state;
    clock_shows = NULL;
    kernel_says_little = false;
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

static void clock_is_read_in_whole_milliseconds(void **state)
{
    static const struct {
        struct timespec shown;
        int64_t milliseconds;
    } rows[] = {
        {{0, 0}, 0},
        {{0, 999999}, 0},
        {{0, 1000000}, 1},
        {{3, 999999999}, 3999},
        {{4000000, 5000000}, 4000000005},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t now = 0;

        clock_shows = &rows[i].shown;
        now = monotonic_milliseconds();
        clock_shows = NULL;
        assert_int_equal(now, rows[i].milliseconds);
    }
}

static void new_list_is_empty(void **state)
{
    struct connections connections;

    (void)state;
    connections_init(&connections);
    expect_list(&connections, NULL, 0);
    assert_uint_equal(connections_opened(&connections), 0);
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
    while (connections_opened(&connections) < (uint64_t)THREADS * ROUNDS)
        assert_true(connections_shutdown_idle(&connections, INT64_MAX) <= THREADS);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    expect_list(&connections, NULL, 0);
    assert_uint_equal(connections_opened(&connections), THREADS * ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(clock_is_read_in_whole_milliseconds, restore_calls),
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
        cmocka_unit_test_setup(every_idle_connection_is_shut_down_and_all_are_counted,
                               restore_calls),
        cmocka_unit_test_setup(list_is_shared_by_threads, restore_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
