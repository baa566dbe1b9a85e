/* Each request of strict_http.h has its outcome however its bytes are split into packets, and
 * nothing that follows a refused request is ever answered. */
#include "test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "documents.h"
#include "process.h"
#include "strict_http.h"

enum { REQUEST_MAX = 16 * 1024, OUTCOME_MAX = 128 };

/* Attempts per request. A server that refuses a request closes at once, and the kernel resets the
 * connection if more bytes arrive. On a busy machine the reset may overtake the response. */
enum { TRIES = 5 };

/* Sent after each request. A server that answers this after a refusal could be made to answer
 * requests hidden in a body. No row requests this path. */
static const char LAST[] = "GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

struct server {
    struct process *process;
    uint16_t port;
    unsigned failed; /* number of failed rows */
    char last[256];  /* describes the last failure */
};

static int start_server(void **state)
{
    static const char *const arguments[] = {"--port=0", "--access-log=off", NULL};
    struct server *server = calloc(1, sizeof *server);

    assert_non_null(server);
    server->process = process_serve(arguments, &server->port);
    *state = server;
    return 0;
}

static int stop_server(void **state)
{
    struct server *server = *state;

    process_stop(server->process);
    free(server);
    return 0;
}

/* The parsed part of the responses on a connection. */
struct answers {
    const char *at; /* the unparsed rest */
    bool has_last;  /* the response to LAST was found */
    bool is_closed; /* the last response has Connection: close */
    char outcome[OUTCOME_MAX];
};

/* Returns the value of a header, or NULL. */
static const char *find_field(const char *head, const char *end, const char *field)
{
    const char *found = strstr(head, field);

    return found != NULL && found < end ? found + strlen(field) : NULL;
}

/* Parses one response and appends its status to the outcome. Returns false if it is malformed or
 * lacks its date or its length. */
static bool take_answer(struct answers *answers, bool is_head)
{
    const char *head = answers->at;
    const char *end = strstr(head, "\r\n\r\n");
    const char *length = NULL;
    const size_t used = strlen(answers->outcome);
    size_t body = 0;

    if (end == NULL || strncmp(head, "HTTP/1.1 ", 9) != 0 || used > OUTCOME_MAX - 16)
        return false;
    end += 4;
    length = find_field(head, end, "\r\nContent-Length: ");
    if (find_field(head, end, "\r\nDate: ") == NULL ||
        (length == NULL) != (strncmp(head + 9, "204 ", 4) == 0))
        return false;
    if (length != NULL && !is_head)
        body = strtoul(length, NULL, 10);
    if (strlen(end) < body)
        return false;
    answers->at = end + body;
    answers->is_closed = find_field(head, end, "\r\nConnection: close\r\n") != NULL;
    answers->has_last = strncmp(end, DOCUMENT_READY, strlen(DOCUMENT_READY)) == 0;
    if (!answers->has_last)
        (void)snprintf(answers->outcome + used, OUTCOME_MAX - used, "%.4s", head + 9);
    return true;
}

/* Writes the outcome of a connection in the words of the table. */
static void judge(struct answers *answers, size_t length, bool is_head)
{
    bool is_sound = strlen(answers->at) == length;
    const char *end = NULL;

    while (is_sound && *answers->at != '\0' && !answers->is_closed) {
        is_sound = take_answer(answers, is_head);
        is_head = false;
    }
    if (!is_sound || *answers->at != '\0')
        end = "malformed";
    else if (answers->is_closed)
        end = answers->has_last ? "keep" : "close";
    else
        end = "end";
    (void)snprintf(answers->outcome + strlen(answers->outcome),
                   sizeof answers->outcome - strlen(answers->outcome), "%s", end);
}

/* Sends a request and LAST on a new connection. Returns all that is received, which the caller
 * frees, or NULL if some of it may be lost. */
static char *exchange(struct server *server, const struct row *row, size_t first, size_t piece,
                      size_t *length)
{
    const int client = client_connect(server->port);
    const size_t size = row->length + sizeof LAST - 1;
    char bytes[REQUEST_MAX];
    char *received = NULL;

    assert_true(first <= size && size <= sizeof bytes);
    memcpy(bytes, row->request, row->length);
    memcpy(bytes + row->length, LAST, sizeof LAST - 1);
    if (client_offer(client, bytes, first, piece) &&
        client_offer(client, bytes + first, size - first, size))
        received = client_receive_rest(client, length);
    (void)close(client);
    return received;
}

/* Sends a request and LAST, the first `first` bytes in packets of `piece` bytes and the rest in
 * one, and compares the outcome. */
static void check(struct server *server, const struct row *row, size_t first, size_t piece)
{
    struct answers answers = {.outcome = "reset"};
    char *received = NULL;
    size_t length = 0;

    for (unsigned tries = 0; received == NULL && tries < TRIES; tries++)
        received = exchange(server, row, first, piece, &length);
    if (received != NULL) {
        answers = (struct answers){.at = received};
        judge(&answers, length, strncmp(row->request, "HEAD ", 5) == 0);
    }
    if (strcmp(answers.outcome, row->outcome) != 0) {
        (void)snprintf(server->last, sizeof server->last,
                       "%s, %s: '%s' instead of '%s', with the first %zu bytes in packets of %zu",
                       row->paragraph, row->name, answers.outcome, row->outcome, first, piece);
        print_error("%s:\n%s\n", server->last, received == NULL ? "" : received);
        server->failed++;
    }
    free(received);
}

/* Fails the test if a row failed. */
static void expect_none_failed(const struct server *server)
{
    if (server->failed > 0)
        fail_msg("%u failed, the last one: %s", server->failed, server->last);
}

static void check_rows(struct server *server, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        print_message("%s, %s: %s\n", rows[i].paragraph, rows[i].name, rows[i].outcome);
        check(server, &rows[i], 0, 1);
        check(server, &rows[i], rows[i].length, 1);
    }
}

#define ROWS(rows) (rows), COUNT_OF(rows)

static void requests_have_their_outcomes(void **state)
{
    struct server *server = *state;

    server->failed = 0;
    check_rows(server, ROWS(REQUEST_LINES));
    check_rows(server, ROWS(METHODS));
    check_rows(server, ROWS(TARGETS));
    check_rows(server, ROWS(HOSTS));
    check_rows(server, ROWS(FIELDS));
    check_rows(server, ROWS(BODIES));
    check_rows(server, ROWS(CHUNKS));
    check_rows(server, ROWS(PIPELINES));
    check_rows(server, ROWS(CONNECTIONS));
    check_rows(server, ROWS(OTHER_PROTOCOLS));
    expect_none_failed(server);
}

static void pipelines_can_be_split_anywhere(void **state)
{
    struct server *server = *state;

    server->failed = 0;
    for (size_t i = 0; i < COUNT_OF(PIPELINES); i++) {
        for (size_t first = 1; first < PIPELINES[i].length; first++)
            check(server, &PIPELINES[i], first, first);
    }
    expect_none_failed(server);
}

/* A request of at most `size` bytes: `before`, as many `repeated` as fit, `after`. */
struct size_row {
    const char *paragraph;
    const char *before;
    const char *repeated;
    const char *after;
    size_t size;
    const char *outcome;
};

#define IN_TARGET "GET /version?", "a", " HTTP/1.1\r\nHost: a\r\n\r\n"
#define IN_VALUE "GET /version HTTP/1.1\r\nHost: a\r\nX: ", "a", "\r\n\r\n"
#define IN_NAME "GET /version HTTP/1.1\r\nHost: a\r\n", "a", ": a\r\n\r\n"
#define IN_FIELDS "GET /version HTTP/1.1\r\nHost: a\r\n", "X:a\r\n", "\r\n"
#define IN_QUERY "GET /version?", "a&", " HTTP/1.1\r\nHost: a\r\n\r\n"
#define IN_BARE_QUERY "GET /version?", "a", " HTTP/1.1\r\n\r\n"
#define IN_METHOD "", "A", " / HTTP/1.1\r\nHost: a\r\n\r\n"
#define IN_OPTIONS "OPTIONS /", "a", " HTTP/1.1\r\nHost: a\r\n\r\n"
#define IN_LINE "", "A", ""

/* The limits documented in docs/http.md. */
static const struct size_row SIZES[] = {
    {"9110 4.1", IN_TARGET, 7500, "200 keep"},
    {"9110 15.5.15", IN_TARGET, 9000, "414 close"},
    {"9110 15.5.15", IN_TARGET, 15000, "414 close"},
    {"6585 5", IN_VALUE, 7500, "200 keep"},
    {"6585 5", IN_VALUE, 9000, "431 close"},
    {"6585 5", IN_VALUE, 15000, "431 close"},
    {"6585 5", IN_NAME, 7500, "200 keep"},
    {"6585 5", IN_NAME, 9000, "431 close"},
    {"6585 5", IN_FIELDS, 500, "200 keep"},
    {"6585 5", IN_FIELDS, 1000, "431 close"},
    {"6585 5", IN_FIELDS, 9000, "431 close"},
    {"6585 5", IN_QUERY, 200, "200 keep"},
    {"6585 5", IN_QUERY, 1000, "431 close"},
    {"9110 15.5.15", IN_QUERY, 9000, "414 close"},
    {"9110 15.6.2", IN_METHOD, 7500, "501 keep"},
    {"9112 3", IN_METHOD, 9000, "end"},
    {"9110 15.5.5", IN_OPTIONS, 7500, "404 keep"},
    {"9112 3", IN_OPTIONS, 9000, "end"},
    {"9112 3", IN_LINE, 9000, "end"},
};

/* Makes a request, which the caller frees. */
static char *print_head(const struct size_row *row, size_t size)
{
    char *head = calloc(1, size + 1);
    const size_t around = strlen(row->before) + strlen(row->after);
    const size_t times = (size - around) / strlen(row->repeated);
    char *at = NULL;

    assert_non_null(head);
    at = stpcpy(head, row->before);
    for (size_t i = 0; i < times; i++)
        at = stpcpy(at, row->repeated);
    (void)stpcpy(at, row->after);
    return head;
}

static void check_size(struct server *server, const struct size_row *size_row, size_t size,
                       const char *outcome)
{
    char *head = print_head(size_row, size);
    char name[64];
    const struct row row = {size_row->paragraph, name, head, strlen(head), outcome};

    (void)snprintf(name, sizeof name, "%zu bytes: %.20s...", size, size_row->before);
    check(server, &row, 0, 1);
    check(server, &row, row.length, 100);
    free(head);
}

static void sizes_have_their_outcomes(void **state)
{
    struct server *server = *state;

    server->failed = 0;
    for (size_t i = 0; i < COUNT_OF(SIZES); i++) {
        print_message("%s, %zu bytes, %.20s: %s\n", SIZES[i].paragraph, SIZES[i].size,
                      SIZES[i].before, SIZES[i].outcome);
        check_size(server, &SIZES[i], SIZES[i].size, SIZES[i].outcome);
    }
    expect_none_failed(server);
}

/* Close to the limit, libmicrohttpd accepts a request but may lack memory for the headers of the
 * response. Requests with IN_BARE_QUERY, which have a query without "=" and no headers, crashed
 * libmicrohttpd 1.0.0 to 1.0.5. */
static void every_size_gets_a_response(void **state)
{
    static const struct {
        struct size_row row;
        size_t first;
        size_t end;
        size_t step;
    } rows[] = {
        {{"", IN_TARGET, 0, NULL}, 7600, 8300, 7},      {{"", IN_VALUE, 0, NULL}, 7600, 8300, 7},
        {{"", IN_FIELDS, 0, NULL}, 560, 700, 7},        {{"", IN_QUERY, 0, NULL}, 240, 340, 7},
        {{"", IN_OPTIONS, 0, NULL}, 7600, 8190, 7},     {{"", IN_METHOD, 0, NULL}, 7600, 8000, 7},
        {{"", IN_BARE_QUERY, 0, NULL}, 500, 9000, 100},
    };
    struct server *server = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t size = rows[i].first; size < rows[i].end; size += rows[i].step) {
            const int client = client_connect(server->port);
            char *head = print_head(&rows[i].row, size);
            char *response = NULL;

            client_send_text(client, head);
            response = client_receive(client, false);
            if (strncmp(response, "HTTP/1.1 ", 9) != 0)
                fail_msg("%zu bytes, %s...: %s", size, rows[i].row.before, response);
            free(response);
            free(head);
            (void)close(client);
        }
    }
}

/* A refusal is complete even if libmicrohttpd lacks memory for its headers. */
static void refusal_close_to_the_limit_is_complete(void **state)
{
    static const struct size_row value = {"", IN_VALUE, 0, NULL};
    static const struct size_row target = {"", IN_TARGET, 0, NULL};
    const struct client_answer too_large = {
        "431 Request Header Fields Too Large", TYPE_PROBLEM, NULL, DOCUMENT_REFUSED, true, false};
    const struct client_answer too_long = {"414 URI Too Long", TYPE_PROBLEM, NULL,
                                           DOCUMENT_REFUSED,   true,         false};
    const struct server *server = *state;

    for (size_t size = 7980; size < 8050; size += 10) {
        const bool is_value = size % 20 == 0;
        char *head = print_head(is_value ? &value : &target, size);
        const int client = client_connect(server->port);

        client_expect_answer(client, head, is_value ? &too_large : &too_long);
        free(head);
        (void)close(client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_have_their_outcomes),
        cmocka_unit_test(pipelines_can_be_split_anywhere),
        cmocka_unit_test(sizes_have_their_outcomes),
        cmocka_unit_test(every_size_gets_a_response),
        cmocka_unit_test(refusal_close_to_the_limit_is_complete),
    };

    return cmocka_run_group_tests(tests, start_server, stop_server);
}
