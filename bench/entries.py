"""Tree and manifest of ten million entries: time and memory, without the reading of files.

Entries are made up in batches as the engine hands them on; the manifest goes to a temporary file, and is then read back
with every rule checked.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time

from lineward import native
from lineward.domain.manifest import Parameters
from lineward.domain.manifest_reader import ManifestReader
from lineward.domain.manifest_writer import ManifestWriter
from lineward.native import fallback

BATCH = 2048


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=10_000_000)
    count = parser.parse_args().entries
    stats = fallback.STAT.pack(0, 0, 0, 0, 4096, 1, 2, 3) * BATCH
    digests = os.urandom(32 * BATCH)
    with tempfile.TemporaryFile() as out:
        start, made = time.process_time(), 0.0
        writer = ManifestWriter(Parameters(), out.write)
        for batch in range(count // BATCH):
            before = time.process_time()
            names = [b"%07d.jpeg" % number for number in range(BATCH)]
            made += time.process_time() - before
            blob, lengths = native.encode_files(b"train/%06d/" % batch, names, stats, digests, 0)
            writer.extend(blob, lengths, BATCH, BATCH * 4096)
        summary = writer.finish()
        written = time.process_time() - start - made
        print(f"{native.NAME}: {summary.files} entries, {summary.manifest_bytes / 1e6:.0f} MB manifest")
        print(f"written in {written:.1f} s of CPU time, peak memory {peak_mb():.0f} MB")
        out.seek(0)
        start = time.process_time()
        reader = ManifestReader(out)
        for _ in reader.pages():
            pass
        print(f"read and checked in {time.process_time() - start:.1f} s of CPU time, peak memory {peak_mb():.0f} MB")
        if reader.summary != summary:
            raise SystemExit("what was read is not what was written")


if __name__ == "__main__":
    main()
