/* Writes JSON through cJSON. The program parses none. */
#ifndef VERSIOND_JSON_H
#define VERSIOND_JSON_H

#include <stddef.h>
#include <stdint.h>

/* A member of an object: `text` (UTF-8), or `number` if `text` is NULL. */
struct json_field {
    const char *name;
    const char *text;
    int64_t number;
};

/* Makes an object with `count` members, in order, as one line that ends with a newline.
 * Returns NULL if out of memory. The caller frees the string with free(). */
char *json_object(const struct json_field *fields, size_t count);

#endif
