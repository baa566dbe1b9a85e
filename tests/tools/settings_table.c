/* Prints the table of settings in Markdown, for README.md: see scripts/settings-table.sh. */
#include <stdio.h>
#include <stdlib.h>

#include "config.h"

int main(void)
{
    config_print_markdown(stdout);
    return ferror(stdout) || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
