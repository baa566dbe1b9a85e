/* The HTTP contract: each kind of request, and its whole answer. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build_info.h"
#include "client.h"
#include "documents.h"
#include "openapi.h"
#include "page.h"
#include "process.h"

struct server {
    struct process *process;
    uint16_t port;
    char *document; /* what /version answers */
};

static int start_server(void **state)
{
    static const char *const arguments[] = {"--port=0", "--base-path=/some/prefix", NULL};
    struct server *server = calloc(1, sizeof *server);
    const struct build_info info = build_info_get();

    assert_non_null(server);
    server->process = process_serve(arguments, &server->port);
    server->document = build_info_document(&info);
    *state = server;
    return 0;
}

static int stop_server(void **state)
{
    struct server *server = *state;

    process_stop(server->process);
    free(server->document);
    free(server);
    return 0;
}

/* Sends each request on a connection of its own and checks the whole answer. */
struct row {
    const char *request;
    struct client_answer answer;
};

static void expect_rows(const struct server *server, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int client = client_connect(server->port);

        print_message("%s\n", rows[i].request);
        client_expect_answer(client, rows[i].request, &rows[i].answer);
        (void)close(client);
    }
}

static void get_answers_document(void **state)
{
    const struct server *server = *state;
    const struct client_answer version = {"200 OK",         TYPE_JSON, NULL,
                                          server->document, false,     false};
    const struct client_answer alive = {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, false, false};
    const struct client_answer ready = {"200 OK", TYPE_JSON, NULL, DOCUMENT_READY, false, false};
    const struct row rows[] = {
        {"GET /version HTTP/1.1\r\nHost: a\r\n\r\n", version},
        {"GET /version?x=1&y HTTP/1.1\r\nHost: a\r\n\r\n", version},
        {"GET /__version__ HTTP/1.1\r\nHost: a:80\r\n\r\n", version},
        {"GET http://a/version HTTP/1.1\r\nHost: a\r\n\r\n", version},
        {"GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", alive},
        {"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", ready},
        {"GET /some/prefix/version HTTP/1.1\r\nHost: a\r\n\r\n", version},
        {"GET /some/prefix/readyz HTTP/1.1\r\nHost: a\r\n\r\n", ready},
        {"GET /version HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", version},
        {"GET /version HTTP/1.1\r\nhOST: a\r\nX: \xc3\xa9\ttab\r\n\r\n", version},
    };

    expect_rows(server, rows, COUNT_OF(rows));
}

static void description_is_answered_as_json(void **state)
{
    const struct server *server = *state;
    char *document = openapi_create();
    const struct client_answer answer = {"200 OK", TYPE_JSON, NULL, document, false, false};
    const struct row rows[] = {
        {"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET /some/prefix/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n", answer},
    };

    expect_rows(server, rows, COUNT_OF(rows));
    free(document);
}

/* Sends the request and expects what people are sent, to the byte. */
static void expect_for_people(const struct server *server, const char *request, const char *type,
                              const char *policy, const char *body)
{
    const int client = client_connect(server->port);
    const size_t size = strlen(body) + 1024;
    char *expected = malloc(size);

    assert_non_null(expected);
    (void)snprintf(expected, size,
                   "HTTP/1.1 200 OK\r\nDate: DATE\r\nContent-Type: %s\r\n"
                   "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                   "Content-Security-Policy: %s\r\nContent-Length: %zu\r\n\r\n%s",
                   type, policy, strlen(body), strncmp(request, "HEAD ", 5) == 0 ? "" : body);
    client_expect(client, request, expected);
    free(expected);
    (void)close(client);
}

static void page_and_badge_are_answered_with_their_policies(void **state)
{
    static const char *const pages[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /some/prefix/ HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    static const char *const badges[] = {
        "GET /badge.svg HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /some/prefix/badge.svg HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    const struct build_info info = build_info_get();
    char *page = page_create(&info);
    char *badge = page_create_badge(&info);

    for (size_t i = 0; i < COUNT_OF(pages); i++)
        expect_for_people(*state, pages[i], "text/html; charset=utf-8", page_policy(), page);
    for (size_t i = 0; i < COUNT_OF(badges); i++)
        expect_for_people(*state, badges[i], "image/svg+xml", "default-src 'none'", badge);
    free(page);
    free(badge);
}

static void head_answers_same_fields_without_body(void **state)
{
    const struct server *server = *state;
    const struct row rows[] = {
        {"HEAD /version HTTP/1.1\r\nHost: a\r\n\r\n",
         {"200 OK", TYPE_JSON, NULL, server->document, false, true}},
        {"HEAD /__version__ HTTP/1.1\r\nHost: a\r\n\r\n",
         {"200 OK", TYPE_JSON, NULL, server->document, false, true}},
        {"HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
         {"200 OK", TYPE_JSON, NULL, DOCUMENT_OK, false, true}},
        {"HEAD /readyz HTTP/1.1\r\nHost: a\r\n\r\n",
         {"200 OK", TYPE_JSON, NULL, DOCUMENT_READY, false, true}},
    };

    expect_rows(server, rows, COUNT_OF(rows));
}

static void options_answers_allow(void **state)
{
    const struct client_answer answer = {"204 No Content", NULL, ALLOW_READ, NULL, false, false};
    const struct row rows[] = {
        {"OPTIONS /version HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"OPTIONS /__version__ HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"OPTIONS /healthz HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"OPTIONS /readyz HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", answer},
    };

    expect_rows(*state, rows, COUNT_OF(rows));
}

static void wrong_method_answers_405_with_allow(void **state)
{
    const struct client_answer answer = {"405 Method Not Allowed", TYPE_PROBLEM, ALLOW_READ,
                                         DOCUMENT_NOT_ALLOWED,     false,        false};
    const struct row rows[] = {
        {"POST /version HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"PUT /__version__ HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"DELETE /healthz HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"PATCH /readyz HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"TRACE /version HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", answer},
    };

    expect_rows(*state, rows, COUNT_OF(rows));
}

static void unknown_method_answers_501(void **state)
{
    const struct client_answer answer = {"501 Not Implemented",    TYPE_PROBLEM, NULL,
                                         DOCUMENT_NOT_IMPLEMENTED, false,        false};
    const struct row rows[] = {
        {"get /version HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"BREW /version HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GETT /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", answer},
    };

    expect_rows(*state, rows, COUNT_OF(rows));
}

static void unknown_path_answers_404(void **state)
{
    static const char body[] = DOCUMENT_PROBLEM(
        404, "Not Found",
        "Nothing is served at this path. There are /version, /__version__, /healthz, /readyz, "
        "/metrics, /, /badge.svg, /openapi.json, and the same below /some/prefix.");
    const struct client_answer answer = {"404 Not Found", TYPE_PROBLEM, NULL, body, false, false};
    const struct client_answer head = {"404 Not Found", TYPE_PROBLEM, NULL, body, false, true};
    const struct row rows[] = {
        {"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET /version/ HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET //version HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET /./version HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET /Version HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET /%76ersion HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET /some/prefix HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET /some/prefix/some/prefix/version HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET http://a/nowhere HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"POST /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", head},
        {"OPTIONS /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", answer},
    };

    expect_rows(*state, rows, COUNT_OF(rows));
}

static void body_is_refused_and_connection_closed(void **state)
{
    const struct client_answer answer = {"413 Content Too Large", TYPE_PROBLEM, NULL,
                                         DOCUMENT_BODY,           true,         false};
    const struct row rows[] = {
        {"POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", answer},
        {"GET /version HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", answer},
        {"GET /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n", answer},
        {"BREW /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", answer},
        {"GET /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", answer},
        {"POST /version HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
         answer},
    };

    expect_rows(*state, rows, COUNT_OF(rows));
}

/* The second request is the body of the first: answering it would be request smuggling. */
static void request_within_body_is_not_answered(void **state)
{
    const struct server *server = *state;
    const struct client_answer answer = {"413 Content Too Large", TYPE_PROBLEM, NULL,
                                         DOCUMENT_BODY,           true,         false};
    const int client = client_connect(server->port);

    client_expect_answer(client,
                         "POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 36\r\n\r\n"
                         "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
                         &answer);
    (void)close(client);
}

static void malformed_host_is_refused_and_connection_closed(void **state)
{
    const struct client_answer answer = {"400 Bad Request", TYPE_PROBLEM, NULL,
                                         DOCUMENT_BAD_HOST, true,         false};
    const struct client_answer refused = {"400 Bad Request", TYPE_PROBLEM, NULL,
                                          DOCUMENT_REFUSED,  true,         false};
    const struct row rows[] = {
        {"GET /version HTTP/1.1\r\n\r\n", refused},
        {"GET /version HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", refused},
        {"GET /version HTTP/1.1\r\nHost:\r\n\r\n", answer},
        {"GET /version HTTP/1.1\r\nHost: a,b\r\n\r\n", answer},
        {"GET /version HTTP/1.1\r\nHost: a, b\r\n\r\n", answer},
        {"GET /version HTTP/1.1\r\nHost: a b\r\n\r\n", answer},
        {"GET /version HTTP/1.1\r\nHost: user@a\r\n\r\n", answer},
        {"GET /version HTTP/1.1\r\nHost: a/b\r\n\r\n", answer},
        {"GET /version HTTP/1.1\r\nHost: http://a\r\n\r\n", answer},
        {"GET /version HTTP/1.1\r\nHost: a:b\r\n\r\n", answer},
        {"GET /version HTTP/1.1\r\nHost: a:65536\r\n\r\n", answer},
        {"GET /version HTTP/1.1\r\nHost: [::1\r\n\r\n", answer},
        {"GET /version HTTP/1.1\r\nHost: ::1\r\n\r\n", answer},
        {"GET /version HTTP/1.0\r\nHost: a, b\r\n\r\n", answer},
    };

    expect_rows(*state, rows, COUNT_OF(rows));
}

static void malformed_target_is_refused_and_connection_closed(void **state)
{
    const struct client_answer answer = {"400 Bad Request",   TYPE_PROBLEM, NULL,
                                         DOCUMENT_BAD_TARGET, true,         false};
    const struct row rows[] = {
        {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET version HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"CONNECT /version HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET /version#x HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET /version?%4 HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET /version\"<> HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET ftp://a/version HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET http://user@a/version HTTP/1.1\r\nHost: a\r\n\r\n", answer},
        {"GET http:///version HTTP/1.1\r\nHost: a\r\n\r\n", answer},
    };

    expect_rows(*state, rows, COUNT_OF(rows));
}

static void forbidden_byte_in_field_is_refused_and_connection_closed(void **state)
{
    const struct client_answer answer = {"400 Bad Request",  TYPE_PROBLEM, NULL,
                                         DOCUMENT_BAD_FIELD, true,         false};
    const struct row rows[] = {
        {"GET /version HTTP/1.1\r\nHost: a\r\nX: a\x01z\r\n\r\n", answer},
        {"GET /version HTTP/1.1\r\nHost: a\r\nX: a\x7fz\r\n\r\n", answer},
    };

    expect_rows(*state, rows, COUNT_OF(rows));
}

/* These never reach the handler: libmicrohttpd answers them, with our fields. */
static void what_the_library_refuses_carries_the_common_fields(void **state)
{
    const struct client_answer bad = {"400 Bad Request", TYPE_PROBLEM, NULL,
                                      DOCUMENT_REFUSED,  true,         false};
    const struct row rows[] = {
        {"GET /version HTTP/1.1\r\nHost : a\r\n\r\n", bad},
        {"GET /version HTTP/1.1\r\n Host: a\r\n\r\n", bad},
        {"GET /version HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", bad},
        {"GET /version\r\n\r\n", bad},
        {"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", bad},
        {"GET /version HTTP/1.1\r\nHost: a\r\nX(: a\r\n\r\n", bad},
        {"GET /version%00 HTTP/1.1\r\nHost: a\r\n\r\n", bad},
        {"GET /version HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", bad},
        {"GET /version HTTP/2.0\r\nHost: a\r\n\r\n",
         {"505 HTTP Version Not Supported", TYPE_PROBLEM, NULL, DOCUMENT_REFUSED, true, false}},
        {"GET /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
         {"501 Not Implemented", TYPE_PROBLEM, NULL, DOCUMENT_REFUSED, true, false}},
    };

    expect_rows(*state, rows, COUNT_OF(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_answers_document),
        cmocka_unit_test(description_is_answered_as_json),
        cmocka_unit_test(page_and_badge_are_answered_with_their_policies),
        cmocka_unit_test(head_answers_same_fields_without_body),
        cmocka_unit_test(options_answers_allow),
        cmocka_unit_test(wrong_method_answers_405_with_allow),
        cmocka_unit_test(unknown_method_answers_501),
        cmocka_unit_test(unknown_path_answers_404),
        cmocka_unit_test(body_is_refused_and_connection_closed),
        cmocka_unit_test(request_within_body_is_not_answered),
        cmocka_unit_test(malformed_host_is_refused_and_connection_closed),
        cmocka_unit_test(malformed_target_is_refused_and_connection_closed),
        cmocka_unit_test(forbidden_byte_in_field_is_refused_and_connection_closed),
        cmocka_unit_test(what_the_library_refuses_carries_the_common_fields),
    };

    return cmocka_run_group_tests(tests, start_server, stop_server);
}
