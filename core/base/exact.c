/* exact.c - see exact.h. Vectors of the base instruction set are enough: memory is the limit. */
#include "base/exact.h"

#include <string.h>

#define LANES 4
typedef uint32_t words __attribute__((vector_size(4 * LANES)));

enum { PIECE = 4096 }; /* values between two looks at what was found */

static bool any(words bits) {
    uint32_t all = 0;
    for (int i = 0; i < LANES; i++) {
        all |= bits[i];
    }
    return all != 0;
}

static bool holds_f16(uint32_t bits) {
    const uint32_t exponent = bits >> 23 & 0xffU, below = exponent < 113U ? 113U - exponent : 0; /* of a subnormal */
    if ((bits & 0x7fffffffU) == 0) {
        return true;
    }
    return exponent >= 103U && exponent <= 142U && (bits & ((0x2000U << below) - 1U)) == 0;
}

/* Lanes that f16 may not hold: what is neither zero nor a normal number of f16. */
static words not_normal_f16(words bits) {
    const words size = bits & 0x7fffffffU;
    const words is_normal = (words)(size >= 113U << 23) & (words)(size < 143U << 23) & (words)((bits & 0x1fffU) == 0);
    return ~(is_normal | (words)(size == 0));
}

static bool is_exact_f16(const char *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, from + i * 4, sizeof bits);
        if (!holds_f16(bits)) {
            return false;
        }
    }
    return true;
}

static bool is_exact_piece(enum tfr_dtype narrow, const char *from, int64_t n) {
    words found = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        words bits;
        memcpy(&bits, from + i * 4, sizeof bits);
        if (narrow == TFR_DTYPE_BF16) {
            found |= bits & 0xffffU;
        } else if (any(not_normal_f16(bits)) && !is_exact_f16(from + i * 4, LANES)) {
            return false;
        }
    }
    for (; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, from + i * 4, sizeof bits);
        if (narrow == TFR_DTYPE_BF16 ? (bits & 0xffffU) != 0 : !holds_f16(bits)) {
            return false;
        }
    }
    return !any(found);
}

bool tfr_is_exact(enum tfr_dtype narrow, const void *from, int64_t n) {
    for (int64_t at = 0; at < n; at += PIECE) {
        if (!is_exact_piece(narrow, (const char *)from + at * 4, n - at < PIECE ? n - at : PIECE)) {
            return false;
        }
    }
    return true;
}
