/* units.c - see units.h. */
#include "base/units.h"

#include <stdio.h>

#include "base/status.h"

const char *tfr_si_text(double value, const char *unit, char text[TFR_UNIT_TEXT]) {
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
    size_t p = 0;
    while (value >= 999.5 && p + 1 < TFR_COUNT_OF(prefixes)) {
        value /= 1000;
        p++;
    }
    int decimals = value >= 99.95 || (p == 0 && value == (double)(int)value) ? 0 : value >= 9.995 ? 1 : 2;
    snprintf(text, TFR_UNIT_TEXT, "%.*f %s%s", decimals, value, prefixes[p], unit);
    return text;
}

const char *tfr_time_text(double ns, char text[TFR_UNIT_TEXT]) {
    static const char *const units[] = {"ns", "us", "ms", "s"};
    size_t u = 0;
    while (ns >= 999.5 && u + 1 < TFR_COUNT_OF(units)) {
        ns /= 1000;
        u++;
    }
    snprintf(text, TFR_UNIT_TEXT, "%.*f %s", ns >= 99.95 || u == 0 ? 0 : ns >= 9.995 ? 1 : 2, ns, units[u]);
    return text;
}
