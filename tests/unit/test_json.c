#include "test.h"

#include <stdlib.h>

#include "json.h"
#include "text.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_members_in_order_and_escapes_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
