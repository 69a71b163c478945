"""kill -9 at ten seeded moments: the same file as without, and no answer that was journaled is paid for again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from scripted import Call, Fail, Say, Server, good

TOPICS = [f"主題{n}" for n in range(16)]
KILLS = 10
CONCURRENCY = 4
PATIENCE = 120  # seconds, for a busy machine


def script(call: Call) -> Say | Fail:
    """Well, except for a few first answers that are rejected, one article that never gets its triples, and some 500s."""
    digest = int(call.key[:4], 16)
    if digest % 9 == 0 and not call.repeat:
        return Fail(500)
    if call.stage == "kge" and "主題3，" in call.prompt:
        return Say(f"無法回答 {call.attempt}")
    if digest % 5 == 0 and not call.attempt:
        return Say("亂")
    return good(call)


def start(server: Server, folder: Path, root: Path) -> subprocess.Popen:
    (folder / "topics.txt").write_text("\n".join(TOPICS))
    command = [sys.executable, "-m", "etlch.cli", "teach", "--base-url", server.url, "--model", "m", "--length", "300"]
    command += ["--topics", str(folder / "topics.txt"), "--tasks", str(root / "tasks"), "--out", str(folder / "out")]
    command += ["--concurrency", str(CONCURRENCY), "--backoff", "0.01"]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def journaled(folder: Path, server: Server) -> set[str]:
    """The requests whose answers stand in whole lines of the journal, known by the ids that the server gave."""
    data = (folder / "out" / "journal.jsonl").read_bytes()
    rows = [json.loads(line) for line in data.split(b"\n")[:-1]]
    return {server.ids[row["id"]] for row in rows if "id" in row}


def results(folder: Path) -> list[bytes]:
    return [(folder / "out" / name).read_bytes() for name in ("records.jsonl", "rejected.jsonl")]


def test_ten_kills_change_nothing_and_cost_no_journaled_answer_twice(tmp_path: Path, root: Path):
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    calm.mkdir()
    killed.mkdir()
    with Server(script) as server:
        assert start(server, calm, root).wait(PATIENCE) == 0
        undisturbed = len(server.calls)
        assert set(Counter(server.ids.values()).values()) == {1}  # each answer was given, and paid for, once
    assert len(results(calm)[0].splitlines()) == 15 and results(calm)[1]

    rng = random.Random(20250821)
    with Server(script, delay=0.02) as server:
        for _ in range(KILLS):
            paid = journaled(killed, server) if (killed / "out" / "journal.jsonl").exists() else set()
            before = len(server.calls)
            process = start(server, killed, root)
            target = before + rng.randint(1, 9)
            while len(server.calls) < target and process.poll() is None:
                time.sleep(0.001)
            time.sleep(rng.random() * 0.04)
            os.kill(process.pid, signal.SIGKILL)
            assert process.wait(PATIENCE) == -signal.SIGKILL, "the run ended before it could be killed: make it longer"
            assert not paid & {call.key for call in server.calls[before:]}
            if rng.random() < 0.5:  # a kill in the middle of a line, which so short a write rarely shows
                tear(killed / "out" / "journal.jsonl", rng)
        paid, before = journaled(killed, server), len(server.calls)
        assert start(server, killed, root).wait(PATIENCE) == 0
        assert not paid & {call.key for call in server.calls[before:]}
        assert len(server.calls) > undisturbed
        assert start(server, killed, root).wait(PATIENCE) == 0, "a finished run is replayed"
        assert len(journaled(killed, server)) == len({call.key for call in server.calls})
        again = len(server.ids) - len(set(server.ids.values()))
        assert again <= KILLS * CONCURRENCY  # by the server's count: only what a kill cut off on its way
    assert results(killed) == results(calm)


def tear(path: Path, rng: random.Random) -> None:
    """Add the beginning of another line."""
    line = path.read_bytes().split(b"\n")[0]
    with path.open("ab") as handle:
        handle.write(line[: rng.randrange(1, len(line) - 1)])
