/* The least that hashing a set can cost here: plain C, threads that claim files, the same SHA-256 kernel, digests thrown
 * away; no order, no tree, no manifest. For each file it calls openat, fstat (its size), pread and close. A third
 * argument makes it another floor: "bare" makes no fstat, since a short read ends a file that is not cut; "twice" looks at
 * each file once more behind its last byte, as one must who is to notice a change; "disk" hashes nothing and reads past
 * the page cache, which is what the disk gives to so many readers, and no upper bound. Prints files, bytes and seconds as JSON. */
#define _GNU_SOURCE
#include "../core/lineward/native/files.h"
#include "../core/lineward/native/listing.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIECE ((size_t)64 * 1024)
#define DIRECT ((size_t)1024 * 1024) /* read at a time past the page cache, to aligned memory */
#define CHUNK ((uint64_t)8 * 1024 * 1024)

struct set {
    struct file_name *files;
    size_t count, room;
};

struct part {
    int fd;
    uint64_t offset, length;
};

static struct set all;
static struct part *parts;
static size_t part_count, next;
static int by_parts, bare, twice, disk;

static void walk(int fd)
{
    struct listing listed;
    if (listing_read(fd, "", SIZE_MAX / 4, &listed))
        exit(1);
    const char *name = listed.names;
    for (size_t i = 0; i < listed.count; i++, name += strlen(name) + 1) {
        if (listed.kinds[i] == 'd') {
            int below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (below < 0)
                exit(1);
            walk(below);
        } else {
            if (all.count == all.room) {
                all.room = all.room ? 2 * all.room : 4096;
                all.files = realloc(all.files, all.room * sizeof *all.files);
            }
            all.files[all.count++] = (struct file_name){fd, strdup(name)};
        }
    }
    listing_free(&listed);
}

struct job {
    int fd;
    uint64_t at, end; /* where it ends if that is known, else UINT64_MAX */
    uint64_t start;
    uint8_t *buffer;
};

static uint64_t bytes;

static void finish(struct job *job)
{
    struct stat after;
    if (job->fd < 0 || by_parts)
        return;
    if (twice && fstat(job->fd, &after))
        exit(1);
    close(job->fd);
}

static int claim(struct job *job)
{
    size_t i = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
    if (i >= (by_parts ? part_count : all.count))
        return 0;
    if (by_parts) {
        *job = (struct job){parts[i].fd, parts[i].offset, parts[i].offset + parts[i].length, parts[i].offset, job->buffer};
        return 1;
    }
    struct stat found;
    int fd = openat(all.files[i].directory, all.files[i].name, O_RDONLY | (disk ? O_DIRECT : 0));
    if (fd < 0 || (!bare && fstat(fd, &found))) {
        perror(all.files[i].name);
        exit(1);
    }
    *job = (struct job){fd, 0, bare ? UINT64_MAX : (uint64_t)found.st_size, 0, job->buffer};
    return 1;
}

static int refill(void *context, struct lane *lane)
{
    struct job *job = (struct job *)context + lane->slot;
    if (job->fd < 0 || job->at == job->end) {
        finish(job);
        job->fd = -1;
        if (!claim(job))
            return 0;
        sha256_start(lane->state);
    }
    size_t wanted = job->end - job->at < PIECE ? (size_t)(job->end - job->at) : PIECE;
    ssize_t got = pread(job->fd, job->buffer, wanted, (off_t)job->at);
    if (got < 0 || (job->end != UINT64_MAX && (size_t)got != wanted))
        exit(1);
    size_t have = (size_t)got;
    job->at += have;
    if (have < wanted)
        job->end = job->at;
    __atomic_fetch_add(&bytes, have, __ATOMIC_RELAXED);
    if (job->at == job->end)
        have += sha256_pad(job->buffer + have, have, job->at - job->start);
    lane->data = job->buffer;
    lane->blocks = have / SHA256_BLOCK;
    return 1;
}

static void *read_only(void *unused)
{
    struct job job = {.buffer = aligned_alloc(4096, DIRECT)};
    while (job.buffer && claim(&job)) {
        ssize_t got;
        do {
            got = pread(job.fd, job.buffer, DIRECT, (off_t)job.at);
            if (got < 0) {
                perror("reading past the page cache");
                exit(1);
            }
            job.at += (size_t)got;
        } while (got && job.at < job.end);
        __atomic_fetch_add(&bytes, job.at - job.start, __ATOMIC_RELAXED);
        finish(&job);
    }
    return unused;
}

static void *work(void *kernel)
{
    struct job jobs[MAX_LANES];
    for (int i = 0; i < MAX_LANES; i++)
        jobs[i] = (struct job){-1, 0, 0, 0, malloc(PIECE + 128)};
    sha256_run(kernel, MAX_LANES, refill, jobs);
    return NULL;
}

/* Sets of files above a chunk are cut as the engine cuts them, others are read file by file. */
static void cut(void)
{
    struct stat found;
    if (!all.count || fstatat(all.files[0].directory, all.files[0].name, &found, 0) || found.st_size <= (off_t)CHUNK)
        return;
    by_parts = 1;
    size_t room = 0;
    for (size_t i = 0; i < all.count; i++) {
        int fd = openat(all.files[i].directory, all.files[i].name, O_RDONLY | (disk ? O_DIRECT : 0));
        if (fd < 0 || fstat(fd, &found))
            exit(1);
        for (uint64_t at = 0; at < (uint64_t)found.st_size; at += CHUNK) {
            if (part_count == room) {
                room = room ? 2 * room : 4096;
                parts = realloc(parts, room * sizeof *parts);
            }
            uint64_t rest = (uint64_t)found.st_size - at;
            parts[part_count++] = (struct part){fd, at, rest < CHUNK ? rest : CHUNK};
        }
    }
}

int main(int count, char **arguments)
{
    struct timespec start, end;
    if (count != 3 && count != 4)
        return 64;
    bare = count == 4 && !strcmp(arguments[3], "bare");
    disk = count == 4 && !strcmp(arguments[3], "disk");
    twice = count == 4 && !bare && !disk;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int top = open(arguments[1], O_RDONLY | O_DIRECTORY), threads = atoi(arguments[2]);
    pthread_t ids[64];
    if (top < 0 || threads < 1 || threads > 64)
        return 1;
    walk(top);
    cut();
    const struct sha256_kernel *kernel = sha256_choose(NULL);
    for (int i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, disk ? read_only : work, (void *)(uintptr_t)kernel);
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) * 1e-9;
    printf("{\"files\": %zu, \"bytes\": %llu, \"seconds\": %.6f}\n", all.count, (unsigned long long)bytes, seconds);
    return 0;
}
