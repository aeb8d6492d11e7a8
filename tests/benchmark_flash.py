#!/usr/bin/env python3
"""Measures flashing beside dd and bmaptool, in one run on one device, and prints one table.

    cargo build --release && python3 tests/benchmark_flash.py IMAGE [FOLDER]

Needs root; bmaptool is left out where it is missing. The device is a new loop device in FOLDER (default: out/) for each run, past
the page cache; the image is in the page cache for all. Nothing is asserted: figures depend on the machine, so compare the
ratios. The yardstick is the least that can be done: a sequential write of the mapped blocks, and a read of the same.
"""

import contextlib
import mmap
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = PROJECT / "out/target/release/boxwright"
PIECE = 4 << 20
RUNS = 5


def run(*arguments):
    """Runs a program to its end; returns what it printed."""
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{arguments}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


@contextlib.contextmanager
def device(folder, size):
    """A new loop device of SIZE bytes; its path."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        os.truncate(file.name, size)
        path = run("losetup", "--find", "--show", "--direct-io=on", file.name).strip()
        try:
            yield path
        finally:
            run("losetup", "--detach", path)


def mapped(image):
    """Where IMAGE holds data: pairs of start and length, in pieces."""
    with open(image, "rb") as file:
        size, position = os.fstat(file.fileno()).st_size, 0
        while position < size:
            try:
                start = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError:
                return
            position = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            for at in range(start, position, PIECE):
                yield at, min(PIECE, position - at)


def plain(image, target):
    """The mapped blocks, one after the other, and back."""
    pieces = list(mapped(image))
    memory = mmap.mmap(-1, PIECE)
    with open(image, "rb") as source:
        disk = os.open(target, os.O_RDWR | os.O_DIRECT)
        for at, length in pieces:
            view = memoryview(memory)[:length]
            os.preadv(source.fileno(), [view], at)
            os.pwritev(disk, [view], at)
        os.fsync(disk)
        for at, length in pieces:
            os.preadv(disk, [memoryview(memory)[:length]], at)
        os.close(disk)


def dd(image, target):
    """All of the image, and back."""
    run("dd", f"if={image}", f"of={target}", "bs=4M", "oflag=direct", "conv=fsync")
    size = os.stat(image).st_size
    run("dd", f"if={target}", "of=/dev/null", "bs=4M", "iflag=direct,count_bytes", f"count={size}")


def bmaptool(image, target):
    """The mapped blocks; what it reads is compared with the map's digests, what it wrote is not read back."""
    run("bmaptool", "copy", "--bmap", f"{image}.bmap", image, target)


def boxwright(image, target):
    size = int(run("blockdev", "--getsize64", target))
    run(PROGRAM, "flash", image, "--to", target, "--confirm", size)


def main():
    image = pathlib.Path(sys.argv[1]).resolve()
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else PROJECT / "out").resolve()
    ways = {"write and read the mapped blocks": plain, "boxwright flash": boxwright, "dd, and a read": dd}
    if shutil.which("bmaptool"):
        run("bmaptool", "create", "-o", f"{image}.bmap", image)
        ways["bmaptool, without a read"] = bmaptool
    run("dd", f"if={image}", "of=/dev/null", "bs=4M")
    size = os.stat(image).st_size + (8 << 30)
    times = {name: [] for name in ways}
    for _ in range(RUNS):
        for name, way in ways.items():
            with device(folder, size) as target:
                os.sync()
                start = time.monotonic()
                way(image, target)
                times[name].append(time.monotonic() - start)
    pathlib.Path(f"{image}.bmap").unlink(missing_ok=True)
    total = sum(length for _, length in mapped(image))
    print(f"{total >> 20} MiB of {os.stat(image).st_size >> 20} MiB are mapped; medians of {RUNS} runs")
    yardstick = statistics.median(times["write and read the mapped blocks"])
    for name, list_ in times.items():
        median = statistics.median(list_)
        print(f"{name:<34} {median:7.2f} s  {median / yardstick:5.2f} x   ({min(list_):.2f} to {max(list_):.2f})")


main()
