/* Input: texts with a NUL after each: flags, an empty one, variables of the environment.
 * Expected: settings that are taken are within what README.md says; what is refused is said in one
 * printable line that ends within its room, however small that is. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "log.h"
#include "parse.h"

enum { WORDS_MAX = 24, MINUTE = 60 * 1000 };

static bool is_between(uint32_t number, uint32_t lowest, uint32_t highest)
{
    return number >= lowest && number <= highest;
}

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
    expect(config->max_connections_per_ip <= 1000000, "connections of an address");
    expect(is_between(config->request_deadline, 1000, 10 * MINUTE), "a deadline");
    expect(config->drain_delay <= 10 * MINUTE, "a drain delay");
    expect(config->shutdown_timeout <= 10 * MINUTE, "a timeout");
    expect(config->access_log <= ACCESS_LOG_ALL, "what to log");
    expect(config->access_log_rate <= 1000000, "a rate");
    expect(config->trusted_proxies.count <= ADDRESS_PREFIXES_MAX, "proxies");
    expect(config->log_format <= LOG_FORMAT_TEXT, "a format");
    expect(config->log_level <= LOG_DEBUG, "a level");
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
    expect(result == 0 || result == -EINVAL, "settings are taken or refused");
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
