/* wraps: strdup */
#include "test.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failing.h"
#include "openapi.h"
#include "routes.h"

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);

char *__wrap_strdup(const char *text)
{
    return failing_now() ? NULL : __real_strdup(text);
}

static void document_is_one_line_of_json(void **state)
{
    char *document = openapi_create();
    const char *end = NULL;
    cJSON *root = NULL;

    (void)state;
    assert_non_null(document);
    assert_ptr_equal(strchr(document, '\n'), document + strlen(document) - 1);
    root = cJSON_ParseWithOpts(document, &end, 1);
    assert_non_null(root);
    assert_ptr_equal(end, document + strlen(document));
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "openapi")),
                        "3.1.0");
    cJSON_Delete(root);
    free(document);
}

/* The description of a path; one may refer to another ("#/paths/~1version"). */
static const cJSON *find_path(const cJSON *paths, const char *name)
{
    static const char begin[] = "#/paths/~1";
    const cJSON *path = cJSON_GetObjectItemCaseSensitive(paths, name);
    const char *reference = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(path, "$ref"));
    char other[64] = "/";

    if (reference == NULL)
        return path;
    assert_memory_equal(reference, begin, strlen(begin));
    strncat(other, reference + strlen(begin), sizeof other - 2);
    return cJSON_GetObjectItemCaseSensitive(paths, other);
}

/* What is described of a path are its methods, in lower case, and nothing else. */
static void expect_methods(const cJSON *path, const char *allow)
{
    const cJSON *operation = NULL;
    char described[64] = "";
    size_t used = 0;

    cJSON_ArrayForEach(operation, path)
    {
        used += (size_t)snprintf(described + used, sizeof described - used, "%s%s",
                                 used > 0 ? ", " : "", operation->string);
        assert_true(used < sizeof described);
    }
    for (char *at = described; *at != '\0'; at++)
        *at = (char)toupper((unsigned char)*at);
    assert_string_equal(described, allow);
}

/* Each path with its methods, and no other: the description cannot fall behind the routes. */
static void document_has_the_routes_and_their_methods(void **state)
{
    char *document = openapi_create();
    cJSON *root = cJSON_Parse(document);
    const cJSON *paths = cJSON_GetObjectItemCaseSensitive(root, "paths");
    size_t count = 0;
    const struct route *routes = routes_all(&count);

    (void)state;
    assert_int_equal(cJSON_GetArraySize(paths), count);
    for (size_t i = 0; i < count; i++) {
        const cJSON *path = find_path(paths, routes[i].path);
        char allow[ROUTES_ALLOW_MAX];

        if (path == NULL)
            fail_msg("%s is not described", routes[i].path);
        routes_print_allow(allow, sizeof allow, routes[i].methods);
        expect_methods(path, allow);
    }
    cJSON_Delete(root);
    free(document);
}

static void every_call_makes_a_copy(void **state)
{
    char *first = openapi_create();
    char *second = openapi_create();

    (void)state;
    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_not_equal(first, second);
    assert_string_equal(first, second);
    free(first);
    free(second);
}

static void without_memory_there_is_none(void **state)
{
    (void)state;
    failing_at(1);
    assert_null(openapi_create());
    assert_true(failing_has_failed());
    failing_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(document_is_one_line_of_json),
        cmocka_unit_test(document_has_the_routes_and_their_methods),
        cmocka_unit_test(every_call_makes_a_copy),
        cmocka_unit_test(without_memory_there_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
