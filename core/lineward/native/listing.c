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

static char kind_of(int fd, const char *name, unsigned char type)
{
    if (type == DT_UNKNOWN) { /* some file systems do not say */
        struct stat found;
        if (fstatat(fd, name, &found, AT_SYMLINK_NOFOLLOW))
            return 's';
        type = IFTODT(found.st_mode);
    }
    return type == DT_REG ? 'f' : type == DT_DIR ? 'd' : type == DT_LNK ? 'l' : 's';
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

/* Names are appended as: kind, name, NUL. */
static int append(char **names, size_t *used, size_t *room, char kind, const char *name)
{
    size_t length = strlen(name) + 1;
    if (*used + length + 1 > *room) {
        size_t more = *room ? 2 * *room : BUFFER;
        char *grown = realloc(*names, more);
        if (!grown)
            return ENOMEM;
        *names = grown;
        *room = more;
    }
    (*names)[(*used)++] = kind;
    memcpy(*names + *used, name, length);
    *used += length;
    return 0;
}

static int read_names(int fd, struct listing *out, size_t *used)
{
    size_t room = 0;
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
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                continue;
            error = append(&out->names, used, &room, kind_of(fd, entry->d_name, entry->d_type), entry->d_name);
            out->count++;
        }
    }
    free(buffer);
    return error;
}

int listing_read(int fd, struct listing *out)
{
    size_t used = 0;
    memset(out, 0, sizeof *out);
    int error = read_names(fd, out, &used);
    if (error)
        return error;
    out->items = malloc((out->count + 1) * sizeof *out->items);
    if (!out->items)
        return ENOMEM;
    const char *at = out->names;
    for (size_t i = 0; i < out->count; i++) {
        size_t length = strlen(at + 1);
        out->items[i] = (struct listed){at + 1, length, *at};
        at += length + 2;
    }
    qsort(out->items, out->count, sizeof *out->items, by_name);
    return 0;
}

void listing_free(struct listing *out)
{
    free(out->items);
    free(out->names);
}
