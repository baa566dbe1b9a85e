/* The order of start and stop, and the exit codes. */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "build_info.h"
#include "config.h"
#include "handlers.h"
#include "licenses.h"
#include "lifecycle.h"
#include "listener.h"
#include "log.h"
#include "metrics.h"
#include "notify.h"
#include "probe.h"
#include "resources.h"
#include "sandbox.h"
#include "server.h"
#include "usage.h"

enum { EXIT_STOPPED = 0, EXIT_FAILED = 1, EXIT_BAD_SETTING = 2 };

/* Sanitizers and the measuring of coverage write files and start processes. */
#ifdef INSTRUMENTED
enum { IS_INSTRUMENTED = 1 };
#else
enum { IS_INSTRUMENTED = 0 };
#endif

enum {
    DEFAULT_CONNECTIONS = 10000,
    /* Descriptors that are no connections: three standard ones, the listener and two files below
     * /proc with some to spare, and of each thread an epoll set and an eventfd, and connections
     * that are there until others are closed in their place. */
    SPARE_FILES = 16,
    FILES_OF_A_THREAD = 2 + SERVER_SPARE_CONNECTIONS,
};

static int fail(const char *name, const char *error, int status)
{
    (void)fprintf(stderr, "%s: %s\n", name, error);
    return status;
}

/* Ends what was printed to stdout: a full disk or a closed descriptor must not look like success.
 */
static int finish_output(const char *name)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return EXIT_STOPPED;
    return fail(name, "cannot write to stdout", EXIT_FAILED);
}

static int print_version(const struct build_info *info)
{
    (void)printf("%s %s\ncommit %s, %s\n", info->name, info->version, info->commit,
                 info->build_date);
    return finish_output(info->name);
}

static int print_help(const struct build_info *info)
{
    config_print_help(stdout, info->name);
    return finish_output(info->name);
}

static int print_licenses(const struct build_info *info)
{
    size_t size = 0;
    const unsigned char *const file = licenses_get(&size);

    if (isatty(STDOUT_FILENO))
        return fail(info->name,
                    "--licenses: stdout is a terminal, and this is a gzip file: add '| gunzip'",
                    EXIT_FAILED);
    (void)fwrite(file, 1, size, stdout);
    return finish_output(info->name);
}

/* Writes the one line that says why the server cannot run. */
static int fail_to_run(struct log *log, const char *what, const char *why)
{
    log_write(log, LOG_ERROR, what, &(const struct log_field){.name = "error", .text = why}, 1);
    return EXIT_FAILED;
}

/* Finds out the numbers that were not given. Returns 0, or -1 when the limit of open files,
 * `files`, has no room for the connections that were asked for. */
static int resolve_config(struct config *config, uint32_t files, struct log *log)
{
    uint32_t needed = 0;
    uint32_t room = 0;

    if (config->threads == 0)
        config->threads = resources_cpus("/sys/fs/cgroup", "/proc/self/cgroup");
    if (config->max_connections != 0 && config->threads > config->max_connections)
        config->threads = config->max_connections;
    needed = SPARE_FILES + config->threads * FILES_OF_A_THREAD;
    room = files > needed ? files - needed : 0;
    if (config->max_connections == 0)
        config->max_connections = room < DEFAULT_CONNECTIONS ? room : DEFAULT_CONNECTIONS;
    if (config->max_connections >= config->threads && config->max_connections <= room)
        return 0;
    log_write(
        log, LOG_ERROR, "the limit of open files is too low",
        (const struct log_field[]){{.name = "limit", .number = files},
                                   {.name = "threads", .number = config->threads},
                                   {.name = "max_connections", .number = config->max_connections}},
        3);
    return -1;
}

/* Enters the sandbox as the setting says, and writes what then holds into `text`. Returns false
 * when it had to hold all and does not. */
static bool enter_sandbox(const struct config *config, bool is_instrumented,
                          char text[SANDBOX_TEXT_MAX])
{
    if (config->sandbox == SANDBOX_OFF)
        (void)snprintf(text, SANDBOX_TEXT_MAX, "off");
    else if (is_instrumented)
        (void)snprintf(text, SANDBOX_TEXT_MAX, "none in an instrumented build");
    else if (sandbox_enter(text))
        return true;
    return config->sandbox != SANDBOX_REQUIRE;
}

/* Takes the listening socket that was passed, or opens one. Returns false after a line of the log.
 */
static bool open_listener(struct server_parts *parts)
{
    const struct config *config = parts->config;
    char error[128];

    parts->listener = listener_take(error, sizeof error);
    parts->is_shared = parts->listener >= 0;
    if (parts->listener == -EINVAL) {
        log_write(parts->log, LOG_ERROR, "cannot take the socket that was passed",
                  (const struct log_field[]){
                      {.name = "error", .text = error},
                      {.name = "allowed", .text = "LISTEN_FDS=1, a TCP socket that listens"}},
                  2);
        return false;
    }
    if (parts->is_shared)
        return true;
    parts->listener = listener_open(config->address, (uint16_t)config->port);
    if (parts->listener >= 0)
        return true;
    log_write(parts->log, LOG_ERROR, "cannot listen",
              (const struct log_field[]){
                  {.name = "address", .text = config->address ? config->address : "::"},
                  {.name = "port", .number = config->port},
                  {.name = "error", .text = strerror(-parts->listener)}},
              3);
    return false;
}

/* Says where the server listens, and as what. */
static void log_listening(const struct server_parts *parts, const struct build_info *info,
                          const char *sandbox)
{
    const struct config *config = parts->config;
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof address;
    char text[ADDRESS_TEXT_MAX];
    uint16_t port = 0;

    (void)getsockname(parts->listener, (struct sockaddr *)&address, &size);
    port = address_print((const struct sockaddr *)&address, text);
    log_write(
        parts->log, LOG_INFO, "listening",
        (const struct log_field[]){{.name = "address", .text = text},
                                   {.name = "port", .number = port},
                                   {.name = "threads", .number = config->threads},
                                   {.name = "max_connections", .number = config->max_connections},
                                   {.name = "version", .text = info->version},
                                   {.name = "commit", .text = info->commit},
                                   {.name = "sandbox", .text = sandbox},
                                   {.name = "socket", .text = "passed"}},
        parts->is_shared ? 8 : 7);
}

/* Enters the sandbox and serves, until a signal. */
static int serve_confined(const struct server_parts *parts, const struct build_info *info,
                          int notifier)
{
    struct log *log = parts->log;
    struct server *server = NULL;
    char sandbox[SANDBOX_TEXT_MAX];
    int status = EXIT_FAILED;

    /* Everything is open by now, and there is no thread yet that would stay outside. */
    if (!enter_sandbox(parts->config, IS_INSTRUMENTED, sandbox)) {
        log_write(log, LOG_ERROR, "cannot enter the sandbox",
                  (const struct log_field[]){{.name = "error", .text = sandbox},
                                             {.name = "allowed",
                                              .text = "--sandbox auto takes what there is, "
                                                      "--sandbox off does without"}},
                  2);
        (void)close(parts->listener);
        return EXIT_FAILED;
    }
    server = server_start(parts);
    if (server == NULL)
        return fail_to_run(log, "cannot start", "no memory, threads or descriptors for the server");
    log_listening(parts, info, sandbox);
    notify_ready(notifier, info->version, log);
    status = lifecycle_run(server, parts->config, log, notifier);
    server_stop(server);
    log_write(log, LOG_INFO, "stopped", NULL, 0);
    return status;
}

/* Serves with the answers made, until a signal. */
static int serve_answers(struct server_parts *parts, const struct build_info *info)
{
    int notifier = -1;
    int status = EXIT_FAILED;

    if (!open_listener(parts))
        return EXIT_FAILED;
    notifier = notify_open(parts->log);
    status = serve_confined(parts, info, notifier);
    if (notifier >= 0)
        (void)close(notifier);
    return status;
}

/* Makes the answers, and serves. */
static int serve_metrics(struct server_parts *parts, const struct build_info *info)
{
    struct handlers *handlers = handlers_create(info, parts->config->base_path, parts->metrics);
    int status = EXIT_FAILED;

    if (handlers == NULL)
        return fail_to_run(parts->log, "cannot start", "no memory for the answers");
    parts->handlers = handlers;
    status = serve_answers(parts, info);
    handlers_free(handlers);
    return status;
}

static int serve(struct config *config, const struct build_info *info)
{
    struct metrics *metrics = NULL;
    const uint32_t files = resources_open_files();
    struct usage usage;
    struct log log;
    int blocked = 0;
    int status = EXIT_FAILED;

    log_init(&log, STDERR_FILENO, config->log_format, config->log_level);
    log.rate = config->access_log_rate;
    blocked = lifecycle_block_signals();
    if (blocked < 0)
        return fail_to_run(&log, "cannot block signals", strerror(-blocked));
    if (resolve_config(config, files, &log) < 0)
        return EXIT_FAILED;
    usage_open(&usage, "/proc/self", files);
    metrics = metrics_create(&(const struct metrics_parts){info, &log, &usage, config->threads,
                                                           config->max_connections});
    if (metrics == NULL)
        status = fail_to_run(&log, "cannot start", "no memory for the metrics");
    else
        status = serve_metrics(
            &(struct server_parts){.config = config, .log = &log, .metrics = metrics}, info);
    metrics_free(metrics);
    usage_close(&usage);
    return status;
}

/* Opens /dev/null in the place of each standard descriptor that is closed: else a socket would get
 * its number, and the log would be written into it. For reading, so that writing still fails. */
static bool open_standard_descriptors(void)
{
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++) {
        if (fcntl(descriptor, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != descriptor)
            return false;
    }
    return true;
}

int main(int argc, char *argv[])
{
    const struct build_info info = build_info_get();
    struct config config;
    char error[512];

    if (!open_standard_descriptors())
        return fail(info.name, "cannot open /dev/null", EXIT_FAILED);
    if (!build_info_check(&info, error, sizeof error))
        return fail(info.name, error, EXIT_FAILED);
    if (config_read(&config, argc, argv, error, sizeof error) < 0)
        return fail(info.name, error, EXIT_BAD_SETTING);
    switch (config.action) {
    case CONFIG_HELP:
        return print_help(&info);
    case CONFIG_VERSION:
        return print_version(&info);
    case CONFIG_LICENSES:
        return print_licenses(&info);
    case CONFIG_HEALTHCHECK:
        return probe_readiness(&config, error, sizeof error) == 0
                   ? EXIT_STOPPED
                   : fail(info.name, error, EXIT_FAILED);
    default:
        return serve(&config, &info);
    }
}
