"""How this process keeps memory that it has freed, for the next large message; and how it gives it back when idle.

By its defaults glibc returns the end of the heap to the kernel as large objects are freed, and fetches new memory for
the next ones page by page: for messages of megabytes that costs more than copying them. Imported by the child:
standard library only. On another C library than glibc all of this does nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc

MMAP_THRESHOLD = 32 << 20
"""Larger objects get memory of their own, which goes back as soon as they are freed. No libc takes more."""
TRIM_THRESHOLD = 256 << 20
"""Freed memory at the end of the heap goes back at once where it is more than this."""
WORTH_BYTES = 32 << 20
"""How much an idle process must hold more than before, for giving memory back to be worth it."""
IDLE_S = 1.0
"""A process without calls for so long is idle."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4


def keep(*, of_any_size: bool = False) -> None:
    """Keep freed memory, within the limits above, from now on and in what this process forks.

    `of_any_size` is for a process whose large objects are messages: also those above `MMAP_THRESHOLD` are kept. A
    worker leaves them out: what its functions free must not count against its memory limit.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD)
        if of_any_size:
            libc.mallopt(_M_MMAP_MAX, 0)


def give_back() -> None:
    """Return freed memory to the kernel: about 0.1 ms for each megabyte that goes back."""
    gc.collect(0)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
