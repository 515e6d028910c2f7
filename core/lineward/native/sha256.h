/* SHA-256 (FIPS 180-4) of several independent messages at once.
 *
 * One stream is bound by the latency of its rounds; two or three interleaved in one thread keep the unit busy
 * (about 2.5 times the speed on Zen 4). Each message's digest is plain SHA-256.
 */
#ifndef LINEWARD_SHA256_H
#define LINEWARD_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BLOCK 64
#define SHA256_DIGEST 32
#define MAX_LANES 3

/* Compress `blocks` blocks of each of the lanes; data[i] belongs to state[i]. */
typedef void (*compress_fn)(uint32_t *const *state, const uint8_t *const *data, size_t blocks);

struct sha256_kernel {
    const char *name;
    int lanes;
    compress_fn compress[MAX_LANES + 1]; /* by number of lanes; [0] is unused */
};

extern const uint32_t sha256_k[64] __attribute__((aligned(16))); /* round constants, FIPS 180-4 section 4.2.2 */
extern const struct sha256_kernel sha256_scalar;
#if defined(__x86_64__)
extern const struct sha256_kernel sha256_shani;
int sha256_shani_usable(void);
#elif defined(__aarch64__)
extern const struct sha256_kernel sha256_armv8;
int sha256_armv8_usable(void);
#endif

/* The fastest kernel of this CPU; `forced` may name one ("scalar"). */
const struct sha256_kernel *sha256_choose(const char *forced);

void sha256_start(uint32_t state[8]);
void sha256_digest(const uint32_t state[8], uint8_t digest[SHA256_DIGEST]);

/* Append the padding of a message of `total` bytes behind its last `rest` bytes, which end at `end`.
 * Needs room for 72 bytes; returns how many it wrote, so that rest + result is whole blocks. */
size_t sha256_pad(uint8_t *end, size_t rest, uint64_t total);

/* A lane: what is to be compressed next. `refill` is called when `blocks` is 0 and either sets data and blocks > 0
 * or returns 0, which idles the lane for good. */
struct lane {
    uint32_t state[8];
    const uint8_t *data;
    size_t blocks;
    int slot;
};
typedef int (*refill_fn)(void *context, struct lane *lane);
void sha256_run(const struct sha256_kernel *kernel, int lanes, refill_fn refill, void *context);

/* SHA-256(prefix || message i) of `count` messages that lie one after the other; lengths[i], or `fixed` if NULL. */
int sha256_messages(const struct sha256_kernel *kernel, uint8_t prefix, const uint8_t *data, const uint32_t *lengths,
                    uint32_t fixed, size_t count, uint8_t *digests);

/* Known answers on every lane of a kernel; 0 if all are right. */
int sha256_self_test(const struct sha256_kernel *kernel);

#endif
