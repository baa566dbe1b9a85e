/* The description of the HTTP interface, src/openapi.json, which is compiled in. */
#ifndef VERSIOND_OPENAPI_H
#define VERSIOND_OPENAPI_H

/* Makes a copy of the document. Returns NULL if out of memory. The caller frees the string with
 * free(). */
char *openapi_create(void);

#endif
