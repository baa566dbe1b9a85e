/* The description of the HTTP interface, src/openapi.json, as it is compiled in. */
#ifndef VERSIOND_OPENAPI_H
#define VERSIOND_OPENAPI_H

/* Makes a copy of it. Returns NULL when there is no memory. The caller owns the text and frees it
 * with free(). */
char *openapi_create(void);

#endif
