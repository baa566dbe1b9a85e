#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"
#include "routes.h"

enum { READ = METHOD_GET | METHOD_HEAD | METHOD_OPTIONS };

/* Finds the route of a copy of the path that ends with its last byte, so that sanitizers see a byte
 * read too many. */
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

/* The name of the route that a path leads to, "" for none. */
static void expect_route(const char *base_path, const char *path, const char *expected)
{
    const struct route *route = find(base_path, path);
    const char *actual = route == NULL ? "" : route->path;

    if (strcmp(actual, expected) != 0)
        fail_msg("'%s' behind '%s' leads to '%s', not '%s'", path, base_path ? base_path : "none",
                 actual, expected);
}

/* The contract of the table itself: every other test loops over it. */
static void every_row_is_complete_and_unique(void **state)
{
    size_t count = 0;
    const struct route *routes = routes_all(&count);

    (void)state;
    assert_true(count > 0 && count <= ROUTES_MAX);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(routes[i].path[0], '/');
        assert_true(strlen(routes[i].path) <= 48); /* fits the 404 response */
        assert_true((routes[i].methods & METHOD_GET) != 0);
        assert_non_null(routes[i].media_type);
        assert_non_null(routes[i].make);
        assert_false(routes[i].is_live && routes[i].make_draining != NULL);
        assert_ptr_equal(find(NULL, routes[i].path), &routes[i]);
    }
}

/* The bodies that do not depend on the build, and are made by functions of the table. */
static void bodies_are_the_documented_ones(void **state)
{
    static const struct {
        const char *path;
        const char *body;
        const char *draining;
    } rows[] = {
        {"/healthz", "{\"status\":\"ok\"}\n", NULL},
        {"/readyz", "{\"status\":\"ready\"}\n", "{\"status\":\"draining\"}\n"},
    };
    const struct route_context context = {NULL, NULL};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct route *route = find(NULL, rows[i].path);
        char *body = route->make(&context);

        assert_string_equal(body, rows[i].body);
        free(body);
        assert_true((route->make_draining == NULL) == (rows[i].draining == NULL));
        if (route->make_draining == NULL)
            continue;
        body = route->make_draining(&context);
        assert_string_equal(body, rows[i].draining);
        free(body);
    }
}

static void probes_and_metrics_are_polled(void **state)
{
    static const char *const polled[] = {"/healthz", "/readyz", "/metrics"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(polled); i++)
        assert_true(find(NULL, polled[i])->is_polled);
    assert_false(find(NULL, "/version")->is_polled);
}

static void routes_are_found_by_their_path(void **state)
{
    size_t count = 0;
    const struct route *routes = routes_all(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(find(NULL, routes[i].path), &routes[i]);
        assert_ptr_equal(find("/base", routes[i].path), &routes[i]);
    }
}

static void routes_are_found_behind_the_base_path(void **state)
{
    size_t count = 0;
    const struct route *routes = routes_all(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        char path[64];

        (void)snprintf(path, sizeof path, "/some/prefix%s", routes[i].path);
        assert_ptr_equal(find("/some/prefix", path), &routes[i]);
        assert_null(find(NULL, path));
        assert_null(find("/other/prefix", path));
    }
}

static void path_of_another_spelling_leads_nowhere(void **state)
{
    static const char *const paths[] = {
        "",          "/?",         "//",         "*",          "version",        "/versio",
        "/version/", "//version",  "/Version",   "/VERSION",   "/version2",      "/version/a",
        "/version?", "/%76ersion", "/./version", "/a/version", "/a/../version",  "/__version__/",
        "/health",   "/healthz/",  "/readyz2",   "/version ",  " /version",      "/version\n",
        "/metric",   "/metrics/",  "/badge",     "/badge.sv",  "/badge.svg/",    "/openapi",
        "/index",    "/badge_svg", "/openapi.",  "/badge.SVG", "/openapi.json/", "/openapi.yaml",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        expect_route(NULL, paths[i], "");
        expect_route("/b", paths[i], "");
        expect_route("/version/longer", paths[i], "");
    }
}

static void path_and_base_path_are_compared_whole(void **state)
{
    static const struct {
        const char *base_path;
        const char *path;
        const char *route;
    } rows[] = {
        {"/b", "/b", ""},
        {"/b", "/b/", "/"},
        {"/b", "/", "/"},
        {"/b", "/c/", ""},
        {"/b", "/bb/", ""},
        {"/b", "/bversion", ""},
        {"/b", "/b//version", ""},
        {"/b", "/B/version", ""},
        {"/b", "/bb/version", ""},
        {"/b", "/b/b/version", ""},
        {"/b", "b/version", ""},
        {"/b", "/version/b", ""},
        {"/bb", "/b/version", ""},
        {"/b/c", "/b/version", ""},
        {"/b/c", "/b/c/version", "/version"},
        {"/long/base/path", "/readyz", "/readyz"},
        {"/version", "/version", "/version"},
        {"/version", "/version/version", "/version"},
        {"/version", "/version/healthz", "/healthz"},
        {"/healthz", "/healthz/version", "/version"},
        {"/version", "/version/other", ""},
        {"/version", "/version/", "/"},
        {"/metrics", "/metrics", "/metrics"},
        {"/metrics", "/metrics/metrics", "/metrics"},
        {"/b", "/b/badge.svg", "/badge.svg"},
        {"/b", "/b/openapi.json", "/openapi.json"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_route(rows[i].base_path, rows[i].path, rows[i].route);
}

static void path_is_read_up_to_its_length(void **state)
{
    const struct route *version = find(NULL, "/version");

    (void)state;
    assert_ptr_equal(routes_find(NULL, "/version?a", 8), version);
    assert_null(routes_find(NULL, "/version", 7));
    assert_ptr_equal(routes_find(NULL, "/version", 1), find(NULL, "/"));
    assert_null(routes_find(NULL, "/version", 0));
    assert_ptr_equal(routes_find("/b", "/b/version?a", 10), version);
    assert_null(routes_find("/b", "/b/version", 9));
    assert_null(routes_find("/b", "/b/version", 2));
    assert_ptr_equal(routes_find("/b", "/b/version", 3), find(NULL, "/"));
    assert_ptr_equal(routes_find("/b", "/b/version", 1), find(NULL, "/"));
    assert_null(routes_find(NULL, "/version\0", 9));
}

static void methods_are_those_of_all_routes(void **state)
{
    (void)state;
    assert_uint_equal(routes_methods(), READ);
}

static void allow_lists_the_methods(void **state)
{
    static const struct {
        unsigned methods;
        const char *allow;
    } rows[] = {
        {METHOD_UNKNOWN, ""},
        {METHOD_GET, "GET"},
        {METHOD_HEAD, "HEAD"},
        {METHOD_GET | METHOD_HEAD, "GET, HEAD"},
        {METHOD_OPTIONS, "OPTIONS"},
        {METHOD_GET | METHOD_OPTIONS, "GET, OPTIONS"},
        {METHOD_HEAD | METHOD_OPTIONS, "HEAD, OPTIONS"},
        {READ, "GET, HEAD, OPTIONS"},
        {METHOD_CONNECT | METHOD_UNSERVED, ""},
        {READ | METHOD_CONNECT | METHOD_UNSERVED, "GET, HEAD, OPTIONS"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char allow[ROUTES_ALLOW_MAX];

        memset(allow, '?', sizeof allow);
        routes_print_allow(allow, sizeof allow, rows[i].methods);
        assert_string_equal(allow, rows[i].allow);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_complete_and_unique),
        cmocka_unit_test(bodies_are_the_documented_ones),
        cmocka_unit_test(probes_and_metrics_are_polled),
        cmocka_unit_test(routes_are_found_by_their_path),
        cmocka_unit_test(routes_are_found_behind_the_base_path),
        cmocka_unit_test(path_of_another_spelling_leads_nowhere),
        cmocka_unit_test(path_and_base_path_are_compared_whole),
        cmocka_unit_test(path_is_read_up_to_its_length),
        cmocka_unit_test(methods_are_those_of_all_routes),
        cmocka_unit_test(allow_lists_the_methods),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
