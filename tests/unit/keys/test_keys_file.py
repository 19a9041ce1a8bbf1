"""Keys: what is kept of them, who they let in, and the file that they stand in."""

import json
import os
import threading
from pathlib import Path

import pytest

from bridge.keys import key as key_module
from bridge.keys import key_file
from bridge.keys.key import KeyProblem, make, matches, read_sent, revoked
from bridge.keys.key_file import KeyFileProblem, changing, read
from bridge.keys.ring import REMEMBERED, KeyRing
from bridge.keys.roles import Need


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


def add(path, name, *roles, tenant=None):
    made, text = make(name, roles or ("call",), tenant)
    with changing(path) as keys:
        keys.append(made)
    return made, text


def header(text):
    return f"Bearer {text}"


class TestOneKey:
    def test_it_is_what_its_own_text_says_and_no_other(self):
        one, text = make("one", ("call",))
        two, other = make("two", ("call",))
        assert matches(one, read_sent(header(text)))
        assert not matches(one, read_sent(header(other)))
        assert not matches(two, read_sent(header(text)))

    def test_the_secret_counts_and_not_the_id_alone(self):
        one, _ = make("one", ("call",))
        _, other = make("one", ("call",))
        mixed = f"bk_{one.id}_{other.split('_', 2)[2]}"
        assert read_sent(header(mixed)).id == one.id
        assert not matches(one, read_sent(header(mixed)))

    def test_nobody_is_let_in_where_there_is_no_key(self):
        _, text = make("one", ("call",))
        assert not matches(None, read_sent(header(text)))

    def test_compared_in_constant_time(self, monkeypatch):
        """Both ways, so that the time tells nothing of which ids there are."""
        compared = []
        real = key_module.hmac.compare_digest
        monkeypatch.setattr(key_module.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
        one, text = make("one", ("call",))
        sent = read_sent(header(text))
        matches(one, sent)
        matches(None, sent)
        assert len(compared) == 2
        assert all(len(a) == len(b) == 64 for a, b in compared)

    def test_nothing_shows_the_secret_or_its_hash(self):
        one, text = make("one", ("call",))
        shown = repr(one) + str(one) + f"{one}"
        assert one.sha256 not in shown
        assert text.split("_", 2)[2] not in shown

    def test_two_have_nothing_in_common(self):
        made = [make("one", ("call",)) for _ in range(50)]
        assert len({one.id for one, _ in made}) == len({text for _, text in made}) == 50

    @pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 65, "ä", "a\n", "a/b"])
    def test_names_that_are_none(self, name):
        with pytest.raises(KeyProblem, match="1 to 64 letters"):
            make(name, ("call",))

    def test_a_key_needs_a_role(self):
        with pytest.raises(KeyProblem, match="no role"):
            make("a", ())

    @pytest.mark.parametrize("tenant", ["", "ä", "a\n", "x" * 257])
    def test_tenants_that_are_none(self, tenant):
        with pytest.raises(KeyProblem, match="tenant"):
            make("a", ("call",), tenant)

    @pytest.mark.parametrize("text", ["", "Bearer", "Bearer ", "bk_a_b", "Bearer bk_0123456789_short", "Bearer  "])
    def test_texts_that_are_no_key(self, text):
        assert read_sent(text) is None


class TestTheFile:
    def test_keys_are_kept_without_their_secrets(self, path):
        made, text = add(path, "one", "call", "admin", tenant="acme")
        assert read(path) == (made,)
        assert text.split("_", 2)[2] not in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
    def test_others_may_not_write_it(self, path, mode):
        add(path, "one")
        path.chmod(mode)
        with pytest.raises(KeyFileProblem, match=f"chmod 600 {path}"):
            read(path)

    def test_it_is_known_who_may_read_it(self, path):
        add(path, "one")
        assert key_file.is_readable_by_others(path) == ""
        path.chmod(0o644)
        assert key_file.is_readable_by_others(path) == "0644"
        assert read(path)

    def test_it_must_belong_to_who_reads_it(self, path, monkeypatch):
        add(path, "one")
        owner = path.stat().st_uid
        if owner == 0:
            os.chown(path, 12345, -1)
        else:
            monkeypatch.setattr(key_file.os, "geteuid", lambda: owner + 1)
        with pytest.raises(KeyFileProblem, match="belongs to the user"):
            read(path)

    def test_a_missing_one_names_the_command(self, path):
        with pytest.raises(KeyFileProblem, match=f"bridge keys create NAME --role call --file {path}"):
            read(path)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "{",
            '{"version": 2, "keys": []}',
            '{"version": 1, "keys": [], "more": 1}',
            '{"version": 1, "keys": [{"id": "x", "name": "a", "roles": ["call"], "created": "", "sha256": ""}]}',
            '{"version": 1, "keys": [{"id": "0123456789", "name": "a", "roles": ["root"], "created": "", '
            f'"sha256": "{"0" * 64}"}}]}}',
        ],
    )
    def test_what_is_no_key_file(self, path, text):
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(KeyFileProblem, match=str(path)):
            read(path)

    def test_a_folder_is_none(self, tmp_path):
        with pytest.raises(KeyFileProblem, match="is no file"):
            read(tmp_path)

    def test_a_name_is_used_once_at_a_time(self, path):
        first, _ = add(path, "one")
        with pytest.raises(KeyFileProblem, match='two keys "one"'):
            add(path, "one")
        assert read(path) == (first,)
        with changing(path) as keys:
            keys[:] = [revoked(first, "2026-01-01T00:00:00Z")]
        add(path, "one")
        assert [one.revoked is None for one in read(path)] == [False, True]

    def test_changes_at_the_same_time_lose_nothing(self, path):
        add(path, "first")
        together = threading.Barrier(8)

        def work(number):
            together.wait(10)
            add(path, f"key-{number}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert {one.name for one in read(path)} == {"first", *(f"key-{number}" for number in range(8))}

    def test_a_change_that_fails_leaves_the_file_and_nothing_beside_it(self, path):
        add(path, "one")
        before = path.read_bytes()

        def fail():
            with changing(path) as keys:
                keys.clear()
                raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            fail()
        with pytest.raises(KeyFileProblem):
            add(path, "one")
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]

    def test_readers_see_the_old_or_the_new_and_nothing_between(self, path):
        """Another file takes its place; who has the old one open reads the old one."""
        add(path, "one")
        with path.open() as old:
            add(path, "two")
            assert [one["name"] for one in json.load(old)["keys"]] == ["one"]
        assert [one.name for one in read(path)] == ["one", "two"]


class TestTheRing:
    @pytest.fixture
    def ring(self, path):
        self.key, self.text = add(path, "one", "call", "admin", tenant="acme")
        found = KeyRing(path)
        found.read()
        return found

    def reason(self, ring, text):
        with pytest.raises(Exception, match="API key") as error:
            ring.caller(text)
        return error.value.reason

    def test_a_good_key_names_its_caller(self, ring):
        caller = ring.caller(header(self.text))
        assert (caller.name, caller.tenant, caller.may) == ("one", "acme", Need.ADMIN)

    def test_it_is_verified_once(self, ring, monkeypatch):
        caller = ring.caller(header(self.text))
        monkeypatch.setattr("bridge.keys.ring.matches", lambda *_: pytest.fail("verified twice"))
        assert ring.caller(header(self.text)) is caller

    def test_what_is_remembered_is_no_header(self, ring):
        ring.caller(header(self.text))
        assert all(self.text.encode() not in digest and len(digest) == 16 for digest in ring._known)

    def test_what_is_remembered_has_a_bound(self, ring, path):
        texts = [add(path, f"key-{number}")[1] for number in range(3)]
        ring.read()
        ring._known.update({number.to_bytes(16, "big"): None for number in range(REMEMBERED)})
        for text in texts:
            ring.caller(header(text))
        assert len(ring._known) == REMEMBERED

    def test_wrong_ones_are_not_remembered(self, ring):
        assert self.reason(ring, "Bearer nonsense") == "CREDENTIALS_INVALID"
        assert self.reason(ring, header(make("one", ("call",))[1])) == "CREDENTIALS_INVALID"
        assert ring._known == {}

    def test_a_revoked_one_is_forgotten(self, ring, path):
        ring.caller(header(self.text))
        with changing(path) as keys:
            keys[:] = [revoked(one, "2026-01-01T00:00:00Z") for one in keys]
        changed = ring.read()
        assert (changed.ids, changed.ended, changed.valid) == ({self.key.id}, ("one",), 0)
        assert self.reason(ring, header(self.text)) == "CREDENTIALS_REVOKED"
        assert ring.read() is None

    def test_only_who_has_the_secret_is_told_that_it_was_revoked(self, ring, path):
        with changing(path) as keys:
            keys[:] = [revoked(one, "2026-01-01T00:00:00Z") for one in keys]
        ring.read()
        other = make("one", ("call",))[1].split("_", 2)[2]
        assert self.reason(ring, f"Bearer bk_{self.key.id}_{other}") == "CREDENTIALS_INVALID"

    def test_one_that_is_gone_is_none(self, ring, path):
        with changing(path) as keys:
            keys.clear()
        assert ring.read().ended == ("one",)
        assert self.reason(ring, header(self.text)) == "CREDENTIALS_INVALID"

    def test_a_role_less_is_told_as_a_change(self, ring, path):
        ring.caller(header(self.text))
        with changing(path) as keys:
            keys[:] = [key_module.msgspec.structs.replace(one, roles=("call",)) for one in keys]
        changed = ring.read()
        assert (changed.ids, changed.ended) == ({self.key.id}, ())
        assert ring.caller(header(self.text)).may is Need.CALL

    def test_a_file_that_can_not_be_used_leaves_the_keys(self, ring, path):
        path.write_text("{")
        with pytest.raises(KeyFileProblem):
            ring.read()
        assert ring.caller(header(self.text)).name == "one"
        path.unlink()
        with pytest.raises(KeyFileProblem):
            ring.read()
        assert ring.caller(header(self.text)).name == "one"


def test_a_relative_path_is_of_the_folder_that_it_is_read_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made, _ = add(Path("keys.json"), "one")
    assert read(tmp_path / "keys.json") == (made,)
