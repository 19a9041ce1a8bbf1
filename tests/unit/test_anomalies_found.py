"""Pools in which something is wrong, which is found within bounds: by its kind, its name and its numbers."""

import math

import pytest
from anomaly_scenes import MIB, Scene, lognormal, pareto

from bridge.anomalies.records import Sample

TIMES = {"quick": 0.002, "slow": 0.3, "work": 0.02}
SEEDS = (0, 1, 2)


def mixed(scene, _worker, function, _size):
    return TIMES[function] * math.exp(scene.random.gauss(0, 0.4))


def made_slow(scene, factor, worker="w-2", function=None):
    """From now on a worker, or a function, takes `factor` times as long."""
    usual = scene.seconds

    def seconds(scene, who, what, size):
        hit = (worker is None or who == worker) and (function is None or what == function)
        return usual(scene, who, what, size) * (factor if hit else 1)

    scene.seconds = seconds
    return scene


def after(scene, kind, name):
    """How long it took until it was found; everything that was found was that."""
    assert set(scene.found) == {(kind, name)}, (scene.found, scene.last)
    return scene.first[kind, name]


@pytest.mark.parametrize(
    ("factor", "known", "within_s"),
    [
        pytest.param(2.5, {}, 40, id="a step"),
        pytest.param(10, {}, 30, id="a large step"),
        pytest.param(10, {"rate": 4.0}, 60, id="few calls"),
        pytest.param(5, {"seconds": pareto()}, 40, id="a tail without a mean"),
        pytest.param(4, {"seconds": lognormal(0.02, 1.0)}, 40, id="wide noise"),
        pytest.param(3, {"seconds": mixed, "functions": tuple(TIMES)}, 40, id="three functions"),
        pytest.param(3, {"workers": ["w-1", "w-2"]}, 40, id="of two"),
        pytest.param(3, {"workers": [f"w-{number}" for number in range(16)], "rate": 200.0}, 40, id="of sixteen"),
        pytest.param(6, {"workers": ["w-2"]}, 40, id="alone"),
    ],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_worker_that_becomes_slow(factor, known, within_s, seed):
    scene = Scene(seed=seed, **known).play(400)
    assert scene.found == {}
    began = scene.now
    made_slow(scene, factor).play(120)
    assert after(scene, "slow_worker", "w-2") - began <= within_s
    assert scene.last.action == "recycle"
    assert scene.last.numbers["ratio"] == pytest.approx(factor, rel=0.5)
    assert "w-2" not in scene.last.cause, "the words are put behind its name"
    assert scene.last.function in scene.last.cause


@pytest.mark.parametrize("workers", [["w-1", "w-2", "w-3"], ["w-2"]])
def test_a_worker_that_becomes_slow_by_and_by(workers):
    """Twice as slow every five minutes."""
    scene = Scene(workers=list(workers)).play(400)
    began, usual = scene.now, scene.seconds
    scene.seconds = lambda scene, worker, *rest: (
        usual(scene, worker, *rest) * (2 ** ((scene.now - began) / 300) if worker == "w-2" else 1)
    )
    scene.play(1200)
    assert after(scene, "slow_worker", "w-2") - began <= 1000


def test_a_worker_that_has_been_slow_since_it_started():
    """It might have been warming up; after ten windows it is not."""
    scene = Scene().play(300)
    scene.workers[1] = "w-9"
    began = scene.now
    made_slow(scene, 3, "w-9").play(900)
    assert 600 <= after(scene, "slow_worker", "w-9") - began <= 700


def test_two_of_four_workers():
    scene = made_slow(made_slow(Scene().play(400), 5, "w-2"), 5, "w-3").play(120)
    assert set(scene.found) == {("slow_worker", "w-2"), ("slow_worker", "w-3")}


def test_it_goes_on_being_found_until_it_is_well_again():
    scene = made_slow(Scene().play(400), 5).play(300)
    assert scene.found["slow_worker", "w-2"] >= 250
    scene.seconds = lognormal()
    scene.play(40)
    scene.found.clear()
    assert scene.play(300).found == {}


@pytest.mark.parametrize("workers", [["w-1", "w-2", "w-3"], ["w-1"]])
def test_a_function_that_becomes_slow_everywhere(workers):
    scene = Scene(workers=list(workers), seconds=mixed, functions=tuple(TIMES)).play(400)
    made_slow(scene, 6, None, "slow").play(120)
    after(scene, "slow_function", "slow")
    assert scene.last.action == "none", "nobody knows what would help"


def test_a_provider_that_becomes_slow_costs_no_worker_of_several():
    scene = made_slow(Scene().play(400), 8, None).play(200)
    after(scene, "slow_function", "work")


def test_a_worker_of_sessions_is_not_compared_by_them():
    """Which worker a session's call gets is no chance: its inputs may be what is slow."""
    scene = Scene().play(400)
    sample = scene.sample

    def bound():
        one = sample()
        slow = one.worker == "w-2"
        return Sample(**{**{key: getattr(one, key) for key in one.__struct_fields__}, "bound": slow})

    scene.sample = bound
    assert made_slow(scene, 10).play(200).found == {}


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_worker_that_fails_where_its_siblings_do_not(share, seed):
    scene = Scene(seed=seed, functions=("one", "two")).play(300)
    began = scene.now
    scene.fails = lambda scene, worker, *_: worker == "w-4" and scene.random.random() < share
    scene.play(120)
    assert after(scene, "failing_worker", "w-4") - began <= 30
    assert scene.last.action == "recycle"
    assert scene.last.numbers["error_rate"] == pytest.approx(share, abs=0.15)
    assert scene.last.numbers["usual_error_rate"] == 0


@pytest.mark.parametrize("workers", [["w-1", "w-2", "w-3", "w-4"], ["w-1"]])
def test_a_function_that_fails_on_every_worker(workers):
    scene = Scene(workers=list(workers), functions=("one", "two")).play(300)
    began = scene.now
    scene.fails = lambda scene, _worker, function, _tenant: function == "two" and scene.random.random() < 0.9
    scene.play(100)
    assert after(scene, "failing_function", "two") - began <= 20
    assert scene.last.action == "open_breaker"


def test_the_only_worker_is_replaced_first_and_then_it_was_the_function():
    scene = Scene(workers=["w-1"]).play(300)
    scene.fails = lambda scene, *_: scene.random.random() < 0.9
    scene.play(15)
    after(scene, "failing_worker", "w-1")
    scene.workers[0] = "w-2"
    scene.found.clear()
    scene.play(30)
    assert ("failing_function", "work") in scene.found


def test_a_provider_that_fails():
    """Also where there is one worker: nobody replaces it for that."""
    scene = Scene(workers=["w-1"], provider="someone").play(300)
    scene.fails = lambda scene, *_: scene.random.random() < 0.8
    scene.play(60)
    after(scene, "failing_provider", "someone")
    assert "'someone'" in scene.last.cause


def test_a_function_that_fails_for_every_tenant():
    scene = Scene(tenants=("a", "b", "c")).play(300)
    scene.fails = lambda *_: True
    assert scene.play(20).kinds() == {"failing_function"}


def late(scene, usual_s, after_s):
    """From now on calls on w-3 run into deadlines of `after_s`."""
    sample = scene.sample

    def one():
        made = sample()
        known = {key: getattr(made, key) for key in made.__struct_fields__}
        if made.worker != "w-3":
            return made
        return Sample(**{**known, "late": True, "seconds": after_s})

    assert usual_s > 0
    scene.sample = one
    return scene


def test_a_worker_that_hangs_in_what_takes_others_a_moment():
    scene = late(Scene().play(300), 0.02, 5.0).play(60)
    after(scene, "failing_worker", "w-3")


def test_callers_who_do_not_wait_blame_nobody():
    assert late(Scene().play(300), 0.02, 0.01).play(60).found == {}


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mib_s", [0.2, 2.0, 8.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_leak_is_found_before_the_limit(mib_s, seed):
    scene = Scene(seed=seed, limit=512 * MIB, rate=1.0)

    def memory(scene, worker):
        leaked = mib_s * (scene.now - 1000) if worker == "w-1" else 0
        return int((100 + leaked + 10 * scene.random.random()) * MIB)

    scene.memory = memory
    scene.play((512 - 110) / mib_s)
    after(scene, "memory_trend", "w-1")
    left_s = 1000 + 412 / mib_s - scene.first["memory_trend", "w-1"]
    assert 0 < left_s <= 120, "early enough, and not at once"
