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

/* The last of each stands for all others. */
static const struct {
    enum method method;
    const char *label;
} METHODS[] = {
    {METHOD_GET, "GET"},
    {METHOD_HEAD, "HEAD"},
    {METHOD_OPTIONS, "OPTIONS"},
    {METHOD_UNKNOWN, "other"},
};
/* Those that come after the target was read. */
static const unsigned CODES[] = {200, 204, 400, 404, 405, 413, 414, 417, 431, 501, 503, 0};

enum {
    METHOD_COUNT = sizeof METHODS / sizeof *METHODS,
    CODE_COUNT = sizeof CODES / sizeof *CODES,
    SERIES = METHOD_COUNT * CODE_COUNT, /* of requests, for each path */
};

/* The highest duration of each bucket but the last, which has none. The labels are written as
 * OpenMetrics wants them. */
static const struct {
    int64_t nanoseconds;
    const char *label;
} BOUNDS[BUCKETS - 1] = {
    {10000, "1e-05"},      {25000, "2.5e-05"},  {50000, "5e-05"},   {100000, "0.0001"},
    {250000, "0.00025"},   {500000, "0.0005"},  {1000000, "0.001"}, {2500000, "0.0025"},
    {10000000, "0.01"},    {25000000, "0.025"}, {100000000, "0.1"}, {1000000000, "1.0"},
    {10000000000, "10.0"},
};

/* What a thread counts, by number. From REQUESTS on there is a counter for each path, method and
 * code, each in the order of its table. */
enum {
    ACCEPTED = 0,
    CLOSED = 1,
    NANOSECONDS = 2, /* of all requests */
    DURATIONS = 3,
    REQUESTS = DURATIONS + BUCKETS,
    COUNTERS = REQUESTS + (ROUTER_ROUTES_MAX + 1) * SERIES,
};

struct metrics_thread {
    _Alignas(CACHE_LINE) atomic_uint_fast64_t counters[COUNTERS];
};

struct metrics {
    struct metrics_parts parts;
    pthread_key_t thread; /* its counters */
    atomic_uint known;    /* threads that have some */
    atomic_uint_fast64_t failed;
    atomic_uint_fast64_t refused;
    atomic_uint_fast64_t overdue;
    atomic_uint_fast64_t evicted;
    atomic_uint_fast64_t accept_failures;
    struct metrics_thread threads[]; /* as many as the parts say */
};

struct metrics *metrics_create(const struct metrics_parts *parts)
{
    const size_t size = sizeof(struct metrics) + parts->threads * sizeof(struct metrics_thread);
    /* A multiple of the alignment, as both sizes are. */
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
    /* When there is no memory to remember that, the next call takes further counters: all the same,
     * as they are summed. */
    (void)pthread_setspecific(metrics->thread, thread);
    return thread;
}

/* Adds to a counter that only the calling thread writes: no atomic read and write is needed, which
 * would cost more. Released: who sees it sees what the thread counted before, too. */
static void add(struct metrics_thread *thread, size_t counter, uint64_t number)
{
    atomic_uint_fast64_t *const at = &thread->counters[counter];
    const uint64_t value = atomic_load_explicit(at, memory_order_relaxed);

    atomic_store_explicit(at, value + number, memory_order_release);
}

/* The sum of a counter over all threads. What a thread had counted before it is seen by sums that
 * are made after this one. */
static uint64_t sum(struct metrics *metrics, size_t counter)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < metrics->parts.threads; i++)
        total += atomic_load_explicit(&metrics->threads[i].counters[counter], memory_order_acquire);
    return total;
}

/* The counter of requests with these labels. */
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
    const struct route *routes = router_routes(&count);

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

void metrics_count_failed(struct metrics *metrics)
{
    atomic_fetch_add(&metrics->failed, 1);
}

void metrics_count_refused(struct metrics *metrics)
{
    atomic_fetch_add(&metrics->refused, 1);
}

void metrics_count_overdue(struct metrics *metrics, uint64_t connections)
{
    atomic_fetch_add(&metrics->overdue, connections);
}

void metrics_count_evicted(struct metrics *metrics)
{
    atomic_fetch_add(&metrics->evicted, 1);
}

void metrics_count_accept_failure(struct metrics *metrics)
{
    atomic_fetch_add(&metrics->accept_failures, 1);
}

/* An exposition being written. */
struct exposition {
    FILE *stream;
    enum metrics_format format;
};

/* Writes what a family of metrics begins with. The name of a counter has "_total" at its end, that
 * of an info "_info": in OpenMetrics they belong to the samples and not to the family, in the text
 * format to both, and an info is a gauge there. */
static void print_head(const struct exposition *out, const char *name, const char *type,
                       const char *help)
{
    const bool is_text = out->format == METRICS_TEXT;
    const bool is_info = strcmp(type, "info") == 0;
    const char *suffix = "";

    if (is_text && strcmp(type, "counter") == 0)
        suffix = "_total";
    if (is_text && is_info)
        suffix = "_info";
    (void)fprintf(out->stream, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help, name, suffix,
                  is_text && is_info ? "gauge" : type);
}

static void print_counter(const struct exposition *out, const char *name, const char *help,
                          uint64_t value)
{
    print_head(out, name, "counter", help);
    (void)fprintf(out->stream, "%s_total %" PRIu64 "\n", name, value);
}

/* Writes a gauge, unless its value is not known. */
static void print_gauge(const struct exposition *out, const char *name, const char *help,
                        int64_t value)
{
    if (value < 0)
        return;
    print_head(out, name, "gauge", help);
    (void)fprintf(out->stream, "%s %" PRId64 "\n", name, value);
}

/* Writes the end of a line: a number of seconds, counted in `parts` of a second, of which one has
 * `digits`. */
static void print_seconds(const struct exposition *out, uint64_t value, uint64_t parts, int digits)
{
    (void)fprintf(out->stream, " %" PRIu64 ".%0*" PRIu64 "\n", value / parts, digits,
                  value % parts);
}

static void print_build(const struct exposition *out, const struct build_info *info)
{
    char name[sizeof "_build" + 64];

    (void)snprintf(name, sizeof name, "%s_build", info->name);
    for (char *dash = strchr(name, '-'); dash != NULL; dash = strchr(dash, '-'))
        *dash = '_';
    print_head(out, name, "info", "Which build this is.");
    (void)fprintf(out->stream, "%s_info{version=\"%s\",revision=\"%s\",build_date=\"%s\"} 1\n",
                  name, info->version, info->commit, info->build_date);
}

/* Writes the series of requests that there have been. Those that all is well with are there from
 * the begin, so that their first request is seen to be an increase. */
static void print_requests(const struct exposition *out, struct metrics *metrics)
{
    size_t paths = 0;
    const struct route *routes = router_routes(&paths);

    print_head(out, "http_requests", "counter", "Requests that were answered.");
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
                out->stream,
                "http_requests_total{path=\"%s\",method=\"%s\",code=\"%s\"} %" PRIu64 "\n",
                path == paths ? "other" : routes[path].path, METHODS[method].label, status, value);
        }
    }
}

static void print_durations(const struct exposition *out, struct metrics *metrics)
{
    uint64_t count = 0;

    print_head(out, "http_request_duration_seconds", "histogram",
               "From the request line to the end of the answer.");
    for (size_t i = 0; i < BUCKETS; i++) {
        count += sum(metrics, DURATIONS + i);
        (void)fprintf(out->stream, "http_request_duration_seconds_bucket{le=\"%s\"} %" PRIu64 "\n",
                      i < BUCKETS - 1 ? BOUNDS[i].label : "+Inf", count);
    }
    (void)fputs("http_request_duration_seconds_sum", out->stream);
    print_seconds(out, sum(metrics, NANOSECONDS), 1000000000, 9);
    (void)fprintf(out->stream, "http_request_duration_seconds_count %" PRIu64 "\n", count);
}

static void print_connections(const struct exposition *out, struct metrics *metrics)
{
    /* In this order: one that comes meanwhile must not make the difference negative. */
    const uint64_t closed = sum(metrics, CLOSED);
    const uint64_t accepted = sum(metrics, ACCEPTED);

    print_gauge(out, "http_connections_open", "Connections that are open.",
                (int64_t)(accepted - closed));
    print_gauge(out, "http_connections_limit", "Connections that may be open at a time.",
                metrics->parts.max_connections);
    print_counter(out, "http_connections_accepted", "Connections that were accepted.", accepted);
    print_counter(out, "http_connections_refused",
                  "Connections that were accepted and closed at once: their address has as many as "
                  "it may have, or there is no memory.",
                  atomic_load(&metrics->refused));
    print_counter(out, "http_connections_overdue",
                  "Connections that were closed because they completed no request in time.",
                  atomic_load(&metrics->overdue));
    print_counter(out, "http_connections_evicted",
                  "Connections that were closed to make room for others.",
                  atomic_load(&metrics->evicted));
    print_counter(out, "http_accept_failures",
                  "Times that descriptors or memory were short for a new connection.",
                  atomic_load(&metrics->accept_failures));
}

static void print_log(const struct exposition *out, struct log *log)
{
    print_head(out, "log_lines_dropped", "counter", "Lines of the log that were left out.");
    (void)fprintf(out->stream,
                  "log_lines_dropped_total{reason=\"slow_reader\"} %" PRIu64 "\n"
                  "log_lines_dropped_total{reason=\"rate_limit\"} %" PRIu64 "\n",
                  log_count_dropped(log), log_count_limited(log));
}

static void print_process(const struct exposition *out, struct usage *usage)
{
    const struct usage_figures figures = usage_read(usage);

    if (figures.cpu >= 0) {
        print_head(out, "process_cpu_seconds", "counter", "User and system time.");
        (void)fputs("process_cpu_seconds_total", out->stream);
        print_seconds(out, (uint64_t)figures.cpu, 1000000000, 9);
    }
    print_gauge(out, "process_resident_memory_bytes", "Resident memory.", figures.resident);
    print_gauge(out, "process_virtual_memory_bytes", "Virtual memory.", figures.virtual);
    print_head(out, "process_start_time_seconds", "gauge", "When the process began, since 1970.");
    (void)fputs("process_start_time_seconds", out->stream);
    print_seconds(out, (uint64_t)figures.started, 1000, 3);
    print_gauge(out, "process_open_fds", "Descriptors that are open.", figures.open);
    print_gauge(out, "process_max_fds", "Descriptors that may be open.", figures.max_open);
}

char *metrics_print(struct metrics *metrics, enum metrics_format format)
{
    char *text = NULL;
    size_t size = 0;
    const struct exposition out = {.stream = open_memstream(&text, &size), .format = format};
    bool failed = false;

    if (out.stream == NULL)
        return NULL;
    print_build(&out, metrics->parts.info);
    print_requests(&out, metrics);
    print_counter(
        &out, "http_requests_malformed",
        "Requests that could not be parsed or were too large; only those whose request line was "
        "taken are among the requests.",
        reply_count_malformed());
    print_counter(&out, "http_requests_failed",
                  "Requests that got no answer, as there was no memory for it.",
                  atomic_load(&metrics->failed));
    print_durations(&out, metrics);
    print_connections(&out, metrics);
    print_log(&out, metrics->parts.log);
    print_process(&out, metrics->parts.usage);
    if (format == METRICS_OPENMETRICS)
        (void)fputs("# EOF\n", out.stream);
    failed = ferror(out.stream) != 0;
    if (fclose(out.stream) == 0 && !failed)
        return text;
    free(text);
    return NULL;
}

const char *metrics_media_type(enum metrics_format format)
{
    return format == METRICS_TEXT ? "text/plain; version=0.0.4; charset=utf-8"
                                  : "application/openmetrics-text; version=1.0.0; charset=utf-8";
}
