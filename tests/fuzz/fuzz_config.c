/* Input: NUL-terminated texts: flags, an empty text, environment variables.
 * Expected: accepted settings are within the ranges in README.md; a rejected one is reported in one
 * printable line that fits the buffer, however small. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "fuzz.h"
#include "log.h"
#include "parse.h"

enum { WORDS_MAX = 24, MINUTE = 60 * 1000 };

static void judge_settings(const struct config *config)
{
    struct sockaddr_storage address;
    socklen_t size = 0;

    expect(config->address == NULL || address_parse(config->address, 0, &address, &size),
           "an address");
    expect(config->base_path == NULL || parse_base_path(config->base_path), "a base path");
    expect(config->port <= 65535, "a port");
    expect(config->threads <= 256, "threads");
    expect(config->max_connections <= 1000000, "connections");
    expect(config->request_deadline >= 1000 && config->request_deadline <= 10 * MINUTE,
           "a request deadline");
    expect(config->drain_delay <= 10 * MINUTE, "a drain delay");
    expect(config->shutdown_timeout <= 10 * MINUTE, "a shutdown timeout");
    expect(config->access_log <= ACCESS_LOG_ALL, "an access log");
    expect(config->access_log_rate <= 1000000, "a rate of the access log");
    expect(config->log_format <= LOG_FORMAT_TEXT, "a log format");
    expect(config->log_level <= LOG_DEBUG, "a log level");
    expect(config->action <= CONFIG_HEALTHCHECK, "an action that needs settings");
}

static void judge(int argc, char *const argv[], size_t room)
{
    struct config config;
    char *error = malloc(room);
    int result = 0;

    expect(error != NULL, "memory");
    memset(error, 0xa5, room);
    result = config_read(&config, argc, argv, error, room);
    expect(result == 0 || result == -EINVAL, "0 or -EINVAL");
    if (result < 0)
        expect(memchr(error, '\0', room) != NULL && fuzz_is_printable(error) &&
                   (error[0] != '\0' || room == 1),
               "a line");
    else if (config.action < CONFIG_LICENSES)
        judge_settings(&config);
    free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char name[] = "versiond";
    char *words[WORDS_MAX + 1] = {name};
    char **const saved = environ;
    int count = 1;
    int argc = WORDS_MAX;

    while (count < WORDS_MAX && size > 0) {
        words[count] = fuzz_take_text(&data, &size);
        if (words[count][0] == '\0' && argc == WORDS_MAX)
            argc = count;
        count++;
    }
    argc = argc < count ? argc : count;
    environ = argc < count ? words + argc + 1 : words + count;
    judge(argc, words, 512);
    judge(argc, words, (size_t)count);
    environ = saved;
    for (int i = 1; i < count; i++)
        free(words[i]);
    return 0;
}
