/* wraps: malloc calloc free close accept4 poll routes_find reply_queue */
/* wraps: MHD_start_daemon MHD_add_connection MHD_quiesce_daemon MHD_set_panic_func _exit */
/* wraps: pthread_create */
/* wraps: monotonic_milliseconds monotonic_nanoseconds */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "connections.h"
#include "documents.h"
#include "failing.h"
#include "inspect.h"
#include "listener.h"
#include "reply.h"
#include "server.h"

/* What the wrapped functions do, and what they have seen; the threads of the server use it too. */
static atomic_int blocks;                 /* allocated and not freed */
static atomic_int bad_closes;             /* of descriptors that were not open */
static atomic_bool no_memory_for_records; /* of connections */
static atomic_bool no_reply_is_queued;
static atomic_bool reply_waits; /* between at_reply and through_reply */
static sem_t at_reply;
static sem_t through_reply;
static atomic_bool connections_are_dropped; /* although they were added */
static atomic_bool no_connection_is_added;
static sem_t targets;                  /* posted for each request target that is routed */
static atomic_int shortage;            /* what accept4() says to the threads; 0: nothing */
static atomic_int paused;              /* milliseconds that threads have waited for nothing */
static atomic_int_fast64_t now;        /* for the server, in milliseconds */
static atomic_bool sigterm_is_blocked; /* in the thread that routed the last */
static atomic_bool sigint_is_blocked;

/* Threads of the server that come to accept wait at the gate while it is closed. Then they go on as
 * if there were nothing to accept. */
static pthread_t test_thread;
static atomic_bool gate_is_closed;
static sem_t at_gate;
static sem_t through_gate;

/* Of the thread of the test alone. */
static bool is_quiesced;
static int accept_error; /* of the next accept4(); 0: none */
static bool no_daemon_starts;
static int threads_left;   /* that can be started; negative: no limit */
static char options[1024]; /* that libmicrohttpd was started with, a line each */

static MHD_PanicCallback panic; /* what it was given for the worst */
static void *panic_cls;
static jmp_buf ended; /* by _exit() */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __real_free(void *block);
void __wrap_free(void *block);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_poll(struct pollfd *polled, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *polled, nfds_t count, int timeout);
int __real_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
const struct route *__real_routes_find(const char *base_path, const char *path, size_t length);
const struct route *__wrap_routes_find(const char *base_path, const char *path, size_t length);
bool __real_reply_queue(const struct reply *reply, struct MHD_Connection *connection, bool close,
                        size_t *size);
bool __wrap_reply_queue(const struct reply *reply, struct MHD_Connection *connection, bool close,
                        size_t *size);
enum MHD_Result __real_MHD_add_connection(struct MHD_Daemon *daemon, int socket,
                                          const struct sockaddr *address, socklen_t size);
enum MHD_Result __wrap_MHD_add_connection(struct MHD_Daemon *daemon, int socket,
                                          const struct sockaddr *address, socklen_t size);
int __real_MHD_quiesce_daemon(struct MHD_Daemon *daemon);
int __wrap_MHD_quiesce_daemon(struct MHD_Daemon *daemon);
int64_t __real_monotonic_milliseconds(void);
int64_t __wrap_monotonic_milliseconds(void);
int64_t __wrap_monotonic_nanoseconds(void);
struct MHD_Daemon *__wrap_MHD_start_daemon(unsigned flags, uint16_t port,
                                           MHD_AcceptPolicyCallback policy, void *policy_cls,
                                           MHD_AccessHandlerCallback handler, void *handler_cls,
                                           ...);

void __wrap_MHD_set_panic_func(MHD_PanicCallback callback, void *cls);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *cls);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *cls);
_Noreturn void __wrap__exit(int status);

void __wrap_MHD_set_panic_func(MHD_PanicCallback callback, void *cls)
{
    panic = callback;
    panic_cls = cls;
}

/* The status is never 0 here. */
void __wrap__exit(int status)
{
    longjmp(ended, status);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *cls)
{
    if (threads_left == 0)
        return EAGAIN;
    threads_left--;
    return __real_pthread_create(thread, attributes, start, cls);
}

void *__wrap_malloc(size_t size)
{
    if (failing_now())
        return NULL;
    atomic_fetch_add(&blocks, 1);
    return __real_malloc(size);
}

/* A static libc's own calloc() would come back to malloc() here. */
void *__wrap_calloc(size_t count, size_t size)
{
    void *block = NULL;

    if (size != sizeof(struct connection) || !atomic_load(&no_memory_for_records))
        block = __wrap_malloc(count * size);
    return block == NULL ? NULL : memset(block, 0, count * size);
}

void __wrap_free(void *block)
{
    if (block != NULL)
        atomic_fetch_sub(&blocks, 1);
    __real_free(block);
}

int __wrap_close(int fd)
{
    const int result = __real_close(fd);

    if (result < 0)
        atomic_fetch_add(&bad_closes, 1);
    return result;
}

/* Without descriptors it only waits. */
int __wrap_poll(struct pollfd *polled, nfds_t count, int timeout)
{
    if (count == 0)
        atomic_fetch_add(&paused, timeout);
    return __real_poll(polled, count, timeout);
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    if (pthread_equal(pthread_self(), test_thread)) {
        assert_true(is_quiesced); /* else the threads would take connections meanwhile */
        assert_int_equal(flags, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accept_error != 0) {
            errno = accept_error;
            accept_error = 0;
            return -1;
        }
        if (failing_now()) {
            errno = EMFILE;
            return -1;
        }
    } else if (atomic_load(&gate_is_closed)) {
        sem_post(&at_gate);
        while (sem_wait(&through_gate) != 0)
            ;
        errno = EAGAIN;
        return -1;
    } else if (atomic_load(&shortage) != 0) {
        errno = atomic_load(&shortage);
        return -1;
    }
    return __real_accept4(fd, address, size, flags);
}

int __wrap_MHD_quiesce_daemon(struct MHD_Daemon *daemon)
{
    is_quiesced = true;
    return __real_MHD_quiesce_daemon(daemon);
}

int64_t __wrap_monotonic_milliseconds(void)
{
    return atomic_load(&now);
}

int64_t __wrap_monotonic_nanoseconds(void)
{
    return atomic_load(&now) * 1000000;
}

const struct route *__wrap_routes_find(const char *base_path, const char *path, size_t length)
{
    sigset_t mask;

    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    atomic_store(&sigterm_is_blocked, sigismember(&mask, SIGTERM) == 1);
    atomic_store(&sigint_is_blocked, sigismember(&mask, SIGINT) == 1);
    sem_post(&targets);
    return __real_routes_find(base_path, path, length);
}

bool __wrap_reply_queue(const struct reply *reply, struct MHD_Connection *connection, bool close,
                        size_t *size)
{
    if (atomic_load(&reply_waits)) {
        sem_post(&at_reply);
        while (sem_wait(&through_reply) != 0)
            ;
    }
    return !atomic_load(&no_reply_is_queued) && __real_reply_queue(reply, connection, close, size);
}

/* The socket is closed whatever the outcome. */
enum MHD_Result __wrap_MHD_add_connection(struct MHD_Daemon *daemon, int socket,
                                          const struct sockaddr *address, socklen_t size)
{
    const bool is_dropped = atomic_load(&connections_are_dropped);

    if (!is_dropped && !atomic_load(&no_connection_is_added))
        return __real_MHD_add_connection(daemon, socket, address, size);
    (void)close(socket);
    return is_dropped ? MHD_YES : MHD_NO;
}

/* Writes the next option with its values into `options`. Returns false after the last. */
static bool note_option(va_list *list, const void *cls)
{
    char *out = options + strlen(options);
    const size_t size = sizeof options - strlen(options);
    const enum MHD_OPTION option = va_arg(*list, enum MHD_OPTION);
    const char *is_given;

    switch (option) {
    case MHD_OPTION_END:
        return false;
    case MHD_OPTION_LISTEN_SOCKET:
    case MHD_OPTION_CLIENT_DISCIPLINE_LVL:
        (void)snprintf(out, size, "option %d: int %d\n", option, va_arg(*list, int));
        return true;
    case MHD_OPTION_THREAD_POOL_SIZE:
    case MHD_OPTION_CONNECTION_LIMIT:
        (void)snprintf(out, size, "option %d: unsigned %u\n", option, va_arg(*list, unsigned));
        return true;
    case MHD_OPTION_CONNECTION_MEMORY_LIMIT:
        (void)snprintf(out, size, "option %d: size %zu\n", option, va_arg(*list, size_t));
        return true;
    case MHD_OPTION_NOTIFY_CONNECTION:
    case MHD_OPTION_URI_LOG_CALLBACK:
    case MHD_OPTION_NOTIFY_COMPLETED: /* a function, then what it is called with */
        is_given = va_arg(*list, void (*)(void)) != NULL ? "function" : "NULL";
        (void)snprintf(out, size, "option %d: %s, %s\n", option, is_given,
                       va_arg(*list, void *) == cls ? "dispatch" : "something else");
        return true;
    default:
        fail_msg("option %d is unknown to this test", option);
    }
    return false;
}

struct MHD_Daemon *__wrap_MHD_start_daemon(unsigned flags, uint16_t port,
                                           MHD_AcceptPolicyCallback policy, void *policy_cls,
                                           MHD_AccessHandlerCallback handler, void *handler_cls,
                                           ...)
{
    struct MHD_Daemon *daemon = NULL;
    va_list list;

    if (no_daemon_starts)
        return NULL;
    (void)snprintf(options, sizeof options, "flags 0x%x, port %u, %s, %s\n", flags, port,
                   policy == NULL && policy_cls == NULL ? "no policy" : "a policy",
                   handler != NULL && handler_cls != NULL ? "handler" : "no handler");
    va_start(list, handler_cls);
    while (note_option(&list, handler_cls))
        ;
    va_end(list);
    va_start(list, handler_cls);
    daemon = MHD_start_daemon_va(flags, port, policy, policy_cls, handler, handler_cls, list);
    va_end(list);
    return daemon;
}

enum { THREADS_MAX = 3 };

/* A server, with all that it is made of. */
struct fixture {
    struct config config;
    struct log log;
    struct usage usage;
    struct metrics *metrics;
    struct handlers *handlers;
    struct server *server;
    int log_pipe[2];
    int listener;
    bool is_shared;
    uint16_t port;
};

static const struct build_info INFO = {.name = "example",
                                       .version = "1.2.3",
                                       .commit = "0123456789abcdef0123456789abcdef01234567",
                                       .description = "An example",
                                       .build_date = "2026-11-22T09:00:00Z"};

#define DOCUMENT_VERSION                                                                           \
    "{\"name\":\"example\",\"version\":\"1.2.3\","                                                 \
    "\"commit\":\"0123456789abcdef0123456789abcdef01234567\","                                     \
    "\"description\":\"An example\",\"build_date\":\"2026-11-22T09:00:00Z\"}\n"

static void open_gate(unsigned threads)
{
    atomic_store(&gate_is_closed, false);
    for (unsigned i = 0; i < threads; i++)
        sem_post(&through_gate);
}

static void restore_calls(void)
{
    atomic_store(&bad_closes, 0);
    atomic_store(&no_memory_for_records, false);
    atomic_store(&no_reply_is_queued, false);
    atomic_store(&connections_are_dropped, false);
    atomic_store(&no_connection_is_added, false);
    atomic_store(&reply_waits, false);
    atomic_store(&gate_is_closed, false);
    atomic_store(&shortage, 0);
    atomic_store(&paused, 0);
    atomic_store(&now, 123456789);
    is_quiesced = false;
    accept_error = 0;
    no_daemon_starts = false;
    threads_left = -1;
    test_thread = pthread_self();
    sem_init(&targets, 0, 0);
    sem_init(&at_reply, 0, 0);
    sem_init(&through_reply, 0, 0);
    sem_init(&at_gate, 0, 0);
    sem_init(&through_gate, 0, 0);
}

static int set_up(void **state)
{
    static struct fixture fixture;

    restore_calls();
    fixture = (struct fixture){
        .config = {.threads = 2, .max_connections = 100, .request_deadline = 30000}};
    if (pipe2(fixture.log_pipe, O_CLOEXEC) != 0)
        return -1;
    log_init(&fixture.log, fixture.log_pipe[1], LOG_FORMAT_JSON, LOG_DEBUG);
    usage_open(&fixture.usage, "/proc/self", 1024);
    fixture.metrics = metrics_create(
        &(const struct metrics_parts){&INFO, &fixture.log, &fixture.usage, THREADS_MAX, 100});
    if (fixture.metrics == NULL)
        return -1;
    fixture.handlers =
        handlers_create(&(const struct route_context){&INFO, fixture.metrics}, NULL, THREADS_MAX);
    *state = &fixture;
    return fixture.handlers == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    open_gate(fixture->config.threads);
    sem_post(&through_reply);
    if (fixture->server != NULL)
        server_stop(fixture->server);
    handlers_free(fixture->handlers);
    metrics_free(fixture->metrics);
    usage_close(&fixture->usage);
    (void)close(fixture->log_pipe[0]);
    (void)close(fixture->log_pipe[1]);
    return 0;
}

static int open_listener(struct fixture *fixture)
{
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;

    fixture->listener = listener_open("127.0.0.1", 0);
    assert_true(fixture->listener >= 0);
    assert_int_equal(getsockname(fixture->listener, (struct sockaddr *)&address, &size), 0);
    fixture->port = ntohs(address.sin_port);
    return fixture->listener;
}

/* Starts the server with the settings of the fixture. */
static void start_server(struct fixture *fixture)
{
    const struct server_parts parts = {&fixture->config,       fixture->handlers,
                                       &fixture->log,          fixture->metrics,
                                       open_listener(fixture), fixture->is_shared};

    fixture->server = server_start(&parts);
    assert_non_null(fixture->server);
}

static void stop_server(struct fixture *fixture)
{
    server_stop(fixture->server);
    fixture->server = NULL;
}

static void await(sem_t *semaphore)
{
    struct timespec deadline;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE / 1000;
    while (sem_timedwait(semaphore, &deadline) != 0) {
        if (errno != EINTR)
            fail_msg("what is waited for does not happen: %s", strerror(errno));
    }
}

/* Waits until as many connections are open, while those that are idle are closed. */
static void await_open(const struct fixture *fixture, size_t expected, int64_t accepted)
{
    const int64_t deadline = __real_monotonic_milliseconds() + PATIENCE;
    size_t open = server_close_idle(fixture->server, accepted);

    while (open != expected) {
        if (__real_monotonic_milliseconds() > deadline)
            fail_msg("%zu connections are open, not %zu", open, expected);
        (void)sched_yield();
        open = server_close_idle(fixture->server, accepted);
    }
}

#define REQUEST(line) line " HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct client_answer DOCUMENT = {
    .status = "200 OK", .type = TYPE_JSON, .body = DOCUMENT_VERSION};
static const struct client_answer DOCUMENT_CLOSE = {
    .status = "200 OK", .type = TYPE_JSON, .body = DOCUMENT_VERSION, .close = true};
static const struct client_answer DOCUMENT_HEAD = {
    .status = "200 OK", .type = TYPE_JSON, .body = DOCUMENT_VERSION, .is_head = true};
static const struct client_answer ALIVE = {
    .status = "200 OK", .type = TYPE_JSON, .body = DOCUMENT_OK};
static const struct client_answer ALIVE_CLOSE = {
    .status = "200 OK", .type = TYPE_JSON, .body = DOCUMENT_OK, .close = true};
static const struct client_answer READY = {
    .status = "200 OK", .type = TYPE_JSON, .body = DOCUMENT_READY};
static const struct client_answer DRAINING_CLOSE = {.status = "503 Service Unavailable",
                                                    .type = TYPE_JSON,
                                                    .body = DOCUMENT_DRAINING,
                                                    .close = true};
static const struct client_answer NOT_ALLOWED = {.status = "405 Method Not Allowed",
                                                 .type = TYPE_PROBLEM,
                                                 .allow = ALLOW_READ,
                                                 .body = DOCUMENT_NOT_ALLOWED};
static const struct client_answer NOT_ALLOWED_CLOSE = {.status = "405 Method Not Allowed",
                                                       .type = TYPE_PROBLEM,
                                                       .allow = ALLOW_READ,
                                                       .body = DOCUMENT_NOT_ALLOWED,
                                                       .close = true};
static const struct client_answer BAD_TARGET = {
    .status = "400 Bad Request", .type = TYPE_PROBLEM, .body = DOCUMENT_BAD_TARGET, .close = true};
static const struct client_answer REFUSED = {
    .status = "400 Bad Request", .type = TYPE_PROBLEM, .body = DOCUMENT_REFUSED, .close = true};

/* Reads the answer to `request` and, if it says so, the end of the connection. */
static void expect_answer_to(int client, const char *request, const struct client_answer *expected)
{
    char *answer = client_receive(client, expected->body == NULL);
    char *text = client_print_answer(expected);

    if (strcmp(answer, text) != 0)
        fail_msg("%s\nis answered\n%s\ninstead of\n%s", request, answer, text);
    free(text);
    free(answer);
    if (expected->close)
        client_expect_closed(client);
}

static void expect_answer(int client, const struct client_answer *expected)
{
    expect_answer_to(client, "a request", expected);
}

/* A request, and its answer. */
struct exchange {
    const char *request;
    const struct client_answer *answer;
};

static void expect_exchanges(const struct fixture *fixture, const struct exchange *rows,
                             size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int client = client_connect(fixture->port);

        client_send_text(client, rows[i].request);
        expect_answer_to(client, rows[i].request, rows[i].answer);
        if (!rows[i].answer->close && !client_is_quiet(client))
            fail_msg("the connection does not stay after %s", rows[i].request);
        (void)close(client);
    }
}

/* Sends a request that is answered, so that the server knows the connection. */
static int connect_and_ask(const struct fixture *fixture)
{
    const int client = client_connect(fixture->port);

    client_expect_answer(client, REQUEST("GET /healthz"), &ALIVE);
    return client;
}

static int start_and_ask(struct fixture *fixture)
{
    start_server(fixture);
    return connect_and_ask(fixture);
}

/* Stops the server, and compares everything that it has logged. */
static void expect_log(struct fixture *fixture, const char *expected)
{
    char text[8192];
    size_t used = 0;
    ssize_t n = 0;

    stop_server(fixture);
    (void)close(fixture->log_pipe[1]);
    do {
        used += (size_t)n;
        n = read(fixture->log_pipe[0], text + used, sizeof text - 1 - used);
    } while (n > 0);
    text[used] = '\0';
    fixture->log_pipe[1] = fcntl(fixture->log_pipe[0], F_DUPFD_CLOEXEC, 0); /* to be closed */
    inspect_replace_times(text);
    assert_string_equal(text, expected);
}

static void server_start_gives_libmicrohttpd_its_options(void **state)
{
    struct fixture *fixture = *state;
    char expected[1024];

    fixture->config.threads = 3;
    fixture->config.max_connections = 70;
    start_server(fixture);
    (void)snprintf(expected, sizeof expected,
                   "flags 0x%x, port 0, no policy, handler\n"
                   "option %d: int %d\noption %d: unsigned 3\noption %d: unsigned 82\n"
                   "option %d: size 8192\noption %d: int 1\n"
                   "option %d: function, dispatch\noption %d: function, dispatch\n"
                   "option %d: function, dispatch\n",
                   MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, MHD_OPTION_LISTEN_SOCKET,
                   fixture->listener, MHD_OPTION_THREAD_POOL_SIZE, MHD_OPTION_CONNECTION_LIMIT,
                   MHD_OPTION_CONNECTION_MEMORY_LIMIT, MHD_OPTION_CLIENT_DISCIPLINE_LVL,
                   MHD_OPTION_NOTIFY_CONNECTION, MHD_OPTION_URI_LOG_CALLBACK,
                   MHD_OPTION_NOTIFY_COMPLETED);
    assert_string_equal(options, expected);
}

static void server_start_when_it_cannot_returns_null_and_frees_all(void **state)
{
    struct fixture *fixture = *state;
    const struct server_parts parts = {&fixture->config, fixture->handlers,      &fixture->log,
                                       fixture->metrics, open_listener(fixture), false};
    const int before = atomic_load(&blocks);
    const struct server *server = NULL;

    failing_at(1);
    server = server_start(&parts);
    failing_at(0);
    assert_null(server);
    no_daemon_starts = true;
    assert_null(server_start(&parts));
    assert_int_equal(atomic_load(&blocks), before);
    (void)close(fixture->listener);
}

/* What a process that shares the listener finds: it listens, and has the connection of `client`. */
static void expect_queued(int listener, int client)
{
    struct sockaddr_in own = {0};
    struct sockaddr_in peer = {0};
    socklen_t size = sizeof own;
    int accepted = -1;

    assert_int_equal(getsockname(client, (struct sockaddr *)&own, &size), 0);
    size = sizeof peer;
    accepted = __real_accept4(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
    if (accepted < 0)
        fail_msg("no connection waits: %s", strerror(errno));
    assert_int_equal(peer.sin_port, own.sin_port);
    (void)close(accepted);
}

/* libmicrohttpd then stops those that have started, as it would stop all. */
static void server_start_without_all_threads_leaves_the_listener_listening(void **state)
{
    struct fixture *fixture = *state;
    const struct server_parts parts = {&fixture->config, fixture->handlers,      &fixture->log,
                                       fixture->metrics, open_listener(fixture), true};
    const int shared = fcntl(fixture->listener, F_DUPFD_CLOEXEC, 0);
    int client = -1;

    threads_left = 1;
    assert_null(server_start(&parts));
    client = client_connect(fixture->port);
    expect_queued(shared, client);
    (void)close(client);
    (void)close(shared);
}

static void threads_have_the_signal_mask_of_the_caller(void **state)
{
    struct fixture *fixture = *state;
    sigset_t blocked;
    sigset_t before;
    int client = -1;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);
    start_server(fixture);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    client = connect_and_ask(fixture);
    await(&targets);
    assert_true(atomic_load(&sigterm_is_blocked));
    assert_false(atomic_load(&sigint_is_blocked));
    (void)close(client);
}

static void connection_without_memory_is_closed_and_the_server_lives_on(void **state)
{
    struct fixture *fixture = *state;
    int client = -1;

    fixture->config.access_log = ACCESS_LOG_ALL;
    start_server(fixture);
    atomic_store(&no_memory_for_records, true);
    client = client_connect(fixture->port);
    client_send_text(client, REQUEST("GET /version"));
    client_expect_closed(client);
    (void)close(client);
    atomic_store(&no_memory_for_records, false);
    (void)close(connect_and_ask(fixture));
    expect_log(fixture, "");
}

static void request_whose_answer_is_not_queued_ends_its_connection(void **state)
{
    struct fixture *fixture = *state;
    const int client = start_and_ask(fixture);

    atomic_store(&no_reply_is_queued, true);
    client_send_text(client, REQUEST("GET /version"));
    client_expect_closed(client);
    (void)close(client);
    atomic_store(&no_reply_is_queued, false);
    (void)close(connect_and_ask(fixture));
}

/* The number of a series of the metrics. */
static unsigned long count(const struct fixture *fixture, const char *series)
{
    return inspect_metric(fixture->metrics, series);
}

static void await_count(const struct fixture *fixture, const char *series, unsigned long expected)
{
    const int64_t deadline = __real_monotonic_milliseconds() + PATIENCE;

    while (count(fixture, series) != expected) {
        if (__real_monotonic_milliseconds() > deadline)
            fail_msg("%s is %lu, not %lu", series, count(fixture, series), expected);
        (void)sched_yield();
    }
}

#define LOG_LINE(level, method, path, status, bytes)                                               \
    "{\"time\":\"TIME\",\"level\":\"" level "\",\"msg\":\"request\",\"remote\":\"127.0.0.1\","     \
    "\"method\":\"" method "\",\"path\":\"" path "\",\"status\":" #status ",\"bytes\":" #bytes     \
    ",\"duration_us\":0}\n"

static void requests_and_connections_are_counted_and_logged(void **state)
{
    struct fixture *fixture = *state;
    int client = -1;

    fixture->config.access_log = ACCESS_LOG_ALL;
    start_server(fixture);
    client = client_connect(fixture->port);
    client_expect_answer(client, REQUEST("GET /version"), &DOCUMENT);
    client_expect_answer(client, REQUEST("HEAD /version"), &DOCUMENT_HEAD);
    client_expect_answer(client, REQUEST("PUT /readyz"), &NOT_ALLOWED);
    client_expect_answer(client, "GET /version HTTP/1.1\r\nHost : a\r\n\r\n", &REFUSED);
    (void)close(client);
    expect_log(fixture, LOG_LINE("info", "GET", "/version", 200, 152)
                            LOG_LINE("info", "HEAD", "/version", 200, 0)
                                LOG_LINE("warn", "PUT", "/readyz", 405, 113)
                                    LOG_LINE("warn", "-", "/version", 400, 0));
#define SERIES(path, method, code)                                                                 \
    "http_requests_total{path=\"" path "\",method=\"" method "\",code=\"" code "\"}"
    assert_uint_equal(count(fixture, SERIES("/version", "GET", "200")), 1);
    assert_uint_equal(count(fixture, SERIES("/version", "HEAD", "200")), 1);
    assert_uint_equal(count(fixture, SERIES("/readyz", "other", "405")), 1);
    assert_uint_equal(count(fixture, SERIES("/version", "other", "400")), 1);
#undef SERIES
    assert_uint_equal(count(fixture, "http_connections_accepted_total"), 1);
    assert_uint_equal(count(fixture, "http_connections_open"), 0);
    assert_uint_equal(count(fixture, "http_connections_refused_total"), 0);
}

static void request_that_the_client_leaves_is_neither_counted_nor_logged(void **state)
{
    struct fixture *fixture = *state;
    int client = -1;

    fixture->config.access_log = ACCESS_LOG_ALL;
    start_server(fixture);
    client = client_connect(fixture->port);
    client_send_text(client, "GET /version HTTP/1.1\r\nHost: a\r\n");
    await(&targets);
    (void)close(client);
    await_count(fixture, "http_connections_accepted_total", 1);
    await_count(fixture, "http_connections_open", 0);
    expect_log(fixture, "");
    assert_uint_equal(count(fixture, "http_request_duration_seconds_count"), 0);
}

static void sweep_closes_and_counts_what_completed_no_request_in_time(void **state)
{
    struct fixture *fixture = *state;
    int late = -1;
    int prompt = -1;

    start_server(fixture);
    late = client_connect(fixture->port);
    client_send_text(late, "GET /version HTTP/1.1\r\n");
    await(&targets);
    prompt = connect_and_ask(fixture);
    atomic_fetch_add(&now, 1);
    client_expect_answer(prompt, REQUEST("GET /version"), &DOCUMENT);
    await_count(fixture, "http_request_duration_seconds_count", 2); /* comes after the answer */
    for (int half_second = 1; half_second < 60; half_second++) {
        (void)server_sweep(fixture->server);
        atomic_fetch_add(&now, 500);
    }
    (void)server_sweep(fixture->server); /* at 29.501 s */
    client_expect_answer(prompt, REQUEST("GET /version"), &DOCUMENT);
    await_count(fixture, "http_request_duration_seconds_count", 3);
    assert_uint_equal(count(fixture, "http_connections_overdue_total"), 0);
    assert_true(client_is_quiet(late));
    atomic_fetch_add(&now, 1000);
    server_sweep(fixture->server);
    assert_uint_equal(count(fixture, "http_connections_overdue_total"), 1);
    client_expect_closed(late);
    client_expect_answer(prompt, REQUEST("GET /version"), &DOCUMENT);
    server_sweep(fixture->server);
    assert_uint_equal(count(fixture, "http_connections_overdue_total"), 1);
    (void)close(late);
    (void)close(prompt);
}

/* Has connections wait in the backlog of the kernel, each with a request, and all threads of the
 * server at the gate. */
static void fill_backlog(struct fixture *fixture, int *clients, size_t count)
{
    atomic_store(&gate_is_closed, true);
    for (size_t i = 0; i < count; i++) {
        clients[i] = client_connect(fixture->port);
        client_send_text(clients[i], REQUEST("GET /version"));
    }
    for (unsigned i = 0; i < fixture->config.threads; i++)
        await(&at_gate);
}

static void connection_above_the_limit_has_an_idle_one_closed(void **state)
{
    struct fixture *fixture = *state;
    int first = -1;
    int second = -1;
    int third = -1;

    fixture->config.max_connections = 2;
    first = start_and_ask(fixture);
    second = connect_and_ask(fixture);
    await_count(fixture, "http_request_duration_seconds_count", 2);
    atomic_fetch_add(&now, 11);
    third = connect_and_ask(fixture);
    client_expect_closed(first);
    assert_uint_equal(count(fixture, "http_connections_evicted_total"), 1);
    client_expect_answer(second, REQUEST("GET /version"), &DOCUMENT);
    client_expect_answer(third, REQUEST("GET /version"), &DOCUMENT);
    (void)close(first);
    (void)close(second);
    (void)close(third);
}

/* Those that came while all others were busy. */
static void sweep_closes_what_is_above_the_limit(void **state)
{
    struct fixture *fixture = *state;
    int clients[4];
    size_t served = 0;

    fixture->config.max_connections = 2;
    start_server(fixture);
    for (size_t i = 0; i < COUNT_OF(clients); i++)
        clients[i] = connect_and_ask(fixture);
    await_count(fixture, "http_request_duration_seconds_count", 4);
    assert_int_equal(server_sweep(fixture->server), 10);
    assert_uint_equal(count(fixture, "http_connections_evicted_total"), 0);
    atomic_fetch_add(&now, 10);
    assert_int_equal(server_sweep(fixture->server), 50);
    assert_uint_equal(count(fixture, "http_connections_evicted_total"), 2);
    await_count(fixture, "http_connections_open", 2);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        served += client_is_quiet(clients[i]);
        if (client_is_quiet(clients[i]))
            client_expect_answer(clients[i], REQUEST("GET /version"), &DOCUMENT);
        else
            client_expect_closed(clients[i]);
        (void)close(clients[i]);
    }
    assert_uint_equal(served, 2);
}

static const int shortages[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS};

/* Calls server_accept() as a thread of libmicrohttpd would, and returns its errno. */
static int accept_errno(const struct fixture *fixture, int error)
{
    is_quiesced = true;
    accept_error = error;
    errno = 0;
    assert_int_equal(server_accept(fixture->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC),
                     -1);
    return errno;
}

static void accept_tells_other_errors_as_they_are(void **state)
{
    static const int errors[] = {EAGAIN, ECONNABORTED, EINVAL, EINTR};
    struct fixture *fixture = *state;

    start_server(fixture);
    for (size_t i = 0; i < COUNT_OF(errors); i++)
        assert_int_equal(accept_errno(fixture, errors[i]), errors[i]);
    assert_int_equal(atomic_load(&paused), 0);
    assert_uint_equal(count(fixture, "http_accept_failures_total"), 0);
}

static void shortage_without_connections_is_waited_for(void **state)
{
    struct fixture *fixture = *state;

    start_server(fixture);
    for (size_t i = 0; i < COUNT_OF(shortages); i++) {
        assert_int_equal(accept_errno(fixture, shortages[i]), EAGAIN);
        assert_int_equal(atomic_exchange(&paused, 0), 1);
        assert_uint_equal(count(fixture, "http_accept_failures_total"), i + 1);
    }
    assert_uint_equal(count(fixture, "http_connections_evicted_total"), 0);
}

/* And no other until that has helped. */
static void shortage_has_one_idle_connection_closed(void **state)
{
    struct fixture *fixture = *state;
    int clients[2];
    int waiting = -1;

    start_server(fixture);
    clients[0] = connect_and_ask(fixture);
    clients[1] = connect_and_ask(fixture);
    await_count(fixture, "http_request_duration_seconds_count", 2);
    fill_backlog(fixture, &waiting, 1);
    assert_int_equal(accept_errno(fixture, EMFILE), EAGAIN);
    assert_int_equal(atomic_exchange(&paused, 0), 1); /* both were busy just now */
    assert_uint_equal(count(fixture, "http_connections_evicted_total"), 0);
    atomic_fetch_add(&now, 11);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(accept_errno(fixture, EMFILE), EAGAIN);
        assert_int_equal(atomic_exchange(&paused, 0), 1);
        assert_uint_equal(count(fixture, "http_connections_evicted_total"), 1);
    }
    assert_uint_equal(count(fixture, "http_accept_failures_total"), 4);
    open_gate(fixture->config.threads);
    expect_answer(waiting, &DOCUMENT);
    await_count(fixture, "http_connections_open", 2);
    assert_true(client_is_quiet(clients[0]) != client_is_quiet(clients[1]));
    atomic_fetch_add(&now, 11);
    assert_int_equal(accept_errno(fixture, EMFILE), EAGAIN);
    assert_uint_equal(count(fixture, "http_connections_evicted_total"), 2);
    (void)close(clients[0]);
    (void)close(clients[1]);
    (void)close(waiting);
}

/* Whatever the threads have at that time. */
static void client_is_served_when_the_shortage_has_ended(void **state)
{
    struct fixture *fixture = *state;
    const int busy = start_and_ask(fixture);

    for (size_t i = 0; i < COUNT_OF(shortages); i++) {
        const unsigned long before = count(fixture, "http_accept_failures_total");
        int waiting = -1;

        atomic_store(&shortage, shortages[i]);
        waiting = client_connect(fixture->port);
        client_send_text(waiting, REQUEST("GET /version"));
        do {
            client_expect_answer(busy, REQUEST("GET /version"), &DOCUMENT);
        } while (count(fixture, "http_accept_failures_total") < before + 10);
        assert_true(client_is_quiet(waiting));
        atomic_store(&shortage, 0);
        expect_answer(waiting, &DOCUMENT);
        (void)close(waiting);
    }
    (void)close(busy);
}

/* The kernel gives them up when it cannot deliver to a client for so long. */
static void connections_have_the_deadline_in_the_kernel_too(void **state)
{
    struct fixture *fixture = *state;
    const int client = start_and_ask(fixture);
    unsigned timeout = 0;
    socklen_t size = sizeof timeout;
    const int listener = fixture->listener;
    int accepted = -1;

    assert_int_equal(getsockopt(listener, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, &size), 0);
    assert_uint_equal(timeout, 60000);
    timeout = 0;
    for (int at = listener + 1; accepted < 0; at++) { /* the other end of the client's */
        struct sockaddr_in own = {0};
        struct sockaddr_in peer = {0};
        socklen_t own_size = sizeof own;
        socklen_t peer_size = sizeof peer;

        assert_true(at < 1024);
        if (getsockname(client, (struct sockaddr *)&own, &own_size) == 0 &&
            getpeername(at, (struct sockaddr *)&peer, &peer_size) == 0 &&
            own.sin_port == peer.sin_port)
            accepted = at;
    }
    assert_int_equal(getsockopt(accepted, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, &size), 0);
    assert_uint_equal(timeout, 60000);
    (void)close(client);
}

static void draining_server_is_not_ready_and_ends_connections(void **state)
{
    static const struct exchange rows[] = {
        {REQUEST("GET /readyz"), &DRAINING_CLOSE},
        {REQUEST("GET /healthz"), &ALIVE_CLOSE},
        {REQUEST("GET /version"), &DOCUMENT_CLOSE},
        {REQUEST("PUT /version"), &NOT_ALLOWED_CLOSE},
    };
    struct fixture *fixture = *state;
    int client = -1;

    start_server(fixture);
    client = client_connect(fixture->port);
    client_expect_answer(client, REQUEST("GET /readyz"), &READY);
    server_drain(fixture->server);
    client_expect_answer(client, REQUEST("GET /readyz"), &DRAINING_CLOSE);
    (void)close(client);
    expect_exchanges(fixture, rows, COUNT_OF(rows));
}

static void draining_server_answers_all_requests_that_have_arrived(void **state)
{
    struct fixture *fixture = *state;
    const int client = start_and_ask(fixture);

    server_drain(fixture->server);
    client_expect_answer(
        client, REQUEST("GET /version") REQUEST("PUT /version") REQUEST("GET /healthz"), &DOCUMENT);
    expect_answer(client, &NOT_ALLOWED);
    expect_answer(client, &ALIVE_CLOSE);
    (void)close(client);
}

static void draining_server_waits_for_the_rest_of_a_request_that_has_begun(void **state)
{
    struct fixture *fixture = *state;
    const int client = start_and_ask(fixture);

    server_drain(fixture->server);
    client_expect_answer(client, REQUEST("GET /version") "GET /heal", &DOCUMENT);
    server_stop_accepting(fixture->server);
    assert_uint_equal(server_close_idle(fixture->server, INT64_MAX), 1);
    assert_true(client_is_quiet(client));
    client_expect_answer(client, "thz HTTP/1.1\r\nHost: a\r\n\r\n", &ALIVE_CLOSE);
    await_open(fixture, 0, INT64_MIN);
    (void)close(client);
}

static void draining_server_closes_after_a_fault_whatever_follows(void **state)
{
    struct fixture *fixture = *state;
    const int client = start_and_ask(fixture);

    server_drain(fixture->server);
    client_expect_answer(client, REQUEST("GET *") REQUEST("GET /version"), &BAD_TARGET);
    (void)close(client);
}

static int connect_error(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int error =
        connect(client, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;

    (void)close(client);
    return error;
}

static void server_that_stopped_accepting_refuses_and_serves_who_is_there(void **state)
{
    struct fixture *fixture = *state;
    const int client = start_and_ask(fixture);

    server_stop_accepting(fixture->server);
    assert_int_equal(connect_error(fixture->port), ECONNREFUSED);
    client_expect_answer(client, REQUEST("GET /version"), &DOCUMENT);
    assert_uint_equal(server_close_idle(fixture->server, INT64_MIN), 1);
    (void)close(client);
    await_open(fixture, 0, INT64_MIN);
}

static void server_close_idle_closes_the_idle_and_counts_all(void **state)
{
    struct fixture *fixture = *state;
    int idle = -1;
    int busy = -1;

    start_server(fixture);
    idle = connect_and_ask(fixture);
    busy = connect_and_ask(fixture);
    client_send_text(busy, "GET /version HTTP/1.1\r\n");
    await(&targets);
    await(&targets);
    await(&targets);
    server_stop_accepting(fixture->server);
    assert_uint_equal(server_close_idle(fixture->server, INT64_MIN), 2);
    assert_true(client_is_quiet(idle));
    await_open(fixture, 1,
               INT64_MAX); /* by and by: the answer may have come before the request was done */
    client_expect_closed(idle);
    assert_true(client_is_quiet(busy));
    client_expect_answer(busy, "Host: a\r\n\r\n", &DOCUMENT);
    (void)close(idle);
    (void)close(busy);
}

static void request_that_is_being_answered_is_not_idle(void **state)
{
    struct fixture *fixture = *state;
    int client = -1;

    atomic_store(&reply_waits, true);
    start_server(fixture);
    client = client_connect(fixture->port);
    client_send_text(client, REQUEST("GET /version"));
    await(&at_reply);
    server_stop_accepting(fixture->server);
    assert_uint_equal(server_close_idle(fixture->server, INT64_MAX), 1);
    assert_true(client_is_quiet(client));
    sem_post(&through_reply);
    expect_answer(client, &DOCUMENT);
    (void)close(client);
}

static void connections_in_the_backlog_are_served(void **state)
{
    static const uint32_t threads[] = {1, 3};

    for (size_t row = 0; row < COUNT_OF(threads); row++) {
        struct fixture *fixture = *state;
        int clients[5];

        fixture->config.threads = threads[row];
        start_server(fixture);
        fill_backlog(fixture, clients, COUNT_OF(clients));
        server_drain(fixture->server);
        server_stop_accepting(fixture->server);
        assert_int_equal(connect_error(fixture->port), ECONNREFUSED);
        assert_uint_equal(server_close_idle(fixture->server, INT64_MIN), COUNT_OF(clients));
        open_gate(threads[row]);
        for (size_t i = 0; i < COUNT_OF(clients); i++) {
            expect_answer(clients[i], &DOCUMENT_CLOSE);
            (void)close(clients[i]);
        }
        await_open(fixture, 0, INT64_MIN);
        stop_server(fixture);
    }
}

/* Those that came before the stop and those that come during and after it. */
static void connections_of_a_shared_listener_are_left_in_its_backlog(void **state)
{
    struct fixture *fixture = *state;
    int clients[3];
    int shared = -1;

    fixture->is_shared = true;
    start_server(fixture);
    shared = fcntl(fixture->listener, F_DUPFD_CLOEXEC, 0);
    fill_backlog(fixture, clients, 1);
    server_stop_accepting(fixture->server);
    open_gate(fixture->config.threads);
    clients[1] = client_connect(fixture->port);
    assert_uint_equal(server_close_idle(fixture->server, INT64_MAX), 0);
    stop_server(fixture);
    clients[2] = client_connect(fixture->port);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        expect_queued(shared, clients[i]);
        (void)close(clients[i]);
    }
    (void)close(shared);
}

static void connection_in_the_backlog_that_is_not_taken_is_not_waited_for(void **state)
{
    struct fixture *fixture = *state;
    int clients[2];

    start_server(fixture);
    fill_backlog(fixture, clients, COUNT_OF(clients));
    atomic_store(&no_connection_is_added, true);
    server_stop_accepting(fixture->server);
    assert_uint_equal(server_close_idle(fixture->server, INT64_MIN), 0);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        client_expect_closed(clients[i]);
        (void)close(clients[i]);
    }
}

static void connection_in_the_backlog_without_memory_is_not_waited_for(void **state)
{
    struct fixture *fixture = *state;
    int client = -1;

    start_server(fixture);
    fill_backlog(fixture, &client, 1);
    atomic_store(&no_memory_for_records, true);
    server_stop_accepting(fixture->server);
    assert_uint_equal(server_close_idle(fixture->server, INT64_MIN), 1);
    open_gate(fixture->config.threads);
    client_expect_closed(client);
    await_open(fixture, 0, INT64_MIN);
    (void)close(client);
}

static void connections_in_the_backlog_wait_for_room(void **state)
{
    static const struct {
        uint32_t limit;
        size_t left; /* known to wait: handed over, or one in the backlog at least */
    } rows[] = {{1, 2}, {2, 2}, {4, 3}, {8, 5}};

    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        struct fixture *fixture = *state;
        int clients[6];

        fixture->config.threads = 1;
        fixture->config.max_connections = rows[row].limit;
        start_server(fixture);
        fill_backlog(fixture, clients, COUNT_OF(clients));
        server_drain(fixture->server);
        server_stop_accepting(fixture->server);
        assert_uint_equal(server_close_idle(fixture->server, INT64_MIN), rows[row].left);
        open_gate(1);
        await_open(fixture, 0, INT64_MIN);
        for (size_t i = 0; i < COUNT_OF(clients); i++) {
            expect_answer(clients[i], &DOCUMENT_CLOSE);
            (void)close(clients[i]);
        }
        assert_int_equal(connect_error(fixture->port), ECONNREFUSED);
        stop_server(fixture);
    }
}

static void connection_in_the_backlog_waits_while_the_limit_is_reached(void **state)
{
    struct fixture *fixture = *state;
    int first = -1;
    int second = -1;

    fixture->config.threads = 1;
    fixture->config.max_connections = 1;
    first = start_and_ask(fixture);
    fill_backlog(fixture, &second, 1);
    server_drain(fixture->server);
    server_stop_accepting(fixture->server);
    open_gate(1);
    assert_uint_equal(server_close_idle(fixture->server, INT64_MIN), 2);
    assert_true(client_is_quiet(first));
    assert_true(client_is_quiet(second));
    (void)close(first);
    await_open(fixture, 0, INT64_MIN);
    expect_answer(second, &DOCUMENT_CLOSE);
    (void)close(second);
}

static void connections_that_are_open_leave_less_room_to_the_backlog(void **state)
{
    struct fixture *fixture = *state;
    int clients[5];
    int open = -1;

    fixture->config.threads = 1;
    fixture->config.max_connections = 4;
    open = start_and_ask(fixture);
    fill_backlog(fixture, clients, COUNT_OF(clients));
    server_drain(fixture->server);
    server_stop_accepting(fixture->server);
    assert_uint_equal(server_close_idle(fixture->server, INT64_MIN), 3); /* one of each kind */
    open_gate(1);
    await_open(fixture, 1, INT64_MIN);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        expect_answer(clients[i], &DOCUMENT_CLOSE);
        (void)close(clients[i]);
    }
    (void)close(open);
}

static void connection_in_the_backlog_that_cannot_be_accepted_is_tried_again(void **state)
{
    static const int errors[] = {EMFILE, ECONNABORTED};

    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct fixture *fixture = *state;
        int client = -1;

        start_server(fixture);
        fill_backlog(fixture, &client, 1);
        accept_error = errors[i];
        server_stop_accepting(fixture->server);
        accept_error = errors[i];
        assert_uint_equal(server_close_idle(fixture->server, INT64_MIN), 1);
        assert_uint_equal(server_close_idle(fixture->server, INT64_MIN), 1);
        open_gate(fixture->config.threads);
        expect_answer(client, &DOCUMENT);
        (void)close(client);
        await_open(fixture, 0, INT64_MIN);
        stop_server(fixture);
    }
}

/* A thread at its limit does that. */
static void connection_that_is_dropped_after_it_was_handed_over_is_not_waited_for_long(void **state)
{
    struct fixture *fixture = *state;
    int clients[2];

    start_server(fixture);
    fill_backlog(fixture, clients, COUNT_OF(clients));
    atomic_store(&connections_are_dropped, true);
    server_stop_accepting(fixture->server);
    assert_uint_equal(server_close_idle(fixture->server, INT64_MIN), 2);
    atomic_fetch_add(&now, 100);
    assert_uint_equal(server_close_idle(fixture->server, INT64_MIN), 2);
    atomic_fetch_add(&now, 900);
    assert_uint_equal(server_close_idle(fixture->server, INT64_MIN), 0);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        client_expect_closed(clients[i]);
        (void)close(clients[i]);
    }
}

/* Starts a server, has a connection in the middle of a request and one that is idle, and stops. */
static void stop_with_connections(struct fixture *fixture, bool stops_accepting)
{
    int idle = -1;
    int busy = -1;

    start_server(fixture);
    idle = connect_and_ask(fixture);
    await(&targets);
    busy = client_connect(fixture->port);
    client_send_text(busy, "GET /version HTTP/1.1\r\n");
    await(&targets);
    if (stops_accepting)
        server_stop_accepting(fixture->server);
    stop_server(fixture);
    client_expect_closed(idle);
    client_expect_closed(busy);
    (void)close(idle);
    (void)close(busy);
}

static void server_stop_ends_all_connections_and_frees_all(void **state)
{
    const int blocks_before = atomic_load(&blocks);
    const size_t descriptors_before = inspect_count_descriptors();

    stop_with_connections(*state, true);
    assert_int_equal(atomic_load(&blocks), blocks_before);
    assert_uint_equal(inspect_count_descriptors(), descriptors_before);
    assert_int_equal(atomic_load(&bad_closes), 0);
}

static void server_stop_while_accepting_frees_all_and_closes_nothing_twice(void **state)
{
    const int blocks_before = atomic_load(&blocks);
    const size_t descriptors_before = inspect_count_descriptors();

    stop_with_connections(*state, false);
    assert_int_equal(atomic_load(&blocks), blocks_before);
    assert_uint_equal(inspect_count_descriptors(), descriptors_before);
    assert_int_equal(atomic_load(&bad_closes), 0);
}

static void panic_of_libmicrohttpd_is_logged_and_ends_the_process(void **state)
{
    struct fixture *fixture = *state;
    int status = 0;

    (void)close(start_and_ask(fixture));
    status = setjmp(ended);
    if (status == 0) {
        errno = ENOMEM;
        panic(panic_cls, "daemon.c", 6440, NULL);
    }
    assert_int_equal(status, 1);
    expect_log(fixture,
               "{\"time\":\"TIME\",\"level\":\"error\",\"msg\":\"fatal error in libmicrohttpd\","
               "\"file\":\"daemon.c\",\"line\":6440,\"error\":\"Cannot allocate memory\"}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(server_start_gives_libmicrohttpd_its_options, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(server_start_when_it_cannot_returns_null_and_frees_all,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            server_start_without_all_threads_leaves_the_listener_listening, set_up, tear_down),
        cmocka_unit_test_setup_teardown(threads_have_the_signal_mask_of_the_caller, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(connection_without_memory_is_closed_and_the_server_lives_on,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(request_whose_answer_is_not_queued_ends_its_connection,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_and_connections_are_counted_and_logged, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            request_that_the_client_leaves_is_neither_counted_nor_logged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sweep_closes_and_counts_what_completed_no_request_in_time,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(connection_above_the_limit_has_an_idle_one_closed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(sweep_closes_what_is_above_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(accept_tells_other_errors_as_they_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shortage_without_connections_is_waited_for, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(shortage_has_one_idle_connection_closed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(client_is_served_when_the_shortage_has_ended, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(connections_have_the_deadline_in_the_kernel_too, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(draining_server_is_not_ready_and_ends_connections, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(draining_server_answers_all_requests_that_have_arrived,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            draining_server_waits_for_the_rest_of_a_request_that_has_begun, set_up, tear_down),
        cmocka_unit_test_setup_teardown(draining_server_closes_after_a_fault_whatever_follows,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            server_that_stopped_accepting_refuses_and_serves_who_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(server_close_idle_closes_the_idle_and_counts_all, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(request_that_is_being_answered_is_not_idle, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(connections_in_the_backlog_are_served, set_up, tear_down),
        cmocka_unit_test_setup_teardown(connections_of_a_shared_listener_are_left_in_its_backlog,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            connection_in_the_backlog_that_is_not_taken_is_not_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(connection_in_the_backlog_without_memory_is_not_waited_for,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(connections_in_the_backlog_wait_for_room, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(connection_in_the_backlog_waits_while_the_limit_is_reached,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(connections_that_are_open_leave_less_room_to_the_backlog,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            connection_in_the_backlog_that_cannot_be_accepted_is_tried_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            connection_that_is_dropped_after_it_was_handed_over_is_not_waited_for_long, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(server_stop_ends_all_connections_and_frees_all, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            server_stop_while_accepting_frees_all_and_closes_nothing_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(panic_of_libmicrohttpd_is_logged_and_ends_the_process,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
