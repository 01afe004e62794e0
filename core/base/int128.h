/* int128.h - exact integers of 128 bits, for sums that outgrow 64: checked sums and products, text in and out.
 * Thread rule: no state. */
#ifndef TFR_BASE_INT128_H
#define TFR_BASE_INT128_H

#include <tfrun/types.h>

__extension__ typedef __int128 tfr_int128;

#define TFR_INT128_TEXT 56 /* room for the longest text, with separators */

/* False: the result is beyond +-2^127. */
static inline bool tfr_int128_add(tfr_int128 a, tfr_int128 b, tfr_int128 *sum) {
    return !__builtin_add_overflow(a, b, sum);
}
static inline bool tfr_int128_mul(tfr_int128 a, tfr_int128 b, tfr_int128 *product) {
    return !__builtin_mul_overflow(a, b, product);
}

/* Decimal digits, in groups of three where `separator` is not 0. Returns `text`. */
const char *tfr_int128_text(tfr_int128 value, char separator, char text[TFR_INT128_TEXT]);
/* Digits with an optional sign at *at, which moves behind them. False: none, or too many. */
bool tfr_int128_parse(const char **at, tfr_int128 *value);

#endif
