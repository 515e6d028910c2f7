/* Armv8 cryptography extension (Arm ARM: SHA256H, SHA256H2, SHA256SU0, SHA256SU1): one to three interleaved streams. */
#include "sha256.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

#define ARMV8 __attribute__((target("+crypto")))

ARMV8 static inline __attribute__((always_inline)) void lanes_arm(uint32_t *const *state, const uint8_t *const *data,
                                                                  size_t blocks, const int n)
{
    uint32x4_t abcd[MAX_LANES], efgh[MAX_LANES];
    const uint8_t *p[MAX_LANES];
    for (int i = 0; i < n; i++) {
        abcd[i] = vld1q_u32(&state[i][0]);
        efgh[i] = vld1q_u32(&state[i][4]);
        p[i] = data[i];
    }
    while (blocks--) {
        uint32x4_t w[MAX_LANES][4], abcd0[MAX_LANES], efgh0[MAX_LANES];
        for (int i = 0; i < n; i++) {
            abcd0[i] = abcd[i];
            efgh0[i] = efgh[i];
        }
#pragma GCC unroll 16
        for (int r = 0; r < 16; r++) {
            const uint32x4_t k = vld1q_u32(&sha256_k[4 * r]);
#pragma GCC unroll 3
            for (int i = 0; i < n; i++) {
                uint32x4_t *v = w[i];
                if (r < 4)
                    v[r] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p[i] + 16 * r)));
                else
                    v[r & 3] = vsha256su1q_u32(vsha256su0q_u32(v[r & 3], v[(r + 1) & 3]), v[(r + 2) & 3],
                                               v[(r + 3) & 3]);
                uint32x4_t m = vaddq_u32(v[r & 3], k), before = abcd[i];
                abcd[i] = vsha256hq_u32(abcd[i], efgh[i], m);
                efgh[i] = vsha256h2q_u32(efgh[i], before, m);
            }
        }
        for (int i = 0; i < n; i++) {
            abcd[i] = vaddq_u32(abcd[i], abcd0[i]);
            efgh[i] = vaddq_u32(efgh[i], efgh0[i]);
            p[i] += SHA256_BLOCK;
        }
    }
    for (int i = 0; i < n; i++) {
        vst1q_u32(&state[i][0], abcd[i]);
        vst1q_u32(&state[i][4], efgh[i]);
    }
}

ARMV8 static void armv8_1(uint32_t *const *s, const uint8_t *const *d, size_t blocks) { lanes_arm(s, d, blocks, 1); }
ARMV8 static void armv8_2(uint32_t *const *s, const uint8_t *const *d, size_t blocks) { lanes_arm(s, d, blocks, 2); }
ARMV8 static void armv8_3(uint32_t *const *s, const uint8_t *const *d, size_t blocks) { lanes_arm(s, d, blocks, 3); }

const struct sha256_kernel sha256_armv8 = {"armv8", 3, {NULL, armv8_1, armv8_2, armv8_3}};

int sha256_armv8_usable(void)
{
#if defined(__linux__)
    return (getauxval(AT_HWCAP) & (1 << 6)) != 0; /* HWCAP_SHA2 of asm/hwcap.h */
#else
    return 1; /* every Apple CPU of this architecture has them */
#endif
}
#endif
