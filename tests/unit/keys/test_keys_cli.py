"""`bridge keys`: what it prints for people and machines, what it keeps, and how it ends."""

import json

import pytest
from typer.testing import CliRunner

from bridge.cli.main import app
from bridge.keys.key import matches, read_sent
from bridge.keys.key_file import read


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("BRIDGE_CONFIG", raising=False)

    def one(*words, code=0):
        done = CliRunner().invoke(app, ["keys", *words])
        assert done.exit_code == code, done.output
        return done

    return one


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


def test_create_prints_the_key_and_keeps_its_hash(run, path):
    done = run("create", "shop", "--role", "call", "--tenant", "acme", "--file", str(path))
    text = done.stdout.strip()
    (kept,) = read(path)
    assert matches(kept, read_sent(f"Bearer {text}"))
    assert (kept.name, kept.roles, kept.tenant) == ("shop", ("call",), "acme")
    assert text.split("_", 2)[2] not in path.read_text() + done.stderr


def test_create_for_machines(run, path):
    made = json.loads(run("create", "ops", "-r", "admin", "-r", "call", "-f", str(path), "--json").stdout)
    (kept,) = read(path)
    assert matches(kept, read_sent(f"Bearer {made.pop('key')}"))
    assert made == {
        "id": kept.id,
        "name": "ops",
        "roles": ["call", "admin"],
        "tenant": None,
        "created": kept.created,
        "revoked": None,
        "file": str(path),
    }


def test_list_shows_all_but_the_hashes(run, path):
    run("create", "shop", "-r", "call", "-f", str(path))
    run("revoke", "shop", "-f", str(path))
    run("create", "shop", "-r", "admin", "-f", str(path))
    plain, machine = run("list", "-f", str(path)).stdout, run("list", "-f", str(path), "--json").stdout
    old, new = read(path)
    listed = json.loads(machine)["keys"]
    assert [(one["id"], one["roles"], one["revoked"] is None) for one in listed] == [
        (old.id, ["call"], False),
        (new.id, ["admin"], True),
    ]
    for key in (old, new):
        assert key.id in plain
        assert key.sha256 not in plain + machine


def test_revoke_by_name_and_by_id(run, path):
    run("create", "a", "-r", "call", "-f", str(path))
    run("create", "b", "-r", "call", "-f", str(path))
    first, second = read(path)
    assert json.loads(run("revoke", "a", "-f", str(path), "--json").stdout)["id"] == first.id
    assert second.id in run("revoke", second.id, "-f", str(path)).stdout
    assert all(one.revoked for one in read(path))


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("create", "a", "-r", "root"), 2, "there is no role 'root'; there are call and admin"),
        (("create", "a b", "-r", "call"), 2, "1 to 64 letters"),
        (("create", "a"), 2, "--role"),
        (("create", "taken", "-r", "call"), 1, "there is a key 'taken'"),
        (("revoke", "nobody"), 1, "is not there"),
    ],
)
def test_what_can_not_be_done(run, path, words, code, text):
    run("create", "taken", "-r", "call", "-f", str(path))
    before = path.read_bytes()
    done = run(*words, "-f", str(path), code=code)
    assert text in " ".join(done.output.split())
    assert path.read_bytes() == before


def test_revoking_twice_says_so(run, path):
    run("create", "a", "-r", "call", "-f", str(path))
    run("revoke", "a", "-f", str(path))
    assert "is revoked already" in run("revoke", "a", "-f", str(path), code=1).output


def test_only_create_makes_a_file(run, path):
    for words in (("list",), ("revoke", "a")):
        assert "there is no key file" in " ".join(run(*words, "-f", str(path), code=1).output.split())
    assert not path.exists()
    assert "can not be opened" in run("create", "a", "-r", "call", "-f", str(path / "b" / "c"), code=1).output


def test_the_configuration_names_the_file(run, path):
    assert "[keys] file" in run("list", code=2).output
    path.with_name("bridge.toml").write_text(f'[keys]\nfile = "{path}"\n')
    run("create", "a", "-r", "call")
    assert [one.name for one in read(path)] == ["a"]
    assert "a" in run("list").stdout
