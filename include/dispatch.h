/* The callbacks of libmicrohttpd, from the start of a connection through each request to its end.
 */
#ifndef VERSIOND_DISPATCH_H
#define VERSIOND_DISPATCH_H

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "config.h"
#include "connections.h"
#include "handlers.h"
#include "log.h"
#include "metrics.h"

/* State shared by all callbacks. What the pointers refer to belongs to the caller. Must not move
 * while libmicrohttpd uses it. */
struct dispatch {
    const struct config *config;
    const struct handlers *handlers;
    struct log *log;
    struct metrics *metrics;
    atomic_bool draining; /* not ready, and responses close their connections */
    struct connections connections;
};

/* The callbacks. `cls` is the struct dispatch. */

/* MHD_OPTION_NOTIFY_CONNECTION: called when a connection was accepted, and before its socket is
 * closed. */
void dispatch_connection(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_ConnectionNotificationCode code);

/* MHD_OPTION_URI_LOG_CALLBACK: called when a request line has arrived; `target` is undecoded.
 * Returns the context of the request: the connection's record, or NULL if there is none. */
void *dispatch_target(void *cls, const char *target, struct MHD_Connection *connection);

/* MHD_AccessHandlerCallback: called when the head of a request is complete, and again when the
 * request is. */
enum MHD_Result dispatch_request(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *data_size, void **context);

/* MHD_OPTION_NOTIFY_COMPLETED: called when a response was sent or the connection ended before. */
void dispatch_completed(void *cls, struct MHD_Connection *connection, void **context,
                        enum MHD_RequestTerminationCode code);

#endif
