/* GB/s of one thread with one, two and three messages at a time; the best of many short runs, since others share the CPU. */
#define _GNU_SOURCE
#include "../core/lineward/native/sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BLOCKS = 2048, RUNS = 300 };

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int main(void)
{
    const struct sha256_kernel *kernel = sha256_choose(NULL);
    uint32_t state[MAX_LANES][8], *states[MAX_LANES];
    const uint8_t *data[MAX_LANES];
    uint8_t *memory = malloc((size_t)MAX_LANES * BLOCKS * SHA256_BLOCK);
    if (!memory)
        return 1;
    memset(memory, 7, (size_t)MAX_LANES * BLOCKS * SHA256_BLOCK);
    for (int lanes = 1; lanes <= MAX_LANES; lanes++) {
        double best = 1e9;
        for (int i = 0; i < lanes; i++) {
            sha256_start(state[i]);
            states[i] = state[i];
            data[i] = memory + (size_t)i * BLOCKS * SHA256_BLOCK;
        }
        for (int run = 0; run < RUNS && lanes <= kernel->lanes; run++) {
            double start = seconds();
            kernel->compress[lanes](states, data, BLOCKS);
            double took = seconds() - start;
            best = took < best ? took : best;
        }
        printf("%.2f\n", lanes <= kernel->lanes ? (double)lanes * BLOCKS * SHA256_BLOCK / best / 1e9 : 0.0);
    }
    free(memory);
    return 0;
}
