"""What must not be forked is not, and says why; what can not be imported fails as a spawned worker would."""

from __future__ import annotations

import ast
import asyncio
import os

import psutil
import pytest

from pool.errors import StartFailed
from pool.events import WorkerSpawned

LEAVES = {
    "a thread": (
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True, name='mine').start()",
        "(mine)",
    ),
    "a socket": ("import socket, builtins; builtins.kept = socket.socket()", "opened a socket"),
    "an event loop": ("import asyncio, builtins; builtins.kept = asyncio.new_event_loop()", "opened an eventpoll"),
    "a pipe": ("import os; os.pipe()", "opened a pipe"),
    "a file": ("import builtins; builtins.kept = open({path!r}, 'w')", "{path} and left it open"),
    "a file that is read": (
        "import builtins; builtins.kept = open(__import__('os').__file__)",
        "os.py and left it open",
    ),
    "a database": ("import sqlite3, builtins; builtins.kept = sqlite3.connect({path!r})", "{path} and left it open"),
    "a process": (
        "import subprocess, builtins; builtins.kept = subprocess.Popen(['sleep', '60'])",
        "started a process",
    ),
    "grpc": ("import sys; sys.modules['grpc'] = sys", "grpc is loaded"),
}
KEEPS_NOTHING = """
import mmap, os, subprocess, threading
subprocess.run(["true"])
thread = threading.Thread(target=print)
thread.start()
thread.join()
null = open(os.devnull)
with open(os.__file__) as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
import builtins; builtins.kept = null, mapped
"""
HEAVY = "import torch, dspy, litellm\n"
HEAVY_ENV = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def told(one):
    return one.pool.snapshot().started


@pytest.mark.parametrize("left", LEAVES)
async def test_what_does_not_survive_a_fork_is_spawned_and_says_why(rig, tmp_path, left):
    code, why = (text.format(path=str(tmp_path / "left")) for text in LEAVES[left])
    count = tmp_path / "imports"
    one = await rig(how="auto", size=2, start=f"print(1, file=open({str(count)!r}, 'a'))\n{code}").start()
    assert told(one).kind == "spawn"
    assert told(one).template_pid is None
    assert why in told(one).why
    assert (await one.call("echo", b"all the same")).body == b"all the same"
    assert count.read_text() == "1\n1\n", "the template has become a worker: nothing was imported in vain"
    assert psutil.Process(one.of(WorkerSpawned)[0].pid).environ()["BRIDGE_WORKER_ID"].startswith("rig-")


async def test_a_worker_that_was_the_template_is_one_like_the_others(rig, process_exit):
    one = await rig(how="auto", size=2, start=LEAVES["a thread"][0], nice=2).start()
    texts = ["import os; result = (os.getppid(), os.nice(0), os.getpgrp() == os.getpid())"]
    for worker in one.pool.snapshot().workers:
        assert await one.run(texts[0], prefer=worker.id) == repr((os.getpid(), os.nice(0) + 2, True))
    start = "import subprocess\nresult = subprocess.Popen(['sleep', '300'], start_new_session=True).pid"
    away = [int(await one.run(start, prefer=worker.id)) for worker in one.pool.snapshot().workers]
    for pid in one.pids():
        os.kill(pid, 9)
    for pid in away:
        await asyncio.to_thread(process_exit, pid, 5)
    await one.until(lambda: one.pool.ready_workers == 2)
    assert (await one.call("echo", b"next")).body == b"next"


async def test_a_pool_that_is_to_fork_and_can_not_is_refused_with_the_reason(rig):
    with pytest.raises(StartFailed) as failed:
        await rig(how="template", start=LEAVES["a thread"][0]).pool.start()
    assert failed.value.cause == (
        "start is 'template', but 1 thread runs that importing it has started (mine); correct that, or set start to "
        "'auto' or 'spawn'"
    )


async def test_what_leaves_nothing_behind_is_forked(rig):
    one = await rig(how="auto", size=2, start=KEEPS_NOTHING).start()
    assert (told(one).kind, told(one).why) == ("template", "")


async def test_a_pool_that_was_mended_is_forked_after_a_restart(rig, tmp_path):
    module = tmp_path / "mended_code.py"
    module.write_text(LEAVES["a thread"][0])
    one = await rig(how="auto", start=f"import sys; sys.path.append({str(tmp_path)!r}); import mended_code").start()
    assert told(one).kind == "spawn"
    module.write_text("")
    await one.pool.restart()
    assert (told(one).kind, told(one).why) == ("template", "")


@pytest.mark.parametrize("how", ["spawn", "auto", "template"])
@pytest.mark.parametrize(
    ("start", "cause", "detail"),
    [
        ("def load():\n    raise KeyError('PATH')\nload()", "KeyError: 'PATH'", 'File "<test>", line 2, in load'),
        ("import os, sys; print('oh', file=sys.stderr); os._exit(3)", "exited with code 3", "oh"),
        ("import os; os.abort()", "killed by SIGABRT", "Fatal Python error: Aborted"),
        ("import sys; sys.exit('enough')", "exited with code 1", "enough"),
        ("import time; time.sleep(60)", "not ready after 1.5 s", "<test>"),
    ],
)
async def test_what_can_not_be_imported_fails_in_the_same_words(rig, how, start, cause, detail):
    with pytest.raises(StartFailed) as failed:
        await rig(how=how, size=2, start=start, start_timeout_s=1.5).pool.start()
    assert failed.value.cause == cause
    assert detail in failed.value.detail


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("concurrency", [1, 8])
async def test_torch_dspy_and_litellm_are_forked_and_their_template_holds_nothing(rig, concurrency):
    """The real libraries: no thread, no OpenMP pool, no grpc, no connection; and they work in the forks."""
    environment = {**rig().options.env, **HEAVY_ENV}
    one = await rig(how="template", size=2, start=HEAVY, env=environment, concurrency=concurrency).start()
    template = psutil.Process(told(one).template_pid)
    assert template.num_threads() == 1
    assert template.net_connections() == []
    assert [file.path for file in template.open_files()] == []
    assert "grpc" not in " ".join(mapped.path for mapped in template.memory_maps() if "site-packages" in mapped.path)
    text = """
        import litellm, sys, torch
        torch.set_num_threads(2)
        product = (torch.ones(300, 300) @ torch.ones(300, 300)).sum().item()
        answer = litellm.completion(model="gpt-4o", messages=[{"role": "user", "content": "?"}], mock_response="yes")
        result = (product, answer.choices[0].message.content, "grpc" in sys.modules, torch.rand(1).item())
    """
    answers = [ast.literal_eval(await one.run(text, prefer=worker.id)) for worker in one.pool.snapshot().workers]
    assert [answer[:3] for answer in answers] == [(27_000_000.0, "yes", False)] * 2
    assert answers[0][3] != answers[1][3], "each has random numbers of its own"
