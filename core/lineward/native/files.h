/* Reading and hashing many files with one thread: descriptors and offsets in, digests out. No Python in here. */
#ifndef LINEWARD_FILES_H
#define LINEWARD_FILES_H

#include "sha256.h"

#include <stdint.h>

enum file_status { FILE_DONE, FILE_DEFERRED, FILE_FAILED, FILE_NOT_REGULAR, FILE_CHANGED };
enum file_mode { MODE_STAT_ONLY = 1, MODE_COLD = 2, MODE_STREAM = 4 };

/* One record a file, as fallback.STAT reads it. */
struct file_stat {
    uint8_t status, executable;
    uint16_t unused;
    int32_t error;
    uint64_t size, inode;
    int64_t mtime, ctime;
};

struct file_name {
    int directory;
    const char *name;
};

/* Shared by the threads that work on a batch, as fallback.CURSOR reads it. */
struct cursor {
    uint64_t next, files, bytes;
};

/* Hash files until all are claimed. Returns how many reads had to wait for a disk, or -1 without memory. */
long hash_files(const struct sha256_kernel *kernel, const struct file_name *names, size_t count,
                struct cursor *cursor, struct file_stat *stats, uint8_t *digests, uint64_t limit, int mode);

struct span {
    int fd;
    uint64_t offset, length;
};

enum { SPAN_SHORT = -1, SPAN_NO_MEMORY = -2 };

/* SHA-256 of each span; adds to the cursor's `next` how many reads had to wait for a disk. Returns 0, an errno, SPAN_SHORT where a file ends early, or SPAN_NO_MEMORY. */
int hash_spans(const struct sha256_kernel *kernel, const struct span *spans, size_t count, struct cursor *cursor,
               uint8_t *digests, int mode);

#endif
