#define _GNU_SOURCE
#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BUFFER ((size_t)64 * 1024)

struct linux_dirent64 { /* getdents64(2) */
    uint64_t d_ino;
    int64_t d_off;
    unsigned short d_reclen;
    unsigned char d_type;
    char d_name[];
};

/* 0 and errno where the file system does not say, and does not answer either. */
static char kind_of(int fd, const char *name, unsigned char type)
{
    if (type == DT_UNKNOWN) { /* some file systems do not say */
        struct stat found;
        if (fstatat(fd, name, &found, AT_SYMLINK_NOFOLLOW))
            return 0;
        type = IFTODT(found.st_mode);
    }
    return type == DT_REG ? 'f' : type == DT_DIR ? 'd' : type == DT_LNK ? 'l' : 's';
}

/* Names as they are read, each as kind, name, NUL. */
struct names {
    char *bytes;
    size_t used, room, count;
};

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a + 1, *(const char *const *)b + 1); }

static int append(struct names *all, char kind, const char *name)
{
    size_t length = strlen(name) + 1;
    if (all->used + length + 1 > all->room) {
        size_t more = 2 * all->room + BUFFER; /* no name is longer than the buffer that it came in */
        char *grown = realloc(all->bytes, more);
        if (!grown)
            return ENOMEM;
        all->bytes = grown;
        all->room = more;
    }
    all->bytes[all->used++] = kind;
    memcpy(all->bytes + all->used, name, length);
    all->used += length;
    all->count++;
    return 0;
}

/* Sort, and keep the first names that fit into `room` bytes. The first of the others becomes `bound`: nothing behind it
 * will ever fit, but what comes before it may. Returns 0 or ENOMEM. */
static int keep_first(struct names *all, size_t room, char **bound)
{
    const char **order = malloc((all->count + 1) * sizeof *order), *at = all->bytes;
    struct names kept = {NULL, 0, 0, 0};
    size_t size = 0;
    if (!order)
        return ENOMEM;
    for (size_t i = 0; i < all->count; i++, at += strlen(at + 1) + 2)
        order[i] = at;
    qsort(order, all->count, sizeof *order, by_name);
    kept.room = all->used + !all->used;
    kept.bytes = malloc(kept.room);
    int error = kept.bytes ? 0 : ENOMEM;
    for (size_t i = 0; i < all->count && kept.bytes; i++) {
        size += strlen(order[i] + 1) + 1;
        if (i && size > room) {
            free(*bound);
            *bound = strdup(order[i] + 1);
            error = *bound ? 0 : ENOMEM;
            break;
        }
        (void)append(&kept, *order[i], order[i] + 1);
    }
    free(order);
    free(all->bytes);
    *all = kept;
    return error;
}

struct window {
    struct names names;
    const char *after;
    char *bound; /* first of what was dropped; NULL: nothing was */
    size_t room;
};

static int take(struct window *w, int fd, const struct linux_dirent64 *entry)
{
    const char *name = entry->d_name;
    if (strcmp(name, w->after) <= 0 || (w->bound && strcmp(name, w->bound) >= 0))
        return 0;
    char kind = kind_of(fd, name, entry->d_type);
    if (!kind)
        return errno;
    if (append(&w->names, kind, name))
        return ENOMEM;
    if (w->names.used - w->names.count <= 2 * w->room)
        return 0;
    return keep_first(&w->names, w->room, &w->bound);
}

static int read_names(int fd, struct window *w)
{
    char *buffer = malloc(BUFFER);
    int error = buffer && lseek(fd, 0, SEEK_SET) >= 0 ? 0 : buffer ? errno : ENOMEM;
    while (!error) {
        long got = syscall(SYS_getdents64, fd, buffer, BUFFER);
        if (got <= 0) {
            error = got < 0 ? errno : 0;
            break;
        }
        for (long at = 0; at < got && !error;) {
            const struct linux_dirent64 *entry = (const void *)(buffer + at);
            at += entry->d_reclen;
            if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
                continue;
            error = take(w, fd, entry);
        }
    }
    free(buffer);
    return error;
}

/* Take kinds and names apart, in place. */
static int split(struct window *w, struct listing *out)
{
    out->names = w->names.bytes;
    out->count = w->names.count;
    out->more = w->bound != NULL;
    out->kinds = malloc(out->count + 1);
    if (!out->kinds)
        return ENOMEM;
    const char *at = out->names;
    for (size_t i = 0; i < out->count; i++) {
        size_t length = strlen(at + 1) + 1;
        out->kinds[i] = *at;
        memmove(out->names + out->size, at + 1, length);
        out->size += length;
        at += length + 1;
    }
    return 0;
}

int listing_read(int fd, const char *after, size_t room, struct listing *out)
{
    struct window w = {.after = after, .room = room};
    memset(out, 0, sizeof *out);
    int error = read_names(fd, &w);
    if (!error)
        error = keep_first(&w.names, room, &w.bound);
    if (!error)
        error = split(&w, out);
    else
        free(w.names.bytes);
    free(w.bound);
    return error;
}

void listing_free(struct listing *out)
{
    free(out->kinds);
    free(out->names);
}
