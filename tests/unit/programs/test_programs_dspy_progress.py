"""DSPy's parallel executor in a worker: it draws no bars, so calls that use it at once do not break each other's."""

import threading

import dspy
import pytest
import tqdm
from dspy.utils.parallelizer import ParallelExecutor

from handlers.programs import dspy_progress


class Emptied(set):
    """The list of all bars, which another call has emptied between two steps of this one."""

    def remove(self, bar):
        raise KeyError(bar)


@pytest.mark.parametrize("threads", [1, 3])
def test_it_does_not_depend_on_what_all_bars_share(monkeypatch, capsys, threads):
    dspy_progress.apply()
    monkeypatch.setattr(tqdm.tqdm, "_instances", Emptied())
    for hidden in (True, False):
        executor = ParallelExecutor(num_threads=threads, disable_progress_bar=hidden, compare_results=not hidden)
        pairs = [(number, number) for number in range(5)]
        assert executor.execute(lambda pair: (pair, None, 1.0), pairs) == [(pair, None, 1.0) for pair in pairs]
    written = capsys.readouterr()
    assert "Processed" not in written.out + written.err
    assert "Average" not in written.out + written.err


def test_programs_in_parallel_in_several_threads():
    dspy_progress.apply()

    class Double(dspy.Module):
        def forward(self, number):
            return dspy.Prediction(doubled=2 * number)

    found = {}

    def call(name):
        parallel = dspy.Parallel(num_threads=2, disable_progress_bar=True)
        pairs = [(Double(), dspy.Example(number=number).with_inputs("number")) for number in range(3)]
        found[name] = [prediction.doubled for prediction in parallel(pairs)]

    threads = [threading.Thread(target=call, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {name: [0, 2, 4] for name in range(8)}
