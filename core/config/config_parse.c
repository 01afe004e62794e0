/* config_parse.c - numbers and switches from the text of a command line, whatever the locale. */
#include "config/config_internal.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

bool tfr_parse_integer(const char *text, int64_t *value) {
    char *end;
    errno = 0;
    const long long parsed = strtoll(text, &end, 10);
    *value = parsed;
    return errno == 0 && end != text && *end == '\0' && text[0] != ' ' && text[0] != '+';
}

bool tfr_parse_real(const char *text, double *value) {
    if (text[strspn(text, "+-.0123456789eE")] != '\0') {
        return false; /* strtod would take "nan", "inf", hexadecimal and leading blanks */
    }
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* a host program may have a decimal comma */
    if (plain == (locale_t)0) {
        return false;
    }
    char *end;
    *value = strtod_l(text, &end, plain);
    freelocale(plain);
    return end != text && *end == '\0' && isfinite(*value);
}

bool tfr_parse_bool(const char *text, bool *value) {
    static const char *const yes[] = {"true", "on", "1", "yes"}, *const no[] = {"false", "off", "0", "no"};
    for (size_t i = 0; i < TFR_COUNT_OF(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *value = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}
