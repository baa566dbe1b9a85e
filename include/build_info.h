/* Build information: the values that were compiled in, and the document served at /version. */
#ifndef VERSIOND_BUILD_INFO_H
#define VERSIOND_BUILD_INFO_H

/* Maximum lengths of the name and of each other string, without the NUL. */
enum { BUILD_INFO_NAME_MAX = 63, BUILD_INFO_TEXT_MAX = 512 };

/* All strings are UTF-8 and static. scripts/build-info.sh checks their formats when the program is
 * built. Only `source` and `build` may be NULL: unknown. */
struct build_info {
    const char *name;        /* of the service: a lower-case letter, then these, digits and '-' */
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

/* Makes the document served at /version: one line of JSON that ends with a newline.
 * Returns NULL if out of memory. The caller frees the string with free(). */
char *build_info_document(const struct build_info *info);

#endif
