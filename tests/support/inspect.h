/* Inspects descriptors, logs and metrics. */
#ifndef VERSIOND_INSPECT_H
#define VERSIOND_INSPECT_H

#include <stddef.h>

#include "metrics.h"

/* Returns the number of open descriptors of this process plus a constant: compare two results. */
size_t inspect_count_descriptors(void);

/* Checks the form of the time in each line of a JSON log and replaces it by TIME. */
void inspect_replace_times(char *log);

/* Returns the value of a series (name and labels, as in the text format) in an exposition or in a
 * response that contains one; -1 if there is none. Fails the test if it occurs twice. */
double inspect_series(const char *text, const char *series);

/* Returns the value of a series of `metrics`, which must exist. */
unsigned long inspect_metric(struct metrics *metrics, const char *series);

#endif
