/* For LD_PRELOAD: faults that no system call shows. Built as preload.so for tests/faults/faults.py,
 * for programs that glibc is linked with as a library. What fails is said in the environment:
 * - FAULT_ALLOCATION=N: the Nth allocation of the program, whoever makes it, gets no memory; with
 *   N+ all from it on.
 * - FAULT_BUFFER=BYTES: the kernel keeps about so many bytes for a client that has not taken them.
 * - FAULT_CLOCK=SECONDS: the time of day steps so far ahead with every second look at it, and back
 *   with the next.
 * - FAULT_SLEEP=N: as if the machine had slept an hour before the Nth look at the time that goes
 *   forward.
 * - FAULT_LOG=FILE: gets a line for each allocation that failed, and at the end how many there
 *   were. */
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

/* The functions of glibc itself. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static atomic_ulong allocations;
static atomic_ulong days_looks;
static atomic_ulong monotonic_looks;

static unsigned long number_of(const char *variable)
{
    const char *text = getenv(variable);

    return text == NULL ? 0 : strtoul(text, NULL, 10);
}

/* Adds to the file FAULT_LOG, without an allocation. */
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

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the names of the libc are
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

/* Those that are accepted have it from the listener. */
int listen(int socket, int backlog)
{
    const int bytes = (int)number_of("FAULT_BUFFER");

    if (bytes > 0 && setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) != 0)
        abort();
    return (int)syscall(SYS_listen, socket, backlog);
}

/* How far ahead the time of day is at this look. */
static time_t step(void)
{
    const unsigned long seconds = number_of("FAULT_CLOCK");

    return atomic_fetch_add(&days_looks, 1) % 2 == 0 ? 0 : (time_t)seconds;
}

static time_t slept(void)
{
    const unsigned long from = number_of("FAULT_SLEEP");

    return from > 0 && atomic_fetch_add(&monotonic_looks, 1) + 1 >= from ? HOUR : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    const int result = (int)syscall(SYS_clock_gettime, clock, now);

    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        now->tv_sec += step();
    else if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE)
        now->tv_sec += slept();
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
