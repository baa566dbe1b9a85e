/* A temporary directory with small files. Every function fails the test on an error. */
#ifndef VERSIOND_TREE_H
#define VERSIOND_TREE_H

enum { TREE_PATH_MAX = 4096 };

/* Creates an empty directory and returns its path, which is valid until the next call. */
const char *tree_create(void);

/* Writes a file, given by its path in the directory, and creates missing directories. */
void tree_write(const char *name, const char *text);

/* Removes the directory with everything in it. */
void tree_remove(void);

#endif
