/* Writes JSON, through cJSON; nothing in the program reads any. */
#ifndef VERSIOND_JSON_H
#define VERSIOND_JSON_H

#include <stddef.h>

/* A member of an object: a text (UTF-8), or a number above 0. With neither it is left out. */
struct json_field {
    const char *name;
    const char *text;
    int number;
};

/* Makes one line of JSON, with a newline at its end: an object with `count` members in their order.
 * Returns NULL when there is no memory. The caller owns the text and frees it with free(). */
char *json_object(const struct json_field *fields, size_t count);

#endif
