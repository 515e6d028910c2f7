/* The rules of docs/formats/manifest-v1.md section 3 for the entries of a page. No Python in here. */
#ifndef LINEWARD_ENTRIES_H
#define LINEWARD_ENTRIES_H

#include <stddef.h>
#include <stdint.h>

struct page_sums {
    uint64_t files, bytes;
    size_t entries, last_path, last_length; /* where the last entry's path lies in the body */
};

/* Check `size` bytes of entries that follow the path `previous`; writes their lengths (room for size / 11).
 * Returns 1 if every rule holds, else 0. `modes`: the posix profile. */
int entries_check(const uint8_t *body, size_t size, const uint8_t *previous, size_t previous_length, int modes,
                  uint32_t *lengths, struct page_sums *sums);

#endif
