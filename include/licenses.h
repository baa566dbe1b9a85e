/* The licences of the program and of the libraries linked into it. */
#ifndef VERSIOND_LICENSES_H
#define VERSIOND_LICENSES_H

#include <stddef.h>

/* Returns the text made by scripts/licenses.sh as a static gzip file (RFC 1952), and stores its
 * size in `*size`. */
const unsigned char *licenses_get(size_t *size);

#endif
