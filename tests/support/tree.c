#include "tree.h"

#include "test.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char root[32];

const char *tree_create(void)
{
    (void)snprintf(root, sizeof root, "/tmp/versiond-test.XXXXXX");
    assert_non_null(mkdtemp(root));
    return root;
}

void tree_write(const char *name, const char *text)
{
    char path[TREE_PATH_MAX];
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

static int remove_entry(const char *path, const struct stat *entry, int kind, struct FTW *position)
{
    (void)entry;
    (void)kind;
    (void)position;
    return remove(path);
}

void tree_remove(void)
{
    assert_int_equal(nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}
