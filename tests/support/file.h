/* Reads small files. */
#ifndef VERSIOND_FILE_H
#define VERSIOND_FILE_H

/* Returns the integer at the start of a file, or `fallback` if the file does not exist. Fails the
 * test if the file starts with anything else. */
long file_read_number(const char *path, long fallback);

#endif
