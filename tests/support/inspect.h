/* Looks at what the code under test left behind. */
#ifndef VERSIOND_INSPECT_H
#define VERSIOND_INSPECT_H

#include <stddef.h>

#include "metrics.h"

/* How many descriptors this process has open, give or take a constant: to be
 * compared with an earlier count. */
size_t inspect_count_descriptors(void);

/* Replaces the time of each line of a log in JSON by TIME, after a look at its
 * form. */
void inspect_replace_times(char *log);

/* The value of a series, written as in the text format (name and labels), in an exposition or an
 * answer that holds one. -1 when there is none; two fail the test. */
double inspect_series(const char *text, const char *series);

/* The same, of the metrics, which must have it. */
unsigned long inspect_metric(struct metrics *metrics, const char *series);

#endif
