/* wraps: sched_getaffinity getrlimit setrlimit */
#include "test.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "failing.h"
#include "inspect.h"
#include "resources.h"
#include "tree.h"

enum { CPUS = 8, FILES_MAX = 4 };

#define UID "0a1b2c3d_4e5f_6071_8293_a4b5c6d7e8f9"
#define CONTAINER "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define POD "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID ".slice"
#define LONG_POD "kubelet.slice/kubelet-" POD "/cri-containerd-" CONTAINER ".scope"
#define NESTED "/kubelet/kubepods/burstable/pod" UID "/" CONTAINER

static int mask_cpus;       /* in the affinity mask */
static struct rlimit files; /* RLIMIT_NOFILE */

int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);
int __wrap_getrlimit(int resource, struct rlimit *limit);
int __wrap_setrlimit(int resource, const struct rlimit *limit);

int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    assert_int_equal(pid, 0);
    assert_int_equal(size, sizeof *set);
    if (failing_call("sched_getaffinity"))
        return -1;
    CPU_ZERO(set);
    for (int i = 0; i < mask_cpus; i++)
        CPU_SET((size_t)(2 * i), set);
    return 0;
}

int __wrap_getrlimit(int resource, struct rlimit *limit)
{
    assert_int_equal(resource, RLIMIT_NOFILE);
    if (failing_call("getrlimit"))
        return -1;
    *limit = files;
    return 0;
}

int __wrap_setrlimit(int resource, const struct rlimit *limit)
{
    assert_int_equal(resource, RLIMIT_NOFILE);
    assert_true(limit->rlim_cur == files.rlim_max && limit->rlim_max == files.rlim_max);
    if (failing_call("setrlimit"))
        return -1;
    files = *limit;
    return 0;
}

struct tree {
    const char *self; /* contents of /proc/self/cgroup; NULL: the file is missing */
    struct {
        const char *name;
        const char *text;
    } files[FILES_MAX];
    unsigned cpus; /* expected result */
};

static void expect_cpus(const struct tree *tree)
{
    const size_t descriptors = inspect_count_descriptors();
    const char *root = tree_create();
    char self[64];
    unsigned cpus = 0;

    (void)snprintf(self, sizeof self, "%s/self", root);
    if (tree->self != NULL)
        tree_write("self", tree->self);
    for (size_t i = 0; i < FILES_MAX && tree->files[i].name != NULL; i++)
        tree_write(tree->files[i].name, tree->files[i].text);
    cpus = resources_cpus(root, self);
    tree_remove();
    if (cpus != tree->cpus)
        fail_msg("'%.300s', '%s': %u CPUs instead of %u", tree->self == NULL ? "" : tree->self,
                 tree->files[0].text == NULL ? "" : tree->files[0].text, cpus, tree->cpus);
    assert_int_equal(inspect_count_descriptors(), descriptors);
}

static int reset(void **state)
{
    (void)state;
    failing_at(0);
    mask_cpus = CPUS;
    return 0;
}

static void quota_is_rounded_up_and_invalid_quota_ignored(void **state)
{
    static const struct {
        const char *quota;
        unsigned cpus;
    } rows[] = {
        {"0 100000\n", 1},
        {"1 100000\n", 1},
        {"100000 100000\n", 1},
        {"100001 100000\n", 2},
        {"199999 100000\n", 2},
        {"200000 100000\n", 2},
        {"200001 100000\n", 3},
        {"10000 5000\n", 2},
        {"700000 100000", 7},
        {"700001 100000", CPUS},
        {"800001 100000\n", CPUS},
        {"max 100000\n", CPUS},
        {"4294967295 1\n", CPUS},
        {"4294967297 1\n", CPUS},
        {"8589934591 2\n", CPUS},
        {"18446744073709551616 1\n", CPUS},
        {"", CPUS},
        {"\n", CPUS},
        {"100000\n", CPUS},
        {"100000 0\n", CPUS},
        {"100000 max\n", CPUS},
        {"x 100000\n", CPUS},
        {"100000,100000\n", CPUS},
        {"1e5 100000\n", CPUS},
        {"-1 100000\n", CPUS},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_cpus(&(struct tree){"0::/own\n", {{"own/cpu.max", rows[i].quota}}, rows[i].cpus});
}

static void quota_of_the_group_and_its_parents_applies(void **state)
{
    static const struct tree trees[] = {
        {"0::/\n", {{"cpu.max", "3 1"}}, 3},
        {"0::/a\n", {{"cpu.max", "2 1"}, {"a/cpu.max", "3 1"}}, 2},
        {"0::/a\n", {{"cpu.max", "3 1"}, {"a/cpu.max", "2 1"}}, 2},
        {"0::/a/b/c\n",
         {{"a/b/c/cpu.max", "3 1"}, {"a/b/cpu.max", "2 1"}, {"a/cpu.max", "4 1"}},
         2},
        {"0::/a/b\n", {{"a/b/cpu.max", "max 1"}, {"a/cpu.max", "5 1"}}, 5},
        {"0::/a/b (deleted)\n", {{"a/cpu.max", "5 1"}}, 5},
        {"0::/a b\n", {{"a b/cpu.max", "6 1"}}, 6},
        {"0::/" LONG_POD "\n", {{LONG_POD "/cpu.max", "2 1"}}, 2},
        {"0::/" LONG_POD "\n", {{POD "/cpu.max", "1 1"}, {"kubelet.slice/cpu.max", "3 1"}}, 3},
        {"0::/" LONG_POD NESTED "\n", {{LONG_POD NESTED "/cpu.max", "2 1"}}, 2},
        /* other groups, and cgroup v1 */
        {"0::/a\n", {{"b/cpu.max", "1 1"}, {"a/b/cpu.max", "1 1"}}, CPUS},
        {"0::/ab\n", {{"a/cpu.max", "1 1"}}, CPUS},
        {"10::/a\n", {{"a/cpu.max", "1 1"}}, CPUS},
        {"4:cpu,cpuacct:/a\n1:name=systemd:/a\n", {{"a/cpu.max", "1 1"}}, CPUS},
        /* the group is in any line */
        {"0::/a", {{"a/cpu.max", "2 1"}}, 2},
        {"4:cpu:/x\n0::/a\n1:name=systemd:/y\n", {{"a/cpu.max", "2 1"}}, 2},
        /* only the root applies if the group is unknown */
        {NULL, {{"cpu.max", "2 1"}}, 2},
        {"0::\n", {{"cpu.max", "2 1"}}, 2},
        {"0::a\n", {{"cpu.max", "2 1"}, {"a/cpu.max", "1 1"}}, 2},
        /* directories instead of files */
        {NULL, {{"self/file", ""}, {"cpu.max/file", ""}}, CPUS},
    };

    (void)state;
    assert_uint_in_range(strlen(LONG_POD), 200, 300); /* lengths found in Kubernetes clusters */
    assert_uint_in_range(strlen(LONG_POD NESTED), 300, 400);
    for (size_t i = 0; i < COUNT_OF(trees); i++)
        expect_cpus(&trees[i]);
}

static void overlong_group_name_is_limited_by_the_root(void **state)
{
    char self[3 * PATH_MAX] = "0::/";

    (void)state;
    memset(self + strlen(self), 'a', sizeof self - strlen(self) - 1);
    expect_cpus(&(struct tree){self, {{"cpu.max", "2 1"}}, 2});
    self[PATH_MAX - 1] = '\0';
    expect_cpus(&(struct tree){self, {{"cpu.max", "2 1"}}, 2});
}

static void affinity_mask_limits_the_cpus(void **state)
{
    (void)state;
    mask_cpus = 1;
    expect_cpus(&(struct tree){NULL, {{"cpu.max", "2 1"}}, 1});
    mask_cpus = 0;
    expect_cpus(&(struct tree){.cpus = 1});
    failing_arm("sched_getaffinity", 1, EINVAL); /* the machine has more CPUs than the mask */
    expect_cpus(&(struct tree){.cpus = CPU_SETSIZE});
}

static void open_file_limit_is_raised(void **state)
{
    static const struct {
        const char *failing;
        rlim_t soft, hard;
        unsigned expected;
    } rows[] = {
        {"", 1024, 524288, 524288},
        {"", 4096, 4096, 4096},
        {"", 0, 0, 1},
        {"", 1024, UINT_MAX - 1, UINT_MAX - 1},
        {"", 1024, UINT_MAX, UINT_MAX},
        {"", 1024, (rlim_t)UINT_MAX + 2, UINT_MAX},
        {"", 1024, RLIM_INFINITY, UINT_MAX},
        {"setrlimit", 1024, 4096, 1024},
        {"getrlimit", 1024, 4096, 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        files = (struct rlimit){.rlim_cur = rows[i].soft, .rlim_max = rows[i].hard};
        failing_arm(rows[i].failing, 1, EPERM);
        assert_int_equal(resources_open_files(), rows[i].expected);
        assert_true(files.rlim_cur == (rows[i].failing[0] == '\0' ? rows[i].hard : rows[i].soft));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(quota_is_rounded_up_and_invalid_quota_ignored, reset),
        cmocka_unit_test_setup(quota_of_the_group_and_its_parents_applies, reset),
        cmocka_unit_test_setup(overlong_group_name_is_limited_by_the_root, reset),
        cmocka_unit_test_setup(affinity_mask_limits_the_cpus, reset),
        cmocka_unit_test_setup(open_file_limit_is_raised, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
