#include "answers.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "documents.h"
#include "fuzz.h"
#include "metrics.h"
#include "openapi.h"
#include "page.h"

/* An answer that there is. Without `body`: one of the two formats of metrics. */
struct document {
    const char *status;
    const char *type;   /* NULL: no content */
    const char *allow;  /* NULL: none */
    const char *policy; /* the same */
    const char *body;
    bool closes; /* the request is not to be trusted */
};

#define FIELD_END "\r\n"

enum { DOCUMENTS = 26 };

static struct document documents[DOCUMENTS] = {
    {"200 OK", "text/plain; version=0.0.4; charset=utf-8", NULL, NULL, NULL, false},
    {"200 OK", "application/openmetrics-text; version=1.0.0; charset=utf-8", NULL, NULL, NULL,
     false},
    {"200 OK", TYPE_JSON, NULL, NULL, DOCUMENT_OK, false},
    {"200 OK", TYPE_JSON, NULL, NULL, DOCUMENT_READY, false},
    {"204 No Content", NULL, ALLOW_READ, NULL, "", false},
    {"405 Method Not Allowed", TYPE_PROBLEM, ALLOW_READ, NULL, DOCUMENT_NOT_ALLOWED, false},
    {"501 Not Implemented", TYPE_PROBLEM, NULL, NULL, DOCUMENT_NOT_IMPLEMENTED, false},
    {"400 Bad Request", TYPE_PROBLEM, NULL, NULL, DOCUMENT_BAD_METHOD, true},
    {"400 Bad Request", TYPE_PROBLEM, NULL, NULL, DOCUMENT_BAD_TARGET, true},
    {"400 Bad Request", TYPE_PROBLEM, NULL, NULL, DOCUMENT_BAD_HOST, true},
    {"400 Bad Request", TYPE_PROBLEM, NULL, NULL, DOCUMENT_BAD_FIELD, true},
    {"413 Content Too Large", TYPE_PROBLEM, NULL, NULL, DOCUMENT_BODY, true},
    {"417 Expectation Failed", TYPE_PROBLEM, NULL, NULL, DOCUMENT_EXPECTATION, true},
    {"400 Bad Request", TYPE_PROBLEM, NULL, NULL, DOCUMENT_REFUSED, true},
    {"413 Content Too Large", TYPE_PROBLEM, NULL, NULL, DOCUMENT_REFUSED, true},
    {"414 URI Too Long", TYPE_PROBLEM, NULL, NULL, DOCUMENT_REFUSED, true},
    {"431 Request Header Fields Too Large", TYPE_PROBLEM, NULL, NULL, DOCUMENT_REFUSED, true},
    {"501 Not Implemented", TYPE_PROBLEM, NULL, NULL, DOCUMENT_REFUSED, true},
    {"505 HTTP Version Not Supported", TYPE_PROBLEM, NULL, NULL, DOCUMENT_REFUSED, true},
};
static size_t document_count;

/* Bodies that are freed at the end. */
static char *made[DOCUMENTS];

static void free_documents(void)
{
    for (size_t i = 0; i < DOCUMENTS; i++)
        free(made[i]);
}

static void add(const char *status, const char *type, const char *policy, char *body)
{
    expect(document_count < DOCUMENTS && body != NULL, "room for the documents");
    made[document_count] = body;
    documents[document_count++] = (struct document){status, type, NULL, policy, body, false};
}

void answers_init(const struct build_info *info, const char *base_path)
{
    const size_t size = sizeof DOCUMENT_NOT_FOUND + 32 + strlen(base_path);
    const size_t before_end = strlen(".\"}\n");
    char *not_found = malloc(size);

    expect(not_found != NULL, "memory");
    (void)snprintf(not_found, size, "%.*s, and the same below %s.\"}\n",
                   (int)(strlen(DOCUMENT_NOT_FOUND) - before_end), DOCUMENT_NOT_FOUND, base_path);
    while (documents[document_count].status != NULL)
        document_count++;
    add("404 Not Found", TYPE_PROBLEM, NULL, not_found);
    add("200 OK", TYPE_JSON, NULL, build_info_document(info));
    add("200 OK", TYPE_JSON, NULL, openapi_create());
    add("200 OK", "text/html; charset=utf-8", page_policy(), page_create(info));
    add("200 OK", "image/svg+xml", "default-src 'none'", page_create_badge(info));
    expect(atexit(free_documents) == 0, "memory");
}

/* What is left to be read, and the fields of the answer that is. */
struct reader {
    const char *at;
    const char *end;
    const char *values[8]; /* by the place in FIELDS; NULL: not there */
};

enum field { DATE, CONNECTION, TYPE, CACHE, SNIFF, ALLOW, POLICY, LENGTH, FIELD_COUNT };

static const char *const FIELDS[FIELD_COUNT] = {"Date: ",
                                                "Connection: ",
                                                "Content-Type: ",
                                                "Cache-Control: ",
                                                "X-Content-Type-Options: ",
                                                "Allow: ",
                                                "Content-Security-Policy: ",
                                                "Content-Length: "};

static bool begins(const struct reader *reader, const char *text)
{
    return (size_t)(reader->end - reader->at) >= strlen(text) &&
           memcmp(reader->at, text, strlen(text)) == 0;
}

/* True when a value is the whole `text`; both may be NULL. */
static bool is_value(const char *value, const char *text)
{
    if (value == NULL || text == NULL)
        return value == NULL && text == NULL;
    return strncmp(value, text, strlen(text)) == 0 &&
           strncmp(value + strlen(text), FIELD_END, strlen(FIELD_END)) == 0;
}

/* Moves behind the end of the line. */
static void skip_line(struct reader *reader)
{
    const char *end = memmem(reader->at, (size_t)(reader->end - reader->at), FIELD_END, 2);

    expect(end != NULL, "whole lines");
    reader->at = end + 2;
}

static void read_fields(struct reader *reader)
{
    for (int i = 0; i < FIELD_COUNT; i++)
        reader->values[i] = NULL;
    while (!begins(reader, FIELD_END)) {
        int i = 0;

        while (i < FIELD_COUNT && !begins(reader, FIELDS[i]))
            i++;
        expect(i < FIELD_COUNT, "no other field");
        expect(reader->values[i] == NULL, "each field once");
        reader->values[i] = reader->at + strlen(FIELDS[i]);
        skip_line(reader);
    }
    reader->at += strlen(FIELD_END);
}

static void judge_date(const char *date)
{
    static struct fuzz_pattern form = {
        .expression = "^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|"
                      "Sep|Oct|Nov|Dec) [0-9]{4} [0-2][0-9]:[0-5][0-9]:[0-6][0-9] GMT$"};
    char text[32] = "";

    expect(date != NULL, "a date");
    memcpy(text, date, strcspn(date, "\r") < sizeof text ? strcspn(date, "\r") : 0);
    expect(fuzz_matches(&form, text), "a date of RFC 9110, section 5.6.7");
}

/* The length that the answer says; of an answer without content 0. */
static size_t read_length(const char *value)
{
    char *end = NULL;
    size_t length = 0;

    if (value == NULL)
        return 0;
    length = strtoul(value, &end, 10);
    expect(value[0] >= '0' && value[0] <= '9' && strncmp(end, FIELD_END, 2) == 0, "a length");
    return length;
}

static bool is_metrics(const struct reader *reader, const struct document *document, size_t length)
{
    static const char end[] = "# EOF\n";
    const bool has_end = length > strlen(end) && (size_t)(reader->end - reader->at) >= length &&
                         memcmp(reader->at + length - strlen(end), end, strlen(end)) == 0;

    return begins(reader, "# HELP ") && has_end == (document == &documents[1]);
}

/* Whether the fields are those of a document, and the body too, or, of a HEAD, its length. */
static bool is_document(const struct reader *reader, const struct document *document, size_t length,
                        bool is_head)
{
    if (!is_value(reader->values[TYPE], document->type) ||
        !is_value(reader->values[ALLOW], document->allow) ||
        !is_value(reader->values[POLICY], document->policy) ||
        (reader->values[LENGTH] == NULL) != (document->type == NULL))
        return false;
    if (document->body == NULL)
        return length > 0 && (is_head || is_metrics(reader, document, length));
    return length == strlen(document->body) && (is_head || begins(reader, document->body));
}

/* Finds the document among those with the status line at `status`. */
static const struct document *find_document(const struct reader *reader, const char *status,
                                            size_t length, bool is_head)
{
    for (size_t i = 0; i < document_count; i++) {
        if (is_value(status, documents[i].status) &&
            is_document(reader, &documents[i], length, is_head))
            return &documents[i];
    }
    expect(false, "one of the answers that there are");
    return NULL;
}

static bool read_answer(struct reader *reader, struct answer *answer)
{
    static const char version[] = "HTTP/1.1 ";
    const char *status = reader->at + strlen(version);
    const struct document *document = NULL;
    bool is_closing = false;
    size_t length = 0;

    expect(begins(reader, version), "an answer of HTTP/1.1");
    skip_line(reader);
    read_fields(reader);
    length = read_length(reader->values[LENGTH]);
    answer->is_head = length > 0 && (reader->at == reader->end || begins(reader, version));
    judge_date(reader->values[DATE]);
    expect(is_value(reader->values[CACHE], "no-store"), "no caching");
    expect(is_value(reader->values[SNIFF], "nosniff"), "no sniffing");
    document = find_document(reader, status, length, answer->is_head);
    is_closing = is_value(reader->values[CONNECTION], "close");
    answer->is_kept = is_value(reader->values[CONNECTION], "Keep-Alive");
    expect(is_closing || answer->is_kept || reader->values[CONNECTION] == NULL, "close or not");
    expect(is_closing || !document->closes, "the end of a connection that is not to be trusted");
    answer->status = (unsigned)strtoul(status, NULL, 10);
    answer->document = document;
    reader->at += answer->is_head ? 0 : length;
    expect(reader->at <= reader->end, "the whole body");
    return is_closing;
}

void answers_read(const struct bytes *bytes, struct answers *answers)
{
    struct reader reader = {.at = bytes->bytes, .end = bytes->bytes + bytes->length};

    answers->count = 0;
    answers->is_closing = false;
    while (reader.at < reader.end) {
        expect(!answers->is_closing, "nothing after an answer that ends the connection");
        expect(answers->count < ANSWERS_MAX, "answers that are not more than the room");
        answers->is_closing = read_answer(&reader, &answers->items[answers->count]);
        answers->count++;
    }
}

static size_t count_text(const char *bytes, size_t length, const char *text)
{
    const char *const end = bytes + length;
    size_t count = 0;

    for (const char *at = bytes; (at = memmem(at, (size_t)(end - at), text, strlen(text))) != NULL;
         at += strlen(text))
        count++;
    return count;
}

/* The bytes up to the first that no request may have. */
static size_t clean_length(const char *bytes, size_t length)
{
    size_t clean = 0;

    while (clean < length &&
           (strchr("\r\n\t", bytes[clean]) != NULL || !iscntrl((unsigned char)bytes[clean])) &&
           bytes[clean] != '\0')
        clean++;
    return clean;
}

void answers_compare_with_request(const struct answers *answers, const char *bytes, size_t length)
{
    const size_t clean = clean_length(bytes, length);
    size_t served = 0;
    size_t heads = 0;
    size_t kept = 0;

    for (size_t i = 0; i < answers->count; i++) {
        served += answers->items[i].document->closes ? 0 : 1;
        heads += answers->items[i].is_head ? 1 : 0;
        kept += answers->items[i].is_kept ? 1 : 0;
    }
    expect(served <= count_text(bytes, clean, "\n\r\n") + count_text(bytes, clean, "\n\n"),
           "nothing is served but complete requests without bytes that none may have");
    expect(heads <= count_text(bytes, length, "HEAD "), "a body unless HEAD was asked");
    expect(kept <= count_text(bytes, length, "HTTP/1.0"), "Keep-Alive for HTTP/1.0 alone");
}

bool answers_is_alive(const struct answer *answer)
{
    return answer->document->body != NULL && strcmp(answer->document->body, DOCUMENT_OK) == 0 &&
           !answer->is_head;
}

bool answers_is_refusal(const struct answer *answer)
{
    return answer->document->body != NULL && strcmp(answer->document->body, DOCUMENT_REFUSED) == 0;
}
