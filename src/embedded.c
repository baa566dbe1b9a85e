#include "embedded.h"

#include "page.style.h"

const char embedded_page[] = {
#include "page.html.inc"
    '\0'};

const char embedded_page_policy[] =
    "default-src 'none'; style-src '" PAGE_STYLE_HASH "'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const char embedded_badge[] = {
#include "badge.svg.inc"
    '\0'};

const char embedded_openapi[] = {
#include "openapi.json.inc"
    '\n', '\0'};

const char embedded_licenses[] = {
#include "licenses.gz.inc"
};

const size_t embedded_licenses_size = sizeof embedded_licenses;
