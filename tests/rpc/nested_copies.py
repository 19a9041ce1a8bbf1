"""The functions of nested_app.py again, under other names in other pools: modules of a test's own import this one.

Which pool is said by the environment variable of the pool, NESTED_PREFIX: `many` serves `many_who` and so on.
"""

import importlib.util
import os
import types
from pathlib import Path

from bridge import function

PREFIX = os.environ["NESTED_PREFIX"]
_spec = importlib.util.spec_from_file_location("nested_functions", Path(__file__).with_name("nested_app.py"))
assert _spec is not None
assert _spec.loader is not None
_app = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_app)

for _name, _found in list(vars(_app).items()):
    if isinstance(_found, types.FunctionType) and _found.__module__ == _app.__name__ and "native" not in _name:
        _copy = types.FunctionType(_found.__code__, _found.__globals__, f"{PREFIX}_{_name}", _found.__defaults__)
        _copy.__annotations__ = _found.__annotations__
        _copy.__kwdefaults__ = _found.__kwdefaults__
        globals()[f"{PREFIX}_{_name}"] = function(name=f"{PREFIX}_{_name}")(_copy)
del _copy, _found
