/* Which build this is: the values that the compiler was given, and the document that says them. */
#ifndef VERSIOND_BUILD_INFO_H
#define VERSIOND_BUILD_INFO_H

#include <stdbool.h>
#include <stddef.h>

/* Every text is UTF-8, and lives as long as the program. `source` and `build` are NULL when not
 * known, the others never. */
struct build_info {
    const char *name;        /* of the service: a lower-case letter, then letters, digits and '-' */
    const char *version;     /* SemVer 2.0.0, without a leading 'v' */
    const char *commit;      /* 40 lower-case hex digits, or "unknown" */
    const char *description; /* no control characters */
    const char *build_date;  /* the commit's time, as 2026-11-22T09:00:00Z (RFC 3339, UTC) */
    const char *source;      /* http or https URL of the repository; its characters are checked */
    const char *build;       /* the same of the CI run */
};

/* What this program was compiled with: the macros NAME, VERSION, COMMIT, DESCRIPTION, BUILD_DATE,
 * and, when defined, SOURCE_URL and BUILD_URL. */
struct build_info build_info_get(void);

/* Checks every value against its format. Returns true when all are right. Otherwise writes into
 * `error` (of `size` bytes) which macro is wrong, its value and the format, on one line without a
 * newline, and returns false. */
bool build_info_check(const struct build_info *info, char *error, size_t size);

/* The document that /version answers: one line of JSON with a newline at its end.
 * Returns NULL when there is no memory. The caller owns the text and frees it with free(). */
char *build_info_document(const struct build_info *info);

#endif
