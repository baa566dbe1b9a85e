/* wraps: malloc realloc free */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failing.h"
#include "json.h"
#include "text.h"

enum { LONG = 10000 }; /* exceeds the buffer that cJSON starts with */

void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *block);

static int blocks; /* allocated and not yet freed */

void *__wrap_malloc(size_t size)
{
    return __wrap_realloc(NULL, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    if (failing_now())
        return NULL;
    blocks += old == NULL;
    return __real_realloc(old, size);
}

void __wrap_free(void *block)
{
    blocks -= block != NULL;
    __real_free(block);
}

static void writes_members_in_order_and_escapes_text(void **state)
{
    static const struct json_field fields[] = {
        {.name = "empty", .text = "", .number = 1},
        {.name = "zero"},
        {.name = "negative", .number = -1},
        {.name = "highest", .number = INT64_MAX},
        {.name = "lowest", .number = INT64_MIN},
        {.name = "quotes", .text = "\"yes\", 'no', \\, </a>&"},
        {.name = "control", .text = "\x01\b\t\n\f\r\x1b\x1f"},
        {.name = "utf8", .text = "Grüße 你好 \U0001f680 \x7f"},
    };
    char *json = json_object(fields, COUNT_OF(fields));

    (void)state;
    assert_text_equal(json, "{\"empty\":\"\",\"zero\":0,\"negative\":-1,"
                            "\"highest\":9223372036854775807,\"lowest\":-9223372036854775808,"
                            "\"quotes\":\"\\\"yes\\\", 'no', \\\\, </a>&\","
                            "\"control\":\"\\u0001\\b\\t\\n\\f\\r\\u001b\\u001f\","
                            "\"utf8\":\"Grüße 你好 \U0001f680 \x7f\"}\n");
    free(json);
    json = json_object(NULL, 0);
    assert_text_equal(json, "{}\n");
    free(json);
}

static void returns_null_without_a_leak_if_an_allocation_fails(void **state)
{
    char text[LONG + 1] = "";
    char expected[LONG + 64];
    const struct json_field fields[] = {{.name = "n", .number = 2}, {.name = "t", .text = text}};
    char *json = NULL;
    unsigned n = 0;

    (void)state;
    memset(text, 'x', LONG);
    (void)snprintf(expected, sizeof expected, "{\"n\":2,\"t\":\"%s\"}\n", text);
    while (json == NULL) {
        blocks = 0;
        failing_at(++n);
        json = json_object(fields, COUNT_OF(fields));
        assert_int_equal(json == NULL, failing_has_failed());
        assert_int_equal(blocks, json != NULL);
    }
    failing_at(0);
    assert_true(n > 1);
    assert_text_equal(json, expected);
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_members_in_order_and_escapes_text),
        cmocka_unit_test(returns_null_without_a_leak_if_an_allocation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
