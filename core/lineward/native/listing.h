/* The names in a directory in byte order, with as few calls to the kernel as they fit in. No Python in here. */
#ifndef LINEWARD_LISTING_H
#define LINEWARD_LISTING_H

#include <stddef.h>

struct listing {
    char *names, *kinds; /* each name with its NUL; a letter each: f file, d directory, l symlink, s special */
    size_t size, count;  /* bytes of the names, and how many they are */
    int more;            /* whether others follow */
};

/* Read the first names behind `after`, as many as take up at most `room` bytes, but one at least; needs twice as much
 * memory, however many there are. 0 or an errno; `listing_free` is due in both cases. */
int listing_read(int fd, const char *after, size_t room, struct listing *out);
void listing_free(struct listing *out);

#endif
