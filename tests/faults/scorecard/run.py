"""Runs the faults against servers, prints the scorecard, and writes scorecard.json.

`python tests/faults/scorecard/run.py [SERVER...] [--quick]`. Every fault meets a server that was started for it, so
that it is judged for itself; with `--quick` faults share one unless it does not recover. Exits with 1 where the bridge
misses an expectation.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

SUITE = Path(__file__).resolve().parent
ROOT = SUITE.parents[2]
sys.path.insert(1, str(SUITE))

import score  # noqa: E402
from adapters.bridge_server import Bridge  # noqa: E402
from adapters.contract import Adapter  # noqa: E402
from adapters.handwritten_server import Handwritten  # noqa: E402
from adapters.http_servers import LitServe, RayServe  # noqa: E402
from calling import CallFailed  # noqa: E402
from faults import FAULTS, Fault  # noqa: E402
from scene import Scene, Unmet, ms  # noqa: E402
from servers import Server, StartFailed, start  # noqa: E402

ADAPTERS: dict[str, Adapter] = {adapter.name: adapter for adapter in (Bridge(), Handwritten(), LitServe(), RayServe())}
PUBLISHED = ROOT / "docs/reference/scorecard.json"
QUICK_LANES = 3
WELL_S = 10.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run faults against servers and print a scorecard.")
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"of {', '.join(ADAPTERS)} (bridge handwritten)")
    parser.add_argument("--quick", action="store_true", help="the bridge alone, several faults at a time, under 50 s")
    parser.add_argument("--only", action="append", metavar="FAULT", help="only this fault; may be repeated")
    parser.add_argument("--kills", type=int, help="kills under load (5, or 1 with --quick)")
    parser.add_argument("--out", type=Path, default=ROOT / "scorecard.json", help="where to write the results")
    parser.add_argument("--publish", action="store_true", help="also put them into README.md and docs/reference")
    parser.add_argument("--pages", action="store_true", help="only write the pages again from what is published")
    options = parser.parse_args()
    options.servers = options.servers or (["bridge"] if options.quick else ["bridge", "handwritten"])
    known = {fault.name for fault in FAULTS}
    for what, given, names in (("server", options.servers, set(ADAPTERS)), ("fault", options.only or [], known)):
        if unknown := set(given) - names:
            parser.error(f"no {what} {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}")
    return options


class Lane:
    """One server after another of one kind, and the faults that it meets in turn."""

    def __init__(self, adapter: Adapter, folder: Path, *, kills: int, fresh: bool) -> None:
        self._adapter = adapter
        self._folder = folder
        self._kills = kills
        self._fresh = fresh
        self._server: Server | None = None

    async def run(self, faults: Iterable[Fault]) -> dict[str, score.Result]:
        results = {}
        try:
            for fault in faults:
                results[fault.name] = await self._judge(fault)
        finally:
            await self._stop()
        return results

    async def _judge(self, fault: Fault) -> score.Result:
        server = await self._well()
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        scene = Scene(server, folder, kills=self._kills)
        begin = time.monotonic()
        passed, seen = False, ""
        try:
            async with asyncio.timeout(fault.limit_s):
                seen = await fault.run(scene)
                passed = True
        except Unmet as unmet:
            seen = str(unmet)
        except CallFailed as error:
            seen = f"a call that should succeed failed: {error.text}"
        except TimeoutError:
            seen = f"not at its end after {fault.limit_s:g} s"
        took = time.monotonic() - begin
        await scene.close()
        if fault.ends or self._fresh:
            await self._stop()
        print(f"{self._adapter.name:12} {'yes' if passed else 'NO '} {fault.name} ({ms(took)}): {seen}", flush=True)
        return score.Result(expected=fault.expected, seen=seen, passed=passed, seconds=took)

    async def _well(self) -> Server:
        """The server, with both workers at work: as it is, or else a new one."""
        for _ in range(2):
            if self._server is None:
                self._server = await start(self._adapter, self._folder)
            scene = Scene(self._server, self._folder)
            try:
                await scene.workers(WELL_S)
                await scene.healthy(WELL_S)
            except Unmet as unmet:
                print(f"{self._adapter.name:12} --- started again, because: {unmet}", flush=True)
                await self._stop()
            else:
                return self._server
        raise StartFailed(f"{self._adapter.title} starts, but its two workers do not answer; see {self._folder}")

    async def _stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop()


def lanes_of(faults: list[Fault], count: int) -> list[list[Fault]]:
    """The faults spread over lanes, those that end the server last in theirs."""
    ordered = sorted(faults, key=lambda fault: fault.ends)
    return [ordered[number::count] for number in range(count)]


async def judge(
    adapter: Adapter, faults: list[Fault], folder: Path, *, quick: bool, kills: int
) -> dict[str, score.Result]:
    """All results of one server: first the faults that need the machine to themselves, then the others."""
    results: dict[str, score.Result] = {}
    groups = [[fault for fault in faults if fault.load], [fault for fault in faults if not fault.load]]
    for group, count in zip(groups, (1, QUICK_LANES if quick else 1), strict=True):
        for part in await asyncio.gather(
            *(Lane(adapter, folder, kills=kills, fresh=not quick).run(lane) for lane in lanes_of(group, count) if lane)
        ):
            results |= part
    return results


def machine() -> str:
    import os

    return f"{os.cpu_count()} cores, Python {platform.python_version()}, Linux {platform.release().split('-')[0]}"


async def measure(options: argparse.Namespace, folder: Path) -> score.Card:
    faults = [fault for fault in FAULTS if not options.only or fault.name in options.only]
    kills = options.kills or (1 if options.quick else 5)
    results = {}
    for name in options.servers:
        own = folder / name
        own.mkdir()
        results[name] = await judge(ADAPTERS[name], faults, own, quick=options.quick, kills=kills)
    titles = {name: ADAPTERS[name].title for name in options.servers}
    return score.make_card(titles, results, machine())


def publish(card: score.Card) -> None:
    """Put the card where readers find it; servers that were not measured now keep what is published of them."""
    if PUBLISHED.exists():
        known = {**score.read(PUBLISHED)["servers"], **card["servers"]}
        card = {**card, "servers": {name: known[name] for name in ADAPTERS if name in known}}
    score.write(PUBLISHED, card)
    for page, text in ((ROOT / "README.md", score.table(card)), (PUBLISHED.with_suffix(".md"), score.details(card))):
        page.write_text(score.put_between(page.read_text(), text))


def main() -> int:
    options = arguments()
    if options.pages:
        publish(score.read(PUBLISHED))
        return 0
    begin = time.monotonic()
    for name in options.servers:
        if not ADAPTERS[name].installed():
            print(f"Installing {ADAPTERS[name].title} into {ADAPTERS[name].environment_path}", flush=True)
            ADAPTERS[name].install()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            card = asyncio.run(measure(options, Path(folder)))
        except StartFailed as error:
            print(f"The scorecard failed: {error}", file=sys.stderr)
            return 2
    print(f"\n{score.table(card)}\n")
    score.write(options.out, card)
    print(f"Written: {options.out}; {time.monotonic() - begin:.0f} s")
    if options.publish:
        publish(card)
    own = card["servers"].get("bridge", {"faults": {}})["faults"]
    return 0 if all(record["pass"] for record in own.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
