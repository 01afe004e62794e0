/* ranking.c - a radix sort: a vocabulary is tens of thousands of scores, and its comparison sort would take as long as a step. */
#include "generation/ranking.h"

#include <string.h>

enum { DIGIT_BITS = 11, N_DIGITS = 3, N_VALUES = 1 << DIGIT_BITS, FEW = 64 };

/* Larger scores have smaller keys. */
static uint32_t key_of(float score) {
    const float plain = score + 0.0f; /* -0 becomes 0 */
    uint32_t bits;
    memcpy(&bits, &plain, sizeof bits);
    return bits >> 31 != 0 ? bits : ~bits & 0x7fffffffu;
}

static uint32_t digit_of(uint32_t key, int digit) {
    return key >> (digit * DIGIT_BITS) & (N_VALUES - 1);
}

static void insert_each(struct tfr_choice *choices, size_t n) {
    for (size_t i = 1; i < n; i++) {
        const struct tfr_choice moved = choices[i];
        size_t at = i;
        for (; at > 0 && choices[at - 1].score < moved.score; at--) {
            choices[at] = choices[at - 1];
        }
        choices[at] = moved;
    }
}

/* From counts to the place of the first of each value. */
static void sum_up(uint32_t *count) {
    uint32_t before = 0;
    for (size_t i = 0; i < N_VALUES; i++) {
        const uint32_t n = count[i];
        count[i] = before;
        before += n;
    }
}

void tfr_choices_sort(struct tfr_choice *choices, struct tfr_choice *spare, size_t n) {
    uint32_t count[N_DIGITS][N_VALUES] = {{0}};
    struct tfr_choice *from = choices, *to = spare;
    if (n <= FEW) {
        insert_each(choices, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t key = key_of(choices[i].score);
        for (int digit = 0; digit < N_DIGITS; digit++) {
            count[digit][digit_of(key, digit)]++;
        }
    }
    for (int digit = 0; digit < N_DIGITS; digit++) {
        sum_up(count[digit]);
        for (size_t i = 0; i < n; i++) {
            to[count[digit][digit_of(key_of(from[i].score), digit)]++] = from[i];
        }
        struct tfr_choice *other = from;
        from = to;
        to = other;
    }
    memcpy(choices, spare, n * sizeof *choices); /* an odd number of passes ends there */
}
