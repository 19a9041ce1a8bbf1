"""Tokens in memory that the front and one worker share: one for each call that is lined up and not yet begun.

A call that was sent ahead may be begun by the worker or taken back by the front, never both: whoever takes its token
has it. The worker begins its calls in order and the front takes back the last one first, so a number is enough. It is
a POSIX semaphore, which costs no system call. The members of a pack have a semaphore of their own, out of `PACKS`, and
a bit each that says that nobody waits for them any more; results that the worker has not sent yet lie in the same
memory. Imported by the child: standard library only.
"""

import ctypes
import fcntl
import os
from collections.abc import Callable
from functools import partial

PACKS = 64
"""Packs of calls that may be on their way to one worker."""
PACK_MEMBERS = 64
"""Calls that a pack may have: as many as its mask has bits."""
_SEMAPHORE = 32
"""Bytes of a `sem_t` with glibc; musl has 16."""
_DROPPED_AT = _SEMAPHORE * (2 + PACKS)
_OUTBOX_AT = 4096
OUTBOX_BYTES = 65536
SIZE = _OUTBOX_AT + OUTBOX_BYTES
"""Bytes of shared memory, of which a page is used where no packs are sent."""

_PROT_READ_WRITE = 3
_MAP_SHARED = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)
_LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_SEMAPHORES = ctypes.PyDLL(None if hasattr(_LIBC, "sem_init") else "libpthread.so.0", use_errno=True)
"""glibc before 2.34 has them in a library of their own. None that is used here ever waits: the GIL is kept."""


def shared_memory() -> int:
    """Make the memory for one `Tokens`; return its descriptor, which is the caller's to close. Raises OSError.

    Its size is sealed: a worker that truncates what it finds open must not take the front with it.
    """
    descriptor = os.memfd_create("bridge-tokens", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, SIZE)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class Tokens:
    """One end of a shared count, mapped from a descriptor that may be closed after. With `new` it is set to 0.

    The `mmap` module is not used because it keeps a descriptor open, to which user code in the worker could write.
    """

    __slots__ = ("_address", "_init", "_slot", "_take", "dropped", "outbox", "put")

    def __init__(self, descriptor: int, *, new: bool = False) -> None:
        at = _LIBC.mmap(None, SIZE, _PROT_READ_WRITE, _MAP_SHARED, descriptor, 0)
        if at == ctypes.c_void_p(-1).value:
            raise OSError(ctypes.get_errno(), "shared memory could not be mapped")
        self._address: ctypes.c_void_p | None = ctypes.c_void_p(at)
        self.put: Callable[[], int] = partial(_SEMAPHORES.sem_post, self._address)
        """Adds a token."""
        self._take: Callable[[ctypes.c_void_p | None], int] = _SEMAPHORES.sem_trywait
        self._init: Callable[[ctypes.c_void_p | None, int, int], int] = _SEMAPHORES.sem_init
        self._slot = 0
        self.outbox = memoryview((ctypes.c_ubyte * OUTBOX_BYTES).from_address(at + _OUTBOX_AT)).cast("B")
        """Where the worker keeps the results of a pack until it sends them; not to be touched once closed."""
        masks = (ctypes.c_uint64 * PACKS).from_address(at + _DROPPED_AT)
        self.dropped: memoryview[int] = memoryview(masks).cast("B").cast("Q")
        """Of each pack, a bit for each member that is not to be begun; not to be touched once closed."""
        if new and _SEMAPHORES.sem_init(self._address, 1, 0) != 0:
            error = OSError(ctypes.get_errno(), "a shared semaphore could not be made")
            self.close()
            raise error

    def take(self) -> bool:
        """Take a token; return whether there was one."""
        return bool(self._take(self._address) == 0)

    def arm(self, members: int, dropped: int = 0) -> int:
        """Give a pack, which has not been sent yet, a token for each of its members; return its number.

        `dropped` has a bit for each member that nobody waits for.
        """
        slot = self._slot = (self._slot + 1) % PACKS
        if self._address is not None:
            self._init(self._member(slot), 1, members)
            self.dropped[slot] = dropped
        return slot

    def drop_member(self, slot: int, index: int) -> None:
        """Let a member of a pack that was sent not be begun; one that runs already is not touched by this."""
        if self._address is not None:
            self.dropped[slot] |= 1 << index

    def take_member(self, slot: int) -> bool:
        """Take a token of a pack; return whether there was one. The members are begun in their order."""
        return self._address is not None and self._take(self._member(slot)) == 0

    def _member(self, slot: int) -> ctypes.c_void_p:
        assert self._address is not None
        assert self._address.value is not None
        return ctypes.c_void_p(self._address.value + _SEMAPHORE * (2 + slot))

    def taker(self, slot: int) -> Callable[[], bool]:
        """Return what does as `take_member(slot)`, for a worker that takes many in a row."""
        take, member = self._take, self._member(slot)
        return lambda: take(member) == 0

    def close(self) -> None:
        """Give back the memory; there is no token any more. May be called again."""
        address, self._address = self._address, None
        if address is not None:
            self.put = partial(_nothing, None)
            self._take = _nothing
            self.outbox = memoryview(b"")
            self.dropped = memoryview(b"").cast("Q")
            _LIBC.munmap(address, SIZE)


def _nothing(_address: ctypes.c_void_p | None) -> int:
    return -1
