/* Runs a target over its seeds, one test per seed, with any compiler. */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

static void run(const char *name, const uint8_t *input, size_t size)
{
    uint8_t *copy = (uint8_t *)fuzz_bytes(input, size);

    (void)fprintf(stderr, "[ RUN      ] %s\n", name);
    (void)LLVMFuzzerTestOneInput(copy, size);
    (void)fprintf(stderr, "[       OK ] %s\n", name);
    free(copy);
}

int main(int argc, char *argv[])
{
    size_t count = 0;

    (void)argc;
    count = fuzz_for_each_seed(argv[0], run);
    expect(count > 0, "seeds of this target");
    (void)fprintf(stderr, "[  PASSED  ] %zu test(s).\n", count);
    return 0;
}
