/* What the fuzz targets share. Each target is a file fuzz_NAME.c with one function, its inputs are
 * in seeds/NAME/. Linked with libFuzzer it looks for inputs that break what it expects; linked with
 * replay.c it is a test that runs its seeds. */
#ifndef VERSIOND_FUZZ_H
#define VERSIOND_FUZZ_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The target: judges one input. Returns 0, or ends the program when something is not as expected.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program, saying what was expected. */
_Noreturn void fuzz_fail(const char *what);

/* The same unless `what` holds. */
static inline void expect(bool holds, const char *what)
{
    if (!holds)
        fuzz_fail(what);
}

/* A copy of `size` bytes, with a NUL after them, in memory of exactly that size: a sanitizer sees
 * each byte that is read beyond. The caller frees it. */
char *fuzz_text(const void *data, size_t size);

/* The same without the NUL. */
char *fuzz_bytes(const void *data, size_t size);

/* Takes what is before the next NUL, or the rest, off the begin of the input, as a text that the
 * caller frees. Returns an empty one when nothing is left. */
char *fuzz_take_text(const uint8_t **data, size_t *size);

/* Takes a number off the begin of the input; bytes that are not there are 0. */
uint32_t fuzz_take_number(const uint8_t **data, size_t *size);

/* An extended regular expression, compiled when it is first used. */
struct fuzz_pattern {
    const char *expression;
    bool is_ready;
    regex_t compiled;
};
bool fuzz_matches(struct fuzz_pattern *pattern, const char *text);

/* True when the text has printable ASCII only. */
bool fuzz_is_printable(const char *text);

/* Reads a JSON object whose members are strings and whole numbers (RFC 8259), and nothing else but
 * a newline after it. Control characters are refused, and without `utf8` all but ASCII. Returns the
 * number of members, or -1 when it is anything else. */
int fuzz_read_object(const char *line, bool utf8);

/* Finds the member `name` in an object that fuzz_read_object() takes. Returns its value as it
 * stands there, a string with its quotes, and its length in `*length`; NULL when there is none. */
const char *fuzz_find_member(const char *line, const char *name, size_t *length);

#endif
