#include "build_info.h"

#include <stddef.h>

#include "json.h"

#ifndef SOURCE_URL
#define SOURCE_URL NULL
#endif
#ifndef BUILD_URL
#define BUILD_URL NULL
#endif

_Static_assert(sizeof NAME <= BUILD_INFO_NAME_MAX + 1, "NAME is too long");
_Static_assert(sizeof VERSION <= BUILD_INFO_TEXT_MAX + 1, "VERSION is too long");

struct build_info build_info_get(void)
{
    return (struct build_info){
        .name = NAME,
        .version = VERSION,
        .commit = COMMIT,
        .description = DESCRIPTION,
        .build_date = BUILD_DATE,
        .source = SOURCE_URL,
        .build = BUILD_URL,
    };
}

char *build_info_document(const struct build_info *info)
{
    struct json_field fields[7] = {
        {.name = "name", .text = info->name},
        {.name = "version", .text = info->version},
        {.name = "commit", .text = info->commit},
        {.name = "description", .text = info->description},
        {.name = "build_date", .text = info->build_date},
    };
    size_t count = 5;

    if (info->source != NULL)
        fields[count++] = (struct json_field){.name = "source", .text = info->source};
    if (info->build != NULL)
        fields[count++] = (struct json_field){.name = "build", .text = info->build};
    return json_object(fields, count);
}
