/* wraps: open opendir fstat readdir clock_gettime sysconf */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "failing.h"
#include "inspect.h"
#include "usage.h"

enum { PAGE = 16384, THREADS = 4, READINGS = 200, SELF_MAX = 64, PATH_SIZE = 2 * SELF_MAX };

/* What the kernel answers. */
static struct {
    off_t size;       /* of the folder of descriptors; -1: the truth */
    int entry_error;  /* of the third entry that is read of the folder in `self`; 0: none */
    unsigned entries; /* that were read of it */
    bool is_other;    /* the last folder that was opened is not that in `self` */
    struct timespec cpu;
    struct timespec now;
} kernel;

static char self[SELF_MAX]; /* the folder that stands for /proc/self */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
int __real_fstat(int descriptor, struct stat *entry);
int __wrap_fstat(int descriptor, struct stat *entry);
struct dirent *__real_readdir(DIR *folder);
struct dirent *__wrap_readdir(DIR *folder);
int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
long __real_sysconf(int name);
long __wrap_sysconf(int name);

/* What creates a file is not the code under test but that which measures its coverage. */
int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    int descriptor = -1;

    if ((flags & O_CREAT) == 0)
        return failing_now() ? -1 : __real_open(path, flags);
    va_start(arguments, flags);
    descriptor = __real_open(path, flags, va_arg(arguments, mode_t));
    va_end(arguments);
    return descriptor;
}

DIR *__wrap_opendir(const char *path)
{
    kernel.is_other = strncmp(path, self, strlen(self)) != 0;
    kernel.entries = 0;
    return failing_now() ? NULL : __real_opendir(path);
}

int __wrap_fstat(int descriptor, struct stat *entry)
{
    if (failing_now())
        return -1;
    if (__real_fstat(descriptor, entry) != 0)
        return -1;
    if (kernel.size >= 0)
        entry->st_size = kernel.size;
    return 0;
}

struct dirent *__wrap_readdir(DIR *folder)
{
    if (kernel.entry_error != 0 && !kernel.is_other && ++kernel.entries == 3) {
        errno = kernel.entry_error;
        return NULL;
    }
    return __real_readdir(folder);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock == CLOCK_PROCESS_CPUTIME_ID)
        *time = kernel.cpu;
    else if (clock == CLOCK_REALTIME)
        *time = kernel.now;
    else
        return __real_clock_gettime(clock, time); /* cmocka's */
    return 0;
}

long __wrap_sysconf(int name)
{
    return name == _SC_PAGESIZE ? PAGE : __real_sysconf(name);
}

static void path_of(const char *name, char path[PATH_SIZE])
{
    (void)snprintf(path, PATH_SIZE, "%s/%s", self, name);
}

static void write_file(const char *name, const char *text)
{
    char path[PATH_SIZE];
    FILE *file = NULL;

    path_of(name, path);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void create_folder(const char *name)
{
    char path[PATH_SIZE];

    path_of(name, path);
    assert_int_equal(mkdir(path, 0700), 0);
}

static int create_self(void **state)
{
    (void)state;
    memset(&kernel, 0, sizeof kernel);
    kernel.cpu = (struct timespec){.tv_sec = 7, .tv_nsec = 8};
    kernel.now = (struct timespec){.tv_sec = 1795338000, .tv_nsec = 7999999};
    (void)snprintf(self, sizeof self, "/tmp/versiond-usage.XXXXXX");
    return mkdtemp(self) == NULL ? -1 : 0;
}

static int remove_entry(const char *path, const struct stat *entry, int kind, struct FTW *position)
{
    (void)entry;
    (void)kind;
    (void)position;
    return remove(path);
}

static int remove_self(void **state)
{
    (void)state;
    failing_at(0);
    memset(&kernel, 0, sizeof kernel);
    kernel.size = -1;
    return nftw(self, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* Compares two sets of figures; a failure names the first that differs. */
static void expect_figures(const struct usage_figures *actual, const struct usage_figures *expected)
{
    const struct {
        const char *name;
        int64_t actual;
        int64_t expected;
    } rows[] = {
        {"cpu", actual->cpu, expected->cpu},
        {"resident", actual->resident, expected->resident},
        {"virtual", actual->virtual, expected->virtual},
        {"open", actual->open, expected->open},
        {"max_open", actual->max_open, expected->max_open},
        {"started", actual->started, expected->started},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].actual != rows[i].expected)
            fail_msg("%s is %lld, not %lld", rows[i].name, (long long)rows[i].actual,
                     (long long)rows[i].expected);
    }
}

/* The figures of a process that has nothing in its folder. */
static const struct usage_figures BARE = {.cpu = 7000000008,
                                          .resident = -1,
                                          .virtual = -1,
                                          .open = -1,
                                          .max_open = 1024,
                                          .started = 1795338000007};

/* Opens, reads once and closes; no descriptor may be left behind. */
static void expect_usage(const struct usage_figures *expected)
{
    const size_t descriptors = inspect_count_descriptors();
    struct usage usage;
    struct usage_figures figures;

    memset(&usage, 0xaa, sizeof usage);
    usage_open(&usage, self, 1024);
    figures = usage_read(&usage);
    expect_figures(&figures, expected);
    usage_close(&usage);
    assert_int_equal(inspect_count_descriptors(), descriptors);
}

static void figures_are_those_of_the_kernel(void **state)
{
    struct usage_figures expected = BARE;

    (void)state;
    write_file("statm", "300 200 100 40 0 50 0\n");
    create_folder("fd");
    kernel.size = 17; /* as Linux has it since 6.2 */
    expected.virtual = INT64_C(300) * PAGE;
    expected.resident = INT64_C(200) * PAGE;
    expected.open = 17;
    expect_usage(&expected);
}

static void figures_of_missing_files_are_unknown(void **state)
{
    struct usage_figures expected = BARE;

    (void)state;
    expect_usage(&BARE);
    create_folder("fd");
    kernel.size = 3;
    expected.open = 3;
    expect_usage(&expected);
}

static void figures_of_a_missing_folder_are_unknown(void **state)
{
    struct usage_figures expected = BARE;

    (void)state;
    write_file("statm", "2 1 0 0 0 0 0\n");
    expected.virtual = INT64_C(2) * PAGE;
    expected.resident = PAGE;
    expect_usage(&expected);
    (void)snprintf(self + strlen(self), sizeof self - strlen(self), "/none");
    expect_usage(&BARE);
    *strrchr(self, '/') = '\0';
}

static void figures_of_unreadable_files_are_unknown(void **state)
{
    (void)state;
    create_folder("statm"); /* opens, and cannot be read */
    write_file("fd", "");   /* no folder */
    expect_usage(&BARE);
}

static void figures_of_an_empty_file_are_unknown(void **state)
{
    (void)state;
    write_file("statm", "");
    expect_usage(&BARE);
}

/* Up to the numbers that 64 bits hold, and what follows them is not looked at. */
static void memory_may_be_large_and_the_line_long(void **state)
{
    char line[1024] = "549755813888 549755813887 ";
    struct usage_figures expected = BARE;

    (void)state;
    memset(line + strlen(line), '1', sizeof line - 1 - strlen(line));
    write_file("statm", line);
    expected.virtual = INT64_C(549755813888) * PAGE;
    expected.resident = INT64_C(549755813887) * PAGE;
    expect_usage(&expected);
}

static void memory_is_read_anew_each_time(void **state)
{
    struct usage usage;
    struct usage_figures expected = BARE;
    struct usage_figures figures;

    (void)state;
    write_file("statm", "300 200 100\n");
    usage_open(&usage, self, 1024);
    for (int i = 1; i <= 3; i++) {
        char text[64];

        (void)snprintf(text, sizeof text, "%d %d 0\n", 10 * i, i);
        write_file("statm", text);
        kernel.cpu.tv_sec = i;
        kernel.now.tv_sec++; /* when it began does not change */
        figures = usage_read(&usage);
        expected.cpu = i * INT64_C(1000000000) + 8;
        expected.virtual = INT64_C(10) * i * PAGE;
        expected.resident = INT64_C(1) * i * PAGE;
        expect_figures(&figures, &expected);
    }
    usage_close(&usage);
}

static void time_of_the_cpu_that_the_kernel_does_not_say_is_unknown(void **state)
{
    struct usage usage;
    struct usage_figures figures;

    (void)state;
    kernel.cpu = (struct timespec){0};
    usage_open(&usage, self, 4096);
    figures = usage_read(&usage);
    assert_int_equal(figures.cpu, -1);
    usage_close(&usage);
}

/* Before Linux 6.2 the folder has no size. */
static void descriptors_are_counted_where_the_folder_has_no_size(void **state)
{
    static const unsigned counts[] = {0, 1, 2, 100, 1000};
    struct usage_figures expected = BARE;
    unsigned made = 0;

    (void)state;
    create_folder("fd");
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        for (; made < counts[i]; made++) {
            char name[32];

            (void)snprintf(name, sizeof name, "fd/%u", made);
            write_file(name, "");
        }
        expected.open = counts[i];
        expect_usage(&expected);
    }
}

static void descriptors_are_counted_anew_each_time(void **state)
{
    struct usage usage;

    (void)state;
    create_folder("fd");
    usage_open(&usage, self, 1024);
    for (int i = 0; i < 5; i++) {
        char name[32];

        assert_int_equal(usage_read(&usage).open, i);
        assert_int_equal(usage_read(&usage).open, i);
        (void)snprintf(name, sizeof name, "fd/%d", i);
        write_file(name, "");
    }
    usage_close(&usage);
}

static void descriptors_are_counted_where_the_folder_cannot_be_asked(void **state)
{
    struct usage_figures expected = BARE;
    struct usage usage;
    struct usage_figures figures;

    (void)state;
    create_folder("fd");
    write_file("fd/0", "");
    kernel.size = 1000;
    usage_open(&usage, self, 1024);
    failing_at(1); /* fstat() */
    figures = usage_read(&usage);
    assert_true(failing_has_failed());
    failing_at(0);
    expected.open = 1;
    expect_figures(&figures, &expected);
    usage_close(&usage);
}

static void descriptors_are_unknown_where_the_folder_cannot_be_read(void **state)
{
    (void)state;
    create_folder("fd");
    write_file("fd/0", "");
    write_file("fd/1", "");
    kernel.entry_error = EIO;
    expect_usage(&BARE);
}

static void files_that_cannot_be_opened_are_as_missing(void **state)
{
    struct usage_figures expected = BARE;
    unsigned n = 1;

    (void)state;
    write_file("statm", "300 200 100\n");
    create_folder("fd");
    kernel.size = 17;
    for (;; n++) {
        const size_t descriptors = inspect_count_descriptors();
        struct usage usage;
        struct usage_figures figures;
        bool has_failed = false;

        failing_at(n);
        usage_open(&usage, self, 1024);
        has_failed = failing_has_failed();
        failing_at(0);
        figures = usage_read(&usage);
        expected.virtual = n == 1 ? -1 : INT64_C(300) * PAGE;
        expected.resident = n == 1 ? -1 : INT64_C(200) * PAGE;
        expected.open = n == 2 ? -1 : 17;
        expect_figures(&figures, &expected);
        usage_close(&usage);
        assert_int_equal(inspect_count_descriptors(), descriptors);
        if (!has_failed)
            break;
    }
    assert_int_equal(n, 3); /* statm and fd */
}

/* The files are opened once: reading them needs no right to open any. */
static void reading_opens_nothing(void **state)
{
    struct usage usage;

    (void)state;
    write_file("statm", "300 200 100\n");
    create_folder("fd");
    kernel.size = 17;
    usage_open(&usage, self, 1024);
    failing_at(2); /* the first call that can fail is that of fstat() */
    assert_int_equal(usage_read(&usage).open, 17);
    assert_false(failing_has_failed());
    failing_at(0);
    usage_close(&usage);
}

static void descriptors_do_not_pass_to_other_programs(void **state)
{
    struct usage usage;

    (void)state;
    write_file("statm", "300 200 100\n");
    create_folder("fd");
    usage_open(&usage, self, 1024);
    assert_int_equal(fcntl(usage.statm, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(dirfd(usage.descriptors), F_GETFD), FD_CLOEXEC);
    usage_close(&usage);
}

static void *read_often(void *usage)
{
    for (int i = 0; i < READINGS; i++) {
        const struct usage_figures figures = usage_read(usage);

        if (figures.open != 100 || figures.virtual != INT64_C(300) * PAGE)
            return usage;
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    pthread_t threads[THREADS];
    struct usage usage;

    (void)state;
    write_file("statm", "300 200 100\n");
    create_folder("fd");
    for (int i = 0; i < 100; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "fd/%d", i);
        write_file(name, "");
    }
    usage_open(&usage, self, 1024);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_often, &usage), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *failed = NULL;

        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    usage_close(&usage);
}

/* With the real folder: counting or asking for its size, the kernel says the same. */
static void own_descriptors_are_seen_as_they_come_and_go(void **state)
{
    static const off_t sizes[] = {-1, 0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct usage usage;
        int descriptor = -1;
        int64_t before = 0;

        kernel.size = sizes[i];
        usage_open(&usage, "/proc/self", 1024);
        before = usage_read(&usage).open;
        assert_true(before >= 2); /* those of `usage` at least */
        assert_true(usage_read(&usage).resident >= PAGE);
        assert_true(usage_read(&usage).virtual >= usage_read(&usage).resident);
        descriptor = dup(usage.statm);
        assert_true(descriptor >= 0);
        assert_int_equal(usage_read(&usage).open, before + 1);
        assert_int_equal(close(descriptor), 0);
        assert_int_equal(usage_read(&usage).open, before);
        usage_close(&usage);
    }
}

#define WITH_SELF(test) cmocka_unit_test_setup_teardown(test, create_self, remove_self)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SELF(figures_are_those_of_the_kernel),
        WITH_SELF(figures_of_missing_files_are_unknown),
        WITH_SELF(figures_of_a_missing_folder_are_unknown),
        WITH_SELF(figures_of_unreadable_files_are_unknown),
        WITH_SELF(figures_of_an_empty_file_are_unknown),
        WITH_SELF(memory_may_be_large_and_the_line_long),
        WITH_SELF(memory_is_read_anew_each_time),
        WITH_SELF(time_of_the_cpu_that_the_kernel_does_not_say_is_unknown),
        WITH_SELF(descriptors_are_counted_where_the_folder_has_no_size),
        WITH_SELF(descriptors_are_counted_anew_each_time),
        WITH_SELF(descriptors_are_counted_where_the_folder_cannot_be_asked),
        WITH_SELF(descriptors_are_unknown_where_the_folder_cannot_be_read),
        WITH_SELF(files_that_cannot_be_opened_are_as_missing),
        WITH_SELF(reading_opens_nothing),
        WITH_SELF(descriptors_do_not_pass_to_other_programs),
        WITH_SELF(threads_share_it),
        WITH_SELF(own_descriptors_are_seen_as_they_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
