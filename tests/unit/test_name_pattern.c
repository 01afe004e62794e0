/* test_name_pattern.c - patterns for names of modules: what Python's re says of each line of name_patterns.txt, which
 * make_name_patterns.py writes; what is not known; and patterns that keep other matchers busy for ever. */
#include "model/name_pattern.h"

#include <stdio.h>

#include "base/status.h"

#include "tfr_test.h"

static char sign_of(enum tfr_name_match match) {
    return "nyux"[match];
}

TFR_TEST(verdicts_are_those_of_python) {
    TFR_UNUSED_STATE;
    FILE *file = fopen(TFR_SOURCE_DIR "/tests/unit/name_patterns.txt", "r");
    assert_non_null(file);
    char line[1024];
    int n = 0, n_wrong = 0;
    for (; fgets(line, sizeof line, file) != NULL; n++) {
        char *name = strchr(line, '\t') + 1, *verdict = strchr(name, '\t') + 1;
        name[-1] = verdict[-1] = '\0';
        for (int part = TFR_NAME_WHOLE; part <= TFR_NAME_MIDDLE; part++) {
            const char found = sign_of(tfr_name_pattern(line, (enum tfr_name_part)part, name));
            if (found != verdict[part]) {
                n_wrong++;
                print_error("%s of %s, part %d: %c, not %c\n", line, name, part, found, verdict[part]);
            }
        }
    }
    fclose(file);
    assert_true(n > 3000);
    assert_int_equal(n_wrong, 0);
}

TFR_TEST(what_is_not_known_is_told) {
    TFR_UNUSED_STATE;
    static const char *const patterns[] = {"a{2}", "(?=a)", "(?P<n>a)", "\\s", "[\\s]", "\\1", "\\b", "a*+", "a**"};
    for (size_t i = 0; i < TFR_COUNT_OF(patterns); i++) {
        assert_int_equal(tfr_name_pattern(patterns[i], TFR_NAME_WHOLE, "a"), TFR_NAME_PATTERN_UNKNOWN);
    }
    char longest[TFR_NAME_PATTERN_MOST + 2] = "";
    memset(longest, 'a', TFR_NAME_PATTERN_MOST);
    assert_int_equal(tfr_name_pattern(longest, TFR_NAME_WHOLE, longest), TFR_NAME_MATCHES);
    longest[TFR_NAME_PATTERN_MOST] = 'a';
    assert_int_equal(tfr_name_pattern(longest, TFR_NAME_WHOLE, longest), TFR_NAME_PATTERN_UNKNOWN);
}

/* front, n times middle, n times end: of the greatest n that fits. */
static void assert_is_quick(const char *front, const char *middle, const char *end, enum tfr_name_match wanted) {
    char pattern[TFR_NAME_PATTERN_MOST + 1], name[201];
    const size_t n = (TFR_NAME_PATTERN_MOST - strlen(front)) / (strlen(middle) + strlen(end));
    size_t at = (size_t)sprintf(pattern, "%s", front);
    for (size_t i = 0; i < 2 * n; i++) {
        at += (size_t)sprintf(pattern + at, "%s", i < n ? middle : end);
    }
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (int i = 0; i < 20; i++) {
        assert_int_equal(tfr_name_pattern(pattern, TFR_NAME_MIDDLE, name), wanted);
    }
}

TFR_TEST(no_pattern_takes_long) {
    TFR_UNUSED_STATE;
    assert_is_quick("", "(.*)*", "", TFR_NAME_MATCHES);
    assert_is_quick("b", "(x*)?", "", TFR_NAME_DIFFERS);
    assert_is_quick("", "(", ")*", TFR_NAME_DIFFERS);
    assert_is_quick("", "(", "a+)+", TFR_NAME_MATCHES);
    assert_is_quick("", "(", "a*)*", TFR_NAME_MATCHES);
    assert_is_quick("", "(|a*|a)+", "", TFR_NAME_MATCHES);
    assert_is_quick("", "a?", "a", TFR_NAME_MATCHES);
    assert_is_quick("", "(|", ")*", TFR_NAME_DIFFERS);
    assert_is_quick("", ".*", "", TFR_NAME_MATCHES);
    assert_is_quick("", "[a-z]*", "", TFR_NAME_MATCHES);
}

TFR_TEST_MAIN(TFR_CASE(verdicts_are_those_of_python), TFR_CASE(what_is_not_known_is_told), TFR_CASE(no_pattern_takes_long))
