#include "test.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "embedded.h"
#include "routes.h"

/* Finds the description of a path, which may be a reference ("#/paths/~1version"). */
static const cJSON *find_path(const cJSON *paths, const char *name)
{
    static const char prefix[] = "#/paths/~1";
    const cJSON *path = cJSON_GetObjectItemCaseSensitive(paths, name);
    const char *reference = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(path, "$ref"));
    char target[64];

    if (reference == NULL)
        return path;
    assert_memory_equal(reference, prefix, strlen(prefix));
    (void)snprintf(target, sizeof target, "/%s", reference + strlen(prefix));
    return cJSON_GetObjectItemCaseSensitive(paths, target);
}

static void is_one_line_that_describes_all_routes_and_their_methods(void **state)
{
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithOpts(embedded_openapi, &end, 1);
    const cJSON *paths = cJSON_GetObjectItemCaseSensitive(root, "paths");
    size_t count = 0;
    const struct route *routes = routes_all(&count);

    (void)state;
    assert_non_null(root);
    assert_ptr_equal(strchr(embedded_openapi, '\n'), strrchr(embedded_openapi, '\0') - 1);
    assert_int_equal(cJSON_GetArraySize(paths), count);
    for (size_t i = 0; i < count; i++) {
        const cJSON *operation = NULL;
        char described[64] = "";
        char allow[ROUTES_ALLOW_MAX];
        size_t used = 0;

        cJSON_ArrayForEach(operation, find_path(paths, routes[i].path))
        {
            used += (size_t)snprintf(described + used, sizeof described - used, "%s%s",
                                     used > 0 ? ", " : "", operation->string);
            assert_true(used < sizeof described);
        }
        routes_print_allow(allow, sizeof allow, routes[i].methods);
        if (strcasecmp(described, allow) != 0)
            fail_msg("%s has '%s' instead of '%s'", routes[i].path, described, allow);
    }
    cJSON_Delete(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_one_line_that_describes_all_routes_and_their_methods),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
