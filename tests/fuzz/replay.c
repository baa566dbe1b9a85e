/* Runs a target over its seeds, as a test a seed: what libFuzzer does with them, with any compiler.
 */
#include "fuzz.h"

#include <dirent.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_MAX_LENGTH = 512, SEED_MAX = 64 * 1024 };

static void run_seed(const char *path)
{
    static uint8_t bytes[SEED_MAX];
    FILE *file = fopen(path, "re");
    uint8_t *input = NULL;
    size_t size = 0;

    expect(file != NULL, "a seed that can be opened");
    size = fread(bytes, 1, sizeof bytes, file);
    expect(size < sizeof bytes && ferror(file) == 0, "a seed that can be read, of at most 64 KiB");
    (void)fclose(file);
    /* So that what is read beyond it is noticed. */
    input = (uint8_t *)fuzz_bytes(bytes, size);
    (void)LLVMFuzzerTestOneInput(input, size);
    free(input);
}

static int is_seed(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argc, char *argv[])
{
    char folder[PATH_MAX_LENGTH] = "";
    struct dirent **seeds = NULL;
    int count = 0;

    (void)argc;
    expect(strncmp(basename(argv[0]), "fuzz_", 5) == 0, "to be called fuzz_NAME");
    (void)snprintf(folder, sizeof folder, "tests/fuzz/seeds/%s", basename(argv[0]) + 5);
    count = scandir(folder, &seeds, is_seed, alphasort);
    expect(count > 0, "seeds in tests/fuzz/seeds/NAME: run it from the root of the project");
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX_LENGTH * 2];

        (void)snprintf(path, sizeof path, "%s/%s", folder, seeds[i]->d_name);
        (void)fprintf(stderr, "[ RUN      ] %s\n", seeds[i]->d_name);
        run_seed(path);
        (void)fprintf(stderr, "[       OK ] %s\n", seeds[i]->d_name);
        free(seeds[i]);
    }
    free((void *)seeds);
    (void)fprintf(stderr, "[  PASSED  ] %d test(s).\n", count);
    return 0;
}
