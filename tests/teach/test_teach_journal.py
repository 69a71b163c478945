"""The journal: what is in it stays in it, whatever happens to its last line, its lock or its disk."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from scripted import Server

from etlch.endpoint.client import Entry, Request
from etlch.errors import EtlchError
from etlch.journal import Journal, read


def entry(number: int, text: str = "答") -> Entry:
    return Entry(f"key{number}", "ner", "teach-茶-1", "m", 10, 5, id=f"id{number}", finish="stop", answer=text)


def write(path: Path, count: int) -> None:
    with Journal(path, Entry, reserve=100) as journal:
        for number in range(count):
            journal.append(entry(number))


def test_entries_come_back_as_they_were_and_no_held_space_is_left(tmp_path: Path):
    path = tmp_path / "deep" / "journal.jsonl"
    odd = entry(9, '空\n行"\u2028\x00')
    lost = Entry("key8", "kge", "a", "m", 1, 2, lost="no answer within 1 s")
    with Journal(path, Entry, reserve=100) as journal:
        journal.append(odd)
        journal.append(lost)
    with Journal(path, Entry, reserve=100) as journal:
        assert journal.entries == [odd, lost]
    assert [p.name for p in path.parent.iterdir()] == ["journal.jsonl"]


def test_a_last_line_cut_at_any_byte_costs_that_answer_alone(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    write(path, 3)
    whole = path.read_bytes()
    second = whole.rindex(b"\n", 0, -1) + 1
    for size in range(second, len(whole)):
        path.write_bytes(whole[:size])
        complete = size == len(whole) - 1  # only the line break lacks: the answer is all there
        with Journal(path, Entry) as journal:
            assert len(journal.entries) == (3 if complete else 2)
            journal.append(entry(3))
        assert [e.key for e in read(path, Entry)[0]] == ["key0", "key1", *(["key2"] if complete else []), "key3"]


@pytest.mark.parametrize("line", ["{", "[]", '{"key": "k"}', '{"answer": 3}', '{"x": 1}', ""])
def test_a_line_that_is_none_of_ours_is_named(tmp_path: Path, line: str):
    path = tmp_path / "journal.jsonl"
    write(path, 1)
    with path.open("a") as handle:
        handle.write(line + "\n")
    with pytest.raises(EtlchError, match=r"journal.jsonl:2: found b"):
        Journal(path, Entry)


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path):
    with Journal(tmp_path / "journal.jsonl", Entry), pytest.raises(EtlchError, match="another run is at work"):
        Journal(tmp_path / "journal.jsonl", Entry)
    with Journal(tmp_path / "journal.jsonl", Entry):
        pass


def test_a_folder_that_cannot_be_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EtlchError, match="file: cannot be written"):
        Journal(tmp_path / "file" / "journal.jsonl", Entry)


def test_the_key_depends_on_model_messages_sampling_and_attempt_alone():
    messages = ({"role": "user", "content": "問"},)
    base = Request("ner", "a", "m", messages, {"temperature": 0, "max_tokens": 5}, 0)
    assert base.key == Request("kge", "b", "m", messages, {"max_tokens": 5, "temperature": 0}, 0).key
    others = [
        Request("ner", "a", "n", messages, base.sampling, 0),
        Request("ner", "a", "m", (*messages, *messages), base.sampling, 0),
        Request("ner", "a", "m", messages, {"temperature": 1, "max_tokens": 5}, 0),
        Request("ner", "a", "m", messages, base.sampling, 1),
    ]
    assert len({base.key, *(other.key for other in others)}) == 5


class FullDisk:
    """`os.write` on a disk with room for so many more bytes; room comes back when the reserve is deleted."""

    def __init__(self, room: int, reserve: Path, held: int) -> None:
        self.room, self.reserve, self.held = room, reserve, held
        self.real = os.write

    def __call__(self, handle: int, data: memoryview) -> int:
        if not self.reserve.exists():
            self.room, self.held = self.room + self.held, 0
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self.real(handle, data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize(("held", "saved"), [(5000, 3), (0, 2)])
def test_a_full_disk_takes_the_answers_under_way_or_leaves_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int, saved: int
):
    path = tmp_path / "journal.jsonl"
    write(path, 2)
    before = path.read_bytes()
    with Journal(path, Entry, reserve=100) as journal:
        monkeypatch.setattr("os.write", FullDisk(30, tmp_path / ".journal.jsonl.reserve", held))
        if held:
            journal.append(entry(2))
            assert journal.full == "No space left on device"
        else:
            with pytest.raises(EtlchError, match=r"journal.jsonl: an answer cannot be saved \(No space left"):
                journal.append(entry(2))
    assert path.read_bytes()[: len(before)] == before
    entries, tail = read(path, Entry)
    assert (len(entries), tail) == (saved, b"")


SMALL_DISK = """
set -e
mount -t tmpfs -o size={size} tmpfs "$1/disk"
shift_out="$1"; shift
set +e
"$@" --out "$shift_out/disk/out"; echo "rc=$?"
cp "$shift_out/disk/out/journal.jsonl" "$shift_out/first.jsonl"
mount -o remount,size=20m "$shift_out/disk"
"$@" --out "$shift_out/disk/out"; echo "rc=$?"
cp "$shift_out/disk/out/records.jsonl" "$shift_out/disk/out/journal.jsonl" "$shift_out/"
"""


def test_a_disk_that_fills_loses_no_answer_that_arrived(tmp_path: Path, root: Path):
    """On a real small disk (a tmpfs in a namespace of its own), then on the same disk made larger."""
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    (tmp_path / "disk").mkdir()
    probe = ["sh", "-c", f"mount -t tmpfs tmpfs {tmp_path}/disk"]
    if subprocess.run([*namespace, *probe], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    topics = tmp_path / "topics.txt"
    topics.write_text("\n".join(f"主題{n}" for n in range(24)))
    with Server() as server:
        teach = [sys.executable, "-m", "etlch.cli", "teach", "--base-url", server.url, "--model", "m"]
        teach += ["--topics", str(topics), "--tasks", str(root / "tasks"), "--concurrency", "4", "--length", "300"]
        teach += ["--max-tokens", "400"]
        script = ["sh", "-c", SMALL_DISK.format(size="96k"), "sh", str(tmp_path), *teach]
        done = subprocess.run([*namespace, *script], capture_output=True, text=True, cwd=root, timeout=120)
    assert "rc=2\n" in done.stdout and done.stdout.endswith("rc=0\n"), done
    assert "journal.jsonl: No space left on device (free some space); " in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    first, last = ((tmp_path / name).read_text().splitlines() for name in ("first.jsonl", "journal.jsonl"))
    assert 0 < len(first) < len(last)
    assert last[: len(first)] == first
    assert len(server.calls) == len(server.ids) == len(last)  # every answer that was sent is in the journal, none twice
    assert len({call.key for call in server.calls}) == len(server.calls)
    assert len([json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]) == 24
