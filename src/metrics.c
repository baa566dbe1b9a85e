#include "metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reply.h"

enum { CACHE_LINE = 64, BUCKETS = 14 };

/* The last row of each table stands for all other values. */
static const struct {
    enum method method;
    const char *label;
} METHODS[] = {
    {METHOD_GET, "GET"},
    {METHOD_HEAD, "HEAD"},
    {METHOD_OPTIONS, "OPTIONS"},
    {METHOD_UNKNOWN, "other"},
};
/* The statuses of responses to requests whose target could be read. */
static const unsigned CODES[] = {200, 204, 400, 404, 405, 413, 414, 417, 431, 501, 503, 0};

static const struct {
    const char *name;
    const char *help;
} EVENTS[] = {
    [METRICS_FAILED] = {"http_requests_failed_total",
                        "Number of requests that failed because memory ran out."},
    [METRICS_REFUSED] = {"http_connections_refused_total",
                         "Number of connections closed immediately because memory ran out."},
    [METRICS_OVERDUE] = {"http_connections_overdue_total",
                         "Number of connections closed because no request completed in time."},
    [METRICS_EVICTED] = {"http_connections_evicted_total",
                         "Number of connections closed to make room for others."},
    [METRICS_ACCEPT_FAILURE] = {"http_accept_failures_total",
                                "Number of accept() failures due to missing descriptors or "
                                "memory."},
};

enum {
    METHOD_COUNT = sizeof METHODS / sizeof *METHODS,
    CODE_COUNT = sizeof CODES / sizeof *CODES,
    EVENT_COUNT = sizeof EVENTS / sizeof *EVENTS,
    SERIES = METHOD_COUNT * CODE_COUNT, /* per path */
};

/* Upper bounds of all buckets but the last, which has none. */
static const struct {
    int64_t nanoseconds;
    const char *label;
} BOUNDS[BUCKETS - 1] = {
    {10000, "1e-05"},      {25000, "2.5e-05"},  {50000, "5e-05"},   {100000, "0.0001"},
    {250000, "0.00025"},   {500000, "0.0005"},  {1000000, "0.001"}, {2500000, "0.0025"},
    {10000000, "0.01"},    {25000000, "0.025"}, {100000000, "0.1"}, {1000000000, "1.0"},
    {10000000000, "10.0"},
};

/* Positions of the counters of a thread. From REQUESTS on there is one for each path, method and
 * code, in the order of the tables. */
enum {
    ACCEPTED = 0,
    CLOSED = 1,
    NANOSECONDS = 2, /* total duration of all requests */
    DURATIONS = 3,
    REQUESTS = DURATIONS + BUCKETS,
    COUNTERS = REQUESTS + (ROUTES_MAX + 1) * SERIES,
};

struct metrics_thread {
    _Alignas(CACHE_LINE) atomic_uint_fast64_t counters[COUNTERS];
};

struct metrics {
    struct metrics_parts parts;
    pthread_key_t thread; /* the counters of the calling thread */
    atomic_uint known;    /* number of threads that have counters */
    atomic_uint_fast64_t events[EVENT_COUNT];
    struct metrics_thread threads[]; /* parts.threads elements */
};

struct metrics *metrics_create(const struct metrics_parts *parts)
{
    const size_t size = sizeof(struct metrics) + parts->threads * sizeof(struct metrics_thread);
    /* aligned_alloc() requires a multiple of the alignment; both sizes are. */
    struct metrics *metrics = aligned_alloc(CACHE_LINE, size);

    if (metrics == NULL)
        return NULL;
    memset(metrics, 0, size);
    metrics->parts = *parts;
    if (pthread_key_create(&metrics->thread, NULL) == 0)
        return metrics;
    free(metrics);
    return NULL;
}

void metrics_free(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    (void)pthread_key_delete(metrics->thread);
    free(metrics);
}

struct metrics_thread *metrics_thread(struct metrics *metrics)
{
    struct metrics_thread *thread = pthread_getspecific(metrics->thread);
    unsigned number = 0;

    if (thread != NULL)
        return thread;
    number = atomic_fetch_add(&metrics->known, 1);
    if (number >= metrics->parts.threads)
        number = metrics->parts.threads - 1;
    thread = &metrics->threads[number];
    /* If this fails, the next call takes another element; the sum remains correct. */
    (void)pthread_setspecific(metrics->thread, thread);
    return thread;
}

unsigned metrics_thread_number(const struct metrics *metrics, const struct metrics_thread *thread)
{
    return (unsigned)(thread - metrics->threads);
}

/* Adds to a counter that only the calling thread writes, so no atomic read-modify-write is needed.
 * Release order: a thread that sees the new value also sees earlier counts of this thread. */
static void add(struct metrics_thread *thread, size_t counter, uint64_t number)
{
    atomic_uint_fast64_t *const at = &thread->counters[counter];
    const uint64_t value = atomic_load_explicit(at, memory_order_relaxed);

    atomic_store_explicit(at, value + number, memory_order_release);
}

/* Sums a counter over all threads. Acquire order: sums taken later see everything that a thread
 * counted before a value seen here. */
static uint64_t sum(struct metrics *metrics, size_t counter)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < metrics->parts.threads; i++)
        total += atomic_load_explicit(&metrics->threads[i].counters[counter], memory_order_acquire);
    return total;
}

/* Returns the position of the counter for a path, method and code. */
static size_t request_counter(size_t path, size_t method, size_t code)
{
    return REQUESTS + (path * METHOD_COUNT + method) * CODE_COUNT + code;
}

void metrics_count_accepted(struct metrics_thread *thread)
{
    add(thread, ACCEPTED, 1);
}

void metrics_count_closed(struct metrics_thread *thread)
{
    add(thread, CLOSED, 1);
}

static size_t find_path(const struct route *route)
{
    size_t count = 0;
    const struct route *routes = routes_all(&count);

    return route == NULL ? count : (size_t)(route - routes);
}

static size_t find_method(enum method method)
{
    size_t i = 0;

    while (i < METHOD_COUNT - 1 && METHODS[i].method != method)
        i++;
    return i;
}

static size_t find_code(unsigned status)
{
    size_t i = 0;

    while (i < CODE_COUNT - 1 && CODES[i] != status)
        i++;
    return i;
}

static size_t find_bucket(int64_t nanoseconds)
{
    size_t i = 0;

    while (i < BUCKETS - 1 && nanoseconds > BOUNDS[i].nanoseconds)
        i++;
    return i;
}

void metrics_count_request(struct metrics_thread *thread, const struct route *route,
                           enum method method, unsigned status, int64_t nanoseconds)
{
    add(thread, request_counter(find_path(route), find_method(method), find_code(status)), 1);
    add(thread, DURATIONS + find_bucket(nanoseconds), 1);
    add(thread, NANOSECONDS, (uint64_t)nanoseconds);
}

void metrics_count(struct metrics *metrics, enum metrics_event event, uint64_t number)
{
    atomic_fetch_add(&metrics->events[event], number);
}

static void print_head(FILE *out, const char *name, const char *type, const char *help)
{
    (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void print_counter(FILE *out, const char *name, const char *help, uint64_t value)
{
    print_head(out, name, "counter", help);
    (void)fprintf(out, "%s %" PRIu64 "\n", name, value);
}

/* Prints a gauge. A negative value means unknown; nothing is printed then. */
static void print_gauge(FILE *out, const char *name, const char *help, int64_t value)
{
    if (value < 0)
        return;
    print_head(out, name, "gauge", help);
    (void)fprintf(out, "%s %" PRId64 "\n", name, value);
}

/* Prints a sample in seconds. `value` counts units of 10^-digits seconds, `parts` per second. */
static void print_seconds(FILE *out, const char *name, uint64_t value, uint64_t parts, int digits)
{
    (void)fprintf(out, "%s %" PRIu64 ".%0*" PRIu64 "\n", name, value / parts, digits,
                  value % parts);
}

static void print_build(FILE *out, const struct build_info *info)
{
    char name[BUILD_INFO_NAME_MAX + sizeof "_build_info"];

    (void)snprintf(name, sizeof name, "%s_build_info", info->name);
    for (char *dash = strchr(name, '-'); dash != NULL; dash = strchr(dash, '-'))
        *dash = '_';
    print_head(out, name, "gauge", "Build information.");
    (void)fprintf(out, "%s{version=\"%s\",revision=\"%s\",build_date=\"%s\"} 1\n", name,
                  info->version, info->commit, info->build_date);
}

/* Prints the request counters that are not 0, and for each route the counter of successful GET
 * requests, so that the increase from 0 to the first request is visible. */
static void print_requests(FILE *out, struct metrics *metrics)
{
    size_t paths = 0;
    const struct route *routes = routes_all(&paths);

    print_head(out, "http_requests_total", "counter", "Number of requests answered.");
    for (size_t path = 0; path <= paths; path++) {
        for (size_t i = 0; i < SERIES; i++) {
            const size_t method = i / CODE_COUNT;
            const size_t code = i % CODE_COUNT;
            const uint64_t value = sum(metrics, request_counter(path, method, code));
            char status[16] = "other";

            if (value == 0 && (path == paths || i != 0))
                continue;
            if (CODES[code] != 0)
                (void)snprintf(status, sizeof status, "%u", CODES[code]);
            (void)fprintf(
                out, "http_requests_total{path=\"%s\",method=\"%s\",code=\"%s\"} %" PRIu64 "\n",
                path == paths ? "other" : routes[path].path, METHODS[method].label, status, value);
        }
    }
}

static void print_durations(FILE *out, struct metrics *metrics)
{
    uint64_t count = 0;

    print_head(out, "http_request_duration_seconds", "histogram",
               "Time from the request line to the end of the response.");
    for (size_t i = 0; i < BUCKETS; i++) {
        count += sum(metrics, DURATIONS + i);
        (void)fprintf(out, "http_request_duration_seconds_bucket{le=\"%s\"} %" PRIu64 "\n",
                      i < BUCKETS - 1 ? BOUNDS[i].label : "+Inf", count);
    }
    print_seconds(out, "http_request_duration_seconds_sum", sum(metrics, NANOSECONDS), 1000000000,
                  9);
    (void)fprintf(out, "http_request_duration_seconds_count %" PRIu64 "\n", count);
}

static void print_connections(FILE *out, struct metrics *metrics)
{
    /* Read in this order, so that a connection accepted meanwhile cannot make the difference
     * negative. */
    const uint64_t closed = sum(metrics, CLOSED);
    const uint64_t accepted = sum(metrics, ACCEPTED);

    print_gauge(out, "http_connections_open", "Number of open connections.",
                (int64_t)(accepted - closed));
    print_gauge(out, "http_connections_limit", "Maximum number of open connections.",
                metrics->parts.max_connections);
    print_counter(out, "http_connections_accepted_total", "Number of connections accepted.",
                  accepted);
}

static void print_log(FILE *out, struct log *log)
{
    print_head(out, "log_lines_dropped_total", "counter", "Number of log lines dropped.");
    (void)fprintf(out,
                  "log_lines_dropped_total{reason=\"slow_reader\"} %" PRIu64 "\n"
                  "log_lines_dropped_total{reason=\"rate_limit\"} %" PRIu64 "\n",
                  atomic_load(&log->dropped), atomic_load(&log->limited));
}

static void print_process(FILE *out, struct usage *usage)
{
    const struct usage_figures figures = usage_read(usage);

    if (figures.cpu >= 0) {
        print_head(out, "process_cpu_seconds_total", "counter", "User and system CPU time.");
        print_seconds(out, "process_cpu_seconds_total", (uint64_t)figures.cpu, 1000000000, 9);
    }
    print_gauge(out, "process_resident_memory_bytes", "Resident memory.", figures.resident);
    print_gauge(out, "process_virtual_memory_bytes", "Virtual memory.", figures.virtual);
    print_head(out, "process_start_time_seconds", "gauge", "Start time, in seconds since 1970.");
    print_seconds(out, "process_start_time_seconds", (uint64_t)figures.started, 1000, 3);
    print_gauge(out, "process_open_fds", "Number of open file descriptors.", figures.open);
    print_gauge(out, "process_max_fds", "Maximum number of open file descriptors.",
                figures.max_open);
}

char *metrics_print(struct metrics *metrics)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    bool failed = false;

    if (out == NULL)
        return NULL;
    print_build(out, metrics->parts.info);
    print_requests(out, metrics);
    print_counter(out, "http_requests_malformed_total",
                  "Number of requests that were malformed or too large. They count as answered "
                  "only if the request line could be read.",
                  reply_count_malformed());
    for (size_t i = 0; i < EVENT_COUNT; i++)
        print_counter(out, EVENTS[i].name, EVENTS[i].help, atomic_load(&metrics->events[i]));
    print_durations(out, metrics);
    print_connections(out, metrics);
    print_log(out, metrics->parts.log);
    print_process(out, metrics->parts.usage);
    failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed)
        return text;
    free(text);
    return NULL;
}
