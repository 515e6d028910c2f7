/* Parts of open files: what large files are cut into. */
#define _GNU_SOURCE
#include "reader.h"

#include <errno.h>
#include <stdlib.h>

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
