#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../integration/strict_http.h"

enum { SEED_MAX = 64 * 1024 };

_Noreturn void fuzz_fail(const char *what)
{
    (void)fprintf(stderr, "expected: %s\n", what);
    abort();
}

char *fuzz_bytes(const void *data, size_t size)
{
    char *bytes = malloc(size > 0 ? size : 1);

    expect(bytes != NULL, "memory");
    if (size > 0)
        memcpy(bytes, data, size);
    return bytes;
}

char *fuzz_take_text(const uint8_t **data, size_t *size)
{
    char *text = *size > 0 ? strndup((const char *)*data, *size) : strdup("");
    size_t used = 0;

    expect(text != NULL, "memory");
    used = strlen(text) < *size ? strlen(text) + 1 : *size;
    if (used > 0)
        *data += used;
    *size -= used;
    return text;
}

uint32_t fuzz_take_number(const uint8_t **data, size_t *size)
{
    uint32_t number = 0;

    for (int i = 0; i < 4; i++) {
        number <<= 8;
        if (*size == 0)
            continue;
        number |= *(*data)++;
        (*size)--;
    }
    return number;
}

bool fuzz_matches(struct fuzz_pattern *pattern, const char *text)
{
    if (!pattern->is_ready) {
        expect(regcomp(&pattern->compiled, pattern->expression, REG_EXTENDED | REG_NOSUB) == 0,
               "a regular expression");
        pattern->is_ready = true;
    }
    return regexec(&pattern->compiled, text, 0, NULL, 0) == 0;
}

bool fuzz_is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < 0x20 || *text > 0x7e)
            return false;
    }
    return true;
}

/* Decodes a byte or an escape of the file of seeds, and moves `*at` past it. */
static uint8_t decode_byte(const char **at)
{
    char digits[3] = "";

    if (**at != '\\')
        return (uint8_t) * (*at)++;
    *at += 2;
    if ((*at)[-1] == 'r')
        return '\r';
    if ((*at)[-1] == 'n')
        return '\n';
    if ((*at)[-1] != 'x')
        return (uint8_t)(*at)[-1];
    (void)snprintf(digits, sizeof digits, "%s", *at);
    *at += 2;
    return (uint8_t)strtoul(digits, NULL, 16);
}

/* Decodes a line of the file of seeds up to its newline. Returns the length of the input. */
static size_t decode(const char *at, uint8_t bytes[SEED_MAX])
{
    size_t length = 0;

    while (*at != '\n') {
        char *end = NULL;
        unsigned long times = 1;
        uint8_t byte = 0;

        if (at[0] == '\\' && at[1] >= '0' && at[1] <= '9') {
            times = strtoul(at + 1, &end, 10);
            at = end + 1;
        }
        byte = decode_byte(&at);
        expect(length + times <= SEED_MAX, "a seed of at most 64 KiB");
        memset(bytes + length, byte, times);
        length += times;
    }
    return length;
}

/* A request in two parts: the first 16 bytes and the rest. */
static size_t use_rows(const char *table, const struct row *rows, size_t count, fuzz_use *use)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[SEED_MAX] = {'1', 16};
        char name[64];

        (void)snprintf(name, sizeof name, "%s-%zu", table, i + 1);
        memcpy(bytes + 2, rows[i].request, rows[i].length);
        use(name, bytes, rows[i].length + 2);
    }
    return count;
}

#define USE_ROWS(table, use) use_rows(#table, table, sizeof(table) / sizeof *(table), use)

static size_t use_all_rows(fuzz_use *use)
{
    return USE_ROWS(REQUEST_LINES, use) + USE_ROWS(METHODS, use) + USE_ROWS(TARGETS, use) +
           USE_ROWS(HOSTS, use) + USE_ROWS(FIELDS, use) + USE_ROWS(BODIES, use) +
           USE_ROWS(CHUNKS, use) + USE_ROWS(PIPELINES, use) + USE_ROWS(CONNECTIONS, use) +
           USE_ROWS(OTHER_PROTOCOLS, use);
}

size_t fuzz_for_each_seed(const char *program, fuzz_use *use)
{
    static uint8_t bytes[SEED_MAX];
    FILE *file = fopen("tests/fuzz/seeds", "re");
    const char *target = strrchr(program, '/');
    char *line = NULL;
    size_t room = 0;
    size_t count = 0;

    target = target != NULL ? target + 1 : program;
    expect(strncmp(target, "fuzz_", 5) == 0, "a program called fuzz_NAME");
    target += 5;
    expect(file != NULL, "tests/fuzz/seeds below the working directory");
    while (getline(&line, &room, file) > 0) {
        const size_t length = strlen(target);
        char name[64] = "";
        int start = 0;

        if (strncmp(line, target, length) != 0 || line[length] != ' ')
            continue;
        expect(sscanf(line + length, " %63[a-zA-Z0-9-]%n", name, &start) == 1, "a name of a seed");
        use(name, bytes, decode(line + length + start + 1, bytes));
        count++;
    }
    free(line);
    (void)fclose(file);
    if (strcmp(target, "connection") == 0)
        count += use_all_rows(use);
    return count;
}

static void write_seed(const char *name, const uint8_t *input, size_t size)
{
    char path[512];
    FILE *file = NULL;

    (void)snprintf(path, sizeof path, "%s/%s", getenv("FUZZ_SEEDS"), name);
    file = fopen(path, "we");
    expect(file != NULL && fwrite(input, 1, size, file) == size && fclose(file) == 0, "a file");
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    if (getenv("FUZZ_SEEDS") != NULL)
        expect(fuzz_for_each_seed((*argv)[0], write_seed) > 0, "seeds of this target");
    return 0;
}
