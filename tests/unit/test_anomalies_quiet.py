"""Pools in which nothing is wrong, and in which nothing may be found: noise, heavy tails, days, cold starts, bad input.

Seeded, and hours of calls long. `TEST_LENGTH=long` plays ten times as many hours.
"""

import math
import os

import pytest
from anomaly_scenes import MIB, Scene, lognormal, pareto

HOUR_S = 3600.0
HOURS = 20 if os.environ.get("TEST_LENGTH") == "long" else 1


def swing(period_s, octaves=2.6):
    """Service times that swing by a factor of six, as inputs do between day and night."""

    def seconds(scene, _worker, _function, _size):
        by = octaves / 2 * math.sin(2 * math.pi * scene.now / period_s)
        return 0.02 * 2**by * math.exp(scene.random.gauss(0, 0.6))

    return seconds


def two_modes(scene, _worker, _function, _size):
    return 0.002 if scene.random.random() < 0.5 else 0.5


def by_size(scene, _worker, _function, size):
    return 2**size * 1e-4 * math.exp(scene.random.gauss(0, 0.4))


class Phases:
    """A machine that is slower for all workers alike, for a while, again and again."""

    def __init__(self):
        self._at = self._by = 0.0

    def __call__(self, scene, _worker, _function, _size):
        if scene.now != self._at:
            self._at, self._by = scene.now, 0.98 * self._by + scene.random.gauss(0, 0.1)
        return 0.02 * math.exp(self._by + scene.random.gauss(0, 0.4))


QUIET = {
    "noise": {},
    "wide noise": {"seconds": lognormal(0.02, 1.5)},
    "a tail without a mean": {"seconds": pareto()},
    "few calls": {"seconds": pareto(), "rate": 3.0},
    "two modes": {"seconds": two_modes},
    "day and night": {"seconds": swing(24 * HOUR_S)},
    "an hourly swing": {"seconds": swing(HOUR_S)},
    "inputs of many sizes": {"seconds": by_size, "sizes": (6, 8, 10, 12)},
    "failures that are usual": {"fails": lambda scene, *_: scene.random.random() < 0.3},
    "two workers": {"seconds": lognormal(0.02, 1.5), "workers": ["a", "b"]},
    "eight workers": {"seconds": lognormal(0.02, 1.5), "workers": [f"w-{number}" for number in range(8)]},
    "a worker alone": {"seconds": lognormal(0.02, 1.0), "workers": ["w"]},
    "a worker alone, day and night": {"seconds": swing(24 * HOUR_S), "workers": ["w"]},
}


@pytest.mark.parametrize("scene", QUIET)
def test_nothing_is_found_where_nothing_is_wrong(scene):
    for seed in range(2):
        played = Scene(seed=seed, **QUIET[scene]).play(HOURS * HOUR_S / 2)
        assert played.found == {}, played.last


def test_what_is_slow_for_all_is_no_workers_fault():
    assert Scene(seconds=Phases()).play(HOURS * HOUR_S).kinds() <= {"slow_function"}


def test_a_new_worker_may_warm_up():
    """Ten times as slow at first, and better by the minute: its siblings are no measure for it."""
    for warm_s in (20.0, 100.0, 300.0):
        scene = Scene().play(300)
        scene.workers[1] = "w-9"
        began, usual = scene.now, scene.seconds

        def seconds(scene, worker, function, size, began=began, usual=usual, warm_s=warm_s):
            cold = 9 * math.exp(-(scene.now - began) / warm_s) if worker == "w-9" else 0
            return usual(scene, worker, function, size) * (1 + cold)

        scene.seconds = seconds
        assert scene.play(1500).found == {}, f"{warm_s}: {scene.last}"


def test_a_server_that_has_just_started():
    """Everything is slow and some of it fails for the first minute."""
    scene = Scene(seconds=lambda scene, *_: 0.02 * (1 + 20 * math.exp(-(scene.now - 1000) / 20)))
    scene.fails = lambda scene, *_: scene.now < 1030 and scene.random.random() < 0.8
    assert scene.play(900).found == {}


def test_a_tenant_whose_inputs_fail_is_no_reason_to_refuse_others():
    scene = Scene(tenants=("a", "a", "a", "a", "b")).play(300)
    scene.fails = lambda _scene, _worker, _function, tenant: tenant == "a"
    assert scene.play(300).found == {}


def test_a_function_that_has_always_failed_is_no_news():
    assert Scene(fails=lambda *_: True).play(600).found == {}


def test_a_moment_is_no_anomaly():
    """Three seconds in which a worker is slow, and a burst in which it fails."""
    scene = Scene().play(300)
    usual = scene.seconds
    scene.seconds = lambda scene, worker, *rest: usual(scene, worker, *rest) * (20 if worker == "w-2" else 1)
    scene.play(3)
    scene.seconds = usual
    assert scene.play(120).found == {}
    scene.fails = lambda scene, worker, *_: worker == "w-2"
    scene.play(1)
    scene.fails = lambda *_: False
    assert scene.play(120).found == {}


def test_differences_that_matter_to_nobody():
    """Ten times as slow, and still far below a millisecond."""
    scene = Scene(seconds=lognormal(2e-5, 0.3)).play(300)
    usual = scene.seconds
    scene.seconds = lambda scene, worker, *rest: usual(scene, worker, *rest) * (10 if worker == "w-2" else 1)
    assert scene.play(300).found == {}


def test_memory_that_comes_and_goes():
    def memory(scene, worker):
        return int((250 + 200 * math.sin(scene.now / 3 + len(worker)) + 20 * scene.random.random()) * MIB)

    assert Scene(memory=memory, limit=512 * MIB).play(HOUR_S).found == {}


def test_a_model_that_is_loaded_at_the_first_call():
    scene = Scene(limit=512 * MIB)
    scene.memory = lambda scene, _worker: int(min(480, 100 + 60 * (scene.now - 1000)) * MIB)
    assert scene.play(600).found == {}


def test_without_a_limit_memory_may_grow():
    assert Scene(memory=lambda scene, _worker: int((scene.now - 900) * MIB)).play(600).found == {}
