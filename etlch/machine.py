"""Settings of the process environment that let a model compute on CPU cores; whatever a user has set stays."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from ctypes.util import find_library

# OpenMP's threads spin at barriers; beside one other busy process a step then takes ten times as long. Waiting asleep costs
# nothing that could be measured on an idle machine (benchmarks/bench_contention.py).
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# glibc gives every large block back to the kernel, which clears it again at each step: a fifth to a third of a step
ALLOCATORS = ("tcmalloc_minimal", "tcmalloc", "jemalloc")


def share_cores(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let OpenMP wait asleep. Heard only before torch is imported, and by processes that are started afterwards."""
    if not any(name in environment for name in _WAITING):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"


def use_allocator(environment: MutableMapping[str, str]) -> None:
    """Preload tcmalloc or jemalloc into processes started with this environment, where one is installed."""
    if "LD_PRELOAD" not in environment:
        found = next(filter(None, map(find_library, ALLOCATORS)), None)
        if found:
            environment["LD_PRELOAD"] = found


def has_bf16() -> bool:
    """Does this CPU multiply bfloat16 by itself? Where it does not, float32 is faster. True where it cannot be told."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as about:
            flags = about.read()
    except OSError:
        return True
    return "avx512_bf16" in flags or "amx_bf16" in flags or "bf16" in flags.split()
