"""File systems that do not say what kind an entry is: what cannot be asked about is unreadable, and no special file."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PRELOAD = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

long syscall(long n, long a, long b, long c, long d, long e, long f)
{
    long (*real)(long, long, long, long, long, long, long) = dlsym(RTLD_NEXT, "syscall");
    long got = real(n, a, b, c, d, e, f);
    for (long at = 0; n == SYS_getdents64 && at < got;) {
        struct dirent64 *entry = (void *)(b + at);
        entry->d_type = DT_UNKNOWN;
        at += entry->d_reclen;
    }
    return got;
}

struct dirent64 *readdir64(DIR *folder)
{
    struct dirent64 *(*real)(DIR *) = dlsym(RTLD_NEXT, "readdir64");
    struct dirent64 *entry = real(folder);
    if (entry)
        entry->d_type = DT_UNKNOWN;
    return entry;
}

int fstatat(int fd, const char *name, struct stat *found, int flags)
{
    int (*real)(int, const char *, struct stat *, int) = dlsym(RTLD_NEXT, "fstatat");
    if (!strcmp(name, "broken")) {
        errno = ERROR;
        return -1;
    }
    return real(fd, name, found, flags);
}

int fstatat64(int fd, const char *name, struct stat64 *found, int flags)
{
    return fstatat(fd, name, (struct stat *)found, flags);
}
"""
LIST = "import os, sys; from lineward import native; print(native.list_directory(os.open(sys.argv[1], 0), b'', 1000))"


@pytest.mark.parametrize("engine", ["", "python"])
@pytest.mark.parametrize("error", ["EIO", "ENOENT"])
def test_what_cannot_be_asked_about_cannot_be_listed(tmp_path: Path, engine: str, error: str) -> None:
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("needs a C compiler")
    library, folder = tmp_path / "silent.so", tmp_path / "folder"
    command = [compiler, "-shared", "-fPIC", f"-DERROR={error}", "-x", "c", "-", "-o", str(library), "-ldl"]
    subprocess.run(command, input=PRELOAD.encode(), check=True)
    folder.mkdir()
    (folder / "plain").touch()
    environment = os.environ | {"LD_PRELOAD": str(library), "LINEWARD_ENGINE": engine}

    def listed() -> subprocess.CompletedProcess[str]:
        call = [sys.executable, "-c", LIST, str(folder)]
        return subprocess.run(call, env=environment, check=False, capture_output=True, text=True)

    assert "b'f'" in listed().stdout
    (folder / "broken").touch()
    found = listed()
    assert found.returncode
    assert os.strerror({"EIO": 5, "ENOENT": 2}[error]) in found.stderr
