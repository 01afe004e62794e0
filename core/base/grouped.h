/* grouped.h - a whole number for people: 124,439,808. */
#ifndef TFR_BASE_GROUPED_H
#define TFR_BASE_GROUPED_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { TFR_GROUPED_SIZE = 32 };

/* Not below 0. */
static inline const char *tfr_grouped(int64_t number, char text[TFR_GROUPED_SIZE]) {
    char digits[24];
    const int n = snprintf(digits, sizeof digits, "%lld", (long long)number);
    int at = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) {
            text[at++] = ',';
        }
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

#endif
