/* The Python module: takes arguments apart, lets go of the interpreter lock, and puts results together.
 * Contracts are those of fallback.py; an argument that breaks one raises ValueError or TypeError. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "entries.h"
#include "files.h"
#include "listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ABI = 1 }; /* as in fallback.py */

static const struct sha256_kernel *kernel;

static PyObject *py_list_directory(PyObject *self, PyObject *args)
{
    (void)self;
    int fd, error;
    const char *after; /* without NUL inside, as names are */
    Py_ssize_t room;
    struct listing found;
    if (!PyArg_ParseTuple(args, "iyn", &fd, &after, &room))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    error = listing_read(fd, after, room < 0 ? 0 : (size_t)room, &found);
    Py_END_ALLOW_THREADS
    PyObject *result = NULL;
    if (error) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
    } else {
        result = Py_BuildValue("y#y#O", found.names, (Py_ssize_t)found.size, found.kinds, (Py_ssize_t)found.count,
                               found.more ? Py_True : Py_False);
    }
    listing_free(&found);
    return result;
}

/* Names of all groups [(fd, [name, ...]), ...]; the pointers live as long as the argument. */
static struct file_name *flat_names(PyObject *groups, size_t *count)
{
    struct file_name *flat = NULL;
    size_t total = 0, at = 0;
    for (int fill = 0; fill < 2; fill++) {
        for (Py_ssize_t g = 0; g < PyList_Size(groups); g++) {
            PyObject *names;
            int fd;
            if (!PyArg_ParseTuple(PyList_GetItem(groups, g), "iO!", &fd, &PyList_Type, &names))
                goto fail;
            Py_ssize_t size = PyList_Size(names);
            total += fill ? 0 : (size_t)size;
            for (Py_ssize_t i = 0; fill && i < size; i++) {
                const char *name = PyBytes_AsString(PyList_GetItem(names, i));
                if (!name)
                    goto fail;
                flat[at++] = (struct file_name){fd, name};
            }
        }
        if (!fill && !(flat = malloc((total + 1) * sizeof *flat))) {
            PyErr_NoMemory();
            return NULL;
        }
    }
    *count = total;
    return flat;
fail:
    free(flat);
    return NULL;
}

static int large_enough(const Py_buffer *buffer, size_t size)
{
    if ((size_t)buffer->len >= size)
        return 1;
    PyErr_SetString(PyExc_ValueError, "a buffer is too short");
    return 0;
}

static PyObject *py_hash_files(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *groups, *result = NULL;
    Py_buffer cursor, stats, digests;
    unsigned long long limit;
    int mode;
    if (!PyArg_ParseTuple(args, "O!w*w*w*Ki", &PyList_Type, &groups, &cursor, &stats, &digests, &limit, &mode))
        return NULL;
    size_t count = 0;
    struct file_name *names = flat_names(groups, &count);
    if (names && large_enough(&cursor, sizeof(struct cursor)) &&
        large_enough(&stats, count * sizeof(struct file_stat)) && large_enough(&digests, count * SHA256_DIGEST)) {
        long waits;
        Py_BEGIN_ALLOW_THREADS
        waits = hash_files(kernel, names, count, cursor.buf, stats.buf, digests.buf, limit, mode);
        Py_END_ALLOW_THREADS
        result = waits < 0 ? PyErr_NoMemory() : PyLong_FromLong(waits);
    }
    free(names);
    PyBuffer_Release(&cursor);
    PyBuffer_Release(&stats);
    PyBuffer_Release(&digests);
    return result;
}

static PyObject *py_hash_spans(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *list, *result = NULL;
    Py_buffer cursor;
    int mode, failure = 0;
    if (!PyArg_ParseTuple(args, "O!w*i", &PyList_Type, &list, &cursor, &mode))
        return NULL;
    size_t count = (size_t)PyList_Size(list);
    struct span *spans = malloc((count + 1) * sizeof *spans);
    if (!spans) {
        PyErr_NoMemory();
        goto end;
    }
    for (size_t i = 0; i < count; i++) {
        unsigned long long offset, length;
        if (!PyArg_ParseTuple(PyList_GetItem(list, (Py_ssize_t)i), "iKK", &spans[i].fd, &offset, &length))
            goto end;
        spans[i].offset = offset;
        spans[i].length = length;
    }
    if (!large_enough(&cursor, sizeof(struct cursor)))
        goto end;
    result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * SHA256_DIGEST));
    if (!result)
        goto end;
    uint8_t *digests = (uint8_t *)PyBytes_AsString(result);
    Py_BEGIN_ALLOW_THREADS
    failure = hash_spans(kernel, spans, count, cursor.buf, digests, mode);
    Py_END_ALLOW_THREADS
    if (failure)
        Py_CLEAR(result);
    if (failure == SPAN_SHORT) {
        PyErr_SetString(PyExc_EOFError, "the file became shorter while it was read");
    } else if (failure == SPAN_NO_MEMORY) {
        PyErr_NoMemory();
    } else if (failure) {
        errno = failure;
        PyErr_SetFromErrno(PyExc_OSError);
    }
end:
    free(spans);
    PyBuffer_Release(&cursor);
    return result;
}

static PyObject *py_leaf_hashes(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer blob, lengths;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*y*", &blob, &lengths))
        return NULL;
    size_t count = (size_t)lengths.len / sizeof(uint32_t);
    const uint32_t *each = lengths.buf;
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += each[i];
    if (total != (uint64_t)blob.len) {
        PyErr_SetString(PyExc_ValueError, "the lengths do not add up to the data");
        goto end;
    }
    result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * SHA256_DIGEST));
    if (!result)
        goto end;
    uint8_t *digests = (uint8_t *)PyBytes_AsString(result);
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = sha256_messages(kernel, 0, blob.buf, each, 0, count, digests);
    Py_END_ALLOW_THREADS
    if (failed) {
        Py_CLEAR(result);
        PyErr_NoMemory();
    }
end:
    PyBuffer_Release(&blob);
    PyBuffer_Release(&lengths);
    return result;
}

static PyObject *py_perfect_root(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer leaves;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*", &leaves))
        return NULL;
    size_t count = (size_t)leaves.len / SHA256_DIGEST;
    uint8_t *nodes = NULL;
    if (!count || leaves.len % SHA256_DIGEST || (count & (count - 1))) {
        PyErr_SetString(PyExc_ValueError, "a perfect tree has a power of two of leaves");
        goto end;
    }
    nodes = malloc((size_t)leaves.len);
    if (!nodes) {
        PyErr_NoMemory();
        goto end;
    }
    int failed = 0;
    Py_BEGIN_ALLOW_THREADS
    memcpy(nodes, leaves.buf, (size_t)leaves.len);
    /* In place: messages are copied into a lane before a digest is written, and digests stay behind them. */
    for (; count > 1 && !failed; count /= 2)
        failed = sha256_messages(kernel, 1, nodes, NULL, 2 * SHA256_DIGEST, count / 2, nodes);
    Py_END_ALLOW_THREADS
    result = failed ? PyErr_NoMemory() : PyBytes_FromStringAndSize((const char *)nodes, SHA256_DIGEST);
end:
    free(nodes);
    PyBuffer_Release(&leaves);
    return result;
}

static void put(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, value >>= 8)
        at[i] = (uint8_t)value;
}

static PyObject *py_encode_files(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer prefix, stats, digests;
    PyObject *names, *blob = NULL, *lengths = NULL, *result = NULL;
    int modes;
    if (!PyArg_ParseTuple(args, "y*O!y*y*i", &prefix, &PyList_Type, &names, &stats, &digests, &modes))
        return NULL;
    Py_ssize_t count = PyList_Size(names);
    size_t total = 0;
    if (!large_enough(&stats, (size_t)count * sizeof(struct file_stat)) ||
        !large_enough(&digests, (size_t)count * SHA256_DIGEST))
        goto end;
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_ssize_t size = PyBytes_Size(PyList_GetItem(names, i));
        if (size < 0)
            goto end;
        if (size + prefix.len > UINT16_MAX) {
            PyErr_SetString(PyExc_ValueError, "a path is too long");
            goto end;
        }
        total += 11 + (size_t)prefix.len + (size_t)size + SHA256_DIGEST;
    }
    blob = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total);
    lengths = PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(uint32_t));
    if (!blob || !lengths)
        goto end;
    uint8_t *at = (uint8_t *)PyBytes_AsString(blob);
    char *sizes = PyBytes_AsString(lengths);
    for (Py_ssize_t i = 0; i < count; i++) {
        const struct file_stat *stat = (const struct file_stat *)stats.buf + i;
        PyObject *name = PyList_GetItem(names, i);
        size_t size = (size_t)PyBytes_Size(name), path = (size_t)prefix.len + size;
        uint32_t length = (uint32_t)(11 + path + SHA256_DIGEST);
        at[0] = modes && stat->executable ? 'X' : 'F';
        put(at + 1, path, 2);
        put(at + 3, stat->size, 8);
        if (prefix.len)
            memcpy(at + 11, prefix.buf, (size_t)prefix.len);
        memcpy(at + 11 + prefix.len, PyBytes_AsString(name), size);
        memcpy(at + 11 + path, (const uint8_t *)digests.buf + i * SHA256_DIGEST, SHA256_DIGEST);
        memcpy(sizes + i * (Py_ssize_t)sizeof length, &length, sizeof length);
        at += length;
    }
    result = PyTuple_Pack(2, blob, lengths);
end:
    Py_XDECREF(blob);
    Py_XDECREF(lengths);
    PyBuffer_Release(&prefix);
    PyBuffer_Release(&stats);
    PyBuffer_Release(&digests);
    return result;
}

static PyObject *py_check_entries(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer body, previous;
    int modes;
    if (!PyArg_ParseTuple(args, "y*y*i", &body, &previous, &modes))
        return NULL;
    PyObject *result = NULL;
    struct page_sums sums;
    uint32_t *lengths = malloc(((size_t)body.len / 11 + 1) * sizeof *lengths);
    if (!lengths)
        PyErr_NoMemory();
    else if (entries_check(body.buf, (size_t)body.len, previous.buf, (size_t)previous.len, modes, lengths, &sums))
        result = Py_BuildValue("y#KKy#", (const char *)lengths, (Py_ssize_t)(sums.entries * sizeof *lengths), sums.files,
                               sums.bytes, (const char *)body.buf + sums.last_path, (Py_ssize_t)sums.last_length);
    else
        result = Py_NewRef(Py_None);
    free(lengths);
    PyBuffer_Release(&body);
    PyBuffer_Release(&previous);
    return result;
}

static PyMethodDef methods[] = {
    {"check_entries", py_check_entries, METH_VARARGS, "Whether a page's entries follow every rule, and their sums."},
    {"list_directory", py_list_directory, METH_VARARGS, "The first names in a directory in byte order."},
    {"hash_files", py_hash_files, METH_VARARGS, "Hash files until all are claimed."},
    {"hash_spans", py_hash_spans, METH_VARARGS, "SHA-256 of each (descriptor, offset, length), joined."},
    {"leaf_hashes", py_leaf_hashes, METH_VARARGS, "SHA-256(0x00 || part) of each part, joined."},
    {"perfect_root", py_perfect_root, METH_VARARGS, "Root over a power of two of joined leaf hashes."},
    {"encode_files", py_encode_files, METH_VARARGS, "Manifest entries of files in one directory, and their lengths."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_engine", "Compiled hashing; see fallback.py for every contract.", -1, methods,
    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__engine(void)
{
    kernel = sha256_choose(getenv("LINEWARD_ENGINE"));
    if (sha256_self_test(kernel)) {
        PyErr_SetString(PyExc_RuntimeError, "this CPU computes wrong SHA-256 digests; refusing to run");
        return NULL;
    }
    PyObject *module = PyModule_Create(&definition);
    if (module && (PyModule_AddStringConstant(module, "NAME", kernel->name) ||
                   PyModule_AddIntConstant(module, "LANES", kernel->lanes) ||
                   PyModule_AddIntConstant(module, "ABI", ABI)))
        Py_CLEAR(module);
    return module;
}
