"""Bytes objects of an exact size that a socket is read into: what is large is copied once, by the kernel.

`recv_into` needs a buffer that may be written, and who takes what was read wants `bytes`; between a bytearray and bytes
lies a copy, and fresh memory for it. CPython lets who makes a bytes object write it until anybody else has it.
Owns no state. Imported by the child: standard library only.
"""

from __future__ import annotations

import ctypes

_WRITABLE = 0x200
_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t)(
    ("PyBytes_FromStringAndSize", ctypes.pythonapi)
)
_address = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(("PyBytes_AsString", ctypes.pythonapi))
_view = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)(
    ("PyMemoryView_FromMemory", ctypes.pythonapi)
)


def unwritten(size: int) -> tuple[bytes, memoryview]:
    """Return bytes that are not written yet, at least two of them, and the way to write them.

    The view does not keep the bytes alive: drop it first. Hand the bytes on only when all of them are written.
    """
    if size < 2:  # CPython shares those with everybody
        raise ValueError(f"expected a size of 2 or more, got {size}")
    made: bytes = _new(None, size)
    return made, _view(_address(made), size, _WRITABLE)
