/* Makes the calls of wrapped functions fail in turn. A test file wraps a function with the linker's
 * --wrap (its first line says which: "wraps: malloc") and asks failing_now() in its wrapper. */
#ifndef VERSIOND_FAILING_H
#define VERSIOND_FAILING_H

#include <stdbool.h>

/* From now on, the call number `n` (1 is the next one) of the wrapped functions of this thread
 * fails, the others do not; 0: none. */
void failing_at(unsigned n);

/* True when this call is the one that is to fail. For wrappers. */
bool failing_now(void);

/* True when the call that failing_at() named has come. When it has not, everything that can fail
 * has been made to fail. */
bool failing_has_failed(void);

#endif
