/* Injects faults that are not system calls, for LD_PRELOAD: tests/faults/faults.py loads it into
 * programs that use glibc as a shared library. The environment selects the fault:
 * - FAULT_ALLOCATION=N: the Nth allocation fails; with N+ all from the Nth on.
 * - FAULT_BUFFER=BYTES: the size of the send buffer of each connection.
 * - FAULT_CLOCK=SECONDS: every second reading of the time of day is that far ahead.
 * - FAULT_SLEEP=N: the machine seems to have slept for an hour before the Nth reading of the
 * monotonic clock.
 * - FAULT_LOG=FILE: receives a line for each failed allocation, and at exit the number of
 * allocations. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { HOUR = 3600 };

/* glibc's implementations. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static atomic_ulong allocations;
static atomic_ulong time_readings;
static atomic_ulong clock_readings;

static unsigned long number_of(const char *variable)
{
    const char *text = getenv(variable);

    return text == NULL ? 0 : strtoul(text, NULL, 10);
}

/* Appends to the file FAULT_LOG, without an allocation. */
static void note(const char *line)
{
    const char *path = getenv("FAULT_LOG");
    const int file =
        path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (file < 0)
        return;
    if (write(file, line, strlen(line)) < 0)
        abort();
    (void)close(file);
}

static bool fails_now(void)
{
    const char *text = getenv("FAULT_ALLOCATION");
    const unsigned long number = atomic_fetch_add(&allocations, 1) + 1;
    const unsigned long from = number_of("FAULT_ALLOCATION");

    if (text == NULL || from == 0 ||
        (number != from && (number < from || strchr(text, '+') == NULL)))
        return false;
    note("failed\n");
    errno = ENOMEM;
    return true;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the libc's names are
 * reserved */
void *malloc(size_t size)
{
    return fails_now() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails_now() ? NULL : __libc_memalign(alignment, size);
}

__attribute__((destructor)) static void count(void)
{
    char line[64];

    (void)snprintf(line, sizeof line, "allocations %lu\n", atomic_load(&allocations));
    note(line);
}

/* Sets the send buffer, which accepted sockets inherit from the listener. */
int listen(int socket, int backlog)
{
    const int bytes = (int)number_of("FAULT_BUFFER");

    if (bytes > 0 && setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) != 0)
        abort();
    return (int)syscall(SYS_listen, socket, backlog);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    const int result = (int)syscall(SYS_clock_gettime, clock, now);
    const unsigned long from = number_of("FAULT_SLEEP");

    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        if (atomic_fetch_add(&time_readings, 1) % 2 == 1)
            now->tv_sec += (time_t)number_of("FAULT_CLOCK");
    } else if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE) {
        if (from > 0 && atomic_fetch_add(&clock_readings, 1) + 1 >= from)
            now->tv_sec += HOUR;
    }
    return result;
}

time_t time(time_t *result)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (result != NULL)
        *result = now.tv_sec;
    return now.tv_sec;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
