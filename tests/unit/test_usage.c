/* wraps: fstat readdir clock_gettime */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "failing.h"
#include "inspect.h"
#include "tree.h"
#include "usage.h"

enum { THREADS = 4, READS = 200, ENTRIES = 100, FILES_MAX = 3 };

static off_t directory_size = -1; /* reported by fstat(); -1: the real size */
static struct timespec cpu_time;
static struct timespec real_time;

FAILING_WRAPPER(struct dirent *, readdir, NULL, (DIR * directory), (directory))
int __real_fstat(int descriptor, struct stat *entry);
int __wrap_fstat(int descriptor, struct stat *entry);
int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);

int __wrap_fstat(int descriptor, struct stat *entry)
{
    const int result = failing_call("fstat") ? -1 : __real_fstat(descriptor, entry);

    if (directory_size >= 0)
        entry->st_size = directory_size;
    return result;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock != CLOCK_PROCESS_CPUTIME_ID && clock != CLOCK_REALTIME)
        return __real_clock_gettime(clock, time); /* used by cmocka */
    *time = clock == CLOCK_REALTIME ? real_time : cpu_time;
    return 0;
}

static int reset(void **state)
{
    (void)state;
    failing_at(0);
    directory_size = -1;
    cpu_time = (struct timespec){.tv_sec = 7, .tv_nsec = 8};
    real_time = (struct timespec){.tv_sec = 1795338000, .tv_nsec = 7999999};
    return 0;
}

/* Kernels since Linux 6.2 report the number of descriptors as the size of the directory. */
static void reads_available_figures(void **state)
{
    static const struct {
        const char *files[FILES_MAX][2]; /* name, contents */
        off_t size;
        const char *failing;
        unsigned nth;
        int64_t virtual, resident; /* expected, in pages */
        int64_t open;
    } rows[] = {
        {{{"statm", "300 200 100 40 0\n"}, {"fd/0", ""}}, 17, "", 0, 300, 200, 17},
        {{{"statm", "549755813888 549755813887"}}, 0, "", 0, 549755813888, 549755813887, -1},
        {{{"statm", ""}, {"fd/0", ""}, {"fd/1", ""}}, 0, "", 0, -1, -1, 2},
        {{{"statm/is_a_directory", ""}, {"fd", "is a file"}}, 9, "", 0, -1, -1, -1},
        {{{"other", ""}}, 9, "", 0, -1, -1, -1},
        {{{"fd/0", ""}}, 1000, "fstat", 1, -1, -1, 1},
        {{{"fd/0", ""}, {"fd/1", ""}}, 0, "readdir", 3, -1, -1, -1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const size_t descriptors = inspect_count_descriptors();
        const int64_t page = sysconf(_SC_PAGESIZE);
        const char *self = tree_create();
        struct usage usage;
        struct usage_figures figures;

        for (size_t j = 0; j < FILES_MAX && rows[i].files[j][0] != NULL; j++)
            tree_write(rows[i].files[j][0], rows[i].files[j][1]);
        usage_open(&usage, self, 1024);
        directory_size = rows[i].size;
        failing_arm(rows[i].failing, rows[i].nth, EIO);
        figures = usage_read(&usage);
        (void)reset(NULL);
        usage_close(&usage);
        tree_remove();
        if (figures.open != rows[i].open)
            fail_msg("row %zu: %lld descriptors", i, (long long)figures.open);
        assert_int_equal(figures.virtual, rows[i].virtual < 0 ? -1 : rows[i].virtual * page);
        assert_int_equal(figures.resident, rows[i].resident < 0 ? -1 : rows[i].resident * page);
        assert_int_equal(figures.max_open, 1024);
        assert_int_equal(figures.cpu, 7000000008);
        assert_int_equal(figures.started, 1795338000007);
        assert_int_equal(inspect_count_descriptors(), descriptors);
    }
}

/* The real directory gives the same count by its size and by its entries. */
static void follows_changes_of_the_process(void **state)
{
    static const off_t sizes[] = {-1, 0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct usage usage;
        int64_t before = 0;
        int descriptor = -1;

        usage_open(&usage, "/proc/self", 1024);
        directory_size = sizes[i];
        before = usage_read(&usage).open;
        assert_true(before >= 2); /* opened by usage_open() */
        descriptor = dup(usage.statm);
        assert_int_equal(usage_read(&usage).open, before + 1);
        (void)close(descriptor);
        assert_int_equal(usage_read(&usage).open, before);
        real_time.tv_sec++;
        cpu_time = (struct timespec){.tv_sec = 9};
        assert_int_equal(usage_read(&usage).started, 1795338000007 + (int64_t)i * 1000);
        assert_int_equal(usage_read(&usage).cpu, 9000000000);
        cpu_time = (struct timespec){0}; /* not available */
        assert_int_equal(usage_read(&usage).cpu, -1);
        assert_int_equal(fcntl(usage.statm, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fcntl(dirfd(usage.descriptors), F_GETFD), FD_CLOEXEC);
        usage_close(&usage);
    }
}

static void *read_repeatedly(void *usage)
{
    for (int i = 0; i < READS; i++) {
        if (usage_read(usage).open != ENTRIES)
            return usage;
    }
    return NULL;
}

static void can_be_shared_by_threads(void **state)
{
    const char *self = tree_create();
    pthread_t threads[THREADS];
    struct usage usage;
    void *failed = NULL;

    (void)state;
    for (int i = 0; i < ENTRIES; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "fd/%d", i);
        tree_write(name, "");
    }
    directory_size = 0;
    usage_open(&usage, self, 1024);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_repeatedly, &usage), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    usage_close(&usage);
    directory_size = -1;
    tree_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(reads_available_figures, reset),
        cmocka_unit_test_setup(follows_changes_of_the_process, reset),
        cmocka_unit_test_setup(can_be_shared_by_threads, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
