/* int128.c - 128-bit integers as text; printf knows none. */
#include "base/int128.h"

#include <string.h>

const char *tfr_int128_text(tfr_int128 value, char separator, char text[TFR_INT128_TEXT]) {
    char reversed[TFR_INT128_TEXT];
    int n = 0, digits = 0;
    const bool is_negative = value < 0;
    do {
        if (digits > 0 && digits % 3 == 0 && separator != '\0') {
            reversed[n++] = separator;
        }
        const int digit = (int)(value % 10);
        reversed[n++] = (char)('0' + (digit < 0 ? -digit : digit)); /* -2^127 has no positive twin */
        value /= 10;
        digits++;
    } while (value != 0);
    if (is_negative) {
        reversed[n++] = '-';
    }
    for (int i = 0; i < n; i++) {
        text[i] = reversed[n - 1 - i];
    }
    text[n] = '\0';
    return text;
}

bool tfr_int128_parse(const char **at, tfr_int128 *value) {
    const char *text = *at;
    const bool is_negative = *text == '-';
    text += is_negative;
    if (*text < '0' || *text > '9') {
        return false;
    }
    tfr_int128 sum = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        const int digit = *text - '0';
        if (!tfr_int128_mul(sum, 10, &sum) || !tfr_int128_add(sum, is_negative ? -digit : digit, &sum)) {
            return false;
        }
    }
    *value = sum;
    *at = text;
    return true;
}
