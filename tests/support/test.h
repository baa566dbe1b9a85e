/* cmocka, with the headers that it requires before its own. */
#ifndef VERSIOND_TEST_H
#define VERSIOND_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Timeout for everything that must happen, in milliseconds. It is long because machines may be
 * slow, busy or running valgrind, and a passing test never reaches it. */
enum { PATIENCE = 60 * 1000 };

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

#endif
