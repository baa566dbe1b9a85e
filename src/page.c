#include "page.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "page.style.h"

/* In a template, {{field}} is replaced by the value. The rest of a line after {{#field}} is kept
 * only if the field has a value, and after {{^field}} only if it has none. */
static const char PAGE[] = {
#include "page.html.inc"
    '\0'};
static const char BADGE[] = {
#include "badge.svg.inc"
    '\0'};

/* Width of a character of the version in the badge, and of everything around it, in pixels. The
 * template's textLength makes all fonts fit. */
enum { CHARACTER_WIDTH = 7, FRAME_WIDTH = 73 };

struct field {
    const char *name;
    const char *value; /* NULL: none */
};

struct fields {
    const struct field *rows;
    size_t count;
};

struct text {
    char *bytes; /* NULL: only the length is counted */
    size_t length;
};

static void put(struct text *out, const char *bytes, size_t length)
{
    if (out->bytes != NULL)
        memcpy(out->bytes + out->length, bytes, length);
    out->length += length;
}

/* Appends a value, escaped for text and attributes of HTML and XML. */
static void put_escaped(struct text *out, const char *value)
{
    static const char special[] = "&<>\"'";
    static const char *const escapes[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};

    for (;;) {
        const size_t plain = strcspn(value, special);
        const char *escape = NULL;

        put(out, value, plain);
        if (value[plain] == '\0')
            return;
        escape = escapes[strchr(special, value[plain]) - special];
        put(out, escape, strlen(escape));
        value += plain + 1;
    }
}

/* Returns the value of the field named by the first `length` bytes at `name`, or NULL. */
static const char *find(const struct fields *fields, const char *name, size_t length)
{
    const char *value = NULL;

    for (size_t i = 0; i < fields->count; i++) {
        const struct field *row = &fields->rows[i];

        if (strlen(row->name) == length && memcmp(row->name, name, length) == 0)
            value = row->value;
    }
    return value;
}

/* Handles the tag whose opening braces end at `tag`. Returns where the template continues. */
static const char *put_tag(struct text *out, const char *tag, const struct fields *fields)
{
    const bool is_condition = *tag == '#' || *tag == '^';
    const char *name = is_condition ? tag + 1 : tag;
    const size_t length = strcspn(name, "}");
    const char *value = find(fields, name, length);
    const char *rest = name + length + strlen("}}");

    if (!is_condition)
        put_escaped(out, value);
    else if ((value != NULL) != (*tag == '#'))
        rest += strcspn(rest, "\n") + 1;
    return rest;
}

static void put_template(struct text *out, const char *template, const struct fields *fields)
{
    const char *tag = NULL;

    while ((tag = strstr(template, "{{")) != NULL) {
        put(out, template, (size_t)(tag - template));
        template = put_tag(out, tag + strlen("{{"), fields);
    }
    put(out, template, strlen(template) + 1);
}

/* Fills a template. Returns NULL if out of memory: then both passes count only. */
static char *fill(const char *template, const struct fields *fields)
{
    struct text text = {.bytes = NULL};

    put_template(&text, template, fields);
    text.bytes = malloc(text.length);
    text.length = 0;
    put_template(&text, template, fields);
    return text.bytes;
}

char *page_create(const struct build_info *info)
{
    const struct field rows[] = {
        {"name", info->name},
        {"version", info->version},
        {"commit", info->commit},
        {"description", info->description},
        {"build_date", info->build_date},
        {"source", info->source},
        {"build", info->build},
    };
    const struct fields fields = {rows, sizeof rows / sizeof *rows};

    return fill(PAGE, &fields);
}

char *page_create_badge(const struct build_info *info)
{
    const size_t text = strlen(info->version) * CHARACTER_WIDTH;
    char width[24];
    char text_width[24];
    const struct field rows[] = {
        {"version", info->version},
        {"width", width},
        {"text_width", text_width},
    };
    const struct fields fields = {rows, sizeof rows / sizeof *rows};

    (void)snprintf(width, sizeof width, "%zu", text + FRAME_WIDTH);
    (void)snprintf(text_width, sizeof text_width, "%zu", text);
    return fill(BADGE, &fields);
}

const char page_policy[] =
    "default-src 'none'; style-src '" PAGE_STYLE_HASH "'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
