"""A call of a typed method is saved as the ordinary call that it holds."""

import json

import pytest

from handlers.contract import EntryOptions, ReplayOptions
from handlers.replay.handler import recorded


def divide(a: int, b: int) -> float:
    return a / b


def test_a_failed_typed_call_is_saved(typed, tmp_path):
    shop = typed(divide)
    options = EntryOptions(pool="general", replay=ReplayOptions(directory=str(tmp_path / "calls")))
    shop.handlers = {name: recorded(handler, options) for name, handler in shop.handlers.items()}
    assert shop.call("divide", a=6, b=3).result == 2.0
    with pytest.raises(ZeroDivisionError):
        shop.call("divide", a=1, b=0)
    (file,) = (tmp_path / "calls").iterdir()
    saved = json.loads(file.read_text())
    assert saved["method"] == "InvokeService/Call"
    assert saved["request"]["arguments"]["value"] == {"a": 1, "b": 0}
