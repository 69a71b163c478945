"""A scripted OpenAI-compatible server on 127.0.0.1, and a teacher that answers well as a function of the question."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

HEADER = "【一、三元組格式（主詞－關係－受詞）】"
MARKS = {"article": "寫一篇約", "instruction": "設計一則資訊擷取的指令", "kge": "建構知識圖譜", "ner": "執行 NER 任務"}
FACT = re.compile(r"(\w{2}教授)在(\d{4}年)於(\w{2}大學)研究")


@dataclass(frozen=True)
class Call:
    """One request as the server saw it; `repeat` counts earlier requests with the same body."""

    body: dict[str, Any]
    key: str
    repeat: int
    auth: str
    at: float

    @property
    def prompt(self) -> str | list[int]:
        """The first question, or what is to be completed as it stands."""
        return self.body["prompt"] if "prompt" in self.body else self.body["messages"][0]["content"]

    @property
    def attempt(self) -> int:
        return len(self.body["messages"]) // 2

    @property
    def stage(self) -> str:
        return next((stage for stage, mark in MARKS.items() if mark in self.prompt), "gold")


@dataclass(frozen=True)
class Say:
    """An answer: a chat completion, or a completion where a prompt was sent."""

    text: str
    finish: str = "stop"
    usage: bool = True


@dataclass(frozen=True)
class Fail:
    """An error status."""

    status: int
    message: str = "no"
    headers: dict[str, str] = field(default_factory=dict)
    code: str | None = None


@dataclass(frozen=True)
class Page:
    """A page that is no chat completion, with status 200."""

    text: str
    kind: str = "text/html"


@dataclass(frozen=True)
class Stall:
    """Nothing, for so many seconds."""

    seconds: float


class Drop:
    """The connection closed without an answer."""


Script = Callable[[Call], Any]


def facts(topic: str, number: str) -> str:
    """An article of eight sentences that differ from topic to topic and number to number."""
    letters = "林陳黃張李王吳劉蔡楊許鄭謝郭洪邱"
    sentences = []
    for index in range(8):
        digest = hashlib.sha256(f"{topic}/{number}/{index}".encode()).digest()
        name, place = ("".join(letters[byte % 16] for byte in digest[i : i + 2]) for i in (0, 2))
        sentences.append(f"{name}教授在{1800 + digest[4] % 200}年於{place}大學研究{topic}，並提出第{digest[5]}號定律。")
    return "".join(sentences)


def good(call: Call) -> Say:
    """A flawless teacher: the same answer to the same first question."""
    prompt = call.prompt
    if call.stage == "article":
        topic = re.search("請以「(.*?)」為題", prompt)[1]
        return Say(facts(topic, re.search(r"第 (\d+) 篇", prompt)[1]))
    if call.stage == "instruction":
        words = "請擷取學者、年代與學校，輸出成 JSON，所有 value 必須為 list 格式，而其中不得再有巢狀結構。"
        return Say(json.dumps({"keys": ["學者", "年代", "學校"], "instruction": [words]}, ensure_ascii=False))
    found = FACT.findall(prompt)
    people, years, places = ([fact[i] for fact in found] for i in range(3))
    if call.stage == "gold":
        return Say(json.dumps({"學者": people, "年代": years, "學校": places}, ensure_ascii=False))
    if call.stage == "ner":
        return Say(json.dumps({"人物": people, "時間": years, "組織": places}, ensure_ascii=False))
    return Say("\n".join([HEADER, *dict.fromkeys(f"{person}－任職於－{place}" for person, _, place in found)]))


class Server:
    """`with Server(script) as server:` answers at `server.url`; `server.calls` is what it saw, `server.ids` the key of
    the request of each answer that it gave, `server.most` how many requests it had at once."""

    def __init__(self, script: Script = good, delay: float = 0.0) -> None:
        self.script = script
        self.delay = delay
        self.calls: list[Call] = []
        self.ids: dict[str, str] = {}
        self.most = 0
        self._open = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = _HTTP(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Server:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()

    def note(self, body: dict[str, Any], auth: str) -> Call:
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        with self._lock:
            repeat = sum(call.key == key for call in self.calls)
            call = Call(body, key, repeat, auth, time.monotonic())
            self.calls.append(call)
            self._open += 1
            self.most = max(self.most, self._open)
        return call

    def close(self) -> None:
        with self._lock:
            self._open -= 1

    def completion(self, call: Call, say: Say) -> dict[str, Any]:
        with self._lock:
            name = f"chatcmpl-{len(self.ids) + 1}"
            self.ids[name] = call.key
        message = {"role": "assistant", "content": say.text}
        row = {"id": name, "object": "chat.completion", "created": 0, "model": call.body["model"]}
        said = {"text": say.text} if "prompt" in call.body else {"message": message}
        row["choices"] = [{"index": 0, **said, "finish_reason": say.finish}]
        if say.usage:
            counts = len(call.prompt), len(say.text)
            row["usage"] = {"prompt_tokens": counts[0], "completion_tokens": counts[1], "total_tokens": sum(counts)}
        return row

    def stages(self) -> list[str]:
        return [call.stage for call in self.calls]

    def wait(self, seconds: float) -> None:
        self._closing.wait(seconds)


class _HTTP(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed or gave up is no news."""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            call = server.note(body, self.headers.get("Authorization", ""))
            server.wait(server.delay)
            reply = server.script(call)
            server.close()
            self._give(call, reply)

        def _give(self, call: Call, reply: Any) -> None:
            if isinstance(reply, Stall):
                server.wait(reply.seconds)
                reply = Drop()
            if isinstance(reply, Drop):
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            elif isinstance(reply, Fail):
                error = {"error": {"message": reply.message, "code": reply.code}}
                self._send(reply.status, json.dumps(error), "application/json", reply.headers)
            elif isinstance(reply, Page):
                self._send(200, reply.text, reply.kind, {})
            else:
                self._send(200, json.dumps(server.completion(call, reply)), "application/json", {})

        def _send(self, status: int, text: str, kind: str, headers: dict[str, str]) -> None:
            data = text.encode()
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    return Handler
