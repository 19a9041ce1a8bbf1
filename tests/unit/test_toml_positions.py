"""The position finder agrees with the standard parser on which keys a text has, and knows where they are."""

import tomllib

import pytest

from bridge.settings.toml_positions import Position, find_positions

TEXT = '''\
# comment = 1
plain = 1   # [not.a.table]
"quoted key" = "a # b ] } = \\" c"
'lit.eral' = 'x'
dotted . key = { inner = [1, { deep = 2 }], "b" = '}' }

[table.sub]
text = """
[not] = "a table"
\\""" still inside"""
raw = \'\'\'
also = [not\'\'\'
list = [
  "one", # two
  [ "three" ],
]
when = 1979-05-27 07:32:00
[[array]]
name = 1
[[array]]
name = 2
[array.inner]
x = 1
'''


def leaves(value, path=()):
    """Every path of a parsed text, tables and elements included."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, str(key))
        yield from leaves(inner, (*path, str(key)))


def test_every_key_has_a_position():
    found = find_positions(TEXT)
    missing = set(leaves(tomllib.loads(TEXT))) - set(found.keys)
    assert missing <= {("table",)}, "a table that only a longer header names has no place of its own"
    assert found.duplicates == []


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        (("plain",), 2, 1),
        (("quoted key",), 3, 1),
        (("dotted", "key"), 5, 1),
        (("dotted", "key", "inner", "1", "deep"), 5, 32),
        (("dotted", "key", "b"), 5, 45),
        (("table", "sub"), 7, 1),
        (("table", "sub", "raw"), 11, 1),
        (("table", "sub", "list", "1", "0"), 15, 5),
        (("table", "sub", "when"), 17, 1),
        (("array", "0", "name"), 19, 1),
        (("array", "1", "name"), 21, 1),
        (("array", "1", "inner", "x"), 23, 1),
    ],
)
def test_positions(path, line, column):
    assert find_positions(TEXT).keys[path] == Position(line, column)


@pytest.mark.parametrize("text", ["[", "a = ", "= 1", "a = [1", "a = {b", '"a', "]", "a = [" * 3000, "a b = 1", "[[a]"])
def test_text_that_is_not_toml_ends_the_search(text):
    assert len(find_positions(f"first = 1\n{text}").keys) >= 1


def test_carriage_returns_do_not_count():
    assert find_positions("a = 1\r\n\r\nb = 2\r\n").keys[("b",)] == Position(3, 1)
