"""Tokens in memory that the front and one worker share: one for each call that is lined up and not yet begun.

A call that was sent ahead may be begun by the worker or taken back by the front, never both: whoever takes its token
has it. The worker begins its calls in order and the front takes back the last one first, so a number is enough. It is
a POSIX semaphore, which costs no system call. Imported by the child: standard library only.
"""

import ctypes
import mmap
import os

SIZE = 64
"""Bytes of shared memory: a `sem_t` is 32 with glibc and 16 with musl."""

_LIBC = ctypes.CDLL(None, use_errno=True)
for _name in ("sem_init", "sem_post", "sem_trywait"):
    if not hasattr(_LIBC, _name):  # glibc before 2.34 keeps them in a library of their own
        _LIBC = ctypes.CDLL("libpthread.so.0", use_errno=True)
        break


class Tokens:
    """One end of a shared count. `create` makes it, the other end opens the descriptor."""

    __slots__ = ("_address", "_anchor", "_memory", "_post", "_take", "descriptor")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, SIZE)
        self._anchor = ctypes.c_char.from_buffer(self._memory)
        self._address = ctypes.c_void_p(ctypes.addressof(self._anchor))
        self._post = _LIBC.sem_post
        self._take = _LIBC.sem_trywait

    @classmethod
    def create(cls) -> "Tokens":
        """Make a count of 0. The descriptor is the caller's to close."""
        descriptor = os.memfd_create("bridge-tokens", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, SIZE)
        tokens = cls(descriptor)
        if _LIBC.sem_init(tokens._address, 1, 0) != 0:
            raise OSError(ctypes.get_errno(), "a shared semaphore could not be made")
        return tokens

    def put(self) -> None:
        """Add a token."""
        self._post(self._address)

    def take(self) -> bool:
        """Take a token; return whether there was one."""
        return bool(self._take(self._address) == 0)
