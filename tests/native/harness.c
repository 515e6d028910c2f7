/* Drives the C code without Python, so that sanitizers, valgrind and another architecture can watch it.
 * Usage: harness KERNEL; fails unless that kernel is the one that was chosen. */
#define _GNU_SOURCE
#include "../../core/lineward/native/entries.h"
#include "../../core/lineward/native/files.h"
#include "../../core/lineward/native/listing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static uint64_t seed = 88172645463325252ULL;

static uint64_t any(void) /* xorshift64 */
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void plain(const uint8_t *data, size_t size, uint8_t digest[32])
{
    uint32_t state[8], *states[] = {state};
    const uint8_t *whole[] = {data};
    uint8_t tail[128];
    size_t rest = size % 64;
    sha256_start(state);
    sha256_scalar.compress[1](states, whole, size / 64);
    if (rest)
        memcpy(tail, data + size - rest, rest);
    size_t padded = rest + sha256_pad(tail + rest, rest, size);
    whole[0] = tail;
    sha256_scalar.compress[1](states, whole, padded / 64);
    sha256_digest(state, digest);
}

static void test_known_answers(void)
{
    /* FIPS 180-4 examples and the empty message. */
    static const char *const messages[] = {"", "abc", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"};
    static const char *const answers[] = {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                                          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                                          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"};
    for (int i = 0; i < 3; i++) {
        uint8_t digest[32];
        char text[65];
        plain((const uint8_t *)messages[i], strlen(messages[i]), digest);
        for (int k = 0; k < 32; k++)
            snprintf(text + 2 * k, 3, "%02x", digest[k]);
        CHECK(strcmp(text, answers[i]) == 0);
    }
}

static void test_lanes(const struct sha256_kernel *kernel)
{
    CHECK(sha256_self_test(kernel) == 0);
    for (int lanes = 1; lanes <= kernel->lanes; lanes++) {
        uint32_t found[MAX_LANES][8], expected[8], *states[MAX_LANES];
        uint8_t *data[MAX_LANES];
        size_t blocks = 1 + any() % 40;
        for (int i = 0; i < lanes; i++) {
            data[i] = malloc(blocks * 64);
            for (size_t k = 0; k < blocks * 64; k++)
                data[i][k] = (uint8_t)any();
            sha256_start(found[i]);
            states[i] = found[i];
        }
        kernel->compress[lanes](states, (const uint8_t *const *)data, blocks);
        for (int i = 0; i < lanes; i++) {
            uint32_t *one[] = {expected};
            sha256_start(expected);
            sha256_scalar.compress[1](one, (const uint8_t *const *)&data[i], blocks);
            CHECK(memcmp(expected, found[i], sizeof expected) == 0);
            free(data[i]);
        }
    }
}

enum { FILES = 40 };

/* The same names a few at a time, as large directories are read. */
static void test_windows(int fd, const struct listing *whole)
{
    for (size_t room = 0; room < 2000; room += 37) {
        char after[256] = "";
        size_t size = 0, count = 0;
        for (int more = 1; more;) {
            struct listing part;
            CHECK(listing_read(fd, after, room, &part) == 0 && part.count && (part.count == 1 || part.size <= room));
            CHECK(memcmp(whole->names + size, part.names, part.size) == 0);
            CHECK(memcmp(whole->kinds + count, part.kinds, part.count) == 0);
            size += part.size;
            count += part.count;
            CHECK(part.more == (size < whole->size));
            CHECK(!part.more || part.size + strlen(whole->names + size) + 1 > room);
            const char *last = part.names + part.size - 1;
            while (last > part.names && last[-1])
                last--;
            strcpy(after, last);
            more = part.more;
            listing_free(&part);
        }
        CHECK(size == whole->size && count == whole->count);
    }
}

static void test_files(const struct sha256_kernel *kernel)
{
    static const size_t sizes[] = {0, 1, 55, 56, 64, 4096, 131071, 131072, 131073, 300000};
    char folder[] = "/tmp/lineward-native-XXXXXX", name[FILES][256];
    uint8_t expected[FILES * 32], digests[(FILES + 2) * 32];
    char padding[181];
    size_t bytes = 0;
    memset(padding, 'x', 180);
    padding[180] = 0;
    CHECK(mkdtemp(folder));
    int fd = open(folder, O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0);
    for (int i = 0; i < FILES; i++) {
        size_t size = sizes[(size_t)i % (sizeof sizes / sizeof *sizes)];
        uint8_t *data = malloc(size + 1);
        for (size_t k = 0; k < size; k++)
            data[k] = (uint8_t)any();
        snprintf(name[i], sizeof name[i], "%05d%.*s", i, (int)(any() % 180), padding);
        bytes += strlen(name[i]) + 1;
        int file = openat(fd, name[i], O_CREAT | O_WRONLY, 0600);
        CHECK(file >= 0 && write(file, data, size) == (ssize_t)size && close(file) == 0);
        plain(data, size, expected + i * 32);
        free(data);
    }
    CHECK(symlinkat("00001", fd, "link") == 0 && mkdirat(fd, "sub", 0700) == 0);

    struct listing listed;
    CHECK(listing_read(fd, "", 1 << 20, &listed) == 0 && listed.count == FILES + 2 && !listed.more);
    CHECK(memcmp(listed.names, name[0], strlen(name[0]) + 1) == 0 && listed.kinds[0] == 'f');
    CHECK(memcmp(listed.kinds + FILES, "ld", 2) == 0 && listed.size == bytes + 5 + 4);
    test_windows(fd, &listed);
    struct file_name names[FILES + 2];
    const char *at = listed.names;
    for (size_t i = 0; i < listed.count; i++, at += strlen(at) + 1)
        names[i] = (struct file_name){fd, at};
    CHECK(strcmp(names[FILES].name, "link") == 0);
    for (int mode = 0; mode <= MODE_COLD; mode += MODE_COLD) {
        struct cursor cursor = {0, 0, 0};
        struct file_stat stats[FILES + 2];
        CHECK(hash_files(kernel, names, listed.count, &cursor, stats, digests, 200000, mode) >= 0);
        for (int i = 0; i < FILES; i++) {
            int large = stats[i].size > 200000;
            CHECK(stats[i].status == (large ? FILE_DEFERRED : FILE_DONE));
            CHECK(large || memcmp(digests + i * 32, expected + i * 32, 32) == 0);
        }
        CHECK(stats[FILES].status == FILE_NOT_REGULAR && stats[FILES + 1].status == FILE_NOT_REGULAR);
        CHECK(cursor.files == FILES + 2);
    }
    struct cursor cursor = {0, 0, 0};
    int file = openat(fd, name[9], O_RDONLY);
    struct span spans[] = {{file, 0, 300000}, {file, 0, 300000}, {file, 300000, 0}, {file, 0, 300000}};
    for (int mode = 0; mode <= MODE_STREAM; mode += MODE_COLD) {
        CHECK(hash_spans(kernel, spans, 4, &cursor, digests, mode) == 0);
        CHECK(memcmp(digests, expected + 9 * 32, 32) == 0 && memcmp(digests + 96, expected + 9 * 32, 32) == 0);
    }
    spans[1].length++;
    CHECK(hash_spans(kernel, spans, 4, &cursor, digests, 0) == SPAN_SHORT);
    spans[1].fd = -1;
    CHECK(hash_spans(kernel, spans, 4, &cursor, digests, 0) == EBADF);
    close(file);
    for (size_t i = 0; i < listed.count; i++)
        CHECK(unlinkat(fd, names[i].name, listed.kinds[i] == 'd' ? AT_REMOVEDIR : 0) == 0);
    listing_free(&listed);
    close(fd);
    CHECK(listing_read(fd, "", 100, &listed) == EBADF);
    listing_free(&listed);
    CHECK(rmdir(folder) == 0);
}

/* Entries mangled at random, each in memory of exactly its size, so that one byte too far is seen. */
static void test_entries(long rounds)
{
    static const char *const paths[] = {"a", "a/b/c", "b", "b-/x", "c/..", "dd", "e"};
    for (long round = 0; round < rounds; round++) {
        uint8_t draft[2048];
        size_t size = 0;
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
            size_t length = strlen(paths[i]);
            const uint8_t head[11] = {"FXLD"[any() % 4], 0, (uint8_t)length, 0, 0, 0, 0, 0, 0, 0, (uint8_t)(any() % 40)};
            memcpy(draft + size, head, 11);
            memcpy(draft + size + 11, paths[i], length);
            size += 11 + length + (head[0] == 'L' ? head[10] : head[0] == 'D' ? 0 : 32);
        }
        for (uint64_t i = any() % 4; i; i--)
            draft[any() % size] = (uint8_t)any();
        size -= any() % 3 ? 0 : any() % size;
        uint8_t *body = malloc(size + !size);
        memcpy(body, draft, size);
        uint32_t *lengths = malloc((size / 11 + 1) * sizeof *lengths);
        struct page_sums sums;
        if (entries_check(body, size, (const uint8_t *)"0", any() % 2, (int)(any() % 2), lengths, &sums)) {
            size_t total = 0;
            for (size_t i = 0; i < sums.entries; i++)
                total += lengths[i];
            CHECK(total == size && sums.last_path + sums.last_length <= size);
        }
        free(lengths);
        free(body);
    }
}

int main(int count, char **arguments)
{
    const struct sha256_kernel *kernel = sha256_choose(NULL);
    CHECK(count == 3);
    if (strcmp(kernel->name, arguments[1])) {
        fprintf(stderr, "the kernel is %s, not %s\n", kernel->name, arguments[1]);
        return 1;
    }
    test_known_answers();
    for (int i = 0; i < 20; i++)
        test_lanes(kernel);
    test_files(kernel);
    test_files(&sha256_scalar);
    test_entries(atol(arguments[2]));
    printf("%s: right\n", kernel->name);
    return 0;
}
