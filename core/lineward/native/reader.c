/* Reads pieces for the lanes, waiting for a disk only after asking without waiting. */
#define _GNU_SOURCE
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SPELL 256 /* reads without a wait, after which a disk no longer counts as cold */
#define ASKED_ONE_IN 4 /* while nothing has waited of late, since asking and timing cost a tenth of a small file */
#define LONGEST_COPY 60000L /* nanoseconds for a piece that is in memory; disks take longer */
#define ADVICE ((uint64_t)512 * 1024)     /* the kernel cuts one request near its read-ahead size */

int reader_start(struct reader *r)
{
    for (int i = 0; i < MAX_LANES; i++)
        r->jobs[i].fd = -1;
    r->cold = r->mode & MODE_COLD ? SPELL : 0;
    void *memory = NULL;
    if (posix_memalign(&memory, 64, MAX_LANES * (PIECE + SLACK)))
        return -1;
    r->buffers = memory;
    return 0;
}

static void note_wait(struct reader *r)
{
    r->waits++;
    r->cold = SPELL;
}

/* Bytes that need no waiting for a disk; -1 where there are none, or it cannot be told. */
static ssize_t read_at_once(struct reader *r, int fd, void *buffer, size_t size, off_t at)
{
#ifdef RWF_NOWAIT
    struct iovec piece = {buffer, size};
    ssize_t got = preadv2(fd, &piece, 1, at, RWF_NOWAIT);
    if (got < 0 && errno == EAGAIN)
        note_wait(r);
    r->no_nowait = got < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL);
    return got;
#else
    (void)fd, (void)buffer, (void)size, (void)at;
    r->no_nowait = 1;
    return -1;
#endif
}

/* What overlayfs, tmpfs and old kernels leave: a read that takes longer than copying would has waited. */
static ssize_t read_timed(struct reader *r, int fd, void *buffer, size_t size, off_t at)
{
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    ssize_t got = pread(fd, buffer, size, at);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if ((end.tv_sec - start.tv_sec) * 1000000000L + end.tv_nsec - start.tv_nsec > LONGEST_COPY)
        note_wait(r);
    return got;
}

int reader_has(struct reader *r, int fd)
{
    char first;
    if (!r->no_nowait && read_at_once(r, fd, &first, 1, 0) > 0)
        return 1;
    r->waits += r->no_nowait;
    return 0;
}

/* Bytes at the offset; -1 and errno. Waits for the disk only after asking without waiting. */
static ssize_t read_piece(struct reader *r, const struct job *job, uint8_t *buffer, size_t size)
{
    off_t at = (off_t)(job->offset + job->done);
    if (!r->cold && r->reads++ % ASKED_ONE_IN)
        return pread(job->fd, buffer, size, at);
    ssize_t got = r->no_nowait ? -1 : read_at_once(r, job->fd, buffer, size, at);
    if (got <= 0)
        return r->no_nowait ? read_timed(r, job->fd, buffer, size, at) : pread(job->fd, buffer, size, at);
    r->cold -= r->cold > 0;
    return got;
}

static void advise(struct reader *r, struct job *job)
{
#ifdef POSIX_FADV_WILLNEED
    uint64_t until = job->done + AHEAD < job->length ? job->done + AHEAD : job->length;
    while (r->cold && job->advised < until) {
        (void)posix_fadvise(job->fd, (off_t)(job->offset + job->advised), (off_t)ADVICE, POSIX_FADV_WILLNEED);
        job->advised += ADVICE;
    }
#else
    (void)r;
    (void)job;
#endif
}

/* The last piece of a file asks for one byte more than there should be: in /proc, on FUSE and elsewhere a file may have
 * more than its size says, and readers would get it. For a file that has bytes this costs no call. */
int next_piece(struct reader *r, struct lane *lane)
{
    struct job *job = &r->jobs[lane->slot];
    uint8_t *buffer = r->buffers + (size_t)lane->slot * (PIECE + SLACK);
    uint64_t missing = job->length - job->done;
    size_t want = missing < PIECE ? (size_t)missing : PIECE, have = 0;
    size_t beyond = r->names && missing <= PIECE;
    if (job->length > PIECE)
        advise(r, job);
    while (have < want || beyond > want) {
        ssize_t got = want ? read_piece(r, job, buffer + have, want + beyond - have) : pread(job->fd, buffer, 1, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (!got && !want)
            break;
        if (got <= 0)
            return (int)got;
        have += (size_t)got;
        if (have > want)
            return 0;
        job->done += (uint64_t)got;
    }
    if (job->done == job->length)
        have += sha256_pad(buffer + have, have, job->length);
    lane->data = buffer;
    lane->blocks = have / SHA256_BLOCK;
    return 1;
}
