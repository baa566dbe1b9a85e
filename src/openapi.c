#include "openapi.h"

#include <string.h>

static const char OPENAPI[] = {
#include "openapi.json.inc"
    '\n', '\0'};

char *openapi_create(void)
{
    return strdup(OPENAPI);
}
