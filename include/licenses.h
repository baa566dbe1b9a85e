/* The licences of the program and of what is linked into it. */
#ifndef VERSIOND_LICENSES_H
#define VERSIOND_LICENSES_H

#include <stddef.h>

/* Returns the text that scripts/licenses.sh made, as a gzip file (RFC 1952) of `size` bytes. It
 * belongs to the program. */
const unsigned char *licenses_get(size_t *size);

#endif
