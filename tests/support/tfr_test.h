/* tfr_test.h - thin layer over cmocka: every test case is a ctest of its own.
 *
 * A test file holds `TFR_TEST(name) { ... }` functions and ends with TFR_TEST_MAIN(TFR_CASE(name), ...).
 * CMake reads the TFR_TEST lines, so `ctest -N` lists each case; the program runs one case when named.
 */
#ifndef TFR_TEST_H
#define TFR_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Defined where the build looks for data races: gcc says so by a macro, clang by a feature. */
#if defined(__SANITIZE_THREAD__)
#define TFR_TEST_THREAD_SANITIZER
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TFR_TEST_THREAD_SANITIZER
#endif
#endif

#define TFR_TEST(name) static void name(void **state_)
#define TFR_CASE(name) cmocka_unit_test(name)
#define TFR_TEST_MAIN(...)                                                                                                         \
    int main(int argc, char **argv) {                                                                                              \
        const struct CMUnitTest cases[] = {__VA_ARGS__};                                                                           \
        if (argc > 1) {                                                                                                            \
            cmocka_set_test_filter(argv[1]);                                                                                       \
        }                                                                                                                          \
        return cmocka_run_group_tests(cases, NULL, NULL);                                                                          \
    }
/* First line of every TFR_TEST body. */
#define TFR_UNUSED_STATE (void)state_

#define assert_ok(call)                                                                                                            \
    do {                                                                                                                           \
        enum tfr_status status_ = (call);                                                                                          \
        if (status_ != TFR_OK) {                                                                                                   \
            fail_msg("%s: %s", #call, tfr_failure_text());                                                                         \
        }                                                                                                                          \
    } while (0)
/* The call fails with `expected` and a text that contains `words`. */
#define assert_refused(call, expected, words)                                                                                      \
    do {                                                                                                                           \
        enum tfr_status status_ = (call);                                                                                          \
        assert_int_equal(status_, expected);                                                                                       \
        if (strstr(tfr_failure_text(), words) == NULL) {                                                                           \
            fail_msg("%s: \"%s\" lacks \"%s\"", #call, tfr_failure_text(), words);                                                 \
        }                                                                                                                          \
    } while (0)

#endif
