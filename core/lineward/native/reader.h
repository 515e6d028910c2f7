/* What hashing files and hashing spans share: jobs that fill lanes piece by piece. Only for files.c and spans.c. */
#ifndef LINEWARD_READER_H
#define LINEWARD_READER_H

#include "files.h"

#include <sys/stat.h>

#define PIECE ((size_t)64 * 1024) /* three lanes of it stay in a core's second-level cache, with room for the kernel's side */
#define SLACK 128 /* for one byte too many, or the padding */
#define WINDOW 64
#define AHEAD ((uint64_t)4 * 1024 * 1024) /* of a file or span on a cold disk */

struct job {
    int fd; /* -1: no job */
    size_t index;
    uint64_t offset, length, done, advised;
    struct stat before;
};

struct reader {
    struct cursor *cursor;
    uint8_t *digests, *buffers;
    int mode, cold; /* cold: how many reads of the spell are left */
    int no_nowait; /* this file system cannot be asked without waiting */
    unsigned reads;
    long waits;
    struct job jobs[MAX_LANES];
    /* files */
    const struct file_name *names;
    struct file_stat *stats;
    uint64_t limit;
    size_t count, claimed, claim_end;
    uint64_t files, bytes; /* done, and not yet counted in the cursor */
    struct job window[WINDOW];
    unsigned head, ready;
    /* spans */
    const struct span *spans;
    int failure;
};

/* Make room for the lanes; 0, or -1 without memory. */
int reader_start(struct reader *r);

/* Whether a file's first byte can be had without waiting for a disk; 0 also where that cannot be told, which counts as a
 * wait. Asked before a file is read ahead of its turn: when that comes no read waits, and the disk would seem warm. */
int reader_has(struct reader *r, int fd);

/* The next piece of the lane's job, padded if it is the last: 1, 0 where the file does not end where it should, -1. */
int next_piece(struct reader *r, struct lane *lane);

/* Whether the lane's job has more to hash; a job of a multiple of PIECE bytes ends with its padding. */
static inline int unfinished(const struct job *job) { return job->done < job->length; }

#endif
