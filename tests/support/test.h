/* What every test file needs: cmocka, and the order of headers that it asks for. */
#ifndef VERSIOND_TEST_H
#define VERSIOND_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* How long a test waits for something that must happen, in milliseconds. It is long because it is
 * never waited for when all is well, and machines are slow, loaded and run valgrind. */
enum { PATIENCE = 60 * 1000 };

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

#endif
