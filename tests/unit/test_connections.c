/* Which connections are shut down, with the kernel's report made up. The integration tests show
 * that the kernel reports so. */
/* wraps: calloc getsockopt monotonic_milliseconds */
#include "test.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "connections.h"
#include "failing.h"

static int64_t now;                       /* milliseconds, for the list */
static struct tcp_info reported;          /* by the kernel */
static bool is_old_kernel;                /* whose struct tcp_info ends early */
static struct connection *starts_request; /* whenever the kernel is queried; NULL: none */

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int64_t __wrap_monotonic_milliseconds(void);

FAILING_WRAPPER(void *, calloc, NULL, (size_t count, size_t size), (count, size))

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    if (level != IPPROTO_TCP || name != TCP_INFO)
        return __real_getsockopt(fd, level, name, value, size);
    if (starts_request != NULL)
        atomic_store(&starts_request->in_request, true);
    memcpy(value, &reported, is_old_kernel ? 104 /* Linux 3.14 */ : *size);
    return fd < 0 ? -1 : 0;
}

int64_t __wrap_monotonic_milliseconds(void)
{
    return now;
}

static struct connections list;

static int set_up(void **state)
{
    (void)state;
    now = 5000;
    reported = (struct tcp_info){0};
    connections_init(&list);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    while (list.first != NULL)
        connections_remove(&list, list.first);
    return 0;
}

/* What a connection is doing, and what must come of it. */
static const struct situation {
    const char *name;
    uint64_t received; /* bytes */
    uint64_t read;     /* size of complete heads */
    bool is_unread;    /* a byte can be read */
    bool is_ended;     /* by the client */
    bool in_request;
    uint32_t unacked; /* packets of a response */
    uint32_t unsent;  /* bytes of a response */
    /* Expected. */
    bool has_more;
    bool is_idle;
    bool is_evicted;
    bool is_abandoned;
    bool is_reset;
} SITUATIONS[] = {
    {"idle", 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0},
    {"idle after a request", 3, 3, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0},
    {"an empty line", 2, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0},
    {"part of a head", 3, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0},
    {"part of a head, read", 3, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0},
    {"a head", 3, 3, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0},
    {"a head and an empty line", 5, 3, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0},
    {"ended", 1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0},
    {"ended, with unread bytes", 4, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0},
    {"ended after a head", 4, 3, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0},
    {"ended, unacknowledged", 4, 3, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1},
    {"ended, unsent", 4, 3, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1},
};

/* Both ends of a connection, and the record of the server's end. */
struct pair {
    int client;
    int server;
    struct connection *record;
};

static struct pair open_pair(const struct situation *situation)
{
    struct pair pair = {0};
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    pair.client = ends[0];
    pair.server = ends[1];
    pair.record = connections_add(&list, pair.server);
    assert_non_null(pair.record);
    if (situation->is_unread)
        assert_int_equal(send(pair.client, "", 1, 0), 1);
    if (situation->is_ended)
        assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
    atomic_store(&pair.record->read, situation->read);
    atomic_store(&pair.record->in_request, situation->in_request);
    reported.tcpi_bytes_received = situation->received;
    reported.tcpi_unacked = situation->unacked;
    reported.tcpi_notsent_bytes = situation->unsent;
    return pair;
}

static void close_pair(const struct pair *pair)
{
    connections_remove(&list, pair->record);
    (void)close(pair->client);
    (void)close(pair->server);
}

/* Returns true if a socket is shut down in both directions. */
static bool is_shut_down(int socket)
{
    char byte = 0;

    return send(socket, &byte, 1, MSG_NOSIGNAL) < 0 && errno == EPIPE &&
           recv(socket, &byte, 1, MSG_DONTWAIT) >= 0;
}

/* Checks for overdue connections, of which there are none, and returns whether the connection was
 * shut down as abandoned. */
static bool is_abandoned(const struct pair *pair)
{
    assert_uint_equal(connections_shutdown_overdue(&list, INT64_MIN), 0);
    assert_int_equal(pair->record->is_shut_down, is_shut_down(pair->server));
    return pair->record->is_shut_down;
}

static void each_situation_has_its_outcomes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SITUATIONS); i++) {
        const struct situation *situation = &SITUATIONS[i];
        struct pair pair = open_pair(situation);
        struct linger linger = {0};
        socklen_t size = sizeof linger;

        print_message("%s\n", situation->name);
        assert_int_equal(connection_has_more(pair.record), situation->has_more);
        assert_uint_equal(connections_shutdown_idle(&list, 5000), 1);
        assert_int_equal(is_shut_down(pair.server), situation->is_idle);
        close_pair(&pair);

        pair = open_pair(situation);
        now = 5010;
        assert_int_equal(connections_evict(&list, 0), situation->is_evicted);
        assert_int_equal(is_shut_down(pair.server), situation->is_evicted);
        now = 5000;
        close_pair(&pair);

        pair = open_pair(situation);
        assert_false(is_abandoned(&pair));
        assert_int_equal(is_abandoned(&pair), situation->is_abandoned);
        close_pair(&pair);

        pair = open_pair(situation);
        assert_uint_equal(connections_shutdown_overdue(&list, INT64_MAX), 1);
        assert_true(is_shut_down(pair.server));
        assert_int_equal(getsockopt(pair.server, SOL_SOCKET, SO_LINGER, &linger, &size), 0);
        assert_int_equal(linger.l_onoff, situation->is_reset);
        assert_int_equal(linger.l_linger, 0);
        close_pair(&pair);
    }
}

static void looks_for_abandoned_connections_for_three_seconds(void **state)
{
    const struct pair pair = open_pair(&(const struct situation){.is_ended = true});

    (void)state;
    assert_false(is_abandoned(&pair));
    atomic_store(&pair.record->completed, 2000);
    assert_false(is_abandoned(&pair));
    assert_false(is_abandoned(&pair));
    atomic_store(&pair.record->completed, 2001);
    assert_false(is_abandoned(&pair)); /* for the first time since that request */
    assert_true(is_abandoned(&pair));
    close_pair(&pair);
}

static void shuts_down_idle_connections_accepted_in_time(void **state)
{
    const struct pair pair = open_pair(&(const struct situation){0});

    (void)state;
    assert_uint_equal(connections_shutdown_idle(&list, 4999), 1);
    starts_request = pair.record; /* during the check */
    assert_uint_equal(connections_shutdown_idle(&list, 5000), 1);
    starts_request = NULL;
    assert_false(is_shut_down(pair.server));
    atomic_store(&pair.record->in_request, false);
    assert_uint_equal(connections_shutdown_idle(&list, INT64_MAX), 1);
    assert_true(is_shut_down(pair.server));
    close_pair(&pair);
}

static void has_no_more_on_an_old_kernel(void **state)
{
    const struct pair pair = open_pair(&(const struct situation){.received = 3});

    (void)state;
    is_old_kernel = true;
    assert_false(connection_has_more(pair.record));
    is_old_kernel = false;
    close_pair(&pair);
}

static void connection_without_memory_is_shut_down(void **state)
{
    const struct pair pair = open_pair(&(const struct situation){0});

    (void)state;
    failing_arm("calloc", 1, ENOMEM);
    assert_null(connections_add(&list, pair.server));
    assert_true(is_shut_down(pair.server));
    assert_uint_equal(connections_count(&list), 1);
    assert_uint_equal(connections_opened(&list), 2);
    close_pair(&pair);
}

static void keeps_records_in_a_list(void **state)
{
    struct connection *added[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        added[i] = connections_add(&list, 1000 + i);
    connections_remove(&list, added[1]); /* from the middle */
    connections_remove(&list, added[3]); /* the first */
    connections_remove(&list, NULL);
    assert_ptr_equal(list.first, added[2]);
    assert_ptr_equal(added[2]->next, added[0]);
    assert_ptr_equal(added[0]->previous, added[2]);
    assert_ptr_equal(list.last, added[0]);
    connections_remove(&list, added[0]); /* the last */
    assert_ptr_equal(list.first, list.last);
    assert_null(added[2]->previous);
    assert_null(added[2]->next);
    assert_int_equal(added[2]->accepted, 5000);
    assert_uint_equal(connections_count(&list), 1);
    connections_remove(&list, added[2]);
    assert_null(list.first);
    assert_null(list.last);
    assert_uint_equal(connections_count(&list), 0);
    assert_uint_equal(connections_opened(&list), 4);
}

/* Returns a character per record: x if it is shut down, else -. */
static const char *print_shut_down(struct connection *const *added, size_t count)
{
    static char text[64];

    for (size_t i = 0; i < count; i++)
        text[i] = added[i]->is_shut_down ? 'x' : '-';
    text[count] = '\0';
    return text;
}

/* Adds records that were accepted at 1000, 2000, ... and later completed a request at `completed`,
 * unless that is 0. */
static void add_completed(struct connection **added, const int64_t *completed, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        now = 1000 * (int64_t)(i + 1);
        added[i] = connections_add(&list, -1);
        if (completed != NULL && completed[i] != 0)
            atomic_store(&added[i]->completed, completed[i]);
    }
    now = 1000000;
}

static void shuts_down_overdue_connections_once(void **state)
{
    struct connection *added[4];

    (void)state;
    add_completed(added, (const int64_t[]){0, 5000, 0, 0}, 4);
    atomic_store(&added[2]->in_request, true);
    assert_uint_equal(connections_shutdown_overdue(&list, 999), 0);
    assert_uint_equal(connections_shutdown_overdue(&list, 3999), 2);
    assert_string_equal(print_shut_down(added, 4), "x-x-");
    assert_uint_equal(connections_shutdown_overdue(&list, 4000), 1);
    assert_uint_equal(connections_shutdown_overdue(&list, 5000), 1);
    assert_uint_equal(connections_shutdown_overdue(&list, INT64_MAX), 0);
    assert_uint_equal(connections_count(&list), 0);
}

static void evicts_the_connection_that_was_inactive_longest(void **state)
{
    static const struct {
        int64_t completed[4];
        const char *expected; /* after one eviction */
    } rows[] = {
        {{0, 0, 0, 0}, "x---"},
        {{5000, 0, 0, 0}, "-x--"},
        {{5000, 6000, 7000, 0}, "---x"},
        {{7000, 5000, 6000, 8000}, "-x--"},
        {{999990, 999991, 999991, 999991}, "x---"},
        {{999991, 999991, 999991, 999991}, "----"}, /* all active */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct connection *added[4];

        print_message("row %zu\n", i);
        add_completed(added, rows[i].completed, 4);
        assert_false(connections_evict(&list, 4));
        assert_true(connections_evict(&list, 3) == (strchr(rows[i].expected, 'x') != NULL));
        assert_string_equal(print_shut_down(added, 4), rows[i].expected);
        (void)tear_down(state);
    }
}

static void evicts_until_the_limit_is_met(void **state)
{
    struct connection *added[4];

    (void)state;
    add_completed(added, NULL, 4);
    assert_true(connections_evict(&list, 2));
    assert_true(connections_evict(&list, 2));
    assert_false(connections_evict(&list, 2));
    assert_string_equal(print_shut_down(added, 4), "xx--");
    connections_remove(&list, added[0]);
    assert_uint_equal(connections_count(&list), 2);
    assert_false(connections_evict(&list, 2));
    connections_remove(&list, added[2]);
    assert_uint_equal(connections_count(&list), 1);
}

/* The cost of an eviction must not grow with the list. */
static void examines_sixteen_candidates_and_then_others(void **state)
{
    struct connection *added[20];

    (void)state;
    add_completed(added, NULL, 20);
    for (int i = 0; i < 16; i++)
        atomic_store(&added[i]->completed, 500000 - i);
    assert_true(connections_evict(&list, 0));
    assert_string_equal(print_shut_down(added, 20), "---------------x----");
    assert_ptr_equal(list.last, added[16]);
    assert_true(connections_evict(&list, 0));
    assert_string_equal(print_shut_down(added, 20), "---------------xx---");
    assert_ptr_equal(list.last, added[12]);
}

enum { THREADS = 4, ROUNDS = 500 };

static void *add_and_remove(void *cls)
{
    for (int i = 0; i < ROUNDS; i++)
        connections_remove(cls, connections_add(cls, -1));
    return NULL;
}

static void list_is_shared_by_threads(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_and_remove, &list), 0);
    while (connections_opened(&list) < (uint64_t)THREADS * ROUNDS) {
        assert_true(connections_shutdown_idle(&list, INT64_MAX) <= THREADS);
        assert_true(connections_shutdown_overdue(&list, INT64_MAX) <= THREADS);
        (void)connections_evict(&list, 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_null(list.first);
    assert_uint_equal(connections_count(&list), 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keeps_records_in_a_list),
        TEST(connection_without_memory_is_shut_down),
        TEST(each_situation_has_its_outcomes),
        TEST(shuts_down_idle_connections_accepted_in_time),
        TEST(has_no_more_on_an_old_kernel),
        TEST(shuts_down_overdue_connections_once),
        TEST(looks_for_abandoned_connections_for_three_seconds),
        TEST(evicts_the_connection_that_was_inactive_longest),
        TEST(evicts_until_the_limit_is_met),
        TEST(examines_sixteen_candidates_and_then_others),
        TEST(list_is_shared_by_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
