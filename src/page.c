#include "page.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "page.style.h"

/* In a template {{field}} stands for the value. What follows {{#field}} on a line is there only
 * when the field has a value, what follows {{^field}} only when it has none. */
static const char PAGE[] = {
#include "page.html.inc"
    '\0'};
static const char BADGE[] = {
#include "badge.svg.inc"
    '\0'};

/* What the badge gives each character of a version, in pixels; about what the fonts take, and its
 * textLength makes it exact. All else is drawn around the text, and takes the second number. */
enum { CHARACTER_WIDTH = 7, FRAME_WIDTH = 73 };

struct field {
    const char *name;
    const char *value; /* NULL: it has none */
};

struct fields {
    const struct field *rows;
    size_t count;
};

struct text {
    char *bytes; /* NULL: they are only counted */
    size_t length;
};

static void put(struct text *out, const char *bytes, size_t length)
{
    if (out->bytes != NULL)
        memcpy(out->bytes + out->length, bytes, length);
    out->length += length;
}

/* Puts a value where it is neither markup nor the end of an attribute, be it HTML or XML. */
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

/* The value of the field whose name is the first `length` bytes at `name`, or NULL. */
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

/* Does what a tag says, which begins behind its braces; returns where the template goes on. */
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

/* Returns the filled template, or NULL without memory: then it is counted twice. */
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
