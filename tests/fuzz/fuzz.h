/* Shared by the fuzz targets. Each target is one file, fuzz_NAME.c. Linked with libFuzzer it
 * searches for inputs that break its expectations; linked with replay.c it is a test program with
 * one test per seed. */
#ifndef VERSIOND_FUZZ_H
#define VERSIOND_FUZZ_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The target: judges one input. Returns 0, or aborts the program if an expectation does not hold.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Called by libFuzzer at start. If the environment variable FUZZ_SEEDS names a directory, writes
 * each seed of this target to a file there, as the initial corpus. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Calls `use` for each seed of the target that `program`, a path that ends in fuzz_NAME, stands
 * for. The seeds are in tests/fuzz/seeds, so the working directory is the root of the project.
 * Returns their number. */
typedef void fuzz_use(const char *name, const uint8_t *input, size_t size);
size_t fuzz_for_each_seed(const char *program, fuzz_use *use);

/* Aborts the program and prints what was expected. */
_Noreturn void fuzz_fail(const char *what);

/* Does the same unless `holds` is true. */
static inline void expect(bool holds, const char *what)
{
    if (!holds)
        fuzz_fail(what);
}

/* Returns a copy of `size` bytes without a NUL at the end, so that a sanitizer reports reads beyond
 * them. The caller frees it. */
char *fuzz_bytes(const void *data, size_t size);

/* Removes the text up to the next NUL, or the rest, from the start of the input. The caller frees
 * it. */
char *fuzz_take_text(const uint8_t **data, size_t *size);

/* Removes a big-endian number from the start of the input; missing bytes are 0. */
uint32_t fuzz_take_number(const uint8_t **data, size_t *size);

/* An extended regular expression, compiled on first use. */
struct fuzz_pattern {
    const char *expression;
    bool is_ready;
    regex_t compiled;
};
bool fuzz_matches(struct fuzz_pattern *pattern, const char *text);

/* Returns true if the text consists of printable ASCII. */
bool fuzz_is_printable(const char *text);

#endif
