/* wraps: sched_getaffinity getrlimit setrlimit */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "resources.h"

enum { MACHINE_CPUS = 8, TREE_PATH_MAX = 256, FILES_MAX = 4 };

/* What the kernel answers. */
static struct {
    int cpus; /* of the affinity mask; -1: the call fails */
    struct rlimit files;
    bool getrlimit_fails;
    bool setrlimit_fails;
    unsigned setrlimit_calls;
} kernel;

/* A folder that stands for /sys/fs/cgroup, with a file "self" that stands for /proc/self/cgroup. */
static char root[TREE_PATH_MAX];

int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);
int __wrap_getrlimit(int resource, struct rlimit *limit);
int __wrap_setrlimit(int resource, const struct rlimit *limit);

int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    assert_int_equal(pid, 0);
    assert_int_equal(size, sizeof *set);
    if (kernel.cpus < 0) {
        errno = EINVAL;
        return -1;
    }
    CPU_ZERO(set);
    for (int i = 0; i < kernel.cpus; i++)
        CPU_SET((size_t)(2 * i), set);
    return 0;
}

int __wrap_getrlimit(int resource, struct rlimit *limit)
{
    assert_int_equal(resource, RLIMIT_NOFILE);
    if (kernel.getrlimit_fails)
        return -1;
    *limit = kernel.files;
    return 0;
}

int __wrap_setrlimit(int resource, const struct rlimit *limit)
{
    assert_int_equal(resource, RLIMIT_NOFILE);
    assert_true(limit->rlim_max == kernel.files.rlim_max);
    kernel.setrlimit_calls++;
    if (kernel.setrlimit_fails)
        return -1;
    kernel.files = *limit;
    return 0;
}

static int create_tree(void **state)
{
    (void)state;
    memset(&kernel, 0, sizeof kernel);
    kernel.cpus = MACHINE_CPUS;
    (void)snprintf(root, sizeof root, "/tmp/versiond-resources.XXXXXX");
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int remove_entry(const char *path, const struct stat *entry, int kind, struct FTW *position)
{
    (void)entry;
    (void)kind;
    (void)position;
    return remove(path);
}

static int remove_tree(void **state)
{
    (void)state;
    return nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file below the root, and creates the folders above it. */
static void write_file(const char *name, const char *text)
{
    char path[2 * TREE_PATH_MAX];
    FILE *file = NULL;

    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
        *at = '/';
    }
    file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int next_descriptor(void)
{
    const int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(descriptor >= 0);
    (void)close(descriptor);
    return descriptor;
}

/* Counts the CPUs in the tree, and checks that no file stays open. */
static unsigned count_cpus(void)
{
    const int descriptor = next_descriptor();
    char self[TREE_PATH_MAX + 8];
    unsigned cpus = 0;

    (void)snprintf(self, sizeof self, "%s/self", root);
    cpus = resources_cpus(root, self);
    assert_int_equal(next_descriptor(), descriptor);
    return cpus;
}

static void expect_cpus_of_quota(const char *quota, unsigned expected)
{
    unsigned cpus = 0;

    write_file("self", "0::/own\n");
    write_file("own/cpu.max", quota);
    cpus = count_cpus();
    if (cpus != expected)
        fail_msg("'%s' gives %u CPUs, not %u", quota, cpus, expected);
}

static void cpus_without_control_groups_are_those_of_the_affinity_mask(void **state)
{
    (void)state;
    assert_uint_equal(count_cpus(), MACHINE_CPUS);
    kernel.cpus = 1;
    assert_uint_equal(count_cpus(), 1);
}

static void cpus_are_never_none(void **state)
{
    (void)state;
    kernel.cpus = 0;
    assert_uint_equal(count_cpus(), 1);
}

static void cpus_of_a_machine_with_more_than_the_mask_holds_are_as_many_as_it_holds(void **state)
{
    (void)state;
    kernel.cpus = -1;
    assert_uint_equal(count_cpus(), CPU_SETSIZE);
    expect_cpus_of_quota("300000 100000\n", 3);
}

static void cpus_of_a_quota_are_rounded_up(void **state)
{
    static const struct {
        const char *quota;
        unsigned cpus;
    } rows[] = {
        {"1 100000\n", 1},      {"50000 100000\n", 1},  {"100000 100000\n", 1},
        {"100001 100000\n", 2}, {"150000 100000\n", 2}, {"199999 100000\n", 2},
        {"200000 100000\n", 2}, {"200001 100000\n", 3}, {"10000 5000\n", 2},
        {"700000 100000\n", 7}, {"700000 100000", 7},   {"0 100000\n", 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_cpus_of_quota(rows[i].quota, rows[i].cpus);
}

static void cpus_of_a_quota_that_limits_nothing_are_those_of_the_affinity_mask(void **state)
{
    static const char *const quotas[] = {
        "max 100000\n",
        "max\n",
        "max 1\n",
        "800000 100000\n",
        "800001 100000\n",
        "100000000 100000\n",
        "4294967295 1\n",
        "4294967296 1\n",
        "4294967297 1\n",
        "8589934591 2\n",
        "42949672970000 10000\n",
        "9223372036854775807 1\n",
        "18446744073709551615 1\n",
        "18446744073709551616 1\n",
        "99999999999999999999999999 1\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(quotas); i++)
        expect_cpus_of_quota(quotas[i], MACHINE_CPUS);
}

static void cpus_of_a_quota_that_is_garbage_are_those_of_the_affinity_mask(void **state)
{
    static const char *const quotas[] = {
        "",      "\n",        "100000",     "100000\n",        "100000 max\n", "100000 0\n",
        "0 0\n", "garbage\n", "x 100000\n", "100000,100000\n", "1e5 100000\n", "-1 100000\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(quotas); i++)
        expect_cpus_of_quota(quotas[i], MACHINE_CPUS);
}

struct tree {
    const char *self; /* the text of the file, NULL: it is missing */
    struct {
        const char *name;
        const char *text;
    } files[FILES_MAX];
    unsigned cpus;
};

static void expect_cpus_of_tree(const struct tree *tree)
{
    unsigned cpus = 0;

    assert_int_equal(create_tree(NULL), 0);
    if (tree->self != NULL)
        write_file("self", tree->self);
    for (size_t i = 0; i < FILES_MAX && tree->files[i].name != NULL; i++)
        write_file(tree->files[i].name, tree->files[i].text);
    cpus = count_cpus();
    assert_int_equal(remove_tree(NULL), 0);
    if (cpus != tree->cpus)
        fail_msg("'%s' gives %u CPUs, not %u", tree->self ? tree->self : "missing", cpus,
                 tree->cpus);
}

static void cpus_are_limited_by_every_group_up_to_the_root(void **state)
{
    static const struct tree trees[] = {
        {"0::/\n", {{"cpu.max", "3 1"}}, 3},
        {"0::/a\n", {{"a/cpu.max", "3 1"}}, 3},
        {"0::/a\n", {{"cpu.max", "2 1"}, {"a/cpu.max", "3 1"}}, 2},
        {"0::/a\n", {{"cpu.max", "3 1"}, {"a/cpu.max", "2 1"}}, 2},
        {"0::/a/b/c\n",
         {{"a/b/c/cpu.max", "2 1"}, {"a/b/cpu.max", "3 1"}, {"a/cpu.max", "4 1"}},
         2},
        {"0::/a/b/c\n",
         {{"a/b/c/cpu.max", "3 1"}, {"a/b/cpu.max", "2 1"}, {"a/cpu.max", "4 1"}},
         2},
        {"0::/a/b/c\n",
         {{"a/b/c/cpu.max", "4 1"}, {"a/b/cpu.max", "3 1"}, {"a/cpu.max", "2 1"}},
         2},
        {"0::/a/b\n", {{"a/b/cpu.max", "max 1"}, {"a/cpu.max", "5 1"}}, 5},
        {"0::/a/b\n", {{"a/cpu.max", "5 1"}}, 5},
        {"0::/a/b (deleted)\n", {{"a/cpu.max", "5 1"}}, 5},
        {"0::/a b\n", {{"a b/cpu.max", "6 1"}}, 6},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(trees); i++)
        expect_cpus_of_tree(&trees[i]);
}

static void cpus_are_not_limited_by_other_groups(void **state)
{
    static const struct tree trees[] = {
        {"0::/a\n", {{"b/cpu.max", "1 1"}, {"a/b/cpu.max", "1 1"}}, MACHINE_CPUS},
        {"0::/ab\n", {{"a/cpu.max", "1 1"}}, MACHINE_CPUS},
        {"4:cpu,cpuacct:/a\n1:name=systemd:/a\n", {{"a/cpu.max", "1 1"}}, MACHINE_CPUS},
        {"10::/a\n", {{"a/cpu.max", "1 1"}}, MACHINE_CPUS},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(trees); i++)
        expect_cpus_of_tree(&trees[i]);
}

static void cpus_own_group_is_found_in_any_line(void **state)
{
    static const struct tree trees[] = {
        {"0::/a", {{"a/cpu.max", "2 1"}}, 2},
        {"4:cpu:/x\n1:name=systemd:/y\n0::/a\n", {{"a/cpu.max", "2 1"}}, 2},
        {"0::/a\n4:cpu:/x\n", {{"a/cpu.max", "2 1"}}, 2},
        {"\n\n0::/a\n\n", {{"a/cpu.max", "2 1"}}, 2},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(trees); i++)
        expect_cpus_of_tree(&trees[i]);
}

static void cpus_without_own_group_are_limited_by_the_root(void **state)
{
    static const struct tree trees[] = {
        {NULL, {{"cpu.max", "2 1"}}, 2},
        {"", {{"cpu.max", "2 1"}}, 2},
        {"garbage\n", {{"cpu.max", "2 1"}}, 2},
        {"0::\n", {{"cpu.max", "2 1"}}, 2},
        {"0::a\n", {{"cpu.max", "2 1"}, {"a/cpu.max", "1 1"}}, 2},
        {"4:cpu:/a\n", {{"cpu.max", "2 1"}}, 2},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(trees); i++)
        expect_cpus_of_tree(&trees[i]);
}

/* The longest name that a group can have, and more: a path that no file can have. */
static void cpus_of_a_group_with_a_long_name_are_limited_by_the_root(void **state)
{
    char line[3 * PATH_MAX] = "0::/";

    (void)state;
    memset(line + strlen(line), 'a', sizeof line - strlen(line) - 1);
    write_file("self", line);
    write_file("cpu.max", "2 1");
    assert_uint_equal(count_cpus(), 2);
    line[PATH_MAX - 1] = '\0';
    write_file("self", line);
    assert_uint_equal(count_cpus(), 2);
}

static void cpus_with_folders_in_place_of_files_are_those_of_the_affinity_mask(void **state)
{
    (void)state;
    write_file("self/file", "");
    write_file("cpu.max/file", "");
    assert_uint_equal(count_cpus(), MACHINE_CPUS);
}

static void open_files_soft_limit_is_raised_to_the_hard_one(void **state)
{
    (void)state;
    kernel.files = (struct rlimit){.rlim_cur = 1024, .rlim_max = 524288};
    assert_uint_equal(resources_open_files(), 524288);
    assert_true(kernel.files.rlim_cur == 524288);
    assert_uint_equal(kernel.setrlimit_calls, 1);
}

static void open_files_limit_that_is_the_hard_one_stays(void **state)
{
    (void)state;
    kernel.files = (struct rlimit){.rlim_cur = 4096, .rlim_max = 4096};
    assert_uint_equal(resources_open_files(), 4096);
    assert_uint_equal(kernel.setrlimit_calls, 0);
}

static void open_files_limit_that_cannot_be_raised_is_the_soft_one(void **state)
{
    (void)state;
    kernel.files = (struct rlimit){.rlim_cur = 1024, .rlim_max = 4096};
    kernel.setrlimit_fails = true;
    assert_uint_equal(resources_open_files(), 1024);
    assert_uint_equal(kernel.setrlimit_calls, 1);
}

static void open_files_limit_that_is_not_known_is_one(void **state)
{
    (void)state;
    kernel.getrlimit_fails = true;
    assert_uint_equal(resources_open_files(), 1);
    assert_uint_equal(kernel.setrlimit_calls, 0);
}

static void open_files_limit_of_zero_is_one(void **state)
{
    (void)state;
    assert_uint_equal(resources_open_files(), 1);
}

static void open_files_limit_above_an_unsigned_is_the_highest(void **state)
{
    static const rlim_t limits[] = {UINT_MAX, (rlim_t)UINT_MAX + 1, (rlim_t)UINT_MAX + 2,
                                    RLIM_INFINITY};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        kernel.files = (struct rlimit){.rlim_cur = 1024, .rlim_max = limits[i]};
        assert_uint_equal(resources_open_files(), UINT_MAX);
        assert_true(kernel.files.rlim_cur == limits[i]);
    }
    kernel.files = (struct rlimit){.rlim_cur = 1024, .rlim_max = UINT_MAX - 1};
    assert_uint_equal(resources_open_files(), UINT_MAX - 1);
}

#define IN_TREE(test) cmocka_unit_test_setup_teardown(test, create_tree, remove_tree)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TREE(cpus_without_control_groups_are_those_of_the_affinity_mask),
        IN_TREE(cpus_are_never_none),
        IN_TREE(cpus_of_a_machine_with_more_than_the_mask_holds_are_as_many_as_it_holds),
        IN_TREE(cpus_of_a_quota_are_rounded_up),
        IN_TREE(cpus_of_a_quota_that_limits_nothing_are_those_of_the_affinity_mask),
        IN_TREE(cpus_of_a_quota_that_is_garbage_are_those_of_the_affinity_mask),
        cmocka_unit_test(cpus_are_limited_by_every_group_up_to_the_root),
        cmocka_unit_test(cpus_are_not_limited_by_other_groups),
        cmocka_unit_test(cpus_own_group_is_found_in_any_line),
        cmocka_unit_test(cpus_without_own_group_are_limited_by_the_root),
        IN_TREE(cpus_of_a_group_with_a_long_name_are_limited_by_the_root),
        IN_TREE(cpus_with_folders_in_place_of_files_are_those_of_the_affinity_mask),
        IN_TREE(open_files_soft_limit_is_raised_to_the_hard_one),
        IN_TREE(open_files_limit_that_is_the_hard_one_stays),
        IN_TREE(open_files_limit_that_cannot_be_raised_is_the_soft_one),
        IN_TREE(open_files_limit_that_is_not_known_is_one),
        IN_TREE(open_files_limit_of_zero_is_one),
        IN_TREE(open_files_limit_above_an_unsigned_is_the_highest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
