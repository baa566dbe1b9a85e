/* Prints the table of settings in Markdown for README.md; see scripts/settings-table.sh. */
#include <stdio.h>
#include <stdlib.h>

#include "config.h"

static void print_row(const struct setting *setting)
{
    char allowed[CONFIG_ALLOWED_MAX];

    if (setting->letter != '\0')
        (void)printf("| `-%c`, `%s` | ", setting->letter, setting->flag);
    else
        (void)printf("| `%s` | ", setting->flag);
    if (setting->variable == NULL) {
        (void)printf("| | | %s |\n", setting->help);
        return;
    }
    config_print_allowed(allowed, sizeof allowed, setting);
    if (setting->fallback != NULL)
        (void)printf("`%s` | `%s` | ", setting->variable, setting->fallback);
    else
        (void)printf("`%s` | %s | ", setting->variable, setting->fallback_text);
    (void)printf("%s | %s |\n", allowed, setting->help);
}

int main(void)
{
    size_t count = 0;
    const struct setting *settings = config_settings(&count);

    (void)puts("| Flag | Variable | Default | Allowed | Meaning |\n"
               "| --- | --- | --- | --- | --- |");
    for (size_t i = 0; i < count; i++)
        print_row(&settings[i]);
    return ferror(stdout) || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
