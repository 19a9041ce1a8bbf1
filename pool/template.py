"""How a pool's workers start: forked from a template process where that is asked for and safe, else spawned.

Owns the pool's template: made at the first start, made again when it dies or its code has changed, ended with the
pool. A start that comes meanwhile waits for it, since a worker that starts afresh imports no sooner than a template.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

from pool.errors import StartFailed
from pool.events import Listener
from pool.exits import Killed
from pool.guard import Guard
from pool.options import PoolOptions
from pool.restart import RestartPolicy
from pool.spawn import Child, HowStarted, Launch, PlainSpawner
from pool.template_process import StaleCode, Template, TemplateGone, UnsafeToFork

ATTEMPTS = 3
"""How many templates may be lost or outdated during one start."""


class TemplateSpawner:
    """Starts the workers of one pool as its `start` says. Several pools may share one guard."""

    def __init__(self, options: PoolOptions, listener: Listener, guard: Guard | None = None) -> None:
        self._options = options
        self._listener = listener
        self.guard = guard or Guard()
        self._plain = PlainSpawner(self.guard)
        self._loop = asyncio.get_running_loop()
        self._policy = RestartPolicy(options.restart, random.random)
        self._alive: set[Template] = set()
        self._template: Template | None = None
        """The one that forks."""
        self._building: asyncio.Task[Template] | None = None
        self._again: asyncio.TimerHandle | None = None
        self._unsafe = ""
        """Why nothing is forked until the code is imported anew."""
        self._spare: Template | None = None
        """One that must not fork: it becomes a worker itself, so that its imports were not in vain."""
        self._halted = False

    async def spawn(self, launch: Launch) -> Child:
        """Fork a worker, or spawn one. Raises OSError, and StartFailed where the code can not be imported or forked."""
        for _ in range(ATTEMPTS):
            if self._options.start == "spawn" or self._unsafe:
                return await self._start_unforked(launch)
            options = self._options
            try:
                template = await self._ready()
            except UnsafeToFork as error:
                self._found_unsafe(options, error)
                continue
            except StartFailed:
                if self._options is options:
                    raise
                continue  # it was ended because other options have come
            if (child := await self._forked(template, launch)) is not None:
                return child
        raise OSError(f"{ATTEMPTS} templates in a row have ended or were outdated before they forked a worker")

    async def _forked(self, template: Template, launch: Launch) -> Child | None:
        """Fork a worker; None where this template can not, and another way is to be tried."""
        try:
            self.guard.adopt()
            return await template.fork(launch)
        except UnsafeToFork as error:
            self._drop(template)
            self._found_unsafe(self._options, error)
        except StaleCode:
            self._drop(template)
        except TemplateGone:
            await template.ended
        return None

    async def _start_unforked(self, launch: Launch) -> Child:
        template, self._spare = self._spare, None
        if template is not None:
            try:
                return await template.become(launch)
            except TemplateGone:
                await template.ended
        return await self._plain.spawn(launch)

    def _found_unsafe(self, options: PoolOptions, error: UnsafeToFork) -> None:
        """Remember why nothing is forked. Raises StartFailed where the pool is to fork or not to start at all."""
        if options is not self._options:
            return
        if options.start == "template":
            raise StartFailed(
                options.name,
                f"start is 'template', but {error}; correct that, or set start to 'auto' or 'spawn'",
                "",
            )
        self._unsafe = str(error)

    async def _ready(self) -> Template:
        """Return a template that has imported everything; one is made where there is none."""
        if self._halted:
            raise OSError("the pool stops")
        if self._template is not None:
            return self._template
        if self._building is None:
            self._build()
        assert self._building is not None
        return await asyncio.shield(self._building)

    def _build(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._building = self._loop.create_task(self._built(), name=f"{self._options.name}: template")
        self._building.add_done_callback(self._on_built)

    async def _built(self) -> Template:
        try:
            self.guard.adopt()
        except OSError as error:
            raise UnsafeToFork(str(error)) from error
        template = Template(self._options, self.guard, self._listener)
        self._alive.add(template)
        template.ended.add_done_callback(lambda _: self._on_end(template))
        try:
            await template.ready()
        except UnsafeToFork:
            if template.options is self._options and self._options.start == "auto":
                self._spare = template
            else:
                await template.end()
            raise
        if template.options is not self._options:
            await template.end()
            raise StartFailed(self._options.name, "other options have come", "")
        self._template = template
        return template

    def _on_built(self, task: asyncio.Task[Template]) -> None:
        """Whoever waits is told of a failure; where nobody does, the next start tries again."""
        if self._building is task:
            self._building = None
        if not task.cancelled():
            task.exception()

    def _on_end(self, template: Template) -> None:
        """A template's process has ended: one that was in use is made again, after a pause where that is frequent."""
        self._alive.discard(template)
        if self._template is not template:
            return
        self._template = None
        if not self._halted:
            now = self._loop.time()
            self._again = self._loop.call_later(self._policy.died(now, now - template.started_at), self._make_again)

    def _make_again(self) -> None:
        if self._building is None and self._template is None and not self._halted:
            self._build()

    def _drop(self, template: Template) -> None:
        """Use a template no more."""
        if self._template is template:
            self._template = None
        template.kill(Killed(why="its code has changed", stopped=True))

    def ended(self, child: Child) -> Killed | None:
        """Let the guard sweep."""
        self._plain.ended(child)
        return None

    def describe(self) -> HowStarted:
        """Return how workers start now, as far as it is known before the first has."""
        if self._options.start == "spawn" or self._unsafe:
            return HowStarted(kind="spawn", why=self._unsafe)
        return HowStarted(kind="template", template_pid=None if self._template is None else self._template.pid)

    def rebuild(self, options: PoolOptions | None = None) -> None:
        """Import the code anew, with new options where given, before the next worker starts."""
        self._options = options or replace(self._options)
        self._policy = RestartPolicy(self._options.restart, random.random)
        self._unsafe = ""
        self._spare = None
        self._template = None
        self._building = None
        for template in self._alive:
            template.kill(Killed(why="the code is imported anew", stopped=True))

    def halt(self) -> None:
        """End the template and start nothing more."""
        self._halted = True
        if self._again is not None:
            self._again.cancel()
        for template in self._alive:
            template.kill(Killed(why="the server stopped", stopped=True))

    async def close(self) -> None:
        """End the template, and the guard where no other pool has a worker."""
        self.halt()
        while self._alive:
            await asyncio.wait([template.ended for template in self._alive])
        await self._plain.close()
