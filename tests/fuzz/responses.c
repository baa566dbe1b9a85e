#include "responses.h"

#include <ctype.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embedded.h"
#include "fuzz.h"

/* The groups of HEAD, each optional header with its line. */
enum group { CONNECTION = 2, TYPE = 4, ALLOW = 6, POLICY = 7, LENGTH = 8, GROUPS = 10 };

static const char HEAD[] =
    "^HTTP/1[.]1 (200 OK|204 No Content|400 Bad Request|404 Not Found|405 Method Not Allowed|"
    "413 Content Too Large|414 URI Too Long|417 Expectation Failed|431 Request Header Fields Too "
    "Large|501 Not Implemented|505 HTTP Version Not Supported)\r\n"
    "Date: [A-Z][a-z]{2}, [0-3][0-9] [A-Z][a-z]{2} [0-9]{4} [0-2][0-9]:[0-5][0-9]:[0-6][0-9] "
    "GMT\r\n"
    "(Connection: (close|Keep-Alive)\r\n)?"
    "(Content-Type: ([^\r]+)\r\n)?"
    "Cache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "(Allow: GET, HEAD, OPTIONS\r\n)?"
    "(Content-Security-Policy: default-src 'none'[^\r]*\r\n)?"
    "(Content-Length: ([1-9][0-9]*)\r\n)?\r\n$";

/* The problem that libmicrohttpd's own responses carry. */
static const char REFUSAL[] = "{\"type\":\"about:blank\",\"title\":\"Request "
                              "refused\",\"detail\":\"The request is malformed, "
                              "too large or not supported; see the status code.\"}\n";

/* The bodies of status 200, except metrics. */
static struct {
    const char *type;
    char *body;
} documents[] = {{"application/json", NULL}, {"application/json", NULL}, {"application/json", NULL},
                 {"application/json", NULL}, {"text/html", NULL},        {"image/svg+xml", NULL}};

static const size_t DOCUMENTS = sizeof documents / sizeof *documents;

static void free_documents(void)
{
    for (size_t i = 0; i < DOCUMENTS; i++)
        free(documents[i].body);
}

void responses_init(const struct build_info *info)
{
    char *const bodies[] = {strdup("{\"status\":\"ok\"}\n"), strdup("{\"status\":\"ready\"}\n"),
                            strdup(embedded_openapi),        build_info_document(info),
                            strdup(embedded_page),           strdup(embedded_badge)};

    for (size_t i = 0; i < DOCUMENTS; i++) {
        expect(bodies[i] != NULL, "memory");
        documents[i].body = bodies[i];
    }
    expect(atexit(free_documents) == 0, "memory");
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static void judge_document(const char *type, const char *body, struct response *response)
{
    const size_t length = response->length;

    if (starts_with(type, "text/plain; version=0.0.4; charset=utf-8\r")) {
        expect(response->is_head || (starts_with(body, "# HELP ") && body[length - 1] == '\n'),
               "metrics");
        response->length = 0;
        return;
    }
    for (size_t i = 0; i < DOCUMENTS; i++) {
        if (starts_with(type, documents[i].type) && length == strlen(documents[i].body) &&
            (response->is_head || memcmp(body, documents[i].body, length) == 0))
            return;
    }
    expect(false, "a document");
}

/* Expects a problem (RFC 9457). `reason` is the reason phrase of the response, up to the end of the
 * line. */
static void judge_problem(const char *type, const char *body, const char *reason,
                          struct response *response)
{
    char start[256] = "";

    expect(starts_with(type, "application/problem+json\r"), "the type of a problem");
    if (response->is_head) {
        response->is_refusal = response->length == strlen(REFUSAL); /* no other has this length */
        return;
    }
    (void)snprintf(start, sizeof start,
                   "{\"type\":\"about:blank\",\"title\":\"%.*s\",\"status\":%u,\"detail\":\"",
                   (int)strcspn(reason, "\r"), reason, response->status);
    response->is_refusal = starts_with(body, REFUSAL);
    expect(response->is_refusal || starts_with(body, start), "a problem with this status");
    expect(memcmp(body + response->length - 3, "\"}\n", 3) == 0, "a whole problem");
}

/* Returns true if the request may be followed by another. */
static bool is_trusted(const struct response *response)
{
    const unsigned status = response->status;

    return status == 200 || status == 204 || status == 404 || status == 405 ||
           (status == 501 && !response->is_refusal);
}

/* Reads one response. Returns its end. */
static const char *read_response(const char *at, const char *end, struct response *response)
{
    static regex_t pattern;
    const char *body = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
    regmatch_t groups[GROUPS];
    const char *type = "";
    char *head = NULL;

    expect(body != NULL, "whole headers");
    body += 4;
    head = strndup(at, (size_t)(body - at));
    if (pattern.re_nsub == 0)
        expect(regcomp(&pattern, HEAD, REG_EXTENDED) == 0, "a regular expression");
    expect(regexec(&pattern, head, GROUPS, groups, 0) == 0, "valid headers");
    *response = (struct response){.status = (unsigned)strtoul(at + 9, NULL, 10)};
    response->is_closing = strstr(head, "\r\nConnection: close\r") != NULL;
    response->is_keep_alive = groups[CONNECTION].rm_so >= 0 && !response->is_closing;
    free(head);
    expect((groups[TYPE].rm_so < 0) == (response->status == 204) &&
               (groups[LENGTH].rm_so < 0) == (response->status == 204),
           "a body except for 204");
    expect((groups[ALLOW].rm_so >= 0) == (response->status == 204 || response->status == 405),
           "Allow for 204 and 405");
    if (response->status != 204) {
        type = at + groups[TYPE].rm_so + strlen("Content-Type: ");
        response->length = strtoul(at + groups[LENGTH + 1].rm_so, NULL, 10);
        response->is_head = body == end || starts_with(body, "HTTP/1.1 ");
        expect(response->is_head || response->length <= (size_t)(end - body), "the whole body");
        end = response->is_head ? body : body + response->length;
        if (response->status == 200)
            judge_document(type, body, response);
        else
            judge_problem(type, body, at + 13, response);
    }
    expect((groups[POLICY].rm_so >= 0) == (starts_with(type, "text/html; charset=utf-8\r") ||
                                           starts_with(type, "image/svg+xml\r")),
           "a policy for the page and the badge");
    expect(response->is_closing || is_trusted(response), "no reuse of an untrusted connection");
    return response->status == 204 ? body : end;
}

void responses_read(const char *bytes, size_t length, struct responses *responses)
{
    const char *const end = bytes + length;
    bool is_closing = false;

    for (responses->count = 0; bytes < end; responses->count++) {
        struct response *response = &responses->items[responses->count];

        expect(!is_closing, "nothing after \"Connection: close\"");
        expect(responses->count < sizeof responses->items / sizeof *response, "fewer responses");
        bytes = read_response(bytes, end, response);
        is_closing = response->is_closing;
    }
}

static size_t count_text(const char *bytes, size_t length, const char *text)
{
    const char *const end = bytes + length;
    size_t count = 0;

    while ((bytes = memmem(bytes, (size_t)(end - bytes), text, strlen(text))) != NULL) {
        bytes += strlen(text);
        count++;
    }
    return count;
}

void responses_compare(const struct responses *responses, const char *requests, size_t length)
{
    size_t clean = 0;
    size_t trusted = 0;
    size_t heads = 0;
    size_t kept = 0;

    while (clean < length && (!iscntrl((unsigned char)requests[clean]) ||
                              memchr("\r\n\t", requests[clean], 3) != NULL))
        clean++;
    for (size_t i = 0; i < responses->count; i++) {
        trusted += is_trusted(&responses->items[i]);
        heads += responses->items[i].is_head;
        kept += responses->items[i].is_keep_alive;
    }
    expect(trusted <= count_text(requests, clean, "\n\r\n") + count_text(requests, clean, "\n\n"),
           "responses to complete requests without control characters only");
    expect(heads <= count_text(requests, length, "HEAD "), "a body unless HEAD was requested");
    expect(kept <= count_text(requests, length, "HTTP/1.0"), "Keep-Alive for HTTP/1.0 only");
}
