/* Makes each allocation, and each call that allocates or opens something, fail in turn: the
 * operation fails, too, and leaks nothing. */
/* wraps: malloc calloc realloc strdup aligned_alloc free open_memstream pthread_key_create */
/* wraps: MHD_create_response_from_buffer MHD_add_response_header MHD_queue_response */
/* wraps: socket setsockopt connect send */
#include "test.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "failing.h"
#include "handlers.h"
#include "inspect.h"
#include "metrics.h"
#include "notify.h"
#include "reply.h"

static int blocks; /* allocated and not yet freed */

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
char *__wrap_strdup(const char *text);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *block);
void __wrap_free(void *block);
FILE *__real_open_memstream(char **text, size_t *size);
FILE *__wrap_open_memstream(char **text, size_t *size);
enum MHD_Result __wrap_MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                          struct MHD_Response *response);
struct MHD_Response *__wrap_MHD_create_response_from_buffer_static(size_t size, const void *buffer);

FAILING_WRAPPER(int, pthread_key_create, EAGAIN, (pthread_key_t * key, void (*destroy)(void *)),
                (key, destroy))
FAILING_WRAPPER(struct MHD_Response *, MHD_create_response_from_buffer, NULL,
                (size_t size, void *body, enum MHD_ResponseMemoryMode mode), (size, body, mode))
FAILING_WRAPPER(enum MHD_Result, MHD_add_response_header, MHD_NO,
                (struct MHD_Response * response, const char *name, const char *value),
                (response, name, value))
FAILING_WRAPPER(int, socket, -1, (int domain, int type, int protocol), (domain, type, protocol))
FAILING_WRAPPER(int, setsockopt, -1,
                (int fd, int level, int option, const void *value, socklen_t size),
                (fd, level, option, value, size))
FAILING_WRAPPER(int, connect, -1, (int fd, const struct sockaddr *address, socklen_t size),
                (fd, address, size))
FAILING_WRAPPER(ssize_t, send, -1, (int fd, const void *bytes, size_t size, int flags),
                (fd, bytes, size, flags))

void *__wrap_realloc(void *old, size_t size)
{
    if (failing_now())
        return NULL;
    blocks += old == NULL;
    return __real_realloc(old, size);
}

void *__wrap_malloc(size_t size)
{
    return __wrap_realloc(NULL, size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *block = __wrap_malloc(count * size);

    return block == NULL ? NULL : memset(block, 0, count * size);
}

char *__wrap_strdup(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = __wrap_malloc(size);

    return copy == NULL ? NULL : memcpy(copy, text, size);
}

/* The block is not cleared. */
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    void *block = failing_now() ? NULL : __real_aligned_alloc(alignment, size);

    assert_int_equal(size % alignment, 0);
    blocks += block != NULL;
    return block == NULL ? NULL : memset(block, 0xaa, size);
}

void __wrap_free(void *block)
{
    blocks -= block != NULL;
    __real_free(block);
}

static ssize_t write_nothing(void *cookie, const char *bytes, size_t length)
{
    (void)cookie;
    (void)bytes;
    (void)length;
    return 0;
}

/* Either the call itself fails, or all writes to the stream, or the last one, when it is closed. */
FILE *__wrap_open_memstream(char **text, size_t *size)
{
    static char buffer[64 * 1024];
    FILE *stream = NULL;
    bool fails_early = false;

    if (failing_call("open_memstream"))
        return NULL;
    fails_early = failing_call("write");
    blocks++; /* the text */
    if (!fails_early && !failing_call("close"))
        return __real_open_memstream(text, size);
    stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_nothing});
    assert_non_null(stream);
    (void)setvbuf(stream, fails_early ? NULL : buffer, fails_early ? _IONBF : _IOFBF,
                  sizeof buffer);
    *text = __real_realloc(NULL, 1);
    return stream;
}

enum MHD_Result __wrap_MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                          struct MHD_Response *response)
{
    (void)connection;
    (void)status;
    assert_non_null(response);
    return failing_now() ? MHD_NO : MHD_YES;
}

static struct build_info info;
static struct log test_log;
static struct usage usage = {.statm = -1};
static const struct metrics_parts PARTS = {&info, &test_log, &usage, 2, 8};

/* Created before the operations, when nothing fails. */
static struct route_context context = {.info = &info};
static struct handlers *handlers;
static int manager; /* socket of the service manager */

static int set_up(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int length =
        snprintf(address.sun_path, sizeof address.sun_path, "@failures-%d", getpid());

    (void)state;
    info = build_info_get();
    log_init(&test_log, memfd_create("log", MFD_CLOEXEC), LOG_FORMAT_JSON, LOG_DEBUG);
    (void)setenv("NOTIFY_SOCKET", address.sun_path, 1);
    address.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    context.metrics = metrics_create(&PARTS);
    handlers = handlers_create(&context, NULL, 2);
    return bind(manager, (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length));
}

static int tear_down(void **state)
{
    (void)state;
    handlers_free(handlers);
    metrics_free(context.metrics);
    (void)close(manager);
    return close(test_log.descriptor);
}

/* The operations. Each releases what it has created, and returns true if it succeeded. */

static bool create_metrics(void)
{
    struct metrics *metrics = metrics_create(&PARTS);

    metrics_free(metrics);
    return metrics != NULL;
}

static bool create_handlers(void)
{
    struct handlers *created = handlers_create(&context, "/base", 2);

    handlers_free(created);
    return created != NULL;
}

static bool queue(const char *path)
{
    const struct request request = {
        .method = METHOD_GET, .form = TARGET_PATH, .route = routes_find(NULL, path, strlen(path))};
    const struct reply *reply = handlers_answer(handlers, 1, &request, false);
    size_t size = 0;

    return reply_queue(reply, NULL, false, &size) && reply_queue(reply, NULL, true, &size);
}

/* A prepared response, and one that is made for each request. */
static bool queue_responses(void)
{
    return queue("/version") && queue("/metrics");
}

static bool refuse(void)
{
    const uint64_t before = reply_count_malformed();
    struct MHD_Response *response = __wrap_MHD_create_response_from_buffer_static(4, "html");

    assert_uint_equal(reply_count_malformed(), before + 1);
    if (response != NULL)
        MHD_destroy_response(response);
    return response != NULL;
}

/* Succeeds if nothing is logged. */
static bool notify(void)
{
    const off_t logged = lseek(test_log.descriptor, 0, SEEK_END);
    const int notifier = notify_open(&test_log);

    notify_ready(notifier, "1.2.3", &test_log);
    if (notifier >= 0)
        (void)close(notifier);
    return lseek(test_log.descriptor, 0, SEEK_END) == logged;
}

static void each_failure_is_reported_and_leaks_nothing(void **state)
{
    static const struct {
        const char *name;
        bool (*operation)(void);
        unsigned least; /* number of failing calls, without those inside libraries */
    } rows[] = {
        {"create metrics", create_metrics, 2},
        {"create handlers", create_handlers, 300},
        {"queue responses", queue_responses, 2 + 2 * (3 + 1 + 3 + 1)},
        {"refuse", refuse, 1 + 3},
        {"notify", notify, 4},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bool has_failed = true;
        unsigned n = 0;

        while (has_failed) {
            const size_t descriptors = inspect_count_descriptors();
            const int before = blocks;
            bool succeeds = false;

            failing_at(++n);
            succeeds = rows[i].operation();
            has_failed = failing_has_failed();
            failing_at(0);
            if (succeeds == has_failed || blocks != before)
                fail_msg("%s, failure %u: returns %d, leaks %d blocks", rows[i].name, n, succeeds,
                         blocks - before);
            assert_int_equal(inspect_count_descriptors(), descriptors);
        }
        if (n <= rows[i].least)
            fail_msg("%s: only %u calls failed", rows[i].name, n - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failure_is_reported_and_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
