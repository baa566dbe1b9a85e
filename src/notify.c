#include "notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "build_info.h"

/* Fits the longest version and the text around it. */
enum { MESSAGE_MAX = BUILD_INFO_TEXT_MAX + 128 };

static void log_failure(struct log *log, const char *error)
{
    log_write(log, LOG_WARN, "cannot notify the service manager",
              (const struct log_field[]){{.name = "socket", .text = getenv("NOTIFY_SOCKET")},
                                         {.name = "error", .text = error}},
              2);
}

/* Connects a socket with a send timeout of 1 s. Returns the descriptor, or -1 and sets errno. */
static int connect_to(const struct sockaddr_un *address, socklen_t size)
{
    const struct timeval timeout = {.tv_sec = 1};
    const int notifier = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int error = 0;

    if (notifier < 0)
        return -1;
    if (setsockopt(notifier, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) == 0 &&
        connect(notifier, (const struct sockaddr *)address, size) == 0)
        return notifier;
    error = errno;
    (void)close(notifier);
    errno = error;
    return -1;
}

int notify_open(struct log *log)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = 0;
    int notifier = -1;

    if (name == NULL)
        return -1;
    length = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || length >= sizeof address.sun_path) {
        log_failure(log, "not a path, or '@' and a name, of at most 107 bytes");
        return -1;
    }
    memcpy(address.sun_path, name, length);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    notifier = connect_to(&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
    if (notifier < 0)
        log_failure(log, strerror(errno));
    return notifier;
}

static void send_message(int notifier, const char *message, struct log *log)
{
    if (notifier >= 0 && send(notifier, message, strlen(message), MSG_NOSIGNAL) < 0)
        log_failure(log, strerror(errno));
}

void notify_ready(int notifier, const char *version, struct log *log)
{
    char message[MESSAGE_MAX];

    (void)snprintf(message, sizeof message, "READY=1\nSTATUS=Serving version %s", version);
    send_message(notifier, message, log);
}

void notify_stopping(int notifier, uint32_t milliseconds, struct log *log)
{
    char message[MESSAGE_MAX];

    (void)snprintf(message, sizeof message,
                   "STOPPING=1\nSTATUS=Draining\nEXTEND_TIMEOUT_USEC=%" PRIu32 "000", milliseconds);
    send_message(notifier, message, log);
}
