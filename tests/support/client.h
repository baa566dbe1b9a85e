/* A client that exchanges raw bytes with a server at 127.0.0.1. Every function that waits fails the
 * test after PATIENCE. */
#ifndef VERSIOND_CLIENT_H
#define VERSIOND_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Opens a connection. Returns the descriptor, which the caller closes. */
int client_connect(uint16_t port);

/* Sends a text in a packet of its own; fails the test if the connection has ended. */
void client_send_text(int socket, const char *text);

/* Reads one response: the headers and, unless `has_no_body`, as many bytes as its Content-Length.
 * Checks the form of the Date header and replaces its value by "DATE". The caller frees the result.
 */
char *client_receive(int socket, bool has_no_body);

/* Sends `request` and checks that the response (without a body if it is a HEAD request) is exactly
 * `expected`. */
void client_expect(int socket, const char *request, const char *expected);

/* A complete response, its date replaced as in client_receive(). */
struct client_answer {
    const char *status; /* "200 OK" */
    const char *type;   /* Content-Type; NULL: none */
    const char *allow;  /* NULL: none */
    const char *body;   /* NULL: neither a body nor a Content-Length, as in a 204 */
    bool close;         /* has Connection: close */
    bool is_head;       /* the body determines Content-Length only */
};

/* Returns the bytes of a response as a string, which the caller frees. */
char *client_print_answer(const struct client_answer *answer);

/* Sends `request` and checks that the response is exactly `answer`, and that the connection ends
 * after it if it has `close`. */
void client_expect_answer(int socket, const char *request, const struct client_answer *answer);

/* Sends `length` bytes in packets of `piece` bytes, until the server ends the connection. Returns
 * false if it was reset before the server's end of stream arrived: then responses may be lost. */
bool client_offer(int socket, const char *bytes, size_t length, size_t piece);

/* Reads to the end of the connection. Returns the bytes, with a NUL after `*length` of them, or
 * NULL if the connection was reset. The caller frees the result. */
char *client_receive_rest(int socket, size_t *length);

/* Returns the value of a series (name and labels) of GET /metrics, which must exist. */
double client_read_series(int socket, const char *series);

/* Waits until the value of a series is at least `least` and at most `most`. */
void client_wait_for_series(int socket, const char *series, double least, double most);

/* Waits for the end of the connection; fails the test if a byte arrives first. */
void client_expect_closed(int socket);

/* Returns true if the connection is open and no unread byte has arrived. Does not wait. */
bool client_is_quiet(int socket);

#endif
