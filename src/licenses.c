#include "licenses.h"

static const unsigned char LICENSES[] = {
#include "licenses.gz.inc"
};

const unsigned char *licenses_get(size_t *size)
{
    *size = sizeof LICENSES;
    return LICENSES;
}
