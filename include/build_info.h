/* Build information: the values that were compiled in, and the document served at /version. */
#ifndef VERSIOND_BUILD_INFO_H
#define VERSIOND_BUILD_INFO_H

#include <stdbool.h>
#include <stddef.h>

/* All strings are UTF-8 and static. Only `source` and `build` may be NULL: unknown. */
struct build_info {
    const char *name;        /* of the service: lower-case letters, digits and '-' */
    const char *version;     /* SemVer 2.0.0, without a leading 'v' */
    const char *commit;      /* 40 lower-case hex digits, or "unknown" */
    const char *description; /* no control characters */
    const char *build_date;  /* time of the commit, like 2026-11-22T09:00:00Z (RFC 3339, UTC) */
    const char *source;      /* http or https URL of the repository */
    const char *build;       /* http or https URL of the CI run */
};

/* Returns the values of the macros NAME, VERSION, COMMIT, DESCRIPTION, BUILD_DATE and, if defined,
 * SOURCE_URL and BUILD_URL. */
struct build_info build_info_get(void);

/* Checks the format of every value. Returns true if all are valid. Otherwise returns false and
 * writes the first invalid macro, its value and the format to `error` (of `size` bytes), on one
 * line without a newline. */
bool build_info_check(const struct build_info *info, char *error, size_t size);

/* Makes the document served at /version: one line of JSON that ends with a newline.
 * Returns NULL if out of memory. The caller frees the string with free(). */
char *build_info_document(const struct build_info *info);

#endif
