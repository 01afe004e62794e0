/* isa.c - CPU probe. Must never be compiled with ISA flags. */
#include "common/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* State components of XCR0 (Intel SDM volume 1, chapter 13). */
enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xe6, XCR0_TILES = 0x60000 };

static uint64_t read_xcr0(void) {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE)) {
        return 0;
    }
    uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* Linux gives the tile state to a process only after it asked (arch_prctl, kernel 5.16 and later). */
static bool tiles_permitted(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

static uint32_t probe_avx512(unsigned leaf7_ecx, unsigned leaf7_edx) {
    uint32_t isa = TFR_ISA_AVX512;
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (leaf7_ecx & (1U << 11)) {
        isa |= TFR_ISA_AVX512_VNNI;
    }
    if (leaf7_ecx & (1U << 1)) {
        isa |= TFR_ISA_AVX512_VBMI;
    }
    if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & (1U << 5))) {
        isa |= TFR_ISA_AVX512_BF16;
    }
    if (leaf7_edx & (1U << 23)) {
        isa |= TFR_ISA_AVX512_FP16;
    }
    const unsigned tiles = 1U << 24, bf16 = 1U << 22, int8 = 1U << 25;
    if ((leaf7_edx & tiles) && (read_xcr0() & XCR0_TILES) == XCR0_TILES && tiles_permitted()) {
        isa |= (leaf7_edx & bf16) ? TFR_ISA_AMX_BF16 : 0;
        isa |= (leaf7_edx & int8) ? TFR_ISA_AMX_INT8 : 0;
    }
    return isa;
}

uint32_t tfr_isa_probe(void) {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    const uint64_t xcr0 = read_xcr0();
    if ((xcr0 & XCR0_AVX) != XCR0_AVX || !__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
        return 0;
    }
    const unsigned fma_f16c = 1U << 12 | 1U << 29;
    const bool has_fma_f16c = (ecx & fma_f16c) == fma_f16c;
    if (!has_fma_f16c || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !(ebx & (1U << 5))) {
        return 0;
    }
    uint32_t isa = TFR_ISA_AVX2;
    const unsigned avx512 = 1U << 16 | 1U << 17 | 1U << 30 | 1U << 31; /* F, DQ, BW, VL */
    if ((ebx & avx512) == avx512 && (xcr0 & XCR0_AVX512) == XCR0_AVX512) {
        isa |= probe_avx512(ecx, edx);
    }
    return isa;
}
#elif defined(__aarch64__)
#if defined(__linux__)
#include <sys/auxv.h>
#endif

/* Bits of the kernel's hardware capabilities (arch/arm64/include/uapi/asm/hwcap.h). */
uint32_t tfr_isa_probe(void) {
    uint32_t isa = TFR_ISA_NEON;
#if defined(__linux__)
    const unsigned long caps = getauxval(AT_HWCAP), caps2 = getauxval(AT_HWCAP2);
    isa |= caps & (1UL << 20) ? TFR_ISA_DOTPROD : 0;
    isa |= caps & (1UL << 22) ? TFR_ISA_SVE : 0;
    isa |= caps2 & (1UL << 13) ? TFR_ISA_I8MM : 0;
    isa |= caps2 & (1UL << 14) ? TFR_ISA_ARM_BF16 : 0;
#endif
    return isa;
}
#else
uint32_t tfr_isa_probe(void) {
    return 0;
}
#endif
