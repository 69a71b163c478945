"""The Python API: `Extractor().extract(text)`."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from etlch.errors import EtlchError
from etlch.extract import chunks, language, models, values
from etlch.extract.documents import Document
from etlch.extract.values import Extraction
from etlch.formats import Parsed
from etlch.infer.loading import Loaded, Made
from etlch.infer.predict import Engine
from etlch.records import Record
from etlch.tasks import Card, load_card

WINDOW = 128  # pieces that are answered together: what is in memory at once, besides the document being cut
_LEAST_ROOM = 50  # tokens of text beside which an instruction and an answer must have room


class Extractor:
    """Extracts from texts by a task card and a model. Not safe to call from two threads at once.

    task: the name of a card in tasks/, a card's path, or the card. model, adapter, system, config: see `models.config_of`. keys: what
    is wanted, for tasks that ask for fields. schema: constrain answers in JSON to the card's shape. lang: the documents'
    language, which is then not compared with the task's. chunk_tokens, overlap_tokens: how long documents are cut. engine:
    who answers, if not the model in this process.

    Raises EtlchError for an unknown task, a model or adapter that is not there or does not fit, missing keys.
    """

    def __init__(
        self,
        task: str | Path | Card = "entities",
        model: str | None = None,
        adapter: str | Path | None = None,
        *,
        system: str | Path | None = None,
        config: str | Path | None = None,
        keys: Sequence[str] = (),
        schema: bool = False,
        lang: str = "",
        chunk_tokens: int = 1000,
        overlap_tokens: int = 100,
        engine: Engine | None = None,
    ) -> None:
        if chunk_tokens < 1 or not 0 <= overlap_tokens < chunk_tokens:
            raise EtlchError(
                f"chunks of {chunk_tokens} tokens, {overlap_tokens} of them overlap (expected less overlap)"
            )
        self.card = task if isinstance(task, Card) else find_card(task)
        self.keys, self.schema, self.lang = checked_keys(self.card, keys), schema, lang
        self.chunk_tokens, self.overlap_tokens = chunk_tokens, overlap_tokens
        self.loaded = Loaded(models.config_of(model, adapter, system, config, self.card))
        if engine is not None:
            self.engine = engine

    def extract(self, text: str) -> Extraction:
        """Extract from one text. Raises EtlchError when it is empty or in another language."""
        found = next(self.extract_many([text]))
        if found.status == "failed":
            raise EtlchError(found.problems[0])
        return found

    def extract_many(self, texts: Iterable[str | Document]) -> Iterator[Extraction]:
        """Extract from many texts, in their order; a text that cannot be asked about comes as `failed`. Memory does not
        grow with their number."""
        opened: deque[_Open] = deque()
        window: list[tuple[_Open, int]] = []
        for number, text in enumerate(texts, start=1):
            document = Document(f"text-{number}", text) if isinstance(text, str) else text
            opened.append(self._open(document))
            for piece in range(len(opened[-1].pieces)):
                window.append((opened[-1], piece))
                if len(window) == WINDOW:
                    self._answer(window)
                    window.clear()
            while opened and len(opened[0].parts) == len(opened[0].pieces):
                yield self._closed(opened.popleft())
        self._answer(window)
        yield from map(self._closed, opened)

    @cached_property
    def engine(self) -> Engine:
        """The model in this process; loading it is put off until something is asked."""
        from etlch.infer.local import LocalEngine

        with contextlib.redirect_stdout(sys.stderr):  # standard output is for results; LlamaFactory logs there
            self.loaded.model  # noqa: B018 - loads
        return LocalEngine(self.loaded)

    @cached_property
    def _room(self) -> int:
        """Tokens of text that a prompt may have, so that the prompt and the longest answer fit in the model's context."""
        from transformers import AutoConfig

        with contextlib.redirect_stdout(sys.stderr):
            asked = len(self._prompt("").ids)
        config = AutoConfig.from_pretrained(self.loaded.config["model_name_or_path"]).get_text_config()
        context = getattr(config, "max_position_embeddings", None) or sys.maxsize
        room = context - asked - int(self.loaded.config["max_new_tokens"])
        if room < _LEAST_ROOM:
            raise EtlchError(
                f"max_new_tokens: {self.loaded.config['max_new_tokens']} leaves {room} tokens for the text beside an "
                f"instruction of {asked} (expected at least {_LEAST_ROOM} of the model's {context})"
            )
        return min(self.chunk_tokens, room)

    def _open(self, document: Document) -> _Open:
        problem = document.problem
        if not problem and not document.text.strip():
            problem = "an empty document"
        if not problem and not self.lang:
            problem = language.mismatch(document.text, self.card.language)
        if problem:
            return _Open(replace(document, problem=problem), [])
        room = self._room
        return _Open(document, chunks.cut(document.text, self._count, room, min(self.overlap_tokens, room // 2)))

    def _count(self, texts: list[str]) -> list[int]:
        read = self.loaded.tokenizer
        return [len(ids) for ids in read(texts, add_special_tokens=False)["input_ids"]] if texts else []

    def _answer(self, window: list[tuple[_Open, int]]) -> None:
        """Ask about pieces, longest first as the engine likes, and keep what can be read of the answers."""
        todo = [(number, self._prompt(opened.text(piece))) for number, (opened, piece) in enumerate(window)]
        for made in self.engine.answers(todo) if todo else ():
            opened, piece = window[made.row]
            opened.parts[piece] = self._part(made, opened, piece)

    def _part(self, made: Made, opened: _Open, piece: int) -> Extraction:
        """What the answer to one piece of a document says."""
        text, (start, end) = opened.text(piece), opened.pieces[piece]
        parsed = self._read(made, text)
        found, triples = values.placed(parsed, text, start)
        where = f"{start}-{end}: " if len(opened.pieces) > 1 else ""
        return Extraction(
            opened.document.id,
            self.card.name,
            text,
            status=parsed.status,
            problems=tuple(where + problem for problem in parsed.problems),
            values=tuple(found),
            triples=tuple(triples),
            tokens=made.tokens,
        )

    def _read(self, made: Made, text: str) -> Parsed:
        parsed = values.naming(self.card.parse(made.answer, self._record(text)))
        if made.ended:
            return parsed
        status = "repaired" if parsed.status == "ok" else parsed.status
        return replace(
            parsed, status=status, problems=(*parsed.problems, f"the answer was cut after {made.tokens} tokens")
        )

    def _record(self, text: str) -> Record:
        return Record(id="question", text=text, lang=self.lang or self.card.language, fields={k: [] for k in self.keys})

    def _prompt(self, text: str):
        from etlch.infer.shapes import shape_of

        record = self._record(text)
        prompt = self.loaded.prompt(self.card.prompt(record))
        return replace(prompt, shape=shape_of(self.card.format, self.card.keys(record))) if self.schema else prompt

    def _closed(self, opened: _Open) -> Extraction:
        document, part = opened.document, self.card.format.part
        about = {"id": document.id, "task": self.card.name, "text": document.text, "part": part, "keys": self.keys}
        about["lang"] = self.lang or self.card.language
        if document.problem:
            return Extraction(**about, status="failed", problems=(document.problem,))
        parts = [opened.parts[piece] for piece in sorted(opened.parts)]
        kinds = {part.status for part in parts}
        triples, ends = values.merged_triples(t for part in parts for t in part.triples)
        found = values.merged_values((v for part in parts for v in part.values), once=part == "fields")
        return Extraction(
            **about,
            status=kinds.pop() if len(kinds) == 1 else "repaired",  # of several pieces some could not be read
            problems=tuple(problem for part in parts for problem in part.problems),
            values=ends if part == "triples" else found,
            triples=triples,
            tokens=sum(part.tokens for part in parts),
        )


@dataclass(slots=True)
class _Open:
    """A document whose pieces are being asked about."""

    document: Document
    pieces: list[tuple[int, int]]
    parts: dict[int, Extraction] = field(default_factory=dict)

    def text(self, piece: int) -> str:
        start, end = self.pieces[piece]
        return self.document.text[start:end]


def find_card(task: str | Path, folder: Path = Path("tasks")) -> Card:
    """The card of this name in the folder, or at this path. Raises EtlchError when there is none."""
    path = Path(task)
    if path.suffix in (".yaml", ".yml"):
        card = load_card(path)
    elif (folder / f"{task}.yaml").is_file():
        card = load_card(folder / f"{task}.yaml")
    else:
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml"))) or "none"
        raise EtlchError(f"task {str(task)!r}: no such card in {folder}/ (expected one of: {known}; or a card's path)")
    if card.format.can.types == "one a turn":
        raise EtlchError(f"task {card.name!r}: its format asks in several turns (expected one question a text)")
    return card


def checked_keys(card: Card, keys: Sequence[str]) -> tuple[str, ...]:
    """The fields wanted, each once; none for a task that asks for none. Raises EtlchError."""
    keys = tuple(key.strip() for key in keys)
    found = ", ".join(keys) or "none"
    if card.format.part != "fields" and keys:
        raise EtlchError(f"keys: found {found} (expected none: task {card.name!r} asks for no fields)")
    if card.format.part == "fields" and (not keys or "" in keys or len(set(keys)) < len(keys)):
        raise EtlchError(f"keys: found {found} (expected the fields wanted, each once, for task {card.name!r})")
    return keys
