#include "test.h"

#include <stdlib.h>

#include "build_info.h"

#ifndef SOURCE_URL
#define SOURCE_URL NULL
#endif
#ifndef BUILD_URL
#define BUILD_URL NULL
#endif

#define HASH "0123456789abcdef0123456789abcdef01234567"
/* clang-format off */
#define DOCUMENT_START                                                                             \
    "{\"name\":\"versiond\",\"version\":\"1.2.3\",\"commit\":\"" HASH                              \
    "\",\"description\":\"\\\"a\\\" \\\\ 'b' </é> \U0001f680\","                                  \
    "\"build_date\":\"2026-11-22T09:00:00Z\""
/* clang-format on */

static const struct build_info VALID = {
    .name = "versiond",
    .version = "1.2.3",
    .commit = HASH,
    .description = "\"a\" \\ 'b' </é> \U0001f680",
    .build_date = "2026-11-22T09:00:00Z",
    .source = "https://example.org/repository",
    .build = "https://example.org/run/7",
};

static void get_returns_the_macros(void **state)
{
    const struct build_info info = build_info_get();
    const char *const expected[] = {NAME,       VERSION,    COMMIT,   DESCRIPTION,
                                    BUILD_DATE, SOURCE_URL, BUILD_URL};
    const char *const actual[] = {info.name,       info.version, info.commit, info.description,
                                  info.build_date, info.source,  info.build};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        if (expected[i] == NULL)
            assert_null(actual[i]);
        else
            assert_string_equal(actual[i], expected[i]);
    }
}

static void document_has_known_values_in_order(void **state)
{
    static const struct {
        const char *source, *build;
        const char *expected;
    } rows[] = {
        {"https://a", "http://c",
         DOCUMENT_START ",\"source\":\"https://a\",\"build\":\"http://c\"}\n"},
        {"https://a", NULL, DOCUMENT_START ",\"source\":\"https://a\"}\n"},
        {NULL, "http://c", DOCUMENT_START ",\"build\":\"http://c\"}\n"},
        {NULL, NULL, DOCUMENT_START "}\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct build_info info = VALID;
        char *document = NULL;

        info.source = rows[i].source;
        info.build = rows[i].build;
        document = build_info_document(&info);
        assert_string_equal(document, rows[i].expected);
        free(document);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_returns_the_macros),
        cmocka_unit_test(document_has_known_values_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
