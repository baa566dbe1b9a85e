/* wraps: malloc */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failing.h"
#include "page.h"

#define COMMIT_EXAMPLE "0123456789abcdef0123456789abcdef01234567"
#define ESCAPED "&amp; &lt;b&gt; &quot;c&quot; &#39;d&#39;"
#define ENDPOINTS                                                                                  \
    "<nav aria-label=\"Endpoints\">\n"                                                             \
    "<a href=\"version\">/version</a>\n"                                                           \
    "<a href=\"healthz\">/healthz</a>\n"                                                           \
    "<a href=\"readyz\">/readyz</a>\n"                                                             \
    "<a href=\"metrics\">/metrics</a>\n"                                                           \
    "<a href=\"openapi.json\">/openapi.json</a>\n"                                                 \
    "<a href=\"badge.svg\"><img src=\"badge.svg\" alt=\"/badge.svg\"></a>\n"                       \
    "</nav>\n"

static const struct build_info FULL = {
    .name = "my-service",
    .version = "1.2.3-rc.1+build.7",
    .commit = COMMIT_EXAMPLE,
    .description = "Grüße, 你好, \U0001f680; & <b> \"c\" 'd' {{version}} %s",
    .build_date = "2026-11-22T09:00:00Z",
    .source = "https://example.org/a?b=c&d='e'",
    .build = "http://ci.example.org/run/7&x='",
};

static const struct build_info MINIMAL = {
    .name = "a",
    .version = "0.0.1",
    .commit = "unknown",
    .description = "-",
    .build_date = "1970-01-01T00:00:00Z",
};

FAILING_WRAPPER(void *, malloc, NULL, (size_t size), (size))

/* Checks that `text` starts with `start` and ends with `end`, and frees it. */
static void expect(char *text, const char *start, const char *end)
{
    assert_non_null(text);
    assert_memory_equal(text, start, strlen(start));
    assert_true(strlen(text) >= strlen(end));
    assert_string_equal(text + strlen(text) - strlen(end), end);
    assert_null(strstr(text, "{{#"));
    free(text);
}

static void page_has_all_values_escaped(void **state)
{
    (void)state;
    expect(page_create(&FULL),
           "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">",
           "\n</style>\n</head>\n<body>\n<main>\n"
           "<h1>my-service <b>1.2.3-rc.1+build.7</b></h1>\n"
           "<p>Grüße, 你好, \U0001f680; " ESCAPED " {{version}} %s</p>\n"
           "<dl>\n"
           "<dt>Commit</dt>\n"
           "<dd><a href=\"https://example.org/a?b=c&amp;d=&#39;e&#39;\"><code>" COMMIT_EXAMPLE
           "</code></a></dd>\n"
           "<dt>Built</dt>\n"
           "<dd><time>2026-11-22T09:00:00Z</time></dd>\n"
           "<dt>CI run</dt>\n"
           "<dd><a href=\"http://ci.example.org/run/7&amp;x=&#39;\">"
           "http://ci.example.org/run/7&amp;x=&#39;</a></dd>\n"
           "</dl>\n" ENDPOINTS "</main>\n</body>\n</html>\n");
}

static void page_omits_unknown_values(void **state)
{
    char *page = page_create(&MINIMAL);

    (void)state;
    assert_non_null(strstr(page, "\n<title>a 0.0.1</title>\n<style>\n"));
    assert_non_null(strstr(page, "\n<meta name=\"referrer\" content=\"no-referrer\">\n"));
    assert_non_null(strstr(page, "\n<dd><code>unknown</code></dd>\n<dt>Built</dt>\n"));
    assert_non_null(strstr(page, "1970-01-01T00:00:00Z</time></dd>\n</dl>\n" ENDPOINTS "</main>"));
    assert_null(strstr(page, "{{"));
    assert_null(strstr(page, "\n "));
    free(page);
}

static void policy_allows_only_the_style_element_of_the_page(void **state)
{
    char *page = page_create(&FULL);
    const char *style = strstr(page, "<style>") + strlen("<style>");
    char expected[512] = "";
    char path[] = "/tmp/test_page.XXXXXX";
    char command[256];
    FILE *file = fdopen(mkstemp(path), "w");
    FILE *pipe = NULL;

    (void)state;
    if (file == NULL)
        fail();
    *strstr(style, "</style>") = '\0';
    assert_true(fputs(style, file) >= 0);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(command, sizeof command,
                   "sha256sum <%s | cut -c 1-64 | tr a-f A-F | basenc --base16 -d | base64; rm %s",
                   path, path);
    pipe = popen(command, "r"); /* NOLINT(cert-env33-c): a constant apart from the file's name */
    assert_non_null(pipe);
    assert_non_null(fgets(command, sizeof command, pipe));
    assert_int_equal(pclose(pipe), 0);
    command[strcspn(command, "\n")] = '\0';
    (void)snprintf(expected, sizeof expected,
                   "default-src 'none'; style-src 'sha256-%s'; img-src 'self' data:; "
                   "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                   command);
    assert_string_equal(page_policy, expected);
    free(page);
}

static void badge_fits_the_version(void **state)
{
    static char version[512 + 1] = "1.2.3-";
    struct build_info info = MINIMAL;

    (void)state;
    expect(page_create_badge(&MINIMAL), "",
           "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"108\" height=\"20\" viewBox=\"0 0 "
           "108 20\" role=\"img\" aria-label=\"version 0.0.1\">\n"
           "<title>version 0.0.1</title>\n"
           "<path fill=\"#1b62b8\" d=\"M58 0h12h35a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-35h-12z\"/>\n"
           "<path fill=\"#444d56\" d=\"M61 0v20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z\"/>\n"
           "<g fill=\"#fff\" font-family=\"ui-monospace,Menlo,Consolas,DejaVu Sans "
           "Mono,monospace\" font-size=\"12\">\n"
           "<text x=\"6\" y=\"14\" textLength=\"49\">version</text>\n"
           "<text x=\"67\" y=\"14\" textLength=\"35\">0.0.1</text>\n"
           "</g>\n"
           "</svg>\n");
    memset(version + strlen(version), 'a', sizeof version - 1 - strlen(version));
    info.version = version;
    expect(page_create_badge(&info),
           "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"3657\" height=\"20\" viewBox=\"0 0 "
           "3657 20\" ",
           "aaaa</text>\n</g>\n</svg>\n");
}

static void is_null_if_out_of_memory(void **state)
{
    (void)state;
    failing_arm("malloc", 1, 0);
    assert_null(page_create(&FULL));
    failing_arm("malloc", 1, 0);
    assert_null(page_create_badge(&FULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_has_all_values_escaped),
        cmocka_unit_test(page_omits_unknown_values),
        cmocka_unit_test(policy_allows_only_the_style_element_of_the_page),
        cmocka_unit_test(badge_fits_the_version),
        cmocka_unit_test(is_null_if_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
