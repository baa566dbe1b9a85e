/* The HTTP contract: one request of each kind and its complete response. strict_http.h has the
 * variants of each kind. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build_info.h"
#include "client.h"
#include "documents.h"
#include "embedded.h"
#include "process.h"
#include "routes.h"
#include "text.h"

#define PREFIX "/some/prefix"
#define HOST "Host: a\r\n"
#define REQUEST(line) line " HTTP/1.1\r\n" HOST "\r\n"

static const char *const PREFIXES[] = {"", PREFIX};

struct server {
    struct process *process;
    uint16_t port;
};

static int start_server(void **state)
{
    static const char *const arguments[] = {"--port=0", "--base-path=" PREFIX, "--access-log=off",
                                            NULL};
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

struct row {
    const char *request;
    struct client_answer answer;
};

/* Sends a request on a new connection and checks the complete response. */
static void expect_answer(const struct server *server, const char *request,
                          const struct client_answer *answer)
{
    const int client = client_connect(server->port);

    print_message("%s\n", request);
    client_expect_answer(client, request, answer);
    (void)close(client);
}

static void expect_rows(const struct server *server, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_answer(server, rows[i].request, &rows[i].answer);
}

/* Sends a request on a new connection and returns the response, which the caller frees. */
static char *exchange(const struct server *server, const char *request)
{
    const int client = client_connect(server->port);
    char *response = NULL;

    client_send_text(client, request);
    response = client_receive(client, strncmp(request, "HEAD ", 5) == 0);
    (void)close(client);
    return response;
}

static void get_returns_the_document(void **state)
{
    const struct server *server = *state;
    const struct build_info info = build_info_get();
    char *const document = build_info_document(&info);
    const struct {
        const char *path;
        const char *body;
    } rows[] = {
        {"/version", document},      {"/version?x=1&y", document},
        {"/__version__", document},  {"/healthz", DOCUMENT_OK},
        {"/readyz", DOCUMENT_READY}, {"/openapi.json", embedded_openapi},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct client_answer answer = {"200 OK", TYPE_JSON, NULL, rows[i].body, false, false};

        for (size_t j = 0; j < COUNT_OF(PREFIXES); j++) {
            char request[128];

            (void)snprintf(request, sizeof request, REQUEST("GET %s%s"), PREFIXES[j], rows[i].path);
            expect_answer(server, request, &answer);
        }
    }
    free(document);
}

static void page_and_badge_have_a_content_security_policy(void **state)
{
    const struct {
        const char *target;
        const char *type;
        const char *policy;
        const char *body;
    } rows[] = {
        {"/", "text/html; charset=utf-8", embedded_page_policy, embedded_page},
        {"http://a", "text/html; charset=utf-8", embedded_page_policy, embedded_page},
        {PREFIX "/", "text/html; charset=utf-8", embedded_page_policy, embedded_page},
        {"/badge.svg", "image/svg+xml", "default-src 'none'", embedded_badge},
        {PREFIX "/badge.svg", "image/svg+xml", "default-src 'none'", embedded_badge},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const size_t size = strlen(rows[i].body) + 1024;
        char *expected = malloc(size);
        char *actual = NULL;
        char request[128];

        assert_non_null(expected);
        (void)snprintf(expected, size,
                       "HTTP/1.1 200 OK\r\nDate: DATE\r\nContent-Type: %s\r\n"
                       "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                       "Content-Security-Policy: %s\r\nContent-Length: %zu\r\n\r\n%s",
                       rows[i].type, rows[i].policy, strlen(rows[i].body), rows[i].body);
        (void)snprintf(request, sizeof request, REQUEST("GET %s"), rows[i].target);
        actual = exchange(*state, request);
        assert_text_equal(actual, expected);
        free(actual);
        free(expected);
    }
}

/* Cuts a response before its Content-Length, which varies for /metrics. */
static void cut_length(char *response)
{
    char *length = strstr(response, "Content-Length: ");

    assert_non_null(length);
    *length = '\0';
}

static void every_route_handles_head_options_and_other_methods(void **state)
{
    const struct client_answer options = {"204 No Content", NULL, ALLOW_READ, NULL, false, false};
    const struct client_answer not_allowed = {"405 Method Not Allowed", TYPE_PROBLEM, ALLOW_READ,
                                              DOCUMENT_NOT_ALLOWED,     false,        false};
    size_t count = 0;
    const struct route *routes = routes_all(&count);

    for (size_t i = 0; i < count * COUNT_OF(PREFIXES); i++) {
        const char *prefix = PREFIXES[i / count];
        const char *path = routes[i % count].path;
        char request[128];
        char *get = NULL;
        char *head = NULL;

        (void)snprintf(request, sizeof request, REQUEST("GET %s%s"), prefix, path);
        get = exchange(*state, request);
        (void)snprintf(request, sizeof request, REQUEST("HEAD %s%s"), prefix, path);
        head = exchange(*state, request);
        cut_length(get);
        cut_length(head);
        assert_text_equal(head, get);
        free(get);
        free(head);
        (void)snprintf(request, sizeof request, REQUEST("OPTIONS %s%s"), prefix, path);
        expect_answer(*state, request, &options);
        (void)snprintf(request, sizeof request, REQUEST("POST %s%s"), prefix, path);
        expect_answer(*state, request, &not_allowed);
    }
    expect_answer(*state, REQUEST("OPTIONS *"), &options);
    expect_answer(*state, REQUEST("TRACE /version"), &not_allowed);
    expect_answer(*state, REQUEST("CONNECT a:443"), &not_allowed);
}

static void unknown_path_returns_404_with_the_valid_paths(void **state)
{
    char *const response = exchange(*state, REQUEST("GET /nowhere"));
    const char *const body = strstr(response, "\r\n\r\n") + 4;
    const struct client_answer answer = {"404 Not Found", TYPE_PROBLEM, NULL, body, false, false};
    const struct client_answer head = {"404 Not Found", TYPE_PROBLEM, NULL, body, false, true};
    const struct row rows[] = {
        {REQUEST("GET /nowhere"), answer},
        {REQUEST("GET /version/"), answer},
        {REQUEST("GET " PREFIX), answer},
        {REQUEST("GET " PREFIX PREFIX "/version"), answer},
        {REQUEST("GET http://a/nowhere"), answer},
        {REQUEST("POST /nowhere"), answer},
        {REQUEST("HEAD /nowhere"), head},
        {REQUEST("OPTIONS /nowhere"), answer},
    };
    size_t count = 0;
    const struct route *routes = routes_all(&count);

    for (size_t i = 0; i < count; i++)
        assert_non_null(strstr(body, routes[i].path));
    assert_non_null(strstr(body, PREFIX ".\""));
    expect_rows(*state, rows, COUNT_OF(rows));
    free(response);
}

/* clang-format off */
#define REFUSAL(status, document) {status, TYPE_PROBLEM, NULL, document, true, false}
/* clang-format on */

/* libmicrohttpd makes the responses with DOCUMENT_REFUSED. The second request in a body must not be
 * answered: that would be request smuggling. */
static void refusal_closes_the_connection(void **state)
{
    static const struct row rows[] = {
        {REQUEST("G(T /version"), REFUSAL("400 Bad Request", DOCUMENT_BAD_METHOD)},
        {REQUEST("GET /version#x"), REFUSAL("400 Bad Request", DOCUMENT_BAD_TARGET)},
        {"GET /version HTTP/1.1\r\nHost: a, b\r\n\r\n",
         REFUSAL("400 Bad Request", DOCUMENT_BAD_HOST)},
        {"GET /version HTTP/1.1\r\n" HOST "X: a\x01z\r\n\r\n",
         REFUSAL("400 Bad Request", DOCUMENT_BAD_FIELD)},
        {"POST /version HTTP/1.1\r\n" HOST "Content-Length: 36\r\n\r\n" REQUEST("GET /healthz"),
         REFUSAL("413 Content Too Large", DOCUMENT_BODY)},
        {"GET /version HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n",
         REFUSAL("417 Expectation Failed", DOCUMENT_EXPECTATION)},
        {"GET /version HTTP/1.1\r\n\r\n", REFUSAL("400 Bad Request", DOCUMENT_REFUSED)},
        {"GET /version HTTP/2.0\r\n" HOST "\r\n",
         REFUSAL("505 HTTP Version Not Supported", DOCUMENT_REFUSED)},
    };

    expect_rows(*state, rows, COUNT_OF(rows));
}

static void unknown_method_returns_501(void **state)
{
    const struct client_answer answer = {"501 Not Implemented",    TYPE_PROBLEM, NULL,
                                         DOCUMENT_NOT_IMPLEMENTED, false,        false};
    const struct row rows[] = {
        {REQUEST("get /version"), answer},
        {REQUEST("BREW /nowhere"), answer},
    };

    expect_rows(*state, rows, COUNT_OF(rows));
}

static void connection_persists_unless_the_client_closes_it(void **state)
{
    static const struct row closing[] = {
        {"GET /healthz HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
         {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, true, false}},
        {"GET /healthz HTTP/1.0\r\n\r\n", {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, true, false}},
    };
    const struct client_answer alive = {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, false, false};
    const struct server *server = *state;
    const int client = client_connect(server->port);

    expect_rows(server, closing, COUNT_OF(closing));
    client_expect(client, "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                  "HTTP/1.1 200 OK\r\nDate: DATE\r\nConnection: Keep-Alive\r\n"
                  "Content-Type: application/json\r\nCache-Control: no-store\r\n"
                  "X-Content-Type-Options: nosniff\r\nContent-Length: 16\r\n\r\n" DOCUMENT_OK);
    for (int i = 0; i < 1000; i++)
        client_expect_answer(client, REQUEST("GET /healthz"), &alive);
    (void)close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_returns_the_document),
        cmocka_unit_test(page_and_badge_have_a_content_security_policy),
        cmocka_unit_test(every_route_handles_head_options_and_other_methods),
        cmocka_unit_test(unknown_path_returns_404_with_the_valid_paths),
        cmocka_unit_test(refusal_closes_the_connection),
        cmocka_unit_test(unknown_method_returns_501),
        cmocka_unit_test(connection_persists_unless_the_client_closes_it),
    };

    return cmocka_run_group_tests(tests, start_server, stop_server);
}
