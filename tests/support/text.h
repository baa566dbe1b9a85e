/* Compares long texts. */
#ifndef VERSIOND_TEXT_H
#define VERSIOND_TEXT_H

/* Fails the test if the texts differ. The message has the number of the first line that differs and
 * both versions of that line, with control characters escaped. */
#define assert_text_equal(actual, expected)                                                        \
    text_expect_equal((actual), (expected), __FILE__, __LINE__)

void text_expect_equal(const char *actual, const char *expected, const char *file, int line);

#endif
