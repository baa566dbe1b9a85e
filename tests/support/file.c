#include "file.h"

#include "test.h"

#include <stdio.h>
#include <stdlib.h>

long file_read_number(const char *path, long fallback)
{
    FILE *file = fopen(path, "re");
    char line[64] = "";
    char *end = NULL;
    long number = 0;

    if (file == NULL)
        return fallback;
    assert_non_null(fgets(line, sizeof line, file));
    (void)fclose(file);
    number = strtol(line, &end, 10);
    assert_true(end != line);
    return number;
}
