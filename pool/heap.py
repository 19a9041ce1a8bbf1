"""How this process keeps memory that it has freed, for the next large message; and how it gives it back when idle.

By its defaults glibc returns the memory of a large object to the kernel when it is freed and fetches new memory for the
next, page by page: for messages of a megabyte and more that costs several times what copying them does. Imported by the
child: standard library only. On another C library than glibc all of this does nothing.
"""

from __future__ import annotations

import contextlib
import ctypes

LARGE_BYTES = 1 << 20
"""From this size on a message leaves enough freed memory behind that it is worth giving back."""
MMAP_THRESHOLD = 32 << 20
"""Larger objects get memory of their own, which goes back as soon as they are freed. No libc takes more."""
TRIM_THRESHOLD = 256 << 20
"""Freed memory at the end of the heap goes back at once where it is more than this."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep() -> None:
    """Keep freed memory, within the limits above. Call it early; what the process is forked into inherits it."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD)


def give_back() -> None:
    """Return all freed memory to the kernel: about 0.1 ms, and 0.1 ms more for each megabyte that goes back."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
