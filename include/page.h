/* The HTML status page and the SVG badge, made from the templates src/page.html and src/badge.svg,
 * which are compiled in. */
#ifndef VERSIOND_PAGE_H
#define VERSIOND_PAGE_H

#include "build_info.h"

/* Makes the page, HTML in UTF-8. Its links are relative: it works under any prefix that ends with
 * '/'. `info` has passed build_info_check().
 * Returns NULL if out of memory. The caller frees the string with free(). */
char *page_create(const struct build_info *info);

/* Makes the badge, an SVG image in UTF-8. Otherwise like page_create(). */
char *page_create_badge(const struct build_info *info);

/* Content-Security-Policy of the page: allows its style element, images of the same origin and data
 * URLs, and nothing else. */
extern const char page_policy[];

#endif
