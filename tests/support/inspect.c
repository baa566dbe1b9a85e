#include "inspect.h"

#include "test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t inspect_count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    (void)closedir(folder);
    return count;
}

void inspect_replace_times(char *log)
{
    static const char head[] = "{\"time\":\"";
    static const char form[] = "0000-00-00T00:00:00.000Z\"";

    for (char *at = strstr(log, head); at != NULL; at = strstr(at, head)) {
        at += strlen(head);
        for (size_t i = 0; form[i] != '\0'; i++) {
            if (form[i] == '0' ? at[i] < '0' || at[i] > '9' : at[i] != form[i])
                fail_msg("not a time: %s", at);
        }
        memcpy(at, "TIME", 4);
        memmove(at + 4, at + strlen(form) - 1, strlen(at + strlen(form) - 1) + 1);
    }
}

double inspect_series(const char *text, const char *series)
{
    char begin[256];
    const char *at = NULL;

    (void)snprintf(begin, sizeof begin, "\n%s ", series);
    at = strstr(text, begin);
    if (at == NULL)
        return -1;
    assert_null(strstr(at + 1, begin));
    return strtod(at + strlen(begin), NULL);
}

unsigned long inspect_metric(struct metrics *metrics, const char *series)
{
    char *text = metrics_print(metrics);
    double value = 0;

    assert_non_null(text);
    value = inspect_series(text, series);
    free(text);
    if (value < 0)
        fail_msg("%s is not among the metrics", series);
    return (unsigned long)value;
}
