/* The Python module: takes arguments apart, lets go of the interpreter lock, and puts results together.
 * Contracts are those of fallback.py; an argument that breaks one raises ValueError or TypeError. */
#include "module.h"

#include "listing.h"

#include <errno.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { ABI = 1 }; /* as in fallback.py */

const struct sha256_kernel *module_kernel;

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

int module_large_enough(const Py_buffer *buffer, size_t size)
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
    if (names && module_large_enough(&cursor, sizeof(struct cursor)) &&
        module_large_enough(&stats, count * sizeof(struct file_stat)) && module_large_enough(&digests, count * SHA256_DIGEST)) {
        long waits;
        Py_BEGIN_ALLOW_THREADS
        waits = hash_files(module_kernel, names, count, cursor.buf, stats.buf, digests.buf, limit, mode);
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
    if (!module_large_enough(&cursor, sizeof(struct cursor)))
        goto end;
    result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * SHA256_DIGEST));
    if (!result)
        goto end;
    uint8_t *digests = (uint8_t *)PyBytes_AsString(result);
    Py_BEGIN_ALLOW_THREADS
    failure = hash_spans(module_kernel, spans, count, cursor.buf, digests, mode);
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

/* What many threads let go of goes back to the system. Left alone, glibc keeps it in a heap for each of them, and no longer
 * maps buffers by themselves once it has seen them freed: 64 threads held on to twice what they use. */
static void bound_memory(void)
{
#ifdef __GLIBC__
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 2 * 1024 * 1024);
#endif
}

PyMODINIT_FUNC PyInit__engine(void)
{
    bound_memory();
    module_kernel = sha256_choose(getenv("LINEWARD_ENGINE"));
    if (sha256_self_test(module_kernel)) {
        PyErr_SetString(PyExc_RuntimeError, "this CPU computes wrong SHA-256 digests; refusing to run");
        return NULL;
    }
    PyObject *module = PyModule_Create(&definition);
    if (module && (PyModule_AddStringConstant(module, "NAME", module_kernel->name) ||
                   PyModule_AddIntConstant(module, "LANES", module_kernel->lanes) ||
                   PyModule_AddIntConstant(module, "ABI", ABI)))
        Py_CLEAR(module);
    return module;
}
