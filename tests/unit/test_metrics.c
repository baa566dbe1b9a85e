/* wraps: aligned_alloc free pthread_key_create pthread_setspecific open_memstream */
/* wraps: usage_read reply_count_malformed log_count_dropped log_count_limited */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failing.h"
#include "inspect.h"
#include "metrics.h"

enum { CACHE_LINE = 64, THREADS = 8, COUNTS = 2000, ALL_COUNTS = THREADS * COUNTS };

#define COMMIT_EXAMPLE "0123456789abcdef0123456789abcdef01234567"

static const struct build_info INFO = {.name = "my-own-service",
                                       .version = "1.2.3-rc.1+build.7",
                                       .commit = COMMIT_EXAMPLE,
                                       .description = "not shown",
                                       .build_date = "2026-11-22T09:00:00Z"};

/* What other rooms say. */
static struct usage_figures figures;
static uint64_t malformed;
static uint64_t dropped;
static uint64_t limited;

static struct usage usage_of_test;
static struct log log_of_test;

static int blocks; /* of those that are watched, how many are not freed */

/* How the stream that is written to fails, if it does. */
static enum { STREAM_WHOLE, STREAM_FAILS_WHEN_WRITTEN, STREAM_FAILS_WHEN_CLOSED } stream_failure;

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *block);
void __wrap_free(void *block);
int __real_pthread_key_create(pthread_key_t *key, void (*destroy)(void *value));
int __wrap_pthread_key_create(pthread_key_t *key, void (*destroy)(void *value));
int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);
FILE *__real_open_memstream(char **text, size_t *size);
FILE *__wrap_open_memstream(char **text, size_t *size);
struct usage_figures __wrap_usage_read(struct usage *usage);
uint64_t __wrap_reply_count_malformed(void);
uint64_t __wrap_log_count_dropped(struct log *log);
uint64_t __wrap_log_count_limited(struct log *log);

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    void *block = failing_now() ? NULL : __real_aligned_alloc(alignment, size);

    assert_int_equal(size % alignment, 0);
    if (block != NULL) {
        blocks++;
        memset(block, 0xaa, size);
    }
    return block;
}

void __wrap_free(void *block)
{
    blocks -= block != NULL;
    __real_free(block);
}

int __wrap_pthread_key_create(pthread_key_t *key, void (*destroy)(void *value))
{
    return failing_now() ? EAGAIN : __real_pthread_key_create(key, destroy);
}

int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    return failing_now() ? ENOMEM : __real_pthread_setspecific(key, value);
}

/* A write that fails for want of memory. */
static ssize_t write_nothing(void *cookie, const char *bytes, size_t length)
{
    (void)cookie;
    (void)bytes;
    (void)length;
    errno = ENOMEM;
    return 0;
}

/* A stream whose writes fail, at once or, as the buffer takes all, when it is closed. */
static FILE *open_failing_stream(char **text)
{
    static char buffer[64 * 1024];
    FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_nothing});

    assert_non_null(stream);
    if (stream_failure == STREAM_FAILS_WHEN_WRITTEN)
        assert_int_equal(setvbuf(stream, NULL, _IONBF, 0), 0);
    else
        assert_int_equal(setvbuf(stream, buffer, _IOFBF, sizeof buffer), 0);
    *text = malloc(1); /* what a stream in memory has made so far */
    assert_non_null(*text);
    return stream;
}

FILE *__wrap_open_memstream(char **text, size_t *size)
{
    FILE *stream = NULL;

    if (failing_now())
        return NULL;
    stream = stream_failure == STREAM_WHOLE ? __real_open_memstream(text, size)
                                            : open_failing_stream(text);
    blocks += stream != NULL;
    return stream;
}

struct usage_figures __wrap_usage_read(struct usage *usage)
{
    assert_ptr_equal(usage, &usage_of_test);
    return figures;
}

uint64_t __wrap_reply_count_malformed(void)
{
    return malformed;
}

uint64_t __wrap_log_count_dropped(struct log *log)
{
    assert_ptr_equal(log, &log_of_test);
    return dropped;
}

uint64_t __wrap_log_count_limited(struct log *log)
{
    assert_ptr_equal(log, &log_of_test);
    return limited;
}

static struct metrics *create_metrics(unsigned threads)
{
    const struct metrics_parts parts = {&INFO, &log_of_test, &usage_of_test, threads, 10000};
    struct metrics *metrics = metrics_create(&parts);

    assert_non_null(metrics);
    return metrics;
}

static int reset(void **state)
{
    (void)state;
    figures = (struct usage_figures){.cpu = 0,
                                     .resident = 4096,
                                     .virtual = 8192,
                                     .open = 9,
                                     .max_open = 1024,
                                     .started = 1795338000007};
    malformed = 0;
    dropped = 0;
    limited = 0;
    blocks = 0;
    stream_failure = STREAM_WHOLE;
    failing_at(0);
    return 0;
}

static const struct route *route_of(const char *path)
{
    const struct route *route = routes_find(NULL, path, strlen(path));

    assert_non_null(route);
    return route;
}

/* Expects a sample line in the exposition. */
static void expect_line(const char *text, const char *line)
{
    const char *at = strstr(text, line);

    if (at == NULL || at == text || at[-1] != '\n' || at[strlen(line)] != '\n')
        fail_msg("no line \"%s\" in:\n%s", line, text);
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Expects every sample to follow the HELP and TYPE lines of its family. */
static void expect_families(char *text)
{
    char family[128] = "";
    char *rest = NULL;

    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char type[16] = "";

        if (!starts_with(line, "# HELP ")) {
            if (!starts_with(line, family))
                fail_msg("%s: not a sample of %s", line, family);
            continue;
        }
        assert_int_equal(sscanf(line, "# HELP %127s", family), 1);
        assert_true(strlen(line) > strlen("# HELP ") + strlen(family) + 1);
        line = strtok_r(NULL, "\n", &rest);
        assert_true(starts_with(line, "# TYPE ") && starts_with(line + 7, family));
        assert_int_equal(sscanf(line + 7 + strlen(family), "%15s", type), 1);
        assert_true((strstr(family, "_total") != NULL) == (strcmp(type, "counter") == 0));
        assert_true(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0 ||
                    strcmp(type, "histogram") == 0);
    }
}

static void expect_lines(struct metrics *metrics, const char *const *lines, size_t count)
{
    char *text = metrics_print(metrics);

    assert_non_null(text);
    for (size_t i = 0; i < count; i++)
        expect_line(text, lines[i]);
    expect_families(text);
    free(text);
}

/* The value of a series, "name{labels}"; -1 when there is none. */
static long long value_of(struct metrics *metrics, const char *series)
{
    char *text = metrics_print(metrics);
    long long value = 0;

    assert_non_null(text);
    value = (long long)inspect_series(text, series);
    free(text);
    return value;
}

static long long requests_of(struct metrics *metrics, const char *path, const char *method,
                             const char *code)
{
    char series[128];

    (void)snprintf(series, sizeof series,
                   "http_requests_total{path=\"%s\",method=\"%s\",code=\"%s\"}", path, method,
                   code);
    return value_of(metrics, series);
}

static void new_metrics_are_zero(void **state)
{
    static const char *const build =
        "my_own_service_build_info{version=\"1.2.3-rc.1+build.7\",revision=\"" COMMIT_EXAMPLE
        "\",build_date=\"2026-11-22T09:00:00Z\"} 1";
    static const char *const lines[] = {
        "http_requests_malformed_total 0",
        "http_requests_failed_total 0",
        "http_request_duration_seconds_bucket{le=\"1e-05\"} 0",
        "http_request_duration_seconds_bucket{le=\"+Inf\"} 0",
        "http_request_duration_seconds_sum 0.000000000",
        "http_request_duration_seconds_count 0",
        "http_connections_open 0",
        "http_connections_limit 10000",
        "http_connections_accepted_total 0",
        "http_connections_refused_total 0",
        "http_connections_overdue_total 0",
        "http_connections_evicted_total 0",
        "http_accept_failures_total 0",
        "log_lines_dropped_total{reason=\"slow_reader\"} 0",
        "log_lines_dropped_total{reason=\"rate_limit\"} 0",
        "process_cpu_seconds_total 0.000000000",
        "process_resident_memory_bytes 4096",
        "process_virtual_memory_bytes 8192",
        "process_start_time_seconds 1795338000.007",
        "process_open_fds 9",
        "process_max_fds 1024",
    };
    struct metrics *metrics = create_metrics(3);
    size_t count = 0;
    const struct route *routes = routes_all(&count);

    (void)state;
    expect_lines(metrics, &build, 1);
    expect_lines(metrics, lines, COUNT_OF(lines));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(requests_of(metrics, routes[i].path, "GET", "200"), 0);
        assert_int_equal(requests_of(metrics, routes[i].path, "HEAD", "200"), -1);
    }
    assert_int_equal(requests_of(metrics, "other", "GET", "200"), -1);
    metrics_free(metrics);
    assert_int_equal(blocks, 0);
}

static void count_some(struct metrics *metrics)
{
    struct metrics_thread *thread = metrics_thread(metrics);

    metrics_count_request(thread, route_of("/version"), METHOD_GET, 200, 0);
    metrics_count_request(thread, route_of("/version"), METHOD_GET, 200, 9000);
    metrics_count_request(thread, route_of("/version"), METHOD_GET, 200, 10000);
    metrics_count_request(thread, route_of("/version"), METHOD_HEAD, 200, 20000);
    metrics_count_request(thread, route_of("/version"), METHOD_UNSERVED, 405, 80000);
    metrics_count_request(thread, route_of("/readyz"), METHOD_GET, 503, 1000000);
    metrics_count_request(thread, route_of("/metrics"), METHOD_OPTIONS, 204, 1000000);
    metrics_count_request(thread, NULL, METHOD_GET, 404, 1000000000);
    metrics_count_request(thread, NULL, METHOD_UNKNOWN, 501, 11000000001);
    metrics_count_request(thread, NULL, METHOD_CONNECT, 418, 100000000000);
    for (int i = 0; i < 5; i++)
        metrics_count_accepted(thread);
    for (int i = 0; i < 3; i++)
        metrics_count_closed(thread);
    metrics_count_refused(metrics);
    metrics_count_refused(metrics);
    metrics_count_overdue(metrics, 7);
    metrics_count_overdue(metrics, 0);
    for (int i = 0; i < 3; i++)
        metrics_count_evicted(metrics);
    for (int i = 0; i < 4; i++)
        metrics_count_accept_failure(metrics);
}

static void counted_events_are_printed(void **state)
{
    static const char *const lines[] = {
        "http_requests_total{path=\"/version\",method=\"GET\",code=\"200\"} 3",
        "http_requests_total{path=\"/version\",method=\"HEAD\",code=\"200\"} 1",
        "http_requests_total{path=\"/version\",method=\"other\",code=\"405\"} 1",
        "http_requests_total{path=\"/readyz\",method=\"GET\",code=\"503\"} 1",
        "http_requests_total{path=\"/metrics\",method=\"OPTIONS\",code=\"204\"} 1",
        "http_requests_total{path=\"other\",method=\"GET\",code=\"404\"} 1",
        "http_requests_total{path=\"other\",method=\"other\",code=\"501\"} 1",
        "http_requests_total{path=\"other\",method=\"other\",code=\"other\"} 1",
        "http_requests_malformed_total 3",
        "http_request_duration_seconds_bucket{le=\"1e-05\"} 3",
        "http_request_duration_seconds_bucket{le=\"2.5e-05\"} 4",
        "http_request_duration_seconds_bucket{le=\"0.0001\"} 5",
        "http_request_duration_seconds_bucket{le=\"0.001\"} 7",
        "http_request_duration_seconds_bucket{le=\"1.0\"} 8",
        "http_request_duration_seconds_bucket{le=\"10.0\"} 8",
        "http_request_duration_seconds_bucket{le=\"+Inf\"} 10",
        "http_request_duration_seconds_sum 112.002119001",
        "http_request_duration_seconds_count 10",
        "http_connections_open 2",
        "http_connections_accepted_total 5",
        "http_connections_refused_total 2",
        "http_connections_overdue_total 7",
        "http_connections_evicted_total 3",
        "http_accept_failures_total 4",
        "http_requests_failed_total 1",
        "log_lines_dropped_total{reason=\"slow_reader\"} 11",
        "log_lines_dropped_total{reason=\"rate_limit\"} 18446744073709551615",
        "process_cpu_seconds_total 123456.000000789",
        "process_resident_memory_bytes 9223372036854775807",
        "process_virtual_memory_bytes 0",
        "process_start_time_seconds 0.999",
        "process_open_fds 0",
        "process_max_fds 4294967295",
    };
    struct metrics *metrics = create_metrics(1);

    (void)state;
    figures = (struct usage_figures){.cpu = 123456000000789,
                                     .resident = INT64_MAX,
                                     .virtual = 0,
                                     .open = 0,
                                     .max_open = UINT32_MAX,
                                     .started = 999};
    malformed = 3;
    dropped = 11;
    limited = UINT64_MAX;
    count_some(metrics);
    metrics_count_failed(metrics);
    expect_lines(metrics, lines, COUNT_OF(lines));
    metrics_free(metrics);
    assert_int_equal(blocks, 0);
}

static void unknown_figures_are_left_out(void **state)
{
    static const char *const names[] = {
        "process_cpu_seconds_total", "process_resident_memory_bytes",
        "process_virtual_memory_bytes", "process_open_fds", "process_max_fds"};
    struct metrics *metrics = create_metrics(1);
    char *text = NULL;

    (void)state;
    figures.cpu = figures.resident = figures.virtual = figures.open = figures.max_open = -1;
    text = metrics_print(metrics);
    assert_non_null(text);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_null(strstr(text, names[i]));
    expect_line(text, "process_start_time_seconds 1795338000.007");
    free(text);
    metrics_free(metrics);
}

/* The longest name that build_info_check() allows. */
static void build_has_the_name_of_the_service(void **state)
{
    char name[64] = "";
    char begin[512];
    struct build_info info = INFO;
    const struct metrics_parts parts = {&info, &log_of_test, &usage_of_test, 1, 1};
    struct metrics *metrics = metrics_create(&parts);
    char *text = NULL;

    (void)state;
    assert_non_null(metrics);
    memset(name, 'n', sizeof name - 1);
    name[1] = name[62] = '-';
    info.name = name;
    text = metrics_print(metrics);
    assert_non_null(text);
    name[1] = name[62] = '_';
    (void)snprintf(begin, sizeof begin,
                   "# HELP %s_build_info Build information.\n# TYPE %s_build_info gauge\n"
                   "%s_build_info{version=",
                   name, name, name);
    assert_memory_equal(text, begin, strlen(begin));
    free(text);
    metrics_free(metrics);
}

static const char *const CODES[] = {"200", "204", "400", "404", "405", "413",
                                    "414", "417", "431", "501", "503"};

static const struct {
    enum method method;
    const char *label;
} METHODS[] = {
    {METHOD_GET, "GET"},       {METHOD_HEAD, "HEAD"},     {METHOD_OPTIONS, "OPTIONS"},
    {METHOD_UNKNOWN, "other"}, {METHOD_CONNECT, "other"}, {METHOD_UNSERVED, "other"},
};

static void request_is_counted_under_its_path_method_and_status(void **state)
{
    size_t count = 0;
    const struct route *routes = routes_all(&count);

    (void)state;
    for (size_t i = 0; i <= count; i++) {
        for (size_t method = 0; method < COUNT_OF(METHODS); method++) {
            struct metrics *metrics = create_metrics(1);
            const size_t code = (i + method) % COUNT_OF(CODES);

            metrics_count_request(metrics_thread(metrics), i < count ? &routes[i] : NULL,
                                  METHODS[method].method, (unsigned)strtoul(CODES[code], NULL, 10),
                                  1);
            assert_int_equal(requests_of(metrics, i < count ? routes[i].path : "other",
                                         METHODS[method].label, CODES[code]),
                             1);
            assert_int_equal(value_of(metrics, "http_request_duration_seconds_count"), 1);
            metrics_free(metrics);
        }
    }
}

static void status_of_no_answer_of_ours_is_another(void **state)
{
    static const unsigned statuses[] = {0,   1,   100, 199, 201, 203, 205,       206, 301,
                                        399, 401, 403, 406, 412, 415, 430,       432, 499,
                                        502, 504, 506, 599, 600, 999, 4294967295};
    struct metrics *metrics = create_metrics(1);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        metrics_count_request(metrics_thread(metrics), NULL, METHOD_GET, statuses[i], 1);
        assert_int_equal(requests_of(metrics, "other", "GET", "other"), (long long)i + 1);
    }
    metrics_free(metrics);
}

/* Whatever strangers send, there are only so many series. */
static void series_are_bounded(void **state)
{
    struct metrics *metrics = create_metrics(1);
    struct metrics_thread *thread = metrics_thread(metrics);
    size_t count = 0;
    const struct route *routes = routes_all(&count);
    size_t series = 0;
    char *text = NULL;

    (void)state;
    for (size_t i = 0; i <= count; i++) {
        for (unsigned method = 0; method < 40; method++) {
            for (unsigned status = 0; status < 700; status++)
                metrics_count_request(thread, i < count ? &routes[i] : NULL, (enum method)method,
                                      status, 1);
        }
    }
    text = metrics_print(metrics);
    assert_non_null(text);
    for (const char *at = text; (at = strstr(at, "\nhttp_requests_total{")) != NULL; at++)
        series++;
    assert_int_equal(series, (count + 1) * 4 * (COUNT_OF(CODES) + 1));
    free(text);
    assert_int_equal(value_of(metrics, "http_request_duration_seconds_count"),
                     (long long)(count + 1) * 40 * 700);
    metrics_free(metrics);
}

static const struct {
    int64_t nanoseconds;
    const char *label;
} BOUNDS[] = {
    {10000, "1e-05"},      {25000, "2.5e-05"},  {50000, "5e-05"},   {100000, "0.0001"},
    {250000, "0.00025"},   {500000, "0.0005"},  {1000000, "0.001"}, {2500000, "0.0025"},
    {10000000, "0.01"},    {25000000, "0.025"}, {100000000, "0.1"}, {1000000000, "1.0"},
    {10000000000, "10.0"}, {INT64_MAX, "+Inf"},
};

/* The counts of the buckets after one request of this duration: cumulative, so 0 up to a bucket and
 * 1 from there on. */
static void expect_bucket(int64_t nanoseconds, size_t bucket)
{
    struct metrics *metrics = create_metrics(1);

    metrics_count_request(metrics_thread(metrics), NULL, METHOD_GET, 404, nanoseconds);
    for (size_t i = 0; i < COUNT_OF(BOUNDS); i++) {
        char series[128];

        (void)snprintf(series, sizeof series, "http_request_duration_seconds_bucket{le=\"%s\"}",
                       BOUNDS[i].label);
        if (value_of(metrics, series) != (i >= bucket))
            fail_msg("%lld ns: %s is %lld", (long long)nanoseconds, series,
                     value_of(metrics, series));
    }
    metrics_free(metrics);
}

static void buckets_hold_durations_up_to_their_bounds(void **state)
{
    (void)state;
    expect_bucket(0, 0);
    for (size_t i = 0; i < COUNT_OF(BOUNDS); i++) {
        expect_bucket(BOUNDS[i].nanoseconds - 1, i);
        expect_bucket(BOUNDS[i].nanoseconds, i);
        if (i < COUNT_OF(BOUNDS) - 1)
            expect_bucket(BOUNDS[i].nanoseconds + 1, i + 1);
    }
}

static void sum_of_durations_is_exact(void **state)
{
    struct metrics *metrics = create_metrics(1);
    struct metrics_thread *thread = metrics_thread(metrics);
    char *text = NULL;

    (void)state;
    metrics_count_request(thread, NULL, METHOD_GET, 404, 1);
    metrics_count_request(thread, NULL, METHOD_GET, 404, 999999998);
    text = metrics_print(metrics);
    assert_non_null(strstr(text, "\nhttp_request_duration_seconds_sum 0.999999999\n"));
    free(text);
    metrics_count_request(thread, NULL, METHOD_GET, 404, 1);
    text = metrics_print(metrics);
    assert_non_null(strstr(text, "\nhttp_request_duration_seconds_sum 1.000000000\n"));
    free(text);
    metrics_count_request(thread, NULL, METHOD_GET, 404, 9000000000000000000);
    text = metrics_print(metrics);
    assert_non_null(strstr(text, "\nhttp_request_duration_seconds_sum 9000000001.000000000\n"));
    free(text);
    metrics_free(metrics);
}

/* Asks for the counters of a thread of its own, twice. */
static void *find_counters(void *metrics)
{
    struct metrics_thread *thread = metrics_thread(metrics);

    return metrics_thread(metrics) == thread ? thread : NULL;
}

static struct metrics_thread *counters_of_a_new_thread(struct metrics *metrics)
{
    pthread_t thread;
    void *counters = NULL;

    assert_int_equal(pthread_create(&thread, NULL, find_counters, metrics), 0);
    assert_int_equal(pthread_join(thread, &counters), 0);
    assert_non_null(counters);
    return counters;
}

/* A thread may close what another has accepted. */
static void open_connections_are_those_of_all_threads(void **state)
{
    struct metrics *metrics = create_metrics(2);
    struct metrics_thread *other = counters_of_a_new_thread(metrics);

    (void)state;
    metrics_count_accepted(other);
    assert_int_equal(value_of(metrics, "http_connections_open"), 1);
    metrics_count_closed(metrics_thread(metrics));
    assert_ptr_not_equal(metrics_thread(metrics), other);
    assert_int_equal(value_of(metrics, "http_connections_open"), 0);
    assert_int_equal(value_of(metrics, "http_connections_accepted_total"), 1);
    metrics_free(metrics);
}

static void each_thread_has_counters_and_cache_lines_of_its_own(void **state)
{
    struct metrics *metrics = create_metrics(THREADS);
    struct metrics_thread *seen[THREADS];

    (void)state;
    for (size_t i = 0; i < THREADS; i++) {
        seen[i] = counters_of_a_new_thread(metrics);
        assert_int_equal((uintptr_t)seen[i] % CACHE_LINE, 0);
        for (size_t j = 0; j < i; j++)
            assert_ptr_not_equal(seen[i], seen[j]);
        metrics_count_accepted(seen[i]);
    }
    assert_int_equal(value_of(metrics, "http_connections_accepted_total"), THREADS);
    /* More than were said share the last ones, and nothing else is touched. */
    assert_ptr_equal(counters_of_a_new_thread(metrics), seen[THREADS - 1]);
    assert_ptr_equal(counters_of_a_new_thread(metrics), seen[THREADS - 1]);
    metrics_free(metrics);
}

static void thread_that_is_not_remembered_counts_all_the_same(void **state)
{
    struct metrics *metrics = create_metrics(3);

    (void)state;
    for (int i = 0; i < 10; i++) {
        failing_at(1); /* pthread_setspecific() */
        metrics_count_accepted(metrics_thread(metrics));
        assert_true(failing_has_failed());
        failing_at(0);
    }
    metrics_count_accepted(metrics_thread(metrics));
    assert_int_equal(value_of(metrics, "http_connections_accepted_total"), 11);
    metrics_free(metrics);
}

static void metrics_do_not_share_counters(void **state)
{
    struct metrics *first = create_metrics(1);
    struct metrics *second = create_metrics(1);

    (void)state;
    count_some(first);
    assert_int_equal(value_of(second, "http_connections_accepted_total"), 0);
    assert_int_equal(value_of(second, "http_request_duration_seconds_count"), 0);
    metrics_count_accepted(metrics_thread(second));
    assert_int_equal(value_of(first, "http_connections_accepted_total"), 5);
    metrics_free(first);
    metrics_free(second);
}

/* Threads that all begin to count at once. */
struct crowd {
    struct metrics *metrics;
    atomic_uint ready;
    atomic_uint counting;
};

static void *count_often(void *cls)
{
    struct crowd *crowd = cls;
    struct metrics_thread *thread = metrics_thread(crowd->metrics);

    atomic_fetch_add(&crowd->ready, 1);
    while (atomic_load(&crowd->ready) < THREADS)
        ;
    for (int i = 0; i < COUNTS; i++) {
        metrics_count_accepted(thread);
        metrics_count_request(thread, route_of("/version"), METHOD_GET, 200, 1000);
        metrics_count_request(thread, NULL, METHOD_UNKNOWN, 501, 20000000000);
        metrics_count_failed(crowd->metrics);
        metrics_count_refused(crowd->metrics);
        metrics_count_overdue(crowd->metrics, 3);
        metrics_count_evicted(crowd->metrics);
        metrics_count_accept_failure(crowd->metrics);
        if (i % 2 == 0)
            metrics_count_closed(thread);
    }
    atomic_fetch_sub(&crowd->counting, 1);
    return NULL;
}

static void threads_that_count_at_the_same_time_are_summed_exactly(void **state)
{
    struct crowd crowd = {.metrics = create_metrics(THREADS), .counting = THREADS};
    pthread_t threads[THREADS];
    long long before = 0;

    (void)state;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_often, &crowd), 0);
    while (atomic_load(&crowd.counting) > 0) { /* read meanwhile: counters only grow */
        const long long open = value_of(crowd.metrics, "http_connections_open");
        const long long accepted = value_of(crowd.metrics, "http_connections_accepted_total");

        assert_true(open >= 0);
        assert_true(accepted >= before && accepted <= ALL_COUNTS);
        before = accepted;
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(value_of(crowd.metrics, "http_connections_accepted_total"), ALL_COUNTS);
    assert_int_equal(value_of(crowd.metrics, "http_connections_open"), ALL_COUNTS / 2);
    assert_int_equal(value_of(crowd.metrics, "http_requests_failed_total"), ALL_COUNTS);
    assert_int_equal(value_of(crowd.metrics, "http_connections_refused_total"), ALL_COUNTS);
    assert_int_equal(value_of(crowd.metrics, "http_connections_overdue_total"), 3 * ALL_COUNTS);
    assert_int_equal(value_of(crowd.metrics, "http_connections_evicted_total"), ALL_COUNTS);
    assert_int_equal(value_of(crowd.metrics, "http_accept_failures_total"), ALL_COUNTS);
    assert_int_equal(requests_of(crowd.metrics, "/version", "GET", "200"), ALL_COUNTS);
    assert_int_equal(requests_of(crowd.metrics, "other", "other", "501"), ALL_COUNTS);
    assert_int_equal(value_of(crowd.metrics, "http_request_duration_seconds_bucket{le=\"1e-05\"}"),
                     ALL_COUNTS);
    assert_int_equal(value_of(crowd.metrics, "http_request_duration_seconds_count"),
                     2 * ALL_COUNTS);
    assert_int_equal(value_of(crowd.metrics, "http_request_duration_seconds_sum"), 20 * ALL_COUNTS);
    metrics_free(crowd.metrics);
}

static void metrics_create_when_anything_fails_returns_null_and_frees_all(void **state)
{
    const struct metrics_parts parts = {&INFO, &log_of_test, &usage_of_test, 2, 1};

    (void)state;
    for (unsigned n = 1; n <= 2; n++) { /* memory, and a key */
        failing_at(n);
        assert_null(metrics_create(&parts));
        assert_true(failing_has_failed());
        assert_int_equal(blocks, 0);
    }
    failing_at(3);
    metrics_free(create_metrics(2));
    assert_false(failing_has_failed());
    failing_at(0);
}

static void metrics_free_frees_all(void **state)
{
    (void)state;
    /* There are 1024 keys: they would be used up. */
    for (int i = 0; i < 2000; i++)
        metrics_free(create_metrics(1));
    assert_int_equal(blocks, 0);
}

static void metrics_free_ignores_null(void **state)
{
    (void)state;
    metrics_free(NULL);
}

static void metrics_print_without_memory_returns_null_and_frees_all(void **state)
{
    struct metrics *metrics = create_metrics(1);

    (void)state;
    failing_at(1);
    assert_null(metrics_print(metrics));
    assert_true(failing_has_failed());
    failing_at(0);
    assert_int_equal(blocks, 1);
    stream_failure = STREAM_FAILS_WHEN_WRITTEN;
    assert_null(metrics_print(metrics));
    assert_int_equal(blocks, 1);
    stream_failure = STREAM_FAILS_WHEN_CLOSED;
    assert_null(metrics_print(metrics));
    assert_int_equal(blocks, 1);
    metrics_free(metrics);
}

static void thread_numbers_are_counted_from_zero(void **state)
{
    struct metrics *metrics = create_metrics(3);

    (void)state;
    assert_int_equal(metrics_thread_number(metrics, metrics_thread(metrics)), 0);
    assert_int_equal(metrics_thread_number(metrics, counters_of_a_new_thread(metrics)), 1);
    assert_int_equal(metrics_thread_number(metrics, counters_of_a_new_thread(metrics)), 2);
    assert_int_equal(metrics_thread_number(metrics, counters_of_a_new_thread(metrics)), 2);
    metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(new_metrics_are_zero, reset),
        cmocka_unit_test_setup(counted_events_are_printed, reset),
        cmocka_unit_test_setup(unknown_figures_are_left_out, reset),
        cmocka_unit_test_setup(build_has_the_name_of_the_service, reset),
        cmocka_unit_test_setup(request_is_counted_under_its_path_method_and_status, reset),
        cmocka_unit_test_setup(status_of_no_answer_of_ours_is_another, reset),
        cmocka_unit_test_setup(series_are_bounded, reset),
        cmocka_unit_test_setup(buckets_hold_durations_up_to_their_bounds, reset),
        cmocka_unit_test_setup(sum_of_durations_is_exact, reset),
        cmocka_unit_test_setup(open_connections_are_those_of_all_threads, reset),
        cmocka_unit_test_setup(each_thread_has_counters_and_cache_lines_of_its_own, reset),
        cmocka_unit_test_setup(thread_that_is_not_remembered_counts_all_the_same, reset),
        cmocka_unit_test_setup(metrics_do_not_share_counters, reset),
        cmocka_unit_test_setup(threads_that_count_at_the_same_time_are_summed_exactly, reset),
        cmocka_unit_test_setup(metrics_create_when_anything_fails_returns_null_and_frees_all,
                               reset),
        cmocka_unit_test_setup(metrics_free_frees_all, reset),
        cmocka_unit_test_setup(metrics_free_ignores_null, reset),
        cmocka_unit_test_setup(metrics_print_without_memory_returns_null_and_frees_all, reset),
        cmocka_unit_test_setup(thread_numbers_are_counted_from_zero, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
