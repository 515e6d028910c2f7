/* The part of the Python module that is about entries and the tree over them: memory in, memory out, no files. */
#include "module.h"

#include "entries.h"

#include <stdlib.h>
#include <string.h>

PyObject *py_leaf_hashes(PyObject *self, PyObject *args)
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
    failed = sha256_messages(module_kernel, 0, blob.buf, each, 0, count, digests);
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

PyObject *py_perfect_root(PyObject *self, PyObject *args)
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
        failed = sha256_messages(module_kernel, 1, nodes, NULL, 2 * SHA256_DIGEST, count / 2, nodes);
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

PyObject *py_encode_files(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer prefix, stats, digests;
    PyObject *names, *blob = NULL, *lengths = NULL, *result = NULL;
    int modes;
    if (!PyArg_ParseTuple(args, "y*O!y*y*i", &prefix, &PyList_Type, &names, &stats, &digests, &modes))
        return NULL;
    Py_ssize_t count = PyList_Size(names);
    size_t total = 0;
    if (!module_large_enough(&stats, (size_t)count * sizeof(struct file_stat)) ||
        !module_large_enough(&digests, (size_t)count * SHA256_DIGEST))
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

PyObject *py_check_entries(PyObject *self, PyObject *args)
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
