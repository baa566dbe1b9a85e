#include "json.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if CJSON_VERSION_MAJOR * 1000000 + CJSON_VERSION_MINOR * 1000 + CJSON_VERSION_PATCH < 1007019
#error "cJSON 1.7.19 or later is required: earlier releases have known memory errors"
#endif

static bool add_field(cJSON *object, const struct json_field *field)
{
    char number[sizeof "-9223372036854775808"];

    if (field->text != NULL)
        return cJSON_AddStringToObject(object, field->name, field->text) != NULL;
    /* cJSON's numbers are doubles, which are exact only up to 2^53. */
    (void)snprintf(number, sizeof number, "%" PRId64, field->number);
    return cJSON_AddRawToObject(object, field->name, number) != NULL;
}

char *json_object(const struct json_field *fields, size_t count)
{
    cJSON *object = cJSON_CreateObject();
    bool complete = object != NULL;
    char *json = NULL;
    char *line = NULL;

    for (size_t i = 0; complete && i < count; i++)
        complete = add_field(object, &fields[i]);
    if (complete)
        json = cJSON_PrintUnformatted(object);
    if (json != NULL)
        line = malloc(strlen(json) + sizeof "\n");
    if (line != NULL)
        (void)sprintf(line, "%s\n", json);
    cJSON_free(json);
    cJSON_Delete(object);
    return line;
}
