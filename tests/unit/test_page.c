/* wraps: malloc free */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failing.h"
#include "page.h"

#define COMMIT_EXAMPLE "0123456789abcdef0123456789abcdef01234567"
#define EVERY_ESCAPE "&amp; &lt;b&gt; &quot;c&quot; &#39;d&#39;"

static const struct build_info FULL = {
    .name = "my-service",
    .version = "1.2.3-rc.1+build.7",
    .commit = COMMIT_EXAMPLE,
    .description = "Grüße, 你好, \U0001f680; & <b> \"c\" 'd' {{version}} %s",
    .build_date = "2026-11-22T09:00:00Z",
    .source = "https://example.org/a?b=c&d='e'",
    .build = "http://ci.example.org/run/7&x='",
};

static const struct build_info LEAST = {
    .name = "a",
    .version = "0.0.1",
    .commit = "unknown",
    .description = "-",
    .build_date = "1970-01-01T00:00:00Z",
};

void *__real_malloc(size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void __wrap_free(void *block);

static int blocks; /* allocated and not freed */

void *__wrap_malloc(size_t size)
{
    if (failing_now())
        return NULL;
    blocks++;
    return __real_malloc(size);
}

void __wrap_free(void *block)
{
    if (block != NULL)
        blocks--;
    __real_free(block);
}

static void expect_part(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in: %s", part, text);
}

static void expect_body(const struct build_info *info, const char *expected)
{
    char *page = page_create(info);
    const char *body = NULL;

    assert_non_null(page);
    body = strstr(page, "<body>\n");
    assert_non_null(body);
    assert_string_equal(body, expected);
    free(page);
}

static void expect_badge(const struct build_info *info, const char *expected)
{
    char *badge = page_create_badge(info);

    assert_non_null(badge);
    assert_string_equal(badge, expected);
    free(badge);
}

#define ENDPOINTS                                                                                  \
    "<nav aria-label=\"Endpoints\">\n"                                                             \
    "<a href=\"version\">/version</a>\n"                                                           \
    "<a href=\"healthz\">/healthz</a>\n"                                                           \
    "<a href=\"readyz\">/readyz</a>\n"                                                             \
    "<a href=\"metrics\">/metrics</a>\n"                                                           \
    "<a href=\"openapi.json\">/openapi.json</a>\n"                                                 \
    "<a href=\"badge.svg\"><img src=\"badge.svg\" alt=\"/badge.svg\"></a>\n"                       \
    "</nav>\n"

static void page_says_every_value_escaped(void **state)
{
    (void)state;
    expect_body(&FULL,
                "<body>\n"
                "<main>\n"
                "<h1>my-service <b>1.2.3-rc.1+build.7</b></h1>\n"
                "<p>Grüße, 你好, \U0001f680; " EVERY_ESCAPE " {{version}} %s</p>\n"
                "<dl>\n"
                "<dt>Commit</dt>\n"
                "<dd><a href=\"https://example.org/a?b=c&amp;d=&#39;e&#39;\"><code>" COMMIT_EXAMPLE
                "</code></a></dd>\n"
                "<dt>Built</dt>\n"
                "<dd><time>2026-11-22T09:00:00Z</time></dd>\n"
                "<dt>CI run</dt>\n"
                "<dd><a href=\"http://ci.example.org/run/7&amp;x=&#39;\">"
                "http://ci.example.org/run/7&amp;x=&#39;</a></dd>\n"
                "</dl>\n" ENDPOINTS "</main>\n"
                "</body>\n"
                "</html>\n");
}

static void page_leaves_out_what_is_not_known(void **state)
{
    (void)state;
    expect_body(&LEAST, "<body>\n"
                        "<main>\n"
                        "<h1>a <b>0.0.1</b></h1>\n"
                        "<p>-</p>\n"
                        "<dl>\n"
                        "<dt>Commit</dt>\n"
                        "<dd><code>unknown</code></dd>\n"
                        "<dt>Built</dt>\n"
                        "<dd><time>1970-01-01T00:00:00Z</time></dd>\n"
                        "</dl>\n" ENDPOINTS "</main>\n"
                        "</body>\n"
                        "</html>\n");
}

static void page_head_has_the_title_and_no_tag_is_left(void **state)
{
    char *page = page_create(&LEAST);

    (void)state;
    assert_non_null(page);
    assert_memory_equal(
        page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">",
        strlen("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">"));
    expect_part(page, "\n<title>a 0.0.1</title>\n<style>\n");
    expect_part(page, "\n<meta name=\"referrer\" content=\"no-referrer\">\n");
    expect_part(page, "\n</style>\n</head>\n<body>\n");
    assert_null(strstr(page, "{{"));
    assert_null(strstr(page, "\n "));
    free(page);
}

/* What a command prints, without the end of its line. */
static void read_command(const char *command, char *out, size_t size)
{
    FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c): of this file alone */

    assert_non_null(pipe);
    assert_non_null(fgets(out, (int)size, pipe));
    assert_int_equal(pclose(pipe), 0);
    out[strcspn(out, "\n")] = '\0';
}

static void policy_allows_the_style_element_by_its_hash(void **state)
{
    static const char form[] = "default-src 'none'; style-src 'sha256-%44[A-Za-z0-9+/=]'%n";
    char path[] = "/tmp/test_page.XXXXXX";
    char command[256];
    char hash[64] = "";
    char expected[256] = "";
    char seen[256] = "";
    char *page = page_create(&FULL);
    const char *style = strstr(page, "<style>") + strlen("<style>");
    const size_t length = (size_t)(strstr(style, "</style>") - style);
    const int fd = mkstemp(path);
    int end = 0;

    (void)state;
    assert_int_equal(sscanf(page_policy, form, hash, &end), 1);
    assert_string_equal(page_policy + end, "; img-src 'self' data:; base-uri 'none'; form-action "
                                           "'none'; frame-ancestors 'none'");

    assert_true(fd >= 0);
    assert_int_equal(write(fd, style, length), (ssize_t)length);
    close(fd);
    (void)snprintf(command, sizeof command, "sha256sum <%s | cut -c 1-64", path);
    read_command(command, expected, sizeof expected);
    (void)snprintf(command, sizeof command, "echo %s | base64 -d | od -An -v -tx1 | tr -d ' \\n'",
                   hash);
    read_command(command, seen, sizeof seen);
    assert_int_equal(unlink(path), 0);
    assert_string_equal(seen, expected);
    free(page);
}

static void badge_is_as_wide_as_the_version(void **state)
{
    (void)state;
    expect_badge(
        &LEAST,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"108\" height=\"20\" viewBox=\"0 0 108 "
        "20\" role=\"img\" aria-label=\"version 0.0.1\">\n"
        "<title>version 0.0.1</title>\n"
        "<path fill=\"#1b62b8\" d=\"M58 0h12h35a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-35h-12z\"/>\n"
        "<path fill=\"#444d56\" d=\"M61 0v20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z\"/>\n"
        "<g fill=\"#fff\" font-family=\"ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace\" "
        "font-size=\"12\">\n"
        "<text x=\"6\" y=\"14\" textLength=\"49\">version</text>\n"
        "<text x=\"67\" y=\"14\" textLength=\"35\">0.0.1</text>\n"
        "</g>\n"
        "</svg>\n");
}

static void badge_of_the_longest_version_is_whole(void **state)
{
    static char version[512 + 1] = "1.2.3-";
    struct build_info info = LEAST;
    char *badge = NULL;

    (void)state;
    memset(version + strlen(version), 'a', sizeof version - 1 - strlen(version));
    info.version = version;
    badge = page_create_badge(&info);
    assert_non_null(badge);
    expect_part(badge, " width=\"3657\" height=\"20\" viewBox=\"0 0 3657 20\" ");
    expect_part(badge, " textLength=\"3584\">1.2.3-aaaa");
    expect_part(badge, "aaaa</text>\n</g>\n</svg>\n");
    free(badge);
}

static void expect_null_without_memory(char *(*create)(const struct build_info *))
{
    const int before = blocks;
    char *text = NULL;

    failing_at(1);
    text = create(&FULL);
    assert_true(failing_has_failed());
    assert_null(text);
    assert_int_equal(blocks, before);
    failing_at(2);
    text = create(&FULL);
    assert_false(failing_has_failed());
    failing_at(0);
    assert_int_equal(blocks, before + 1);
    free(text);
}

static void without_memory_there_is_none(void **state)
{
    (void)state;
    expect_null_without_memory(page_create);
    expect_null_without_memory(page_create_badge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_says_every_value_escaped),
        cmocka_unit_test(page_leaves_out_what_is_not_known),
        cmocka_unit_test(page_head_has_the_title_and_no_tag_is_left),
        cmocka_unit_test(policy_allows_the_style_element_by_its_hash),
        cmocka_unit_test(badge_is_as_wide_as_the_version),
        cmocka_unit_test(badge_of_the_longest_version_is_whole),
        cmocka_unit_test(without_memory_there_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
