/* A client that speaks raw bytes to a server at 127.0.0.1. Every function fails the test when what
 * it waits for does not happen. */
#ifndef VERSIOND_CLIENT_H
#define VERSIOND_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Opens a connection. Returns the descriptor, which the caller closes. */
int client_connect(uint16_t port);

/* Sends all of the bytes; each call is a packet of its own. */
void client_send(int socket, const char *bytes, size_t length);
void client_send_text(int socket, const char *text);

/* Reads one answer: head, and as many bytes as its Content-Length says unless `has_no_body`. The
 * value of Date is checked for its form and replaced by "DATE". Returns the answer, which the
 * caller frees. */
char *client_receive(int socket, bool has_no_body);

/* Sends `request` and reads one answer (without a body when the request is a HEAD), which must be
 * `expected` to the byte. */
void client_expect(int socket, const char *request, const char *expected);

/* What an answer looks like to the byte, its date replaced as client_receive() does. */
struct client_answer {
    const char *status; /* "200 OK" */
    const char *type;   /* of the content; NULL: none */
    const char *allow;  /* NULL: none */
    const char *body;   /* NULL: none, nor a Content-Length, as in a 204 */
    bool close;         /* the connection ends after it */
    bool is_head;       /* the body is only counted */
};

/* Writes an answer out. The caller frees it. */
char *client_print_answer(const struct client_answer *answer);

/* Sends `request` and expects `answer`, and after it the end of the connection if it says so. */
void client_expect_answer(int socket, const char *request, const struct client_answer *answer);

/* Sends `length` bytes, `piece` of them in a packet, as long as the server takes them: it may have
 * ended the connection before it has all. Returns false when the connection was reset, and the
 * server's end had not come before that: then what it had answered may be missing, too. */
bool client_offer(int socket, const char *bytes, size_t length, size_t piece);

/* Reads everything up to the end of the connection. Returns it, with a NUL after `*length` bytes,
 * or NULL when the connection was reset as above; the caller frees it. */
char *client_receive_rest(int socket, size_t *length);

/* The value of a series of GET /metrics, which must be there. */
double client_read_series(int socket, const char *series);

/* Waits until a series is at least `least` and at most `most`. */
void client_wait_for_series(int socket, const char *series, double least, double most);

/* Waits for the end of the connection; nothing may come before it. */
void client_expect_closed(int socket);

/* True when the connection is open and nothing has come on it. */
bool client_is_quiet(int socket);

#endif
