"""Memory that a process keeps instead of giving it back after every step.

The activations of a training step are large, so glibc asks the kernel for them and gives them back,
hundreds of times a step; the kernel clears each page again. The settings that avoid it are read
when a process starts, so it has to be started again with them.

Source: "Memory Allocation Tunables" of the GNU C Library manual.
"""

from __future__ import annotations

import itertools
import os
import platform
import sys
from pathlib import Path

VARIABLE = "GLIBC_TUNABLES"
TUNABLES = ":".join(
    [
        "glibc.malloc.hugetlb=1",  # huge pages: one fault for 2 MB instead of 512
        "glibc.malloc.mmap_max=0",  # no blocks of their own, which are given back when freed
        f"glibc.malloc.trim_threshold={1 << 40}",  # nor the end of the heap
        f"glibc.malloc.top_pad={64 << 20}",
    ]
)


def keep_memory(module: str) -> None:
    """Start ``python -m module`` again, this process, with an allocator that keeps its pages.

    To be called before slow imports. Does nothing where the variable is set, also to an empty text;
    where this process was started otherwise, such as by a test; without glibc; and beside an NVIDIA
    driver, whose memory this is not.
    """
    arguments = sys.orig_argv
    started_so = ("-m", module) in itertools.pairwise(arguments)
    if not started_so or VARIABLE in os.environ or platform.libc_ver()[0] != "glibc":
        return
    if Path("/proc/driver/nvidia").exists():
        return
    os.environ[VARIABLE] = TUNABLES
    os.execv(sys.executable, [sys.executable, *arguments[1:]])
