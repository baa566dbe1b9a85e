/* What libmicrohttpd calls, from the begin of a connection over each of its requests to its end. */
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

/* What all calls share. Members that are pointers stay the caller's. It must not move once
 * libmicrohttpd has it. */
struct dispatch {
    const struct config *config;
    const struct handlers *handlers;
    struct log *log;
    struct metrics *metrics;
    atomic_bool draining; /* not ready, and every answer ends its connection */
    struct connections connections;
};

/* The callbacks; `cls` of each is the struct dispatch. */

/* MHD_OPTION_NOTIFY_CONNECTION: a connection begins, or its socket is about to be closed. */
void dispatch_connection(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_ConnectionNotificationCode code);

/* MHD_OPTION_URI_LOG_CALLBACK: a request line has come, with `target` as it was sent. Returns the
 * context of the request: the connection's record, or NULL where that is not to be served. */
void *dispatch_target(void *cls, const char *target, struct MHD_Connection *connection);

/* MHD_AccessHandlerCallback: the head of a request is complete, and once more, the request is. */
enum MHD_Result dispatch_request(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *data_size, void **context);

/* MHD_OPTION_NOTIFY_COMPLETED: an answer was sent, or its connection ended before. */
void dispatch_completed(void *cls, struct MHD_Connection *connection, void **context,
                        enum MHD_RequestTerminationCode code);

#endif
