"""Which cgroups are found, what is written into them, and what is read of them: on trees of files, and on real ones."""

import os
import select
import subprocess
import sys
import time

import pytest

from pool.cgroup_support import CgroupSupport, detect
from pool.cgroups import HEADROOM_BYTES, Cgroups, OutOfMemory, kernel_limit

MIB = 1 << 20


class Tree:
    """A made-up /proc and cgroup file systems; `v2` and `v1` make them, with this process in `own`."""

    def __init__(self, root):
        self.root = root
        self.proc = root / "proc"
        (self.proc / "self").mkdir(parents=True)
        self.groups = []
        self.mounts = ["22 1 8:1 / / rw - ext4 /dev/sda rw"]

    def make(self, place, **files):
        place.mkdir(parents=True, exist_ok=True)
        for name, text in {"cgroup.procs": "", **files}.items():
            (place / name.replace("__", ".")).write_text(text)
        return place

    def v2(self, own="/", root="/", **files):
        point = self.root / "v2"
        self.groups.append(f"0::{own}")
        self.mounts.append(f"30 22 0:30 {root} {point} rw shared:1 - cgroup2 cgroup2 rw")
        return self.make(point / own.removeprefix(root).strip("/"), **files)

    def v1(self, controllers, own="/", root="/", **files):
        point = self.root / controllers.replace(",", "_")
        self.groups.append(f"{len(self.groups) + 1}:{controllers}:{own}")
        self.mounts.append(f"31 22 0:31 {root} {point} rw - cgroup cgroup rw,{controllers}")
        return self.make(point / own.removeprefix(root).strip("/"), **files)

    def detect(self):
        (self.proc / "self/cgroup").write_text("\n".join(self.groups))
        (self.proc / "self/mountinfo").write_text("\n".join(self.mounts))
        return detect(self.proc)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


READY = {"cgroup.controllers": "cpu memory pids", "cgroup.subtree_control": "memory pids"}


def test_a_group_of_v2_with_its_controllers_in_force(tree):
    place = tree.v2("/app", **READY)
    assert tree.detect() == CgroupSupport(kind="v2", path=place, why=f"cgroup v2, in {place}", pids=place)


def test_a_group_of_v2_that_is_the_fronts_alone_can_be_used(tree):
    files = {**READY, "cgroup.subtree_control": "", "cgroup.procs": f"{os.getpid()}\n"}
    assert tree.detect().kind == "none"
    place = tree.v2("/app", **files)
    assert tree.detect().path == place


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"cgroup.controllers": "cpu pids"}, "has no memory controller; delegate it"),
        ({"cgroup.subtree_control": "pids", "cgroup.procs": "1\n7\n"}, "holds 2 other processes"),
    ],
)
def test_why_a_group_of_v2_can_not_be_used(tree, files, why):
    tree.v2("/app", **{**READY, **files})
    found = tree.detect()
    assert (found.kind, found.path) == ("none", None)
    assert why in found.why


def test_a_front_that_has_moved_itself_finds_its_place_again(tree):
    place = tree.v2("/app", **READY)
    tree.groups.clear()
    tree.v2("/app/bridge-front-7-1", **{"cgroup.controllers": "memory"})
    assert tree.detect().path == place


def test_v1_is_used_where_v2_has_no_memory_controller(tree):
    tree.v2("/", **{"cgroup.controllers": ""})
    pids = tree.v1("pids", "/")
    memory = tree.v1("memory", "/jobs/a")
    assert tree.detect() == CgroupSupport(kind="v1", path=memory, why=f"cgroup v1, in {memory}", pids=pids)


def test_a_container_whose_mount_shows_its_own_group_as_the_root(tree):
    memory = tree.v1("memory", "/docker/abc/inner", root="/docker/abc")
    assert tree.detect().path == memory
    assert memory.name == "inner"


def test_a_group_that_the_mount_does_not_show_is_not_used(tree):
    tree.v1("memory", "/docker/abc", root="/docker/other")
    assert tree.detect() == CgroupSupport(
        kind="none", path=None, why="no cgroup file system with a memory controller is there"
    )


def test_a_group_that_may_not_be_written(tree, monkeypatch):
    place = tree.v1("memory", "/a")
    monkeypatch.setattr(os, "access", lambda path, _mode: path != place / "cgroup.procs")
    assert tree.detect().why == f"cgroup v1: {place} may not be written by this user"


def test_a_kernel_without_cgroups(tree):
    assert detect(tree.root / "nothing").why.startswith("this kernel tells nothing of cgroups")


def test_without_support_nothing_is_done():
    groups = Cgroups(CgroupSupport(kind="none", path=None, why="there is none"))
    assert groups.attach("w-1", os.getpid(), memory_bytes=MIB, tasks=10) == ""
    assert groups.members(os.getpid()) is None
    assert groups.ended(os.getpid()) is None
    assert groups.close()


def test_what_is_written_in_v2(tree):
    place = tree.v2("/app", **{**READY, "cgroup.subtree_control": "", "cgroup.procs": f"{os.getpid()}\n"})
    groups = Cgroups(tree.detect())
    (front,) = place.glob("bridge-front-*")
    assert (front / "cgroup.procs").read_text() == str(os.getpid())
    assert (place / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert groups.attach("w-1", 4711, memory_bytes=1024 * MIB, tasks=99) == ""
    (group,) = place.glob("bridge-[0-9]*")
    assert group.name.startswith(f"bridge-{os.getpid()}-")
    assert group.name.endswith("-w-1")
    assert {file.name: file.read_text() for file in group.iterdir()} == {
        "memory.max": str(1152 * MIB),
        "memory.oom.group": "1",
        "cgroup.procs": "4711",
    }


@pytest.mark.parametrize(("own", "expected"), [("oom 1\noom_kill 1", True), ("oom 0\noom_kill 1", False)])
def test_how_the_kernels_kill_is_told_in_v2(tree, own, expected):
    place = tree.v2("/app", **READY)
    groups = Cgroups(tree.detect())
    groups.attach("w-1", 4711, memory_bytes=MIB, tasks=None)
    (group,) = place.glob("bridge-[0-9]*")
    (group / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    (group / "memory.events.local").write_text(own)
    (group / "memory.peak").write_text("70000000\n")
    (group / "cgroup.procs").write_text("")
    (group / "cgroup.kill").write_text("")
    assert groups.ended(4711) == OutOfMemory(peak_bytes=70_000_000, own_limit=expected)
    assert (group / "cgroup.kill").read_text() == "1"


def test_a_place_that_can_not_be_prepared_is_no_support(tree, monkeypatch):
    place = tree.v2("/app", **{**READY, "cgroup.subtree_control": "", "cgroup.procs": f"{os.getpid()}\n"})
    support = tree.detect()
    place.joinpath("cgroup.subtree_control").unlink()
    place.joinpath("cgroup.subtree_control").mkdir()
    groups = Cgroups(support)
    assert groups.support.kind == "none"
    assert "cgroup.subtree_control" in groups.support.why


@pytest.mark.parametrize("hard", [16 * MIB, 256 * MIB, 1024 * MIB, 8192 * MIB])
def test_the_kernels_limit_leaves_room_for_the_watch_and_is_near(hard):
    assert hard + HEADROOM_BYTES <= kernel_limit(hard) <= max(hard + HEADROOM_BYTES, hard * 1.25)


# -- real groups --------------------------------------------------------------------------------------------------


@pytest.fixture
def real():
    support = detect()
    if support.kind == "none":
        pytest.skip(support.why)
    groups = Cgroups(support)
    yield groups
    for _ in range(200):
        if groups.close():
            break
        time.sleep(0.01)  # a process that has just been killed needs a moment
    assert list(support.path.glob(f"{groups._name}*")) == []


@pytest.fixture
def process():
    started = []

    def start(code="input()"):
        one = subprocess.Popen(
            [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(one)
        return one

    yield start
    for one in started:
        one.kill()
        one.communicate()


DOUBLE_FORK = """
import os
input()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.environ.clear()
        print(os.getpid(), flush=True)
        os.execve("/bin/sleep", ["sleep", "600"], {})
    os._exit(0)
os.wait()
input()
"""


def test_a_process_that_leaves_its_parents_stays_a_member_and_is_killed(real, process):
    leader = process(DOUBLE_FORK)
    assert real.attach("w-1", leader.pid, memory_bytes=256 * MIB, tasks=None) == ""
    leader.stdin.write("\n")
    leader.stdin.flush()
    far = int(leader.stdout.readline())
    assert sorted(real.members(leader.pid)) == sorted([leader.pid, far])
    held = os.pidfd_open(far)
    leader.kill()
    leader.wait()
    assert real.ended(leader.pid) is None
    poll = select.poll()
    poll.register(held, select.POLLIN)
    assert poll.poll(10_000), "it lives on"
    os.close(held)


def test_the_kernel_kills_at_the_limit_and_that_is_told(real, process):
    one = process("input()\nblock = bytearray(400 << 20)\nprint('lives')")
    real.attach("w-1", one.pid, memory_bytes=32 * MIB, tasks=None)
    one.stdin.write("\n")
    one.stdin.flush()
    assert one.wait() == -9
    verdict = real.ended(one.pid)
    assert verdict.own_limit
    assert 32 * MIB < verdict.peak_bytes <= kernel_limit(32 * MIB)


def test_the_number_of_processes_is_bounded(real, process):
    if real.support.pids is None:
        pytest.skip("no controller for the number of processes")
    one = process(
        "import os\ninput()\ncount = 0\ntry:\n  while count < 100:\n    if os.fork() == 0:\n      os.read(0, 1)\n"
        "      os._exit(0)\n    count += 1\nexcept OSError as error:\n  print(count, error.errno, flush=True)\ninput()"
    )
    real.attach("w-1", one.pid, memory_bytes=None, tasks=20)
    one.stdin.write("\n")
    one.stdin.flush()
    assert one.stdout.readline().split() == ["19", "11"]


def test_groups_of_ended_fronts_are_removed_and_those_of_living_ones_are_not(real):
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    place = real.support.path
    stale = [place / f"bridge-{ended.pid}-1-w-1", place / f"bridge-front-{ended.pid}-1"]
    living = place / f"{real._name}w-9"
    for group in (*stale, living):
        group.mkdir()
    try:
        Cgroups(real.support)
        assert [group.exists() for group in (*stale, living)] == [False, False, True]
    finally:
        living.rmdir()


def test_a_process_that_has_ended_already_is_no_failure_that_leaves_a_group(real, process):
    one = process("")
    one.wait()
    assert real.attach("w-1", one.pid, memory_bytes=64 * MIB, tasks=10).startswith("no cgroup for it:")
    assert real.members(one.pid) is None
    assert real.close()
    assert list(real.support.path.glob(f"{real._name}*")) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become nobody")
def test_nobody_has_no_groups_and_hears_why():
    code = (
        "import encodings.ascii, os, pool.cgroup_support as support\n"
        "os.setgid(65534); os.setuid(65534)\nfound = support.detect()\nprint(found.kind, found.why)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    kind, _, why = told.strip().partition(" ")
    assert kind == "none"
    assert "may not be written by this user" in why or "no cgroup file system" in why or "no memory controller" in why
