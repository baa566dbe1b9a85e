/* Starts and stops the program, and chooses its exit status. */

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
#include "embedded.h"
#include "handlers.h"
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

/* Sanitizers and coverage measurement write files and start processes. */
#ifdef INSTRUMENTED
enum { IS_INSTRUMENTED = 1 };
#else
enum { IS_INSTRUMENTED = 0 };
#endif

enum {
    DEFAULT_CONNECTIONS = 10000,
    /* Descriptors other than connections: the standard ones, the listener and two files in /proc,
     * with some to spare; and per thread an epoll set, an eventfd, and connections that exceed the
     * limit until others are evicted. */
    SPARE_FILES = 16,
    FILES_PER_THREAD = 2 + SERVER_SPARE_CONNECTIONS,
};

static int fail(const char *name, const char *error, int status)
{
    (void)fprintf(stderr, "%s: %s\n", name, error);
    return status;
}

/* Flushes stdout. A full disk or a closed descriptor must not look like success. */
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
    if (isatty(STDOUT_FILENO))
        return fail(info->name, "--licenses: the output is a gzip file; pipe it to gunzip",
                    EXIT_FAILED);
    (void)fwrite(embedded_licenses, 1, embedded_licenses_size, stdout);
    return finish_output(info->name);
}

/* Logs why the server cannot run. Returns the exit status. */
static int fail_to_run(struct log *log, const char *what, const char *why)
{
    log_write(log, LOG_ERROR, what, &(const struct log_field){.name = "error", .text = why}, 1);
    return EXIT_FAILED;
}

/* Determines the defaults that depend on the machine. Returns 0, or -1 after logging an error if
 * `files`, the open-file limit, is too low for the connections. */
static int resolve_config(struct config *config, uint32_t files, struct log *log)
{
    uint32_t reserved = 0;
    uint32_t available = 0;

    if (config->threads == 0)
        config->threads = resources_cpus("/sys/fs/cgroup", "/proc/self/cgroup");
    if (config->max_connections != 0 && config->threads > config->max_connections)
        config->threads = config->max_connections;
    reserved = SPARE_FILES + config->threads * FILES_PER_THREAD;
    available = files > reserved ? files - reserved : 0;
    if (config->max_connections == 0)
        config->max_connections = available < DEFAULT_CONNECTIONS ? available : DEFAULT_CONNECTIONS;
    if (config->max_connections >= config->threads && config->max_connections <= available)
        return 0;
    log_write(
        log, LOG_ERROR, "the open-file limit is too low",
        (const struct log_field[]){{.name = "limit", .number = files},
                                   {.name = "threads", .number = config->threads},
                                   {.name = "max_connections", .number = config->max_connections}},
        3);
    return -1;
}

/* Enters the sandbox according to the settings, and writes what is in force to `text`. Returns
 * false if the sandbox is required and incomplete. */
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

/* Takes over the listening socket passed by the service manager, or opens one. Returns false after
 * logging an error. */
static bool open_listener(struct server_parts *parts)
{
    const struct config *config = parts->config;
    char error[128];

    parts->listener = listener_take(error, sizeof error);
    parts->is_shared = parts->listener >= 0;
    if (parts->listener == -EINVAL) {
        log_write(parts->log, LOG_ERROR, "cannot use the socket passed by the service manager",
                  (const struct log_field[]){
                      {.name = "error", .text = error},
                      {.name = "allowed", .text = "LISTEN_FDS=1 and a listening TCP socket"}},
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

static void log_sandbox_failure(struct log *log, const char *sandbox)
{
    log_write(log, LOG_ERROR, "cannot enter the sandbox",
              (const struct log_field[]){{.name = "error", .text = sandbox},
                                         {.name = "allowed",
                                          .text = "--sandbox auto uses what the kernel supports, "
                                                  "--sandbox off disables it"}},
              2);
}

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

/* Runs the threads until a signal stops them. Takes ownership of the listener. */
static int run(const struct server_parts *parts, const struct build_info *info, int notifier,
               const char *sandbox)
{
    struct server *server = server_start(parts);
    int status = EXIT_FAILED;

    if (server == NULL)
        return fail_to_run(parts->log, "cannot start",
                           "out of memory, threads or file descriptors");
    log_listening(parts, info, sandbox);
    notify_ready(notifier, info->version, parts->log);
    status = lifecycle_run(server, parts->config, parts->log, notifier);
    server_stop(server);
    log_write(parts->log, LOG_INFO, "stopped", NULL, 0);
    return status;
}

/* Serves until a signal, and releases everything in the opposite order. */
static int serve(struct config *config, const struct build_info *info)
{
    const uint32_t files = resources_open_files();
    struct log log;
    struct server_parts parts = {.config = config, .log = &log, .listener = -1};
    struct handlers *handlers = NULL;
    struct usage usage;
    char sandbox[SANDBOX_TEXT_MAX];
    int blocked = 0;
    int notifier = -1;
    int status = EXIT_FAILED;

    log_init(&log, STDERR_FILENO, config->log_format, config->log_level);
    log.rate = config->access_log_rate;
    blocked = lifecycle_block_signals();
    if (blocked < 0)
        return fail_to_run(&log, "cannot block signals", strerror(-blocked));
    if (resolve_config(config, files, &log) < 0)
        return EXIT_FAILED;

    usage_open(&usage, "/proc/self", files);
    parts.metrics = metrics_create(&(const struct metrics_parts){
        info, &log, &usage, config->threads, config->max_connections});
    if (parts.metrics != NULL)
        handlers = handlers_create(&(const struct route_context){info, parts.metrics},
                                   config->base_path, config->threads);
    parts.handlers = handlers;
    if (handlers == NULL) {
        (void)fail_to_run(&log, "cannot start", "out of memory preparing responses");
        goto cleanup;
    }
    if (!open_listener(&parts))
        goto cleanup;
    notifier = notify_open(&log);
    /* All files are open by now, and no thread exists yet that would stay outside. */
    if (!enter_sandbox(config, IS_INSTRUMENTED, sandbox)) {
        log_sandbox_failure(&log, sandbox);
        (void)close(parts.listener);
        goto cleanup;
    }
    status = run(&parts, info, notifier, sandbox);

cleanup:
    if (notifier >= 0)
        (void)close(notifier);
    handlers_free(handlers);
    metrics_free(parts.metrics);
    usage_close(&usage);
    return status;
}

/* Opens /dev/null for each standard descriptor that is closed. Otherwise a socket would get its
 * number, and the log would be written to it. Opened for reading, so that writing still fails. */
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
    char error[CONFIG_ERROR_MAX];

    if (!open_standard_descriptors())
        return fail(info.name, "cannot open /dev/null", EXIT_FAILED);
    if (!config_read(&config, argc, argv, error))
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
