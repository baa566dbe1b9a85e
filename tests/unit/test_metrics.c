/* wraps: pthread_setspecific usage_read reply_count_malformed */
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

static struct usage_figures figures;
static uint64_t malformed;
static struct usage usage_of_test;
static struct log log_of_test;

FAILING_WRAPPER(int, pthread_setspecific, ENOMEM, (pthread_key_t key, const void *value),
                (key, value))
struct usage_figures __wrap_usage_read(struct usage *usage);
uint64_t __wrap_reply_count_malformed(void);

struct usage_figures __wrap_usage_read(struct usage *usage)
{
    assert_ptr_equal(usage, &usage_of_test);
    return figures;
}

uint64_t __wrap_reply_count_malformed(void)
{
    return malformed;
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
    log_of_test = (struct log){0};
    failing_at(0);
    return 0;
}

static const struct route *find_route(const char *path)
{
    return routes_find(NULL, path, strlen(path));
}

/* Checks the value of a series as it is printed. NULL: there is no such series. */
static void expect_series(struct metrics *metrics, const char *series, const char *value)
{
    char *text = metrics_print(metrics);
    char line[256];

    assert_non_null(text);
    (void)snprintf(line, sizeof line, "\n%s %s%s", series, value == NULL ? "" : value,
                   value == NULL ? "" : "\n");
    if ((strstr(text, line) == NULL) != (value == NULL))
        fail_msg("%s is not %s in:\n%s", series, value == NULL ? "absent" : value, text);
    free(text);
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Checks that every sample follows the HELP and TYPE lines of its family. */
static void expect_families(struct metrics *metrics)
{
    char *text = metrics_print(metrics);
    char family[128] = "";
    char *rest = NULL;

    assert_non_null(text);
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
    free(text);
}

/* The values of new metrics, and after count_some(). NULL: there is no such series. */
static const struct {
    const char *series;
    const char *fresh;
    const char *counted;
} SERIES[] = {
    {"my_own_service_build_info{version=\"1.2.3-rc.1+build.7\",revision=\"" COMMIT_EXAMPLE
     "\",build_date=\"2026-11-22T09:00:00Z\"}",
     "1", "1"},
    {"http_requests_total{path=\"/version\",method=\"GET\",code=\"200\"}", "0", "3"},
    {"http_requests_total{path=\"/version\",method=\"HEAD\",code=\"200\"}", NULL, "1"},
    {"http_requests_total{path=\"/version\",method=\"other\",code=\"405\"}", NULL, "1"},
    {"http_requests_total{path=\"/readyz\",method=\"GET\",code=\"200\"}", "0", "0"},
    {"http_requests_total{path=\"/readyz\",method=\"GET\",code=\"503\"}", NULL, "1"},
    {"http_requests_total{path=\"/metrics\",method=\"OPTIONS\",code=\"204\"}", NULL, "1"},
    {"http_requests_total{path=\"other\",method=\"GET\",code=\"200\"}", NULL, NULL},
    {"http_requests_total{path=\"other\",method=\"GET\",code=\"404\"}", NULL, "1"},
    {"http_requests_total{path=\"other\",method=\"other\",code=\"501\"}", NULL, "1"},
    {"http_requests_total{path=\"other\",method=\"other\",code=\"other\"}", NULL, "1"},
    {"http_requests_malformed_total", "0", "3"},
    {"http_requests_failed_total", "0", "1"},
    {"http_request_duration_seconds_bucket{le=\"1e-05\"}", "0", "3"},
    {"http_request_duration_seconds_bucket{le=\"10.0\"}", "0", "8"},
    {"http_request_duration_seconds_bucket{le=\"+Inf\"}", "0", "10"},
    {"http_request_duration_seconds_sum", "0.000000000", "112.002119001"},
    {"http_request_duration_seconds_count", "0", "10"},
    {"http_connections_open", "0", "2"},
    {"http_connections_limit", "10000", "10000"},
    {"http_connections_accepted_total", "0", "5"},
    {"http_connections_refused_total", "0", "2"},
    {"http_connections_overdue_total", "0", "7"},
    {"http_connections_evicted_total", "0", "3"},
    {"http_accept_failures_total", "0", "4"},
    {"log_lines_dropped_total{reason=\"slow_reader\"}", "0", "11"},
    {"log_lines_dropped_total{reason=\"rate_limit\"}", "0", "18446744073709551615"},
    {"process_cpu_seconds_total", "0.000000000", "123456.000000789"},
    {"process_resident_memory_bytes", "4096", "9223372036854775807"},
    {"process_virtual_memory_bytes", "8192", "0"},
    {"process_start_time_seconds", "1795338000.007", "0.999"},
    {"process_open_fds", "9", "0"},
    {"process_max_fds", "1024", "4294967295"},
};

static void count_some(struct metrics *metrics)
{
    static const struct {
        const char *path;
        enum method method;
        unsigned status;
        int64_t nanoseconds;
    } requests[] = {
        {"/version", METHOD_GET, 200, 0},
        {"/version", METHOD_GET, 200, 9000},
        {"/version", METHOD_GET, 200, 10000},
        {"/version", METHOD_HEAD, 200, 20000},
        {"/version", METHOD_UNSERVED, 405, 80000},
        {"/readyz", METHOD_GET, 503, 1000000},
        {"/metrics", METHOD_OPTIONS, 204, 1000000},
        {"/nowhere", METHOD_GET, 404, 1000000000},
        {"/nowhere", METHOD_UNKNOWN, 501, 11000000001},
        {"/nowhere", METHOD_CONNECT, 418, 100000000000},
    };
    struct metrics_thread *thread = metrics_thread(metrics);

    for (size_t i = 0; i < COUNT_OF(requests); i++)
        metrics_count_request(thread, find_route(requests[i].path), requests[i].method,
                              requests[i].status, requests[i].nanoseconds);
    for (int i = 0; i < 5; i++)
        metrics_count_accepted(thread);
    for (int i = 0; i < 3; i++)
        metrics_count_closed(thread);
    metrics_count(metrics, METRICS_FAILED, 1);
    metrics_count(metrics, METRICS_REFUSED, 1);
    metrics_count(metrics, METRICS_REFUSED, 1);
    metrics_count(metrics, METRICS_OVERDUE, 7);
    metrics_count(metrics, METRICS_OVERDUE, 0);
    for (int i = 0; i < 3; i++)
        metrics_count(metrics, METRICS_EVICTED, 1);
    for (int i = 0; i < 4; i++)
        metrics_count(metrics, METRICS_ACCEPT_FAILURE, 1);
    malformed = 3;
    log_of_test.dropped = 11;
    log_of_test.limited = UINT64_MAX;
    figures = (struct usage_figures){
        .cpu = 123456000000789, .resident = INT64_MAX, .max_open = UINT32_MAX, .started = 999};
}

static void new_metrics_are_zero_and_counted_events_are_printed(void **state)
{
    struct metrics *metrics = create_metrics(3);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(SERIES); i++)
        expect_series(metrics, SERIES[i].series, SERIES[i].fresh);
    expect_families(metrics);
    count_some(metrics);
    for (size_t i = 0; i < COUNT_OF(SERIES); i++)
        expect_series(metrics, SERIES[i].series, SERIES[i].counted);
    expect_families(metrics);
    metrics_free(metrics);
}

static void unknown_figures_are_left_out(void **state)
{
    static const char *const names[] = {
        "process_cpu_seconds_total", "process_resident_memory_bytes",
        "process_virtual_memory_bytes", "process_open_fds", "process_max_fds"};
    struct metrics *metrics = create_metrics(1);

    (void)state;
    figures.cpu = figures.resident = figures.virtual = figures.open = figures.max_open = -1;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        expect_series(metrics, names[i], NULL);
    expect_series(metrics, "process_start_time_seconds", "1795338000.007");
    expect_families(metrics);
    metrics_free(metrics);
}

static void build_has_the_longest_name_of_a_service(void **state)
{
    char name[BUILD_INFO_NAME_MAX + 1] = "";
    char series[256];
    struct build_info info = INFO;
    const struct metrics_parts parts = {&info, &log_of_test, &usage_of_test, 1, 1};
    struct metrics *metrics = metrics_create(&parts);

    (void)state;
    assert_non_null(metrics);
    memset(name, 'n', sizeof name - 1);
    name[1] = name[62] = '-';
    info.name = name;
    expect_families(metrics);
    (void)snprintf(series, sizeof series,
                   "n_%.60s__build_info{version=\"%s\",revision=\"%s\",build_date=\"%s\"}",
                   name + 2, info.version, info.commit, info.build_date);
    expect_series(metrics, series, "1");
    metrics_free(metrics);
}

static const unsigned CODES[] = {200, 204, 400, 404, 405, 413, 414, 417, 431, 501, 503};

static const struct {
    enum method method;
    const char *label;
} METHODS[] = {
    {METHOD_GET, "GET"},
    {METHOD_HEAD, "HEAD"},
    {METHOD_OPTIONS, "OPTIONS"},
    {METHOD_UNKNOWN, "other"},
};

enum { LABELS = COUNT_OF(METHODS) * COUNT_OF(CODES), METHOD_END = 40, STATUS_END = 700 };

/* Counts each method and status once, and the ones with labels of their own some more times. */
static void count_everything(struct metrics *metrics, const struct route *route, size_t times)
{
    struct metrics_thread *thread = metrics_thread(metrics);

    for (unsigned i = 0; i < METHOD_END * STATUS_END; i++)
        metrics_count_request(thread, route, (enum method)(i / STATUS_END), i % STATUS_END, 1);
    for (size_t i = 0; i < LABELS; i++) {
        for (size_t k = 0; k < times + i; k++)
            metrics_count_request(thread, route, METHODS[i / COUNT_OF(CODES)].method,
                                  CODES[i % COUNT_OF(CODES)], 1);
    }
}

/* Clients cannot create series without limit: there is one for each path, method and status that
 * the program uses, and all others share labels. Each series has another value. */
static void requests_are_counted_by_path_method_and_status(void **state)
{
    struct metrics *metrics = create_metrics(1);
    size_t count = 0;
    const struct route *routes = routes_all(&count);
    char *text = NULL;
    size_t series = 0;

    (void)state;
    for (size_t i = 0; i <= count; i++)
        count_everything(metrics, i < count ? &routes[i] : NULL, i * LABELS);
    text = metrics_print(metrics);
    for (size_t i = 0; i < (count + 1) * LABELS; i++) {
        const size_t method = i % LABELS / COUNT_OF(CODES);
        char name[128];

        (void)snprintf(name, sizeof name,
                       "http_requests_total{path=\"%s\",method=\"%s\",code=\"%u\"}",
                       i < count * LABELS ? routes[i / LABELS].path : "other",
                       METHODS[method].label, CODES[i % COUNT_OF(CODES)]);
        if ((size_t)inspect_series(text, name) != i + (method < 3 ? 1 : METHOD_END - 3))
            fail_msg("%s is %f", name, inspect_series(text, name));
    }
    for (const char *at = text; (at = strstr(at, "\nhttp_requests_total{")) != NULL; at++)
        series++;
    assert_int_equal(series, (count + 1) * COUNT_OF(METHODS) * (COUNT_OF(CODES) + 1));
    assert_int_equal(
        inspect_metric(metrics,
                       "http_requests_total{path=\"other\",method=\"GET\",code=\"other\"}"),
        STATUS_END - COUNT_OF(CODES));
    free(text);
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

/* Each bound is counted in its own bucket, and what is above it in the next one. The series are
 * cumulative. */
static void buckets_hold_durations_up_to_their_bounds(void **state)
{
    struct metrics *metrics = create_metrics(1);
    struct metrics_thread *thread = metrics_thread(metrics);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(BOUNDS); i++) {
        metrics_count_request(thread, NULL, METHOD_GET, 404, BOUNDS[i].nanoseconds);
        if (i < COUNT_OF(BOUNDS) - 1)
            metrics_count_request(thread, NULL, METHOD_GET, 404, BOUNDS[i].nanoseconds + 1);
    }
    for (size_t i = 0; i < COUNT_OF(BOUNDS); i++) {
        char series[128];
        char count[16];

        (void)snprintf(series, sizeof series, "http_request_duration_seconds_bucket{le=\"%s\"}",
                       BOUNDS[i].label);
        (void)snprintf(count, sizeof count, "%zu", 2 * i + 1);
        expect_series(metrics, series, count);
    }
    metrics_free(metrics);
}

static void sum_of_durations_is_exact(void **state)
{
    static const struct {
        int64_t nanoseconds;
        const char *sum;
    } rows[] = {
        {1, "0.000000001"},
        {999999998, "0.999999999"},
        {1, "1.000000000"},
        {9000000000000000000, "9000000001.000000000"},
    };
    struct metrics *metrics = create_metrics(1);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        metrics_count_request(metrics_thread(metrics), NULL, METHOD_GET, 404, rows[i].nanoseconds);
        expect_series(metrics, "http_request_duration_seconds_sum", rows[i].sum);
    }
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

static void each_thread_has_counters_and_cache_lines_of_its_own(void **state)
{
    struct metrics *metrics = create_metrics(THREADS);
    struct metrics_thread *last = NULL;

    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        last = i == 0 ? metrics_thread(metrics) : counters_of_a_new_thread(metrics);
        assert_int_equal((uintptr_t)last % CACHE_LINE, 0);
        assert_int_equal(metrics_thread_number(metrics, last), i);
        metrics_count_accepted(last);
    }
    assert_int_equal(inspect_metric(metrics, "http_connections_accepted_total"), THREADS);
    /* More threads than announced share the last counters, and nothing else is touched. */
    assert_ptr_equal(counters_of_a_new_thread(metrics), last);
    assert_ptr_equal(counters_of_a_new_thread(metrics), last);
    metrics_free(metrics);
}

static void thread_that_is_not_remembered_counts_all_the_same(void **state)
{
    struct metrics *metrics = create_metrics(3);

    (void)state;
    for (int i = 0; i < 10; i++) {
        failing_arm("pthread_setspecific", 1, 0);
        metrics_count_accepted(metrics_thread(metrics));
        assert_true(failing_has_failed());
    }
    metrics_count_accepted(metrics_thread(metrics));
    assert_int_equal(inspect_metric(metrics, "http_connections_accepted_total"), 11);
    metrics_free(metrics);
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
        metrics_count_request(thread, find_route("/version"), METHOD_GET, 200, 1000);
        metrics_count_request(thread, NULL, METHOD_UNKNOWN, 501, 20000000000);
        metrics_count(crowd->metrics, METRICS_FAILED, 1);
        metrics_count(crowd->metrics, METRICS_REFUSED, 1);
        metrics_count(crowd->metrics, METRICS_OVERDUE, 3);
        metrics_count(crowd->metrics, METRICS_EVICTED, 1);
        metrics_count(crowd->metrics, METRICS_ACCEPT_FAILURE, 1);
        if (i % 2 == 0)
            metrics_count_closed(thread);
    }
    atomic_fetch_sub(&crowd->counting, 1);
    return NULL;
}

static void threads_that_count_at_the_same_time_are_summed_exactly(void **state)
{
    static const struct {
        const char *series;
        unsigned value;
    } rows[] = {
        {"http_connections_accepted_total", ALL_COUNTS},
        {"http_connections_open", ALL_COUNTS / 2},
        {"http_requests_failed_total", ALL_COUNTS},
        {"http_connections_refused_total", ALL_COUNTS},
        {"http_connections_overdue_total", 3 * ALL_COUNTS},
        {"http_connections_evicted_total", ALL_COUNTS},
        {"http_accept_failures_total", ALL_COUNTS},
        {"http_requests_total{path=\"/version\",method=\"GET\",code=\"200\"}", ALL_COUNTS},
        {"http_requests_total{path=\"other\",method=\"other\",code=\"501\"}", ALL_COUNTS},
        {"http_request_duration_seconds_bucket{le=\"1e-05\"}", ALL_COUNTS},
        {"http_request_duration_seconds_count", 2 * ALL_COUNTS},
        {"http_request_duration_seconds_sum", 20 * ALL_COUNTS},
    };
    struct crowd crowd = {.metrics = create_metrics(THREADS), .counting = THREADS};
    pthread_t threads[THREADS];
    unsigned long before = 0;

    (void)state;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_often, &crowd), 0);
    while (atomic_load(&crowd.counting) > 0) { /* read meanwhile: counters only grow */
        const unsigned long open = inspect_metric(crowd.metrics, "http_connections_open");
        const unsigned long accepted =
            inspect_metric(crowd.metrics, "http_connections_accepted_total");

        assert_true(open <= ALL_COUNTS);
        assert_true(accepted >= before && accepted <= ALL_COUNTS);
        before = accepted;
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (inspect_metric(crowd.metrics, rows[i].series) != rows[i].value)
            fail_msg("%s is %lu", rows[i].series, inspect_metric(crowd.metrics, rows[i].series));
    }
    metrics_free(crowd.metrics);
}

/* There are only 1024 keys. */
static void metrics_free_releases_the_key(void **state)
{
    (void)state;
    for (int i = 0; i < 2000; i++)
        metrics_free(create_metrics(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(new_metrics_are_zero_and_counted_events_are_printed, reset),
        cmocka_unit_test_setup(unknown_figures_are_left_out, reset),
        cmocka_unit_test_setup(build_has_the_longest_name_of_a_service, reset),
        cmocka_unit_test_setup(requests_are_counted_by_path_method_and_status, reset),
        cmocka_unit_test_setup(buckets_hold_durations_up_to_their_bounds, reset),
        cmocka_unit_test_setup(sum_of_durations_is_exact, reset),
        cmocka_unit_test_setup(each_thread_has_counters_and_cache_lines_of_its_own, reset),
        cmocka_unit_test_setup(thread_that_is_not_remembered_counts_all_the_same, reset),
        cmocka_unit_test_setup(threads_that_count_at_the_same_time_are_summed_exactly, reset),
        cmocka_unit_test_setup(metrics_free_releases_the_key, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
