/* What people see: a page for browsers, and a badge for other pages. Both are made of templates
 * that are compiled in, src/page.html and src/badge.svg. */
#ifndef VERSIOND_PAGE_H
#define VERSIOND_PAGE_H

#include "build_info.h"

/* The page, HTML in UTF-8. Its links are relative: it works below any prefix that ends with '/'.
 * `info` has passed build_info_check().
 * Returns NULL when there is no memory. The caller owns the text and frees it with free(). */
char *page_create(const struct build_info *info);

/* The badge, an SVG image in UTF-8. The rest as above. */
char *page_create_badge(const struct build_info *info);

/* The Content-Security-Policy of the page: its one style element, images of the same origin, and
 * nothing else. */
extern const char page_policy[];

#endif
