"""What the front and a template process say to each other: frames, each with a JSON body.

The template is sent INIT like a worker and answers READY or FAILED; after that it is sent one FORK at a time, with the
descriptors of the worker as ancillary data. Imported by the template: standard library and frames only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pool.startup import Limits

# front -> template
FORK = 32
"""An `Order`; with it `DESCRIPTORS` file descriptors: socket, control pipe, tokens, stdout, stderr."""
BECOME = 33
"""The same, for a template that must not fork: it becomes the worker itself, and answers nothing more."""
# template -> front, each with the call id of its FORK
FORKED = 48
"""The worker's pid, its own where it becomes one; its parent is the front already."""
STALE = 49
"""A file of the loaded code has changed: its path."""
UNSAFE = 50
"""It must not fork: the reasons."""
REFUSED = 51
"""The fork failed: the error."""
ANSWERS = frozenset((FORKED, STALE, UNSAFE, REFUSED))
DESCRIPTORS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A worker to be forked."""

    concurrent: bool
    limits: Limits
    environ: Mapping[str, str]
    """The variables that are the worker's own."""
    mark: str

    def pack(self) -> bytes:
        """Return it as the body of a FORK frame."""
        limits = (self.limits.nice, self.limits.cpus, self.limits.data_bytes)
        return to_body([self.concurrent, limits, dict(self.environ), self.mark])

    @classmethod
    def read(cls, body: memoryview) -> Order:
        """Read the body of a FORK frame."""
        concurrent, (nice, cpus, data_bytes), environ, mark = from_body(body)
        limits = Limits(nice=nice, cpus=tuple(cpus), data_bytes=data_bytes)
        return cls(concurrent=concurrent, limits=limits, environ=environ, mark=mark)


def to_body(value: object) -> bytes:
    """Return the body of a frame between front and template."""
    return json.dumps(value).encode()


def from_body(body: memoryview) -> list:  # type: ignore[type-arg]
    """Read the body of such a frame: a list."""
    found = json.loads(bytes(body))
    assert isinstance(found, list)
    return found
