/* Files are opened ahead only where the disk makes a thread wait: then as many reads as possible are on their way. */
#define _GNU_SOURCE
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CLAIM 16
#define COUNTED ((uint64_t)1024 * 1024) /* of large files progress is told more often than by claims */

/* fstat(2) itself: glibc calls newfstatat with an empty path, which kernels before 6.11 look up. */
static int stat_of(int fd, struct stat *found)
{
#if defined(SYS_fstat) && defined(__LP64__) /* where struct stat is the kernel's own */
    return (int)syscall(SYS_fstat, fd, found);
#else
    return fstat(fd, found);
#endif
}

static int64_t nanoseconds(struct timespec t) { return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }

static void record(struct reader *r, size_t index, int status, int error, const struct stat *found)
{
    struct file_stat *out = &r->stats[index];
    r->files++;
    memset(out, 0, sizeof *out);
    out->status = (uint8_t)status;
    out->error = error;
    if (!found)
        return;
    out->executable = (found->st_mode & S_IXUSR) != 0;
    out->size = (uint64_t)found->st_size;
    out->inode = found->st_ino;
    out->mtime = nanoseconds(found->st_mtim);
    out->ctime = nanoseconds(found->st_ctim);
}

/* Tell the others what has been done; they meet here and not at each file. */
static void count_done(struct reader *r)
{
    __atomic_fetch_add(&r->cursor->bytes, r->bytes, __ATOMIC_RELAXED);
    __atomic_fetch_add(&r->cursor->files, r->files, __ATOMIC_RELEASE); /* no file is seen as done before its bytes */
    r->files = r->bytes = 0;
}

/* Take the next files of all; 0 at the end, which each lane comes to after its last file. */
static int claim(struct reader *r)
{
    count_done(r);
    uint64_t start = __atomic_fetch_add(&r->cursor->next, CLAIM, __ATOMIC_RELAXED);
    r->claimed = start < r->count ? (size_t)start : r->count;
    r->claim_end = r->count - r->claimed < CLAIM ? r->count : r->claimed + CLAIM;
    return r->claimed < r->claim_end;
}

/* Whether a file of this reader is open, whose end gives a descriptor back. */
static int holds_files(const struct reader *r)
{
    int held = r->ready > 0;
    for (int i = 0; i < MAX_LANES; i++)
        held |= r->jobs[i].fd >= 0;
    return held;
}

/* Open the next claimed file, or record why not. 1 if `job` is ready, 0 if the file needs none, -1 at the end or where
 * no descriptor is left: the file stays the next one, for when one of those that are open is done. */
static int open_next(struct reader *r, struct job *job)
{
    if (r->claimed == r->claim_end && !claim(r))
        return -1;
    size_t index = r->claimed++;
    const struct file_name *name = &r->names[index];
    if (r->mode & MODE_STAT_ONLY) {
        if (fstatat(name->directory, name->name, &job->before, AT_SYMLINK_NOFOLLOW))
            record(r, index, FILE_FAILED, errno, NULL);
        else if (!S_ISREG(job->before.st_mode))
            record(r, index, FILE_NOT_REGULAR, 0, &job->before);
        else
            record(r, index, (uint64_t)job->before.st_size > r->limit ? FILE_DEFERRED : FILE_DONE, 0, &job->before);
        return 0;
    }
    int fd = openat(name->directory, name->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        if ((errno == EMFILE || errno == ENFILE) && holds_files(r)) {
            r->claimed--;
            return -1;
        }
        record(r, index, errno == ELOOP || errno == ENXIO ? FILE_NOT_REGULAR : FILE_FAILED, errno, NULL);
        return 0;
    }
    int status = FILE_DONE;
    if (stat_of(fd, &job->before))
        status = FILE_FAILED;
    else if (!S_ISREG(job->before.st_mode))
        status = FILE_NOT_REGULAR;
    else if ((uint64_t)job->before.st_size > r->limit)
        status = FILE_DEFERRED;
    if (status != FILE_DONE) {
        record(r, index, status, status == FILE_FAILED ? errno : 0, status == FILE_FAILED ? NULL : &job->before);
        close(fd);
        return 0;
    }
    job->fd = fd;
    job->index = index;
    job->offset = job->done = job->advised = 0;
    job->length = (uint64_t)job->before.st_size;
    return 1;
}

/* Take the next file for a lane; on a cold disk from a window of files whose reads are already on their way. */
static int take_file(struct reader *r, struct job *job)
{
    while (!r->ready || (r->cold && r->ready < WINDOW)) {
        struct job *next = &r->window[(r->head + r->ready) % WINDOW];
        int opened = open_next(r, next);
        if (opened < 0)
            break;
        if (!opened)
            continue;
        r->ready++;
        if (r->cold && next->length && !reader_has(r, next->fd))
            (void)posix_fadvise(next->fd, 0, (off_t)(next->length < AHEAD ? next->length : AHEAD), POSIX_FADV_WILLNEED);
    }
    if (!r->ready)
        return 0;
    *job = r->window[r->head];
    r->head = (r->head + 1) % WINDOW;
    r->ready--;
    return 1;
}

static int same(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_ino == b->st_ino && nanoseconds(a->st_mtim) == nanoseconds(b->st_mtim) &&
           nanoseconds(a->st_ctim) == nanoseconds(b->st_ctim);
}

static void finish_file(struct reader *r, struct job *job, int status, int error, const uint32_t *state)
{
    struct stat after;
    if (status == FILE_DONE) {
        if (stat_of(job->fd, &after)) {
            status = FILE_FAILED;
            error = errno;
        } else if (!same(&job->before, &after)) {
            status = FILE_CHANGED;
        }
    }
    close(job->fd);
    job->fd = -1;
    record(r, job->index, status, error, &job->before);
    if (status != FILE_DONE)
        return;
    sha256_digest(state, r->digests + job->index * SHA256_DIGEST);
    r->bytes += job->length;
    if (r->bytes >= COUNTED)
        count_done(r);
}

static int refill_file(void *context, struct lane *lane)
{
    struct reader *r = context;
    struct job *job = &r->jobs[lane->slot];
    if (job->fd >= 0 && !unfinished(job))
        finish_file(r, job, FILE_DONE, 0, lane->state);
    for (;;) {
        if (job->fd < 0) {
            if (!take_file(r, job))
                return 0;
            sha256_start(lane->state);
        }
        int got = next_piece(r, lane);
        if (got > 0)
            return 1;
        finish_file(r, job, got < 0 ? FILE_FAILED : FILE_CHANGED, got < 0 ? errno : 0, NULL);
    }
}

long hash_files(const struct sha256_kernel *kernel, const struct file_name *names, size_t count,
                struct cursor *cursor, struct file_stat *stats, uint8_t *digests, uint64_t limit, int mode)
{
    struct reader *r = calloc(1, sizeof *r);
    if (!r)
        return -1;
    r->cursor = cursor;
    r->digests = digests;
    r->mode = mode;
    r->names = names;
    r->stats = stats;
    r->limit = limit;
    r->count = count;
    long waits = -1;
    if (!reader_start(r)) {
        sha256_run(kernel, MAX_LANES, refill_file, r);
        waits = r->waits;
        free(r->buffers);
    }
    free(r);
    return waits;
}
