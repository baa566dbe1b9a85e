#include "json.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if CJSON_VERSION_MAJOR * 1000000 + CJSON_VERSION_MINOR * 1000 + CJSON_VERSION_PATCH < 1007019
#error "cJSON 1.7.19 or later is needed: earlier releases have known memory faults"
#endif

static bool add_fields(cJSON *object, const struct json_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const cJSON *added = object;

        if (fields[i].text != NULL)
            added = cJSON_AddStringToObject(object, fields[i].name, fields[i].text);
        else if (fields[i].number > 0)
            added = cJSON_AddNumberToObject(object, fields[i].name, fields[i].number);
        if (added == NULL)
            return false;
    }
    return true;
}

char *json_object(const struct json_field *fields, size_t count)
{
    cJSON *object = cJSON_CreateObject();
    char *json = NULL;
    char *line = NULL;

    if (object != NULL && add_fields(object, fields, count))
        json = cJSON_PrintUnformatted(object);
    if (json != NULL)
        line = malloc(strlen(json) + sizeof "\n");
    if (line != NULL)
        (void)sprintf(line, "%s\n", json);
    cJSON_free(json);
    cJSON_Delete(object);
    return line;
}
