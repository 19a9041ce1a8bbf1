"""What `bridge status` and `bridge top` show of anomalies: the last ones, the newest first, whatever a name holds."""

from rich.console import Console

from bridge.cli import status, top
from bridge.cli.output import Output
from bridge.v1 import pool_pb2


def anomaly(cause, age_s):
    made = pool_pb2.Anomaly(kind=pool_pb2.ANOMALY_KIND_SLOW_WORKER, cause=cause)
    made.age.FromSeconds(age_s)
    return made


def pool(name, *anomalies):
    return pool_pb2.Pool(name=name, state=pool_pb2.POOL_STATE_READY, size=1, anomalies=anomalies)


def shown_by_top(*pools):
    view = top.View("SERVING", pools, 1.0)
    console = Console(width=200, markup=False)
    with console.capture() as captured:
        console.print(top.picture("127.0.0.1:1", view, dict.fromkeys(view.counts(), 0.0)))
    return captured.get().splitlines()


def test_top_shows_the_newest_of_all_pools_in_order():
    lines = shown_by_top(
        pool("general", anomaly("worker general-2 is slow", 30), anomaly("function 'f' fails", 200)),
        pool("llm", anomaly("the queue grows", 5), anomaly("worker llm-1 fails", 4000)),
    )
    assert [line.rstrip() for line in lines[-3:]] == [
        "llm: 5 s ago: the queue grows",
        "general: 30 s ago: worker general-2 is slow",
        "general: 3.33 min ago: function 'f' fails",
    ]


def test_top_says_nothing_where_nothing_was_found():
    assert "ago:" not in "\n".join(shown_by_top(pool("general")))


def test_status_shows_the_last_ones_of_each_pool(capsys):
    seen = pool("general", *(anomaly(f"number {number}\x1b[31m", number) for number in range(1, 6)))
    status._show_news(Output(machine=False), seen)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == status.SHOWN_ANOMALIES
    assert lines[0].startswith("general: 1 s ago: number 1")
    assert "\x1b" not in "".join(lines)
