#include "fuzz.h"

#include <ctype.h>
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

/* Decodes a line of tests/fuzz/seeds up to its newline. Returns the length of the input. */
static size_t decode(const char *at, uint8_t bytes[SEED_MAX])
{
    size_t length = 0;

    while (*at != '\n') {
        char *end = NULL;
        unsigned long times = 1;
        uint8_t byte = 0;

        if (at[0] == '\\' && isdigit((unsigned char)at[1])) {
            times = strtoul(at + 1, &end, 10);
            at = end + 1;
        }
        if (at[0] == '\\' && at[1] == 'x') {
            byte = (uint8_t)strtoul((const char[]){at[2], at[3], '\0'}, NULL, 16);
            at += 4;
        } else if (at[0] == '\\') {
            byte = (uint8_t)at[1];
            if (byte == 'r')
                byte = '\r';
            else if (byte == 'n')
                byte = '\n';
            at += 2;
        } else {
            byte = (uint8_t)*at++;
        }
        expect(length + times <= SEED_MAX, "a seed of at most 64 KiB");
        memset(bytes + length, byte, times);
        length += times;
    }
    return length;
}

static const struct {
    const struct row *rows;
    size_t count;
} TABLES[] = {
/* clang-format off */
#define TABLE(rows) {rows, sizeof(rows) / sizeof *(rows)}
    /* clang-format on */
    TABLE(REQUEST_LINES), TABLE(METHODS),         TABLE(TARGETS), TABLE(HOSTS),
    TABLE(FIELDS),        TABLE(BODIES),          TABLE(CHUNKS),  TABLE(PIPELINES),
    TABLE(CONNECTIONS),   TABLE(OTHER_PROTOCOLS),
};

/* Uses the rows of strict_http.h as inputs of the target "connection", cut after 16 bytes. */
static size_t use_rows(fuzz_use *use, uint8_t bytes[SEED_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++) {
        for (size_t j = 0; j < TABLES[i].count; j++, count++) {
            const struct row *row = &TABLES[i].rows[j];
            char name[32];

            (void)snprintf(name, sizeof name, "row-%zu-%zu", i + 1, j + 1);
            bytes[0] = '1';
            bytes[1] = 16;
            memcpy(bytes + 2, row->request, row->length);
            use(name, bytes, row->length + 2);
        }
    }
    return count;
}

size_t fuzz_for_each_seed(const char *program, fuzz_use *use)
{
    static uint8_t bytes[SEED_MAX];
    FILE *file = fopen("tests/fuzz/seeds", "re");
    const char *target = strstr(program, "/fuzz_");
    char *line = NULL;
    size_t room = 0;
    size_t count = 0;

    expect(file != NULL && target != NULL, "tests/fuzz/seeds, and a program called fuzz_NAME");
    target += strlen("/fuzz_");
    while (getline(&line, &room, file) > 0) {
        char *rest = line;
        const char *name = NULL;

        if (strcmp(strsep(&rest, " "), target) != 0)
            continue;
        name = strsep(&rest, " ");
        use(name, bytes, decode(rest, bytes));
        count++;
    }
    free(line);
    (void)fclose(file);
    return count + (strcmp(target, "connection") == 0 ? use_rows(use, bytes) : 0);
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
