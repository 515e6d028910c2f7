"""File systems that tell another size than the content has, as /proc and some FUSE mounts do: no digest of a part."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lineward.adapters.files import create_manifest
from lineward.domain.errors import LinewardError
from lineward.domain.reasons import Reason
from lineward.native import fallback

PRELOAD = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int cut(int failed, struct stat *found)
{
    if (!failed && S_ISREG(found->st_mode) && found->st_size == SIZE)
        found->st_size--;
    return failed;
}

long syscall(long n, long a, long b, long c, long d, long e, long f)
{
    long (*real)(long, long, long, long, long, long, long) = dlsym(RTLD_NEXT, "syscall");
    long got = real(n, a, b, c, d, e, f);
    return n == SYS_fstat ? cut(got != 0, (struct stat *)b) : got;
}

int fstat(int fd, struct stat *found) { return (int)syscall(SYS_fstat, fd, (long)found, 0, 0, 0, 0); }
int fstat64(int fd, struct stat64 *found) { return fstat(fd, (struct stat *)found); }
int fstatat(int fd, const char *name, struct stat *found, int flags)
{
    int (*real)(int, const char *, struct stat *, int) = dlsym(RTLD_NEXT, "fstatat");
    return cut(real(fd, name, found, flags), found);
}
int fstatat64(int fd, const char *name, struct stat64 *found, int flags)
{
    return fstatat(fd, name, (struct stat *)found, flags);
}
"""
HASH = """if True:
    import io, sys
    from pathlib import Path
    from lineward.adapters.files import create_manifest
    from lineward.adapters.files_engine import Engine
    from lineward.adapters.files_shard import Shard, create_shard
    from lineward.domain.errors import LinewardError
    from lineward.domain.manifest import Parameters, Profile

    folder, parameters = Path(sys.argv[1]), Parameters(Profile.PORTABLE, 1 << 18)

    def shard(number):
        with Engine(parameters, 1) as engine:
            create_shard(folder, Shard(number, 2), io.BytesIO(), engine)

    for call in (lambda: create_manifest(folder, parameters), lambda: shard(0), lambda: shard(1)):
        try:
            call()
            print("hashed")
        except LinewardError as error:
            print(error)
"""
PIECE = 64 * 1024


def test_what_claims_to_be_empty_and_is_not_has_no_digest(engine: ModuleType) -> None:
    stats, digest = bytearray(fallback.STAT.size), bytearray(32)
    fd = os.open("/proc/sys/kernel", os.O_RDONLY)
    try:
        engine.hash_files([(fd, [b"ostype"])], bytearray(24), stats, digest, 1 << 20, 0)
    finally:
        os.close(fd)
    assert (stats[0], bytes(digest)) == (fallback.CHANGED, bytes(32))


@pytest.mark.usefixtures("engine")
def test_a_folder_of_such_files_fails_with_a_name() -> None:
    with pytest.raises(LinewardError) as error:
        create_manifest("/proc/sys/kernel/random")
    assert error.value.reason is Reason.CHANGED_WHILE_READ
    assert "boot_id" in error.value.message


@pytest.mark.parametrize("engine", ["", "python"])
@pytest.mark.parametrize("size", [1, 2, 5000, PIECE, PIECE + 1, 2 * PIECE + 1, (1 << 18) + 2, (1 << 20) + 1])
def test_a_byte_beyond_the_size_is_noticed(tmp_path: Path, engine: str, size: int) -> None:
    """Sizes at the edges of what is read at a time, and of a chunk, above which files are hashed in parts."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("needs a C compiler")
    library, folder = tmp_path / "short.so", tmp_path / "folder"
    command = [compiler, "-shared", "-fPIC", f"-DSIZE={size}", "-x", "c", "-", "-o", str(library), "-ldl"]
    subprocess.run(command, input=PRELOAD.encode(), check=True)
    folder.mkdir()
    (folder / "file").write_bytes(os.urandom(size))
    for number in range(200):  # so that it is hardly the one that is hashed twice anyway
        (folder / f"{number}").write_bytes(b"123")
    call = [sys.executable, "-c", HASH, str(folder)]
    environment = os.environ | {"LD_PRELOAD": str(library), "LINEWARD_ENGINE": engine}
    found = subprocess.run(call, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()
    failed = "ChangedWhileRead: file changed while it was read"
    assert found[0] == failed
    assert failed in found[1:]  # of two shards, at least the one that reads the end
