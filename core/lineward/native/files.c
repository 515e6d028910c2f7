/* Files are opened ahead only where the disk makes a thread wait: then as many reads as possible are on their way. */
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECE ((size_t)64 * 1024) /* three lanes of it stay in a core's second-level cache, with room for the kernel's side */
#define SLACK 128 /* for one byte too many, or the padding */
#define CLAIM 16
#define WINDOW 64
#define SPELL 256 /* reads without a wait, after which a disk no longer counts as cold */
#define AHEAD ((uint64_t)4 * 1024 * 1024) /* of a span on a cold disk */
#define ADVICE ((uint64_t)512 * 1024)     /* the kernel cuts one request near its read-ahead size */

struct job {
    int fd; /* -1: no job */
    size_t index;
    uint64_t offset, length, done, advised;
    struct stat before;
};

struct reader {
    const struct sha256_kernel *kernel;
    struct cursor *cursor;
    uint8_t *digests, *buffers;
    int mode, cold; /* cold: how many reads of the spell are left */
    long waits;
    struct job jobs[MAX_LANES];
    /* files */
    const struct file_name *names;
    struct file_stat *stats;
    uint64_t limit;
    size_t count, claimed, claim_end;
    struct job window[WINDOW];
    unsigned head, ready;
    /* spans */
    const struct span *spans;
    int failure;
};

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

static void record(struct file_stat *out, int status, int error, const struct stat *found)
{
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

/* Bytes at the offset; -1 and errno. Waits for the disk only after asking without waiting, and notes that it did. */
static ssize_t read_piece(struct reader *r, const struct job *job, uint8_t *buffer, size_t size)
{
    static int nowait_works = 1; /* a stale value costs one call, so no lock */
    off_t at = (off_t)(job->offset + job->done);
#ifdef RWF_NOWAIT
    if (__atomic_load_n(&nowait_works, __ATOMIC_RELAXED)) {
        struct iovec piece = {buffer, size};
        ssize_t got = preadv2(job->fd, &piece, 1, at, RWF_NOWAIT);
        if (got > 0) {
            r->cold -= r->cold > 0;
            return got;
        }
        if (got < 0 && errno == EAGAIN) {
            r->waits++;
            r->cold = SPELL;
        } else if (got < 0) {
            __atomic_store_n(&nowait_works, 0, __ATOMIC_RELAXED);
        }
    }
#endif
    return pread(job->fd, buffer, size, at);
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

/* The next piece of the lane's job, padded if it is the last: 1, 0 where the file does not end where it should, -1.
 * The last piece of a file asks for one byte more than there should be: in /proc, on FUSE and elsewhere a file may have
 * more than its size says, and readers would get it. For a file that has bytes this costs no call. */
static int next_piece(struct reader *r, struct lane *lane)
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

/* Whether the lane's job has more to hash; a job of a multiple of PIECE bytes ends with its padding. */
static int unfinished(const struct job *job) { return job->done < job->length; }

/* Open the next claimed file, or record why not. 1 if `job` is ready, 0 if the file needs none, -1 at the end. */
static int open_next(struct reader *r, struct job *job)
{
    if (r->claimed == r->claim_end) {
        r->claimed = __atomic_fetch_add(&r->cursor->next, CLAIM, __ATOMIC_RELAXED);
        if (r->claimed >= r->count) {
            r->claimed = r->claim_end = r->count;
            return -1;
        }
        r->claim_end = r->claimed + CLAIM < r->count ? r->claimed + CLAIM : r->count;
    }
    size_t index = r->claimed++;
    struct file_stat *out = &r->stats[index];
    __atomic_fetch_add(&r->cursor->files, 1, __ATOMIC_RELAXED);
    const struct file_name *name = &r->names[index];
    if (r->mode & MODE_STAT_ONLY) {
        if (fstatat(name->directory, name->name, &job->before, AT_SYMLINK_NOFOLLOW))
            record(out, FILE_FAILED, errno, NULL);
        else if (!S_ISREG(job->before.st_mode))
            record(out, FILE_NOT_REGULAR, 0, &job->before);
        else
            record(out, (uint64_t)job->before.st_size > r->limit ? FILE_DEFERRED : FILE_DONE, 0, &job->before);
        return 0;
    }
    int fd = openat(name->directory, name->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        record(out, errno == ELOOP || errno == ENXIO ? FILE_NOT_REGULAR : FILE_FAILED, errno, NULL);
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
        record(out, status, status == FILE_FAILED ? errno : 0, status == FILE_FAILED ? NULL : &job->before);
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
        if (r->cold && next->length)
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
    record(&r->stats[job->index], status, error, &job->before);
    if (status != FILE_DONE)
        return;
    sha256_digest(state, r->digests + job->index * SHA256_DIGEST);
    __atomic_fetch_add(&r->cursor->bytes, job->length, __ATOMIC_RELAXED);
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

static int reader_start(struct reader *r)
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

long hash_files(const struct sha256_kernel *kernel, const struct file_name *names, size_t count,
                struct cursor *cursor, struct file_stat *stats, uint8_t *digests, uint64_t limit, int mode)
{
    struct reader *r = calloc(1, sizeof *r);
    if (!r)
        return -1;
    r->kernel = kernel;
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

static int refill_span(void *context, struct lane *lane)
{
    struct reader *r = context;
    struct job *job = &r->jobs[lane->slot];
    if (job->fd >= 0 && !unfinished(job)) {
        sha256_digest(lane->state, r->digests + job->index * SHA256_DIGEST);
        __atomic_fetch_add(&r->cursor->bytes, job->length, __ATOMIC_RELAXED);
        job->fd = -1;
    }
    if (r->failure)
        return 0;
    if (job->fd < 0) {
        if (r->claimed == r->count)
            return 0;
        const struct span *span = &r->spans[r->claimed];
        *job = (struct job){.fd = span->fd, .index = r->claimed++, .offset = span->offset, .length = span->length};
        sha256_start(lane->state);
    }
    int got = next_piece(r, lane);
    if (got > 0)
        return 1;
    r->failure = got < 0 ? errno : SPAN_SHORT;
    return 0;
}

int hash_spans(const struct sha256_kernel *kernel, const struct span *spans, size_t count, struct cursor *cursor,
               uint8_t *digests, int mode)
{
    struct reader *r = calloc(1, sizeof *r);
    if (!r)
        return SPAN_NO_MEMORY;
    r->kernel = kernel;
    r->cursor = cursor;
    r->digests = digests;
    r->mode = mode;
    r->spans = spans;
    r->count = count;
    int result = SPAN_NO_MEMORY;
    if (!reader_start(r)) {
        sha256_run(kernel, mode & MODE_STREAM ? 1 : MAX_LANES, refill_span, r);
        result = r->failure;
        __atomic_fetch_add(&cursor->next, (uint64_t)r->waits, __ATOMIC_RELAXED);
        free(r->buffers);
    }
    free(r);
    return result;
}
