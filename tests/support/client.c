#include "client.h"

#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "inspect.h"
#include "text.h"

enum { ANSWER_MAX = 64 * 1024 };

int client_connect(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;
    const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(client >= 0);
    if (connect(client, (const struct sockaddr *)&address, sizeof address) != 0)
        fail_msg("cannot connect to port %u: %s", (unsigned)port, strerror(errno));
    assert_int_equal(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    return client;
}

void client_send_text(int socket, const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        const ssize_t n = send(socket, text, left, MSG_NOSIGNAL);

        assert_true(n > 0);
        text += n;
        left -= (size_t)n;
    }
}

/* Waits for bytes and reads at most `size`. Returns 0 at the end of the connection or on an error.
 */
static size_t receive_some(int socket, char *bytes, size_t size)
{
    struct pollfd ready = {.fd = socket, .events = POLLIN};
    ssize_t n = 0;

    if (poll(&ready, 1, PATIENCE) != 1)
        fail_msg("no byte arrives before the timeout");
    n = recv(socket, bytes, size, 0);
    return n > 0 ? (size_t)n : 0;
}

/* Checks the form of the Date header (RFC 9110, section 5.6.7) and replaces its value. */
static void replace_date(char *answer)
{
    static const char form[] = "Aaa, 00 Aaa 0000 00:00:00 GMT\r\n";
    char *date = strstr(answer, "\r\nDate: ");

    if (date == NULL)
        return;
    date += strlen("\r\nDate: ");
    for (size_t i = 0; i < sizeof form - 1; i++) {
        const bool is_digit = date[i] >= '0' && date[i] <= '9';

        if (form[i] == '0' ? !is_digit : form[i] < 'A' && date[i] != form[i])
            fail_msg("not a date: %s", date);
    }
    memcpy(date, "DATE", 4);
    memmove(date + 4, date + strlen(form) - 2, strlen(date + strlen(form) - 2) + 1);
}

/* Returns the length of the complete response, or 0 while it is unknown. */
static size_t expected_length(const char *answer, bool has_no_body)
{
    const char *end = strstr(answer, "\r\n\r\n");
    const char *length = strstr(answer, "\r\nContent-Length: ");
    size_t head = 0;

    if (end == NULL)
        return 0;
    head = (size_t)(end - answer) + 4;
    if (has_no_body || length == NULL || length > end)
        return head;
    return head + strtoul(length + strlen("\r\nContent-Length: "), NULL, 10);
}

char *client_receive(int socket, bool has_no_body)
{
    char *answer = calloc(1, ANSWER_MAX);
    size_t used = 0;

    assert_non_null(answer);
    for (;;) {
        const size_t complete = expected_length(answer, has_no_body);
        /* Reads no byte of the next response. */
        const size_t size = complete == 0 ? 1 : complete - used;
        size_t n = 0;

        if (complete > 0 && used == complete)
            break;
        n = receive_some(socket, answer + used, size);
        if (n == 0)
            fail_msg("the connection ended within a response: %s", answer);
        used += n;
        assert_true(used < ANSWER_MAX - 1);
    }
    replace_date(answer);
    return answer;
}

void client_expect(int socket, const char *request, const char *expected)
{
    char *answer = NULL;

    client_send_text(socket, request);
    answer = client_receive(socket, strncmp(request, "HEAD ", 5) == 0);
    assert_text_equal(answer, expected);
    free(answer);
}

char *client_print_answer(const struct client_answer *answer)
{
    char *text = calloc(1, ANSWER_MAX);
    FILE *stream = NULL;

    assert_non_null(text);
    stream = fmemopen(text, ANSWER_MAX, "w");
    assert_non_null(stream);
    (void)fprintf(stream, "HTTP/1.1 %s\r\nDate: DATE\r\n", answer->status);
    if (answer->close)
        (void)fprintf(stream, "Connection: close\r\n");
    if (answer->type != NULL)
        (void)fprintf(stream, "Content-Type: %s\r\n", answer->type);
    (void)fprintf(stream, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    if (answer->allow != NULL)
        (void)fprintf(stream, "Allow: %s\r\n", answer->allow);
    if (answer->body != NULL)
        (void)fprintf(stream, "Content-Length: %zu\r\n", strlen(answer->body));
    (void)fprintf(stream, "\r\n%s", answer->body == NULL || answer->is_head ? "" : answer->body);
    assert_int_equal(fclose(stream), 0);
    return text;
}

void client_expect_answer(int socket, const char *request, const struct client_answer *answer)
{
    char *text = client_print_answer(answer);

    client_expect(socket, request, text);
    if (answer->close)
        client_expect_closed(socket);
    free(text);
}

/* After a reset send() fails with ECONNRESET, or with EPIPE if the end of stream arrived first:
 * then nothing is lost, because it arrives after all data. */
bool client_offer(int socket, const char *bytes, size_t length, size_t piece)
{
    for (size_t sent = 0; sent < length; sent += piece) {
        const size_t size = length - sent < piece ? length - sent : piece;

        if (send(socket, bytes + sent, size, MSG_NOSIGNAL) != (ssize_t)size)
            return errno != ECONNRESET;
    }
    return true;
}

char *client_receive_rest(int socket, size_t *length)
{
    char *bytes = calloc(1, ANSWER_MAX);
    size_t n = 1;

    assert_non_null(bytes);
    for (*length = 0; n > 0; *length += n) {
        assert_true(*length < ANSWER_MAX - 1);
        errno = 0;
        n = receive_some(socket, bytes + *length, ANSWER_MAX - 1 - *length);
    }
    if (errno != ECONNRESET)
        return bytes;
    free(bytes);
    return NULL;
}

double client_read_series(int socket, const char *series)
{
    char *answer = NULL;
    double value = 0;

    client_send_text(socket, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    answer = client_receive(socket, false);
    value = inspect_series(answer, series);
    if (value < 0)
        fail_msg("no %s in %s", series, answer);
    free(answer);
    return value;
}

void client_wait_for_series(int socket, const char *series, double least, double most)
{
    const int64_t deadline = monotonic_milliseconds() + PATIENCE;

    for (double value = -1; value < least || value > most;) {
        value = client_read_series(socket, series);
        if (monotonic_milliseconds() > deadline)
            fail_msg("%s is still %f", series, value);
    }
}

void client_expect_closed(int socket)
{
    char byte = 0;

    if (receive_some(socket, &byte, 1) != 0)
        fail_msg("a byte arrives instead of the end of the connection: 0x%02x",
                 (unsigned char)byte);
}

bool client_is_quiet(int socket)
{
    struct pollfd ready = {.fd = socket, .events = POLLIN};

    return poll(&ready, 1, 0) == 0;
}
