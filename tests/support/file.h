/* Reads small files. */
#ifndef VERSIOND_FILE_H
#define VERSIOND_FILE_H

/* The whole number that a file begins with, or `fallback` when there is no such file. Fails the
 * test when it begins with anything else. */
long file_read_number(const char *path, long fallback);

#endif
