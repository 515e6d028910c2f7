/* What the parts of the Python module share. Methods take (module, arguments), as METH_VARARGS has it. */
#ifndef LINEWARD_MODULE_H
#define LINEWARD_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "files.h"

extern const struct sha256_kernel *module_kernel; /* set when the module is imported */

/* Whether a buffer has that many bytes; if not, ValueError is set. */
int module_large_enough(const Py_buffer *buffer, size_t size);

PyObject *py_leaf_hashes(PyObject *self, PyObject *args);
PyObject *py_perfect_root(PyObject *self, PyObject *args);
PyObject *py_encode_files(PyObject *self, PyObject *args);
PyObject *py_check_entries(PyObject *self, PyObject *args);

#endif
