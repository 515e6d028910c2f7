/* The scalar kernel, the choice of a kernel, the lane scheduler, and the known answers. */
#include "sha256.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER_SLACK 128

const uint32_t sha256_k[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static uint32_t load(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void store(uint8_t *p, uint32_t x)
{
    p[0] = (uint8_t)(x >> 24);
    p[1] = (uint8_t)(x >> 16);
    p[2] = (uint8_t)(x >> 8);
    p[3] = (uint8_t)x;
}

static inline uint32_t schedule(uint32_t w[16], int i)
{
    uint32_t a = w[(i + 1) & 15], b = w[(i + 14) & 15];
    return w[i & 15] += (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[(i + 9) & 15] + (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
}

/* FIPS 180-4 section 6.2.2; instead of moving the eight words each round, eight rounds name them by turns. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                                                               \
    do {                                                                                                               \
        h += (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (g ^ (e & (f ^ g))) + sha256_k[i] +                      \
             ((i) < 16 ? w[i] : schedule(w, i));                                                                       \
        d += h;                                                                                                        \
        h += (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) | (c & (a | b)));                               \
    } while (0)

static void scalar_block(uint32_t state[8], const uint8_t *data)
{
    uint32_t w[16];
    for (int i = 0; i < 16; i++)
        w[i] = load(data + 4 * i);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
#pragma GCC unroll 8
    for (int i = 0; i < 64; i += 8) {
        ROUND(a, b, c, d, e, f, g, h, i);
        ROUND(h, a, b, c, d, e, f, g, i + 1);
        ROUND(g, h, a, b, c, d, e, f, i + 2);
        ROUND(f, g, h, a, b, c, d, e, i + 3);
        ROUND(e, f, g, h, a, b, c, d, i + 4);
        ROUND(d, e, f, g, h, a, b, c, i + 5);
        ROUND(c, d, e, f, g, h, a, b, i + 6);
        ROUND(b, c, d, e, f, g, h, a, i + 7);
    }
    uint32_t s[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

static void scalar1(uint32_t *const *state, const uint8_t *const *data, size_t blocks)
{
    for (size_t i = 0; i < blocks; i++)
        scalar_block(state[0], data[0] + i * SHA256_BLOCK);
}

const struct sha256_kernel sha256_scalar = {"scalar", 1, {NULL, scalar1, NULL, NULL}};

const struct sha256_kernel *sha256_choose(const char *forced)
{
    if (forced && strcmp(forced, "scalar") == 0)
        return &sha256_scalar;
#if defined(__x86_64__)
    if (sha256_shani_usable())
        return &sha256_shani;
#elif defined(__aarch64__)
    if (sha256_armv8_usable())
        return &sha256_armv8;
#endif
    return &sha256_scalar;
}

void sha256_start(uint32_t state[8])
{
    static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(state, initial, sizeof initial);
}

void sha256_digest(const uint32_t state[8], uint8_t digest[SHA256_DIGEST])
{
    for (int i = 0; i < 8; i++)
        store(digest + 4 * i, state[i]);
}

size_t sha256_pad(uint8_t *end, size_t rest, uint64_t total)
{
    size_t zeros = (SHA256_BLOCK - (rest + 9) % SHA256_BLOCK) % SHA256_BLOCK;
    end[0] = 0x80;
    memset(end + 1, 0, zeros);
    store(end + 1 + zeros, (uint32_t)(total >> 29));
    store(end + 5 + zeros, (uint32_t)(total << 3));
    return zeros + 9;
}

void sha256_run(const struct sha256_kernel *kernel, int lanes, refill_fn refill, void *context)
{
    struct lane all[MAX_LANES] = {0};
    struct lane *active[MAX_LANES];
    if (lanes > kernel->lanes)
        lanes = kernel->lanes;
    int count = lanes;
    for (int i = 0; i < lanes; i++) {
        all[i].slot = i;
        active[i] = &all[i];
    }
    while (count) {
        uint32_t *states[MAX_LANES] = {0};
        const uint8_t *data[MAX_LANES] = {0};
        size_t blocks = SIZE_MAX;
        for (int i = 0; i < count;) {
            if (!active[i]->blocks && !refill(context, active[i])) {
                active[i] = active[--count];
                continue;
            }
            states[i] = active[i]->state;
            data[i] = active[i]->data;
            if (active[i]->blocks < blocks)
                blocks = active[i]->blocks;
            i++;
        }
        if (!count)
            return;
        kernel->compress[count](states, data, blocks);
        for (int i = 0; i < count; i++) {
            active[i]->data += blocks * SHA256_BLOCK;
            active[i]->blocks -= blocks;
        }
    }
}

struct messages {
    const uint8_t *data;
    const uint32_t *lengths;
    uint32_t fixed;
    size_t count, next;
    uint8_t prefix;
    uint8_t *digests;
    uint8_t *buffers;
    size_t buffer_size;
    size_t owner[MAX_LANES]; /* message in the lane plus one */
};

static int next_message(void *context, struct lane *lane)
{
    struct messages *all = context;
    if (all->owner[lane->slot])
        sha256_digest(lane->state, all->digests + (all->owner[lane->slot] - 1) * SHA256_DIGEST);
    all->owner[lane->slot] = 0;
    if (all->next == all->count)
        return 0;
    uint32_t length = all->lengths ? all->lengths[all->next] : all->fixed;
    uint8_t *buffer = all->buffers + (size_t)lane->slot * all->buffer_size;
    buffer[0] = all->prefix;
    memcpy(buffer + 1, all->data, length);
    size_t total = (size_t)length + 1;
    size_t padded = total + sha256_pad(buffer + total, total, total);
    sha256_start(lane->state);
    lane->data = buffer;
    lane->blocks = padded / SHA256_BLOCK;
    all->owner[lane->slot] = ++all->next;
    all->data += length;
    return 1;
}

int sha256_messages(const struct sha256_kernel *kernel, uint8_t prefix, const uint8_t *data, const uint32_t *lengths,
                    uint32_t fixed, size_t count, uint8_t *digests)
{
    size_t longest = fixed;
    for (size_t i = 0; lengths && i < count; i++)
        if (lengths[i] > longest)
            longest = lengths[i];
    struct messages all = {data, lengths, fixed, count, 0, prefix, digests, NULL, longest + 1 + BUFFER_SLACK, {0}};
    all.buffers = malloc(MAX_LANES * all.buffer_size);
    if (!all.buffers)
        return -1;
    sha256_run(kernel, MAX_LANES, next_message, &all);
    free(all.buffers);
    return 0;
}

int sha256_self_test(const struct sha256_kernel *kernel)
{
    /* FIPS 180-4 example "abc", and lengths around every edge of the padding against the scalar kernel. */
    static const uint8_t abc[SHA256_DIGEST] = {
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
        0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    static const uint32_t lengths[] = {2, 54, 55, 56, 62, 63, 64, 118, 119, 120, 127, 128, 300, 0, 1};
    enum { COUNT = sizeof lengths / sizeof *lengths };
    uint8_t data[2048], expected[COUNT * SHA256_DIGEST], found[COUNT * SHA256_DIGEST];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 167 + 13);
    memcpy(data, "bc", 2);
    if (sha256_messages(&sha256_scalar, 'a', data, lengths, 0, COUNT, expected) ||
        sha256_messages(kernel, 'a', data, lengths, 0, COUNT, found))
        return -1;
    return memcmp(expected, abc, sizeof abc) || memcmp(expected, found, sizeof found);
}
