/* Input: a base path, a NUL, and a path of any bytes.
 * Expected: a route is found when the path is that of the route, alone or behind the base path, as
 * a comparison of whole texts says, and no other; the path is not read beyond its length. */
#include "router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "parse.h"
#include "request.h"

static bool is_path(const char *path, size_t length, const char *prefix, const char *rest)
{
    char whole[PARSE_BASE_PATH_MAX + 64];
    const int wanted = snprintf(whole, sizeof whole, "%s%s", prefix, rest);

    return length == (size_t)wanted && memcmp(path, whole, length) == 0;
}

/* `base_path` is NULL or one that the settings take. */
static void judge(const char *base_path, const char *path, size_t length)
{
    size_t count = 0;
    const struct route *routes = router_routes(&count);
    const struct route *wanted = NULL;

    for (size_t i = 0; i < count; i++) {
        if (is_path(path, length, "", routes[i].path) ||
            (base_path != NULL && is_path(path, length, base_path, routes[i].path)))
            wanted = &routes[i];
    }
    expect(router_find(base_path, path, length) == wanted, "the route that has the path");
}

/* Behind the base path each route is found, and nothing when a byte is missing. */
static void judge_routes(const char *base_path)
{
    size_t count = 0;
    const struct route *routes = router_routes(&count);

    for (size_t i = 0; i < count; i++) {
        char whole[PARSE_BASE_PATH_MAX + 64];
        const int length = snprintf(whole, sizeof whole, "%s%s", base_path, routes[i].path);

        judge(base_path, whole, (size_t)length);
        judge(base_path, whole, (size_t)length - 1);
        judge(base_path, whole + 1, (size_t)length - 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *base_path = fuzz_take_text(&data, &size);
    char *path = fuzz_bytes(data, size);

    judge(NULL, path, size);
    if (parse_base_path(base_path)) {
        judge(base_path, path, size);
        judge_routes(base_path);
    }
    free(path);
    free(base_path);
    return 0;
}
