/* flop_loops.c - see flop_loops.h. */
#include "roofs/flop_loops.h"

#include <tfrun/plugin.h>

#include "base/status.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CHAINS = 12 };

/* The compiler must take the chains for needed. */
#define KEEP(value) __asm__ volatile("" : : "m"(value) : "memory")

/* Vectors of `bytes` bytes; a loop for a target gets its fused multiply-add from the compiler. */
#define F32_LOOP(name, bytes, attribute)                                                                                           \
    typedef float name##_vector __attribute__((vector_size(bytes)));                                                               \
    attribute static double name(int64_t rounds) {                                                                                 \
        name##_vector chain[CHAINS], factor = {0}, step = {0};                                                                     \
        factor += 0.999F;                                                                                                          \
        step += 1e-3F;                                                                                                             \
        for (int i = 0; i < CHAINS; i++) {                                                                                         \
            chain[i] = step * (float)(i + 1);                                                                                      \
        }                                                                                                                          \
        for (int64_t r = 0; r < rounds; r++) {                                                                                     \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) {                                                            \
                chain[i] = chain[i] * factor + step;                                                                               \
            }                                                                                                                      \
        }                                                                                                                          \
        KEEP(chain);                                                                                                               \
        return 2.0 * (bytes) / sizeof(float) * CHAINS * (double)rounds;                                                            \
    }

F32_LOOP(f32_plain, 16, )
#if defined(__x86_64__)
F32_LOOP(f32_avx2, 32, __attribute__((target("avx2,fma"))))
F32_LOOP(f32_avx512, 64, __attribute__((target("avx512f"))))

__attribute__((target("avx512f,avx512bf16"))) static double bf16_avx512(int64_t rounds) {
    __m512 chain[CHAINS];
    const __m512 half = _mm512_set1_ps(0.5F);
    const __m512bh factor = _mm512_cvtne2ps_pbh(half, half);
    for (int i = 0; i < CHAINS; i++) {
        chain[i] = _mm512_set1_ps((float)i);
    }
    for (int64_t r = 0; r < rounds; r++) {
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) {
            chain[i] = _mm512_dpbf16_ps(chain[i], factor, factor);
        }
    }
    KEEP(chain);
    return 2.0 * 32 * CHAINS * (double)rounds;
}

__attribute__((target("avx512f,avx512vnni"))) static double i8_vnni(int64_t rounds) {
    __m512i chain[CHAINS];
    const __m512i factor = _mm512_set1_epi8(1);
    for (int i = 0; i < CHAINS; i++) {
        chain[i] = _mm512_set1_epi32(i);
    }
    for (int64_t r = 0; r < rounds; r++) {
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) {
            chain[i] = _mm512_dpbusd_epi32(chain[i], factor, factor);
        }
    }
    KEEP(chain);
    return 2.0 * 64 * CHAINS * (double)rounds;
}

/* Four tiles of sums, two and two of factors: 16 x 16 sums of 32 products each. */
struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

__attribute__((target("amx-tile,amx-bf16"))) static double bf16_amx(int64_t rounds) {
    struct tile_config config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (int64_t r = 0; r < rounds; r++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_release();
    return 4.0 * 2 * 16 * 16 * 32 * (double)rounds;
}
#endif

static const struct tfr_flop_unit units[] = {
    {TFR_DTYPE_F32, 0, f32_plain},
#if defined(__x86_64__)
    {TFR_DTYPE_F32, TFR_ISA_AVX2, f32_avx2},
    {TFR_DTYPE_F32, TFR_ISA_AVX512, f32_avx512},
    {TFR_DTYPE_BF16, TFR_ISA_AVX512_BF16, bf16_avx512},
    {TFR_DTYPE_BF16, TFR_ISA_AMX_BF16, bf16_amx},
    {TFR_DTYPE_I8, TFR_ISA_AVX512_VNNI, i8_vnni},
#endif
};

const struct tfr_flop_unit *tfr_flop_units(int *n) {
    *n = (int)TFR_COUNT_OF(units);
    return units;
}
