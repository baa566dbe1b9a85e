/* The bodies that the server answers, written out a second time, so that no change goes unnoticed.
 */
#ifndef VERSIOND_DOCUMENTS_H
#define VERSIOND_DOCUMENTS_H

#define TYPE_JSON "application/json"
#define TYPE_PROBLEM "application/problem+json"

#define ALLOW_READ "GET, HEAD, OPTIONS"

#define DOCUMENT_OK "{\"status\":\"ok\"}\n"
#define DOCUMENT_READY "{\"status\":\"ready\"}\n"
#define DOCUMENT_DRAINING "{\"status\":\"draining\"}\n"

#define DOCUMENT_PROBLEM(status, title, detail)                                                    \
    "{\"type\":\"about:blank\",\"title\":\"" title "\",\"status\":" #status                        \
    ",\"detail\":\"" detail "\"}\n"

#define DOCUMENT_BAD_METHOD                                                                        \
    DOCUMENT_PROBLEM(400, "Bad Request", "The method is not a token (RFC 9110, section 9.1).")
#define DOCUMENT_BAD_TARGET                                                                        \
    DOCUMENT_PROBLEM(400, "Bad Request", "The request target is malformed (RFC 9112, section 3.2).")
#define DOCUMENT_BAD_HOST                                                                          \
    DOCUMENT_PROBLEM(400, "Bad Request",                                                           \
                     "Exactly one Host header is required: a name or an address, and at most "     \
                     "one port (RFC 9112, section 3.2).")
#define DOCUMENT_BAD_FIELD                                                                         \
    DOCUMENT_PROBLEM(400, "Bad Request",                                                           \
                     "A header contains a forbidden byte (RFC 9110, section 5.5).")
#define DOCUMENT_BODY DOCUMENT_PROBLEM(413, "Content Too Large", "Request bodies are not accepted.")
#define DOCUMENT_EXPECTATION                                                                       \
    DOCUMENT_PROBLEM(417, "Expectation Failed",                                                    \
                     "Only the 100-continue expectation is supported (RFC 9110, section "          \
                     "10.1.1).")
#define DOCUMENT_NOT_ALLOWED                                                                       \
    DOCUMENT_PROBLEM(405, "Method Not Allowed", "Allowed methods: GET, HEAD, OPTIONS.")
#define DOCUMENT_NOT_IMPLEMENTED                                                                   \
    DOCUMENT_PROBLEM(501, "Not Implemented", "Unknown method (method names are case-sensitive).")

/* What the server says when libmicrohttpd refuses a request by itself. */
#define DOCUMENT_REFUSED                                                                           \
    "{\"type\":\"about:blank\",\"title\":\"Request refused\",\"detail\":\"The request is "         \
    "malformed, too large or not supported; see the status code.\"}\n"

#endif
