"""A worker's output: lines, labels, limits, the tail. Real pipes, read by the loop."""

import asyncio
import os

import pytest

from pool.output import LINE_BYTES, READ_BYTES, TAIL_LINES, Output


class Pipes:
    """An `Output` over two pipes of our own."""

    def __init__(self, lines_per_s=200):
        self.lines, self.dropped = [], []
        self.came = asyncio.Event()
        reads, self.writes = {}, {}
        for stream in ("stdout", "stderr"):
            reads[stream], self.writes[stream] = os.pipe()
            os.set_blocking(reads[stream], False)
        self.output = Output(asyncio.get_running_loop(), reads, self._line, self.dropped.append, lines_per_s)

    def _line(self, stream, line):
        self.lines.append((stream, line))
        self.came.set()

    def write(self, data, stream="stderr"):
        os.write(self.writes[stream], data)

    async def wait(self, count):
        async with asyncio.timeout(5):
            while len(self.lines) < count:
                self.came.clear()
                await self.came.wait()

    def close(self):
        for descriptor in self.writes.values():
            os.close(descriptor)
        self.writes = {}


@pytest.fixture
async def pipes():
    made = Pipes()
    yield made
    made.close()
    made.output.finish()


async def test_lines_are_labelled_by_their_stream(pipes):
    pipes.write(b"to out\n", "stdout")
    pipes.write(b"to err\n", "stderr")
    await pipes.wait(2)
    assert sorted(pipes.lines) == [("stderr", "to err"), ("stdout", "to out")]


async def test_a_line_in_pieces_is_one_line(pipes):
    pipes.write(b"hal")
    pipes.write(b"f, and\r\nthe rest")
    await pipes.wait(1)
    assert pipes.lines == [("stderr", "half, and")]
    pipes.close()
    pipes.output.finish()
    assert pipes.lines[1:] == [("stderr", "the rest")], "a last line needs no end"


async def test_bytes_that_are_no_text_are_escaped(pipes):
    pipes.write(b"\xff\xfe\x00ok\n")
    await pipes.wait(1)
    assert pipes.lines == [("stderr", "\\xff\\xfe\x00ok")]


async def test_a_line_without_end_is_cut(pipes):
    pipes.write(b"x" * (LINE_BYTES + 500))
    await pipes.wait(1)
    assert pipes.lines == [("stderr", "x" * LINE_BYTES)]


async def test_lines_above_the_rate_are_counted_and_dropped_but_kept_in_the_tail():
    pipes = Pipes(lines_per_s=3)
    pipes.write(b"".join(b"%d\n" % number for number in range(100)))
    pipes.close()
    pipes.output.finish()
    assert [line for _, line in pipes.lines] == ["0", "1", "2"]
    assert pipes.dropped == [97]
    assert pipes.output.tail.splitlines() == [str(number) for number in range(100 - TAIL_LINES, 100)]


async def test_the_tail_is_of_stderr_alone(pipes):
    pipes.write(b"chatter\n", "stdout")
    pipes.write(b"reason\n", "stderr")
    await pipes.wait(2)
    assert pipes.output.tail == "reason"


async def test_what_the_dead_left_is_read_at_the_end(pipes):
    data = b"y" * 50 + b"\n"
    for _ in range(1000):
        pipes.write(data)
    assert len(data) * 1000 < READ_BYTES
    pipes.output.finish()
    assert len(pipes.lines) + sum(pipes.dropped) == 1000


async def test_a_grandchild_that_holds_the_pipe_is_not_waited_for(pipes):
    pipes.write(b"last words\n")
    pipes.output.finish()
    assert pipes.lines == [("stderr", "last words")]
    with pytest.raises(BrokenPipeError):
        pipes.write(b"nobody reads on\n")
