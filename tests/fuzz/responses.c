#include "responses.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "fuzz.h"
#include "openapi.h"
#include "page.h"

enum header { DATE, CONNECTION, TYPE, CACHE, SNIFF, ALLOW, POLICY, LENGTH, HEADERS };

/* Each header with its valid values. */
static struct {
    const char *name;
    struct fuzz_pattern value;
} headers[HEADERS] = {
    [DATE] = {"Date: ",
              {"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|"
               "Oct|Nov|Dec) [0-9]{4} [0-2][0-9]:[0-5][0-9]:[0-6][0-9] GMT$"}},
    [CONNECTION] = {"Connection: ", {"^(close|Keep-Alive)$"}},
    [TYPE] = {"Content-Type: ",
              {"^(application/(problem[+])?json|image/svg[+]xml|text/html; charset=utf-8|"
               "text/plain; version=0[.]0[.]4; charset=utf-8)$"}},
    [CACHE] = {"Cache-Control: ", {"^no-store$"}},
    [SNIFF] = {"X-Content-Type-Options: ", {"^nosniff$"}},
    [ALLOW] = {"Allow: ", {"^GET, HEAD, OPTIONS$"}},
    [POLICY] = {"Content-Security-Policy: ", {"^default-src 'none'"}},
    [LENGTH] = {"Content-Length: ", {"^[1-9][0-9]{0,8}$"}},
};

static struct fuzz_pattern status_line = {
    .expression =
        "^HTTP/1[.]1 (200 OK|204 No Content|400 Bad Request|404 Not Found|405 Method Not Allowed|"
        "413 Content Too Large|414 URI Too Long|417 Expectation Failed|431 Request Header Fields "
        "Too Large|501 Not Implemented|505 HTTP Version Not Supported)$"};

/* The bodies of status 200, except metrics. */
static struct {
    const char *type;
    char *body;
} documents[6];

static const size_t DOCUMENTS = sizeof documents / sizeof *documents;
static const char ALIVE[] = "{\"status\":\"ok\"}\n";

static void free_documents(void)
{
    for (size_t i = 0; i < DOCUMENTS; i++)
        free(documents[i].body);
}

void responses_init(const struct build_info *info)
{
    char *const bodies[] = {strdup(ALIVE),     strdup("{\"status\":\"ready\"}\n"),
                            openapi_create(),  build_info_document(info),
                            page_create(info), page_create_badge(info)};

    for (size_t i = 0; i < DOCUMENTS; i++) {
        expect(bodies[i] != NULL, "memory");
        documents[i].type = "application/json";
        documents[i].body = bodies[i];
    }
    documents[4].type = "text/html; charset=utf-8";
    documents[5].type = "image/svg+xml";
    expect(atexit(free_documents) == 0, "memory");
}

/* The rest of the bytes, and the header values of the current response. */
struct reader {
    const char *at;
    const char *end;
    char *values[HEADERS]; /* NULL if absent */
};

/* Returns the next line without its end, which the caller frees. */
static char *take_line(struct reader *reader)
{
    const char *end = memmem(reader->at, (size_t)(reader->end - reader->at), "\r\n", 2);
    char *line = NULL;

    expect(end != NULL, "whole lines");
    line = strndup(reader->at, (size_t)(end - reader->at));
    expect(line != NULL && strlen(line) == (size_t)(end - reader->at), "a line without NUL");
    reader->at = end + 2;
    return line;
}

static void take_headers(struct reader *reader)
{
    char *line = take_line(reader);

    memset(reader->values, 0, sizeof reader->values);
    for (; line[0] != '\0'; line = take_line(reader)) {
        size_t i = 0;

        while (i < HEADERS && strncmp(line, headers[i].name, strlen(headers[i].name)) != 0)
            i++;
        expect(i < HEADERS && reader->values[i] == NULL, "a known header, once");
        memmove(line, line + strlen(headers[i].name), strlen(line + strlen(headers[i].name)) + 1);
        expect(fuzz_matches(&headers[i].value, line), "a valid value of a header");
        reader->values[i] = line;
    }
    free(line);
}

static void judge_headers(char *const values[HEADERS], unsigned status)
{
    const char *type = values[TYPE];
    const bool is_drawn = type != NULL && (type[0] == 'i' || strncmp(type, "text/html", 9) == 0);

    expect(values[DATE] != NULL && values[CACHE] != NULL && values[SNIFF] != NULL,
           "the headers of every response");
    expect((type == NULL) == (status == 204) && (values[LENGTH] == NULL) == (status == 204),
           "a type and a length, except for 204");
    expect((values[ALLOW] != NULL) == (status == 204 || status == 405), "Allow for 204 and 405");
    expect((values[POLICY] != NULL) == is_drawn, "a policy for the page and the badge");
}

/* Expects metrics or one of the documents, or, without its body, one of the same length. */
static void judge_document(const char *type, const char *body, struct response *response)
{
    const size_t length = response->length;
    bool is_known = false;

    if (type[0] == 't' && type[5] == 'p') {
        expect(response->is_head || (strncmp(body, "# HELP ", 7) == 0 && body[length - 1] == '\n'),
               "metrics");
        response->length = 0;
        return;
    }
    for (size_t i = 0; i < DOCUMENTS; i++)
        is_known = is_known ||
                   (strcmp(type, documents[i].type) == 0 && length == strlen(documents[i].body) &&
                    (response->is_head || memcmp(body, documents[i].body, length) == 0));
    expect(is_known, "a document");
    response->is_alive = !response->is_head && strncmp(body, ALIVE, length) == 0;
}

/* Expects a problem (RFC 9457) with the status and the reason phrase of the response. */
static void judge_problem(const char *type, const char *body, const char *reason,
                          struct response *response)
{
    cJSON *problem = response->is_head ? NULL : cJSON_ParseWithLength(body, response->length);
    const cJSON *status = cJSON_GetObjectItem(problem, "status");
    const char *title = cJSON_GetStringValue(cJSON_GetObjectItem(problem, "title"));

    expect(strcmp(type, "application/problem+json") == 0, "the type of a problem");
    if (!response->is_head) {
        expect(title != NULL &&
                   cJSON_GetStringValue(cJSON_GetObjectItem(problem, "detail")) != NULL,
               "a problem");
        response->is_from_libmicrohttpd = strcmp(title, "Request refused") == 0;
        expect(response->is_from_libmicrohttpd ||
                   (status != NULL && status->valueint == (int)response->status &&
                    strcmp(title, reason) == 0),
               "the status of the response");
    }
    cJSON_Delete(problem);
}

/* Returns true if the request may be followed by another. */
static bool is_trusted(const struct response *response)
{
    const unsigned status = response->status;

    return status == 200 || status == 204 || status == 404 || status == 405 ||
           (status == 501 && !response->is_from_libmicrohttpd);
}

/* Returns true if the response closes the connection. */
static bool take_response(struct reader *reader, struct response *response)
{
    char *status = take_line(reader);
    const char *body = NULL;
    bool is_closing = false;

    expect(fuzz_matches(&status_line, status), "a status line");
    *response = (struct response){.status = (unsigned)strtoul(status + 9, NULL, 10)};
    take_headers(reader);
    judge_headers(reader->values, response->status);
    body = reader->at;
    if (reader->values[LENGTH] != NULL) {
        response->length = strtoul(reader->values[LENGTH], NULL, 10);
        response->is_head = body == reader->end || strncmp(body, "HTTP/1.1 ", 9) == 0;
        reader->at += response->is_head ? 0 : response->length;
        expect(reader->at <= reader->end, "the whole body");
        if (response->status == 200)
            judge_document(reader->values[TYPE], body, response);
        else
            judge_problem(reader->values[TYPE], body, status + 13, response);
    }
    response->is_keep_alive =
        reader->values[CONNECTION] != NULL && reader->values[CONNECTION][0] == 'K';
    is_closing = reader->values[CONNECTION] != NULL && !response->is_keep_alive;
    expect(is_closing || is_trusted(response), "the end of a connection that cannot be trusted");
    for (size_t i = 0; i < HEADERS; i++)
        free(reader->values[i]);
    free(status);
    return is_closing;
}

void responses_read(const struct bytes *bytes, struct responses *responses)
{
    struct reader reader = {.at = bytes->bytes, .end = bytes->bytes + bytes->length};

    responses->count = 0;
    responses->is_closing = false;
    while (reader.at < reader.end) {
        expect(!responses->is_closing, "nothing after a response that closes the connection");
        expect(responses->count < RESPONSES_MAX, "a smaller number of responses");
        responses->is_closing = take_response(&reader, &responses->items[responses->count]);
        responses->count++;
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

void responses_compare_with_requests(const struct responses *responses, const char *bytes,
                                     size_t length)
{
    size_t clean = 0;
    size_t trusted = 0;
    size_t heads = 0;
    size_t kept = 0;

    while (clean < length &&
           (!iscntrl((unsigned char)bytes[clean]) || memchr("\r\n\t", bytes[clean], 3) != NULL))
        clean++;
    for (size_t i = 0; i < responses->count; i++) {
        trusted += is_trusted(&responses->items[i]);
        heads += responses->items[i].is_head;
        kept += responses->items[i].is_keep_alive;
    }
    expect(trusted <= count_text(bytes, clean, "\n\r\n") + count_text(bytes, clean, "\n\n"),
           "responses to complete requests without control characters only");
    expect(heads <= count_text(bytes, length, "HEAD "), "a body unless HEAD was requested");
    expect(kept <= count_text(bytes, length, "HTTP/1.0"), "Keep-Alive for HTTP/1.0 only");
}
