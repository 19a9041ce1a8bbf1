"""A pool: the one door to its admission and its supervisor, and what `bridge` sees of both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pool.admission import Admission
from pool.calls import NORMAL, AskHandler, Call
from pool.confined import confine
from pool.errors import CancelledByOperator, PoolError, Stopped
from pool.events import Listener
from pool.lifecycle import State
from pool.options import PoolOptions
from pool.packs import PACK_MEMBERS, Owner, Pack
from pool.snapshot import PoolSnapshot, WorkerSnapshot, Workforce, cause_of, state_of, worker_snapshots
from pool.spawn import Spawner
from pool.supervisor import Supervisor
from pool.template import TemplateSpawner
from pool.worker import Worker

GROWTH_SHOWN = 10
"""Functions of which a snapshot tells what they added to their workers' memory."""


class Pool:
    """A supervised set of workers that turn *function + bytes* into *bytes or a stream of bytes*.

    `fatal` is called when supervision itself fails; the owner must end the process then. `on_ask` answers what running
    calls ask (`pool.entry.Asker`): a coroutine function of (call, name, bytes), cancelled with the call.
    """

    def __init__(
        self,
        options: PoolOptions,
        *,
        listener: Listener,
        fatal: Callable[[BaseException], None],
        spawner: Spawner | None = None,
        on_ask: AskHandler | None = None,
    ) -> None:
        self.options = options
        self._on_ask = on_ask
        self._loop = asyncio.get_running_loop()
        self._admission = Admission(options.name, options.queue_limit, self._loop)
        self._admission.configure(options)
        spawner, readings = confine(options, spawner or TemplateSpawner(options, listener))
        self._supervisor: Workforce = Supervisor(
            options, self._admission, spawner, listener, fatal, proved=self._proved, readings=readings
        )
        self._proof_at: float | None = None
        self._calls = 0
        self._canaries = 0
        self._draining = False
        self.release = self._admission.release
        self.choose = self._admission.choose

    async def start(self) -> bytes:
        """Start the workers; return the catalogue of the first that is ready. Raises StartFailed where it fails."""
        self._supervisor.start()
        return await asyncio.shield(self._supervisor.catalogue)

    def served(self, service_s: float, function: str = "") -> None:
        """Say that a call came back over the whole path: that is what readiness is judged by."""
        self._proof_at = self._loop.time()
        self._calls += 1
        self._admission.observe(service_s, function)

    def _proved(self) -> None:
        """A canary came back over the whole path."""
        self._proof_at = self._loop.time()

    def has_worker(self, worker: str, *, held: bool = False) -> bool:
        """Return whether a worker lives and takes calls.

        With `held` also where it takes only calls that prefer it: it is being retired and sessions are bound to it, or
        its process is stopped and may go on.
        """
        return self._admission.has_member(worker, apart=held)

    def hold(self, worker: str) -> None:
        """Say that a strict session is bound to a worker: retired, it serves calls that prefer it for a while.

        That ends with the last `unhold`, or after `drain_hold_s`. Unknown workers are passed over.
        """
        self._supervisor.hold(worker)

    def unhold(self, worker: str) -> None:
        """Say that a strict session has let go of a worker."""
        self._supervisor.unhold(worker)

    def cancel(self, call: Call) -> bool:
        """End a call, waiting or running, with CancelledByOperator; return whether it had not ended yet."""
        return self._admission.cancel(call, CancelledByOperator(self.options.name))

    def turn_away(self, call: Call) -> bool:
        """End a call with Stopped; return whether it had not ended yet. For one that waits while the server drains."""
        return self._admission.cancel(call, Stopped(self.options.name))

    def check_input(self, function: str, body: bytes) -> None:
        """Raise Quarantined where this input is refused: for one that is to be submitted together with others."""
        quarantine = self._admission.quarantine
        refused = quarantine.check(function, body, self._loop.time()) if quarantine.armed else None
        if refused is not None:
            raise refused

    def release_input(self, fingerprint: str) -> bool:
        """Let a quarantined input run again; return whether it was known. `snapshot` has the fingerprints."""
        return self._admission.quarantine.release(fingerprint)

    def resize(self, minimum: int, maximum: int) -> None:
        """Let the pool have so many workers from now on. Raises ValueError where that is no range of one or more."""
        self._supervisor.resize(minimum, maximum)

    def grow(self, workers: int, cause: str) -> bool:
        """Have so many workers, within the bounds, where there are fewer; return whether there were."""
        return self._supervisor.grow(workers, cause)

    def recycle(self, worker: str, cause: str) -> bool:
        """Have a worker replaced, then retired, in its turn; False where it does not serve, or is to be already."""
        return self._supervisor.recycle(worker, cause)

    async def restart(self, worker: str | None = None) -> int:
        """Replace one worker, or all, one after the other and with their code imported anew; return how many.

        A worker takes calls until its replacement is ready: no call fails. A failed pool is tried again at once. Raises
        StartFailed where a worker does not start, which leaves the old one, and ValueError for an unknown worker.
        """
        return await self._supervisor.restart(worker)

    async def reload(self, options: PoolOptions) -> bytes:
        """Replace all workers by such with new options and code, as `restart` does; return the new catalogue.

        Raises StartFailed where the first one does not start: the old ones and their options stay then.
        """
        catalogue = await self._supervisor.reload(options)
        self.options = options
        self._admission.quarantine.clear()  # the code may have been mended
        return catalogue

    @property
    def proof_age_s(self) -> float | None:
        """Seconds since a call last came back over the whole path; None before the first."""
        return None if self._proof_at is None else self._loop.time() - self._proof_at

    @property
    def ready_workers(self) -> int:
        """Workers that take calls."""
        ready = (worker.id for worker in self._supervisor.workers.values() if worker.state is State.READY)
        return sum(map(self._admission.has_member, ready))

    @property
    def draining(self) -> bool:
        """Whether it takes no more calls, by order."""
        return self._draining

    @property
    def saturated(self) -> bool:
        """Whether every ready worker has all the calls it takes."""
        return not self._admission.has_room

    @property
    def waiting(self) -> int:
        """Calls that wait for a worker."""
        return self._admission.waiting

    @property
    def wait_s(self) -> float:
        """Seconds that a call which came now would wait for a worker, by what calls usually take."""
        return self._admission.wait_s

    def submit(
        self,
        function: str,
        meta: bytes,
        body: bytes,
        deadline: float | None,
        *,
        prefer: str | None = None,
        stream: bool = False,
        on_launch: Callable[[str], None] | None = None,
        priority: int = NORMAL,
        tenant: str = "",
        context: object = None,
        bound: bool = False,
    ) -> Call:
        """Submit a call; its `future` has the reply.

        Raises QueueFull, DeadlineUnreachable, Quarantined, Stopped or PoolUnavailable at once. Among waiting calls
        those of a higher `priority` go first, and the tenants of one priority take turns.

        `deadline` is on the loop's clock. `on_launch` gets the worker's id when the call starts. `context` is kept
        in the call, for `on_ask`. With `bound` the call is for the worker that it prefers alone, and ends with
        WorkerGone where that takes no more calls. Whatever happens, call `release` in the end: for a call that has not
        ended it is the cancel.
        """
        call = Call(function, meta, body, deadline, self._loop.create_future(), stream, on_launch, priority, tenant)
        call.context = context
        call.on_ask = self._on_ask
        if bound and prefer is not None:
            self._admission.submit_bound(call, prefer)
        else:
            self._admission.submit(call, prefer)
        return call

    def submit_plain(self, function: str, meta: bytes, body: bytes, deadline: float, context: object) -> Call:
        """Do as `submit` for a unary call that prefers nothing and nobody, as most calls are."""
        call = Call(function, meta, body, deadline, self._loop.create_future())
        call.context, call.on_ask = context, self._on_ask
        self._admission.submit(call)
        return call

    def packs(self, function: str, size: int) -> bool:
        """Whether a call may be packed: workers run one call at a time, and no input like it has killed one."""
        return self.options.concurrency == 1 and not self._admission.quarantine.suspects(function, size)

    @property
    def suspects_any(self) -> bool:
        """Whether any input has killed a worker lately."""
        return self._admission.quarantine.armed

    def submit_pack(
        self,
        function: str,
        parts: list[tuple[bytes, bytes]],
        members: list[Any],
        deadline: float | None,
        owner: Owner,
        priority: int = NORMAL,
        tenant: str = "",
        context: object = None,
    ) -> Pack:
        """Submit many calls of one function as one, by pairs of meta and body. Raises as `submit` does.

        `members` are what `owner`, who hears of each end, knows them by; there must be `pack_room` for them. Call
        `release` in the end.
        """
        pack = Pack(function, parts, members, deadline, self._loop.create_future(), owner, priority, tenant)
        pack.on_ask = self._on_ask
        pack.context = context
        pack.count(self._admission.count_packed)
        try:
            self._admission.submit(pack)
        except PoolError:
            pack.uncount()
            raise
        return pack

    @property
    def pack_room(self) -> int:
        """How many calls may come as a pack now; as many as it may have where a worker is idle."""
        return self.options.queue_limit - self.waiting if self.saturated else PACK_MEMBERS

    def cancel_member(self, pack: Pack, index: int) -> None:
        """Say that nobody waits for a member of a pack any more: it is interrupted, or not begun."""
        pack.end(index)
        if not pack.left:
            self.release(pack)
        elif isinstance(pack.worker, Worker) and not pack.future.done():
            pack.worker.child.tokens.drop_member(pack.slot, index)
            if not pack.lined:
                pack.worker.interrupt(pack.id + index)

    def unpack(self, pack: Pack) -> None:
        """Take apart a running pack that stands still: its owner gets back all that was not begun."""
        if isinstance(pack.worker, Worker) and not pack.lined and not pack.future.done():
            pack.salvage(pack.worker.child.tokens)

    def served_pack(self, count: int, service_s: float) -> None:
        """Say that the members of a pack came back over the whole path, in so many seconds in all."""
        self.served(service_s)
        self._calls += count - 1

    async def canary(self, timeout_s: float) -> PoolError | None:
        """Send the canary the way of every call, to each worker in turn; return what went wrong, or None."""
        canary = self.options.canary
        started = self._loop.time()
        ready = [worker.id for worker in self._supervisor.workers.values() if worker.state is State.READY]
        self._canaries += 1
        prefer = ready[self._canaries % len(ready)] if ready else None
        try:
            call = self.submit(canary.function, canary.meta, canary.body, started + timeout_s, prefer=prefer)
        except PoolError as error:
            return error
        try:
            reply = await call.future
        except PoolError as error:
            return error
        finally:
            self.release(call)
        self._count_canary(call)
        if not reply.ok:
            return PoolError(f"the canary of pool '{self.options.name}' was answered with an error")
        self._proved()
        return None

    def _count_canary(self, call: Call) -> None:
        """Tell the run of the worker that has answered it: canaries are no use of a worker."""
        run = None if call.worker is None else self._supervisor.runs.get(call.worker.id)
        if run is not None:
            run.canaries += 1

    def snapshot(self) -> PoolSnapshot:
        """Return the pool as it stands now."""
        now, force = self._loop.time(), self._supervisor
        return PoolSnapshot(
            name=self.options.name,
            state=state_of(force, self.ready_workers, draining=self._draining),
            cause=cause_of(force, self.ready_workers),
            workers=worker_snapshots(force, now),
            waiting=self._admission.waiting,
            waiting_bytes=self._admission.waiting_bytes,
            restarts=self._supervisor.restarts,
            calls=self._calls,
            proof_age_s=self.proof_age_s,
            target=force.target,
            least=force.least,
            most=force.most,
            started=force.how_started(),
            exits=tuple((report, now - report.exited_at) for report in force.exits),
            growth=self._supervisor.growth.top(GROWTH_SHOWN),
            quarantine=self._admission.quarantine.refused(now),
            arrivals=self._admission.arrivals,
        )

    async def drain(self, timeout_s: float) -> bool:
        """Take no more calls; return whether all in flight ended within the time."""
        self._draining = True
        return await self._supervisor.drain(timeout_s)

    def resume(self) -> None:
        """Take calls again after a drain; a pool that was told to stop can not."""
        self._draining = False
        self._supervisor.resume()

    async def stop(self) -> None:
        """End every worker and return when their processes are gone."""
        self._draining = True
        await self._supervisor.stop()
        self._admission.close()


__all__ = ["Pool", "PoolSnapshot", "WorkerSnapshot"]
