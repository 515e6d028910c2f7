#include "entries.h"

#include <string.h>

#define HEAD ((size_t)11)
#define MAX_PATH ((size_t)32767)
#define MAX_NAMES 512
#define MAX_NAME ((size_t)255)
#define MAX_TARGET 4095
#define DIGEST ((size_t)32)

static uint64_t number(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static int name_allowed(const uint8_t *name, size_t length)
{
    if (length == 0 || length > MAX_NAME)
        return 0;
    return !(name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')));
}

static int path_allowed(const uint8_t *path, size_t length)
{
    if (length > MAX_PATH || memchr(path, 0, length))
        return 0;
    size_t start = 0;
    int names = 0;
    for (;;) {
        const uint8_t *slash = memchr(path + start, '/', length - start);
        size_t end = slash ? (size_t)(slash - path) : length;
        if (!name_allowed(path + start, end - start) || ++names > MAX_NAMES)
            return 0;
        if (!slash)
            return 1;
        start = end + 1;
    }
}

/* Whether path b may follow path a: greater name by name, and not below it. */
static int follows(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
    size_t shorter = a_length < b_length ? a_length : b_length, i = 0;
    while (i < shorter && a[i] == b[i])
        i++;
    if (i == a_length)
        return i < b_length && b[i] != '/';
    if (i == b_length)
        return 0;
    uint8_t x = a[i] == '/' ? 0 : a[i], y = b[i] == '/' ? 0 : b[i];
    return x < y;
}

/* Bytes behind the path; -1 where kind or size is not allowed. */
static long content_length(uint8_t kind, uint64_t size, int modes)
{
    if (kind == 'F' || (modes && kind == 'X'))
        return size > INT64_MAX ? -1 : (long)DIGEST;
    if (!modes)
        return -1;
    if (kind == 'L')
        return size >= 1 && size <= MAX_TARGET ? (long)size : -1;
    return kind == 'D' && size == 0 ? 0 : -1;
}

int entries_check(const uint8_t *body, size_t size, const uint8_t *previous, size_t previous_length, int modes,
                  uint32_t *lengths, struct page_sums *sums)
{
    size_t at = 0;
    int first = previous_length == 0;
    memset(sums, 0, sizeof *sums);
    while (at < size) {
        if (size - at < HEAD)
            return 0;
        uint8_t kind = body[at];
        size_t path_length = (size_t)number(body + at + 1, 2);
        uint64_t file_size = number(body + at + 3, 8);
        long content = content_length(kind, file_size, modes);
        if (content < 0 || size - at - HEAD < path_length + (size_t)content)
            return 0;
        const uint8_t *path = body + at + HEAD;
        if (!path_allowed(path, path_length) || (!first && !follows(previous, previous_length, path, path_length)))
            return 0;
        if (kind == 'F' || kind == 'X') {
            sums->files++;
            if (file_size > UINT64_MAX - sums->bytes)
                return 0;
            sums->bytes += file_size;
        }
        lengths[sums->entries++] = (uint32_t)(HEAD + path_length + (size_t)content);
        sums->last_path = at + HEAD;
        sums->last_length = path_length;
        previous = path;
        previous_length = path_length;
        first = 0;
        at += HEAD + path_length + (size_t)content;
    }
    return 1;
}
