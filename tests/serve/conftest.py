"""The service with a fake extractor on loopback, and a client for it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

SCRIPT = Path(__file__).with_name("fake_service.py")
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Service:
    """A running service: its process, its address, a client, and what its extractor has seen."""

    process: subprocess.Popen
    address: str
    client: httpx.Client
    seen_file: Path

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1])

    def extract(self, text, task="ner", **more) -> httpx.Response:
        return self.client.post("/v1/extract", json={"text": text, "task": task} | more)

    def seen(self) -> list[str]:
        """`<texts in the batch> <text>` of each text that reached the extractor."""
        return self.seen_file.read_text(encoding="utf-8").splitlines() if self.seen_file.exists() else []

    def wait_until(self, true: Callable[[], bool], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, "this did not come true in time"
            time.sleep(0.02)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def launch(tmp_path_factory) -> Iterator[Callable[..., Service]]:
    """Starts services: launch(*arguments of fake_service.py, key=..., ready=True)."""
    started: list[Service] = []

    def start(*arguments: str, key: str = "", ready: bool = True) -> Service:
        seen = tmp_path_factory.mktemp("service") / "seen"
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(seen), *arguments],
            stdout=subprocess.PIPE,
            stderr=(seen.parent / "stderr").open("w"),
            text=True,
            cwd=ROOT,
            env=os.environ | {"ETLCH_API_KEY": key},
        )
        address = process.stdout.readline().split("/  (")[0]
        headers = {"Authorization": f"Bearer {key}"} if key and key.isascii() else {}
        client = httpx.Client(base_url=address or "http://none", timeout=30, headers=headers, trust_env=False)
        service = Service(process, address, client, seen)
        started.append(service)
        if ready:
            service.wait_until(lambda: client.get("/ready").status_code == 200)
        return service

    yield start
    for service in started:
        service.client.close()
        if service.process.poll() is None:
            service.process.kill()
        service.process.wait()
        service.process.stdout.close()
