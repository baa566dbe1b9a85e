#include "licenses.h"

static const unsigned char LICENSES[] = {
#include "licenses.inc"
};

const unsigned char *licenses_get(size_t *size)
{
    *size = sizeof LICENSES;
    return LICENSES;
}
