/* The names in a directory in byte order, with as few calls to the kernel as they fit in. No Python in here. */
#ifndef LINEWARD_LISTING_H
#define LINEWARD_LISTING_H

#include <stddef.h>

struct listed {
    const char *name;
    size_t length;
    char kind; /* f file, d directory, l symlink, s special */
};

struct listing {
    struct listed *items;
    size_t count;
    char *names;
};

/* Read the directory from its start. 0 or an errno; `listing_free` is due in both cases. */
int listing_read(int fd, struct listing *out);
void listing_free(struct listing *out);

#endif
