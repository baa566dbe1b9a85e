/* wraps: malloc realloc free */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "failing.h"
#include "json.h"

void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *block);

static int blocks; /* allocated and not freed */

void *__wrap_malloc(size_t size)
{
    if (failing_now())
        return NULL;
    blocks++;
    return __real_malloc(size);
}

void *__wrap_realloc(void *old, size_t size)
{
    if (failing_now())
        return NULL;
    if (old == NULL)
        blocks++;
    return __real_realloc(old, size);
}

void __wrap_free(void *block)
{
    if (block != NULL)
        blocks--;
    __real_free(block);
}

/* Makes an object, and checks the whole text, and that nothing but it stays allocated. */
static void expect(const struct json_field *fields, size_t count, const char *expected)
{
    const int before = blocks;
    char *json = json_object(fields, count);

    assert_non_null(json);
    assert_int_equal(blocks, before + 1);
    assert_string_equal(json, expected);
    free(json);
}

static void json_object_without_fields_is_empty(void **state)
{
    (void)state;
    expect(NULL, 0, "{}\n");
}

static void json_object_members_stand_in_their_order(void **state)
{
    static const struct json_field fields[] = {
        {.name = "title", .text = "Not Found"},
        {.name = "status", .number = 404},
        {.name = "a", .text = "b"},
    };

    (void)state;
    expect(fields, 3, "{\"title\":\"Not Found\",\"status\":404,\"a\":\"b\"}\n");
    expect(fields, 2, "{\"title\":\"Not Found\",\"status\":404}\n");
}

static void member_without_text_is_a_number(void **state)
{
    static const struct json_field fields[] = {
        {.name = "empty_text", .text = ""},      {.name = "zero", .number = 0},
        {.name = "negative", .number = -1},      {.name = "highest", .number = INT64_MAX},
        {.name = "lowest", .number = INT64_MIN},
    };

    (void)state;
    expect(fields, COUNT_OF(fields),
           "{\"empty_text\":\"\",\"zero\":0,\"negative\":-1,\"highest\":9223372036854775807,"
           "\"lowest\":-9223372036854775808}\n");
}

static void json_object_text_is_escaped(void **state)
{
    static const struct json_field fields[] = {
        {.name = "quotes", .text = "say \"yes\", 'no', \\"},
        {.name = "control", .text = "\x01\b\t\n\f\r\x1b\x1f"},
        {.name = "utf8", .text = "Grüße 你好 \U0001f680 \x7f"},
        {.name = "html", .text = "</script>&"},
    };

    (void)state;
    expect(fields, COUNT_OF(fields),
           "{\"quotes\":\"say \\\"yes\\\", 'no', \\\\\","
           "\"control\":\"\\u0001\\b\\t\\n\\f\\r\\u001b\\u001f\","
           "\"utf8\":\"Grüße 你好 \U0001f680 \x7f\","
           "\"html\":\"</script>&\"}\n");
}

static void json_object_long_text_is_whole(void **state)
{
    enum { LENGTH = 10000 };
    static char text[LENGTH + 1];
    static char expected[LENGTH + sizeof "{\"a\":\"\"}\n"] = "{\"a\":\"";
    const struct json_field field = {.name = "a", .text = text};

    (void)state;
    memset(text, 'x', LENGTH);
    memcpy(expected + strlen("{\"a\":\""), text, LENGTH);
    memcpy(expected + strlen("{\"a\":\"") + LENGTH, "\"}\n", sizeof "\"}\n");
    expect(&field, 1, expected);
}

static void json_object_without_memory_is_null_and_leaks_nothing(void **state)
{
    static char text[1000]; /* longer than the buffer that cJSON starts with */
    static const struct json_field fields[] = {
        {.name = "number", .number = 200},
        {.name = "text", .text = text},
    };
    const int before = blocks;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    for (unsigned n = 1;; n++) {
        char *json = NULL;

        failing_at(n);
        json = json_object(fields, COUNT_OF(fields));
        if (!failing_has_failed()) {
            failing_at(0);
            assert_non_null(json);
            free(json);
            assert_true(n > 1);
            break;
        }
        if (json != NULL)
            fail_msg("allocation %u fails, but there is an object", n);
        if (blocks != before)
            fail_msg("allocation %u fails, and %d blocks stay allocated", n, blocks - before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_object_without_fields_is_empty),
        cmocka_unit_test(json_object_members_stand_in_their_order),
        cmocka_unit_test(member_without_text_is_a_number),
        cmocka_unit_test(json_object_text_is_escaped),
        cmocka_unit_test(json_object_long_text_is_whole),
        cmocka_unit_test(json_object_without_memory_is_null_and_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
