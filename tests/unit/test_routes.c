#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"
#include "routes.h"

enum { READ = METHOD_GET | METHOD_HEAD | METHOD_OPTIONS };

/* Looks up a copy of the path that ends with its last byte, so that sanitizers detect reads beyond
 * it. */
static const struct route *find(const char *base_path, const char *path)
{
    const size_t length = strlen(path);
    char *copy = malloc(length + (length == 0));
    const struct route *route = NULL;

    assert_non_null(copy);
    memcpy(copy, path, length);
    route = routes_find(base_path, copy, length);
    free(copy);
    return route;
}

static void each_row_is_complete_and_is_found_by_its_path(void **state)
{
    size_t count = 0;
    const struct route *routes = routes_all(&count);
    unsigned methods = 0;

    (void)state;
    assert_true(count > 0 && count <= ROUTES_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct route *row = &routes[i];
        char path[128];

        methods |= row->methods;
        assert_int_equal(row->methods & READ, row->methods);
        assert_true((row->methods & METHOD_GET) != 0);
        assert_non_null(row->media_type);
        assert_true((row->text == NULL) != (row->make == NULL));
        assert_false(row->is_live && (row->text != NULL || row->draining_text != NULL));
        assert_true(strlen(row->path) < 60); /* fits the 404 response */
        assert_ptr_equal(find(NULL, row->path), row);
        assert_ptr_equal(find("/some/prefix", row->path), row);
        assert_ptr_equal(find(row->path, row->path), row);
        (void)snprintf(path, sizeof path, "/some/prefix%s", row->path);
        assert_ptr_equal(find("/some/prefix", path), row);
        assert_null(find(NULL, path));
        assert_null(find("/other/prefix", path));
    }
    assert_uint_equal(routes_methods(), methods);
}

static void other_spellings_of_a_path_are_not_found(void **state)
{
    static const char *const base_paths[] = {NULL, "/bb", "/b/c"};
    static const char *const paths[] = {
        "",           "*",           "//",           "version",       "/versio",     "/version2",
        "/version/",  "//version",   "/VERSION",     "/version?",     "/%76ersion",  "/./version",
        "/a/version", "/b",          "/b/",          "/bb",           "/b/c",        "/b/version",
        "/bbversion", "/b/cversion", "/bb//version", "/b/c//version", "/BB/version", "/B/c/version",
        "bb/version", "/version/bb", "/bbb/version", "/bb/bb/version"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths) * COUNT_OF(base_paths); i++) {
        const char *path = paths[i / COUNT_OF(base_paths)];

        if (find(base_paths[i % COUNT_OF(base_paths)], path) != NULL)
            fail_msg("case %zu: finds '%s'", i, path);
    }
}

static void a_path_ends_at_its_length(void **state)
{
    const struct route *version = find(NULL, "/version");
    const struct route *root = find(NULL, "/");

    (void)state;
    assert_ptr_equal(routes_find(NULL, "/version?a", 8), version);
    assert_ptr_equal(routes_find(NULL, "/version", 1), root);
    assert_null(routes_find(NULL, "/version", 7));
    assert_null(routes_find(NULL, "/version\0", 9));
    assert_ptr_equal(routes_find("/b", "/b/version?a", 10), version);
    assert_ptr_equal(routes_find("/b", "/b/version", 3), root);
    assert_null(routes_find("/b", "/b/version", 2));
}

static void probes_and_metrics_are_polled(void **state)
{
    static const char *const polled[] = {"/healthz", "/readyz", "/metrics"};
    size_t count = 0;
    const struct route *routes = routes_all(&count);
    size_t found = 0;

    (void)state;
    for (size_t i = 0; i < count; i++)
        found += routes[i].is_polled;
    assert_int_equal(found, COUNT_OF(polled));
    for (size_t i = 0; i < COUNT_OF(polled); i++)
        assert_true(find(NULL, polled[i])->is_polled);
}

static void allow_lists_the_methods_in_order(void **state)
{
    static const char *const expected[READ + 1] = {[0] = "",
                                                   [METHOD_GET] = "GET",
                                                   [METHOD_HEAD] = "HEAD",
                                                   [METHOD_GET | METHOD_HEAD] = "GET, HEAD",
                                                   [METHOD_OPTIONS] = "OPTIONS",
                                                   [METHOD_GET | METHOD_OPTIONS] = "GET, OPTIONS",
                                                   [METHOD_HEAD | METHOD_OPTIONS] = "HEAD, OPTIONS",
                                                   [READ] = "GET, HEAD, OPTIONS"};
    char allow[ROUTES_ALLOW_MAX];

    (void)state;
    for (unsigned methods = 0; methods < COUNT_OF(expected); methods++) {
        routes_print_allow(allow, sizeof allow, methods | METHOD_CONNECT | METHOD_UNSERVED);
        assert_string_equal(allow, expected[methods]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_is_complete_and_is_found_by_its_path),
        cmocka_unit_test(other_spellings_of_a_path_are_not_found),
        cmocka_unit_test(a_path_ends_at_its_length),
        cmocka_unit_test(probes_and_metrics_are_polled),
        cmocka_unit_test(allow_lists_the_methods_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
