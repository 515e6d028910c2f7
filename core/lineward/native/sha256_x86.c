/* SHA-NI (Intel SDM volume 2: SHA256RNDS2, SHA256MSG1, SHA256MSG2): one, two or three interleaved streams. */
#include "sha256.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define SHANI __attribute__((target("sha,avx")))

/* `n` is a constant in each caller, so every loop over lanes is unrolled and the arrays live in registers. */
SHANI static inline __attribute__((always_inline)) void lanes_x86(uint32_t *const *state, const uint8_t *const *data,
                                                                  size_t blocks, const int n)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i abef[MAX_LANES], cdgh[MAX_LANES];
    const uint8_t *p[MAX_LANES];
    for (int i = 0; i < n; i++) {
        __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)&state[i][0]), 0xb1);
        __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)&state[i][4]), 0x1b);
        abef[i] = _mm_alignr_epi8(low, high, 8);
        cdgh[i] = _mm_blend_epi16(high, low, 0xf0);
        p[i] = data[i];
    }
    while (blocks--) {
        __m128i w[MAX_LANES][4], abef0[MAX_LANES], cdgh0[MAX_LANES];
        for (int i = 0; i < n; i++) {
            abef0[i] = abef[i];
            cdgh0[i] = cdgh[i];
        }
#pragma GCC unroll 16
        for (int r = 0; r < 16; r++) {
            const __m128i k = _mm_load_si128((const __m128i *)(const void *)&sha256_k[4 * r]);
            __m128i m[MAX_LANES];
#pragma GCC unroll 3
            for (int i = 0; i < n; i++) {
                __m128i *v = w[i];
                if (r < 4)
                    v[r] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p[i] + 16 * r)), swap);
                m[i] = _mm_add_epi32(v[r & 3], k);
                cdgh[i] = _mm_sha256rnds2_epu32(cdgh[i], abef[i], m[i]);
                if (r >= 3 && r < 15) {
                    /* what msg1 has prepared two steps before */
                    v[(r + 1) & 3] = _mm_sha256msg2_epu32(
                        _mm_add_epi32(v[(r + 1) & 3], _mm_alignr_epi8(v[r & 3], v[(r + 3) & 3], 4)), v[r & 3]);
                }
                abef[i] = _mm_sha256rnds2_epu32(abef[i], cdgh[i], _mm_shuffle_epi32(m[i], 0x0e));
                if (r >= 1 && r < 13)
                    v[(r + 3) & 3] = _mm_sha256msg1_epu32(v[(r + 3) & 3], v[r & 3]);
            }
        }
        for (int i = 0; i < n; i++) {
            abef[i] = _mm_add_epi32(abef[i], abef0[i]);
            cdgh[i] = _mm_add_epi32(cdgh[i], cdgh0[i]);
            p[i] += SHA256_BLOCK;
        }
    }
    for (int i = 0; i < n; i++) {
        __m128i low = _mm_shuffle_epi32(abef[i], 0x1b);
        __m128i high = _mm_shuffle_epi32(cdgh[i], 0xb1);
        _mm_storeu_si128((__m128i *)(void *)&state[i][0], _mm_blend_epi16(low, high, 0xf0));
        _mm_storeu_si128((__m128i *)(void *)&state[i][4], _mm_alignr_epi8(high, low, 8));
    }
}

SHANI static void shani1(uint32_t *const *s, const uint8_t *const *d, size_t blocks) { lanes_x86(s, d, blocks, 1); }
SHANI static void shani2(uint32_t *const *s, const uint8_t *const *d, size_t blocks) { lanes_x86(s, d, blocks, 2); }
SHANI static void shani3(uint32_t *const *s, const uint8_t *const *d, size_t blocks) { lanes_x86(s, d, blocks, 3); }

const struct sha256_kernel sha256_shani = {"sha-ni", 3, {NULL, shani1, shani2, shani3}};

int sha256_shani_usable(void)
{
    unsigned a, b, c, d;
    if (!__builtin_cpu_supports("avx"))
        return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}
#endif
