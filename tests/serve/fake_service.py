"""The service with a fake extractor, as a process of its own: `python fake_service.py SEEN [limit=value ...] [system ...]`.

It prints its address and appends each text that reaches the extractor to the file SEEN. A text says what the extractor
does: `sleep 0.5 ...` takes that long, `fail`, `crash` and `load` raise; anything else answers at once with the mentions
of 臺灣 and 甲. The key comes from ETLCH_API_KEY.
"""

import re
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

from etlch.errors import EtlchError
from etlch.extract.values import Extraction, Relation, Value
from etlch.serve import start
from etlch.serve.systems import Limits


class FakeExtractor:
    """Answers by rule, and writes down what it was asked."""

    def __init__(self, seen: Path, task: str) -> None:
        self.seen, self.task = seen, task

    def extract_many(self, texts, keys=None):
        texts = list(texts)
        for text in texts:
            with self.seen.open("a", encoding="utf-8") as file:
                print(len(texts), text, file=file)
            yield self.extract(text, keys)

    def extract(self, text, keys):
        if text.startswith("fail"):
            raise EtlchError("the text is not to the model's taste")
        if text.startswith("crash"):
            raise ZeroDivisionError
        if text.startswith("sleep"):
            time.sleep(float(text.split()[1]))
        found = [(m[0], m.span()) for m in re.finditer("臺灣大學|臺灣|甲", text)]
        found += [("臺灣", m.span()) for m in re.finditer("臺灣(?=大學)", text)]
        values = [Value("地方" if "臺灣" in item else (keys or ["標"])[0], item, span) for item, span in found]
        values.append(Value("人物", "<b>沒有</b>"))
        about = {"id": "text-1", "task": self.task, "text": text, "problems": ("one value is not in the text",)}
        if text.startswith("foreign"):
            return Extraction(**about | {"status": "failed", "problems": ("another language",)})
        triples = (
            [("甲", "認識", "乙"), ("乙", "住在", "<i>臺灣</i>"), ("甲", "住在", "臺灣")] if self.task == "kge" else []
        )
        return Extraction(
            **about,
            status="repaired",
            values=tuple(values),
            triples=tuple(Relation(Value("", head), relation, Value("", tail)) for head, relation, tail in triples),
            part="triples" if triples else "entities",
        )


def limits_of(arguments: list[str]) -> Limits:
    kinds = {field.name: type(field.default) for field in fields(Limits)}
    given = dict(argument.split("=") for argument in arguments)
    return replace(Limits(), **{name: kinds[name](value) for name, value in given.items()})


def main() -> int:
    seen = Path(sys.argv[1])

    def factory(system, task):
        if system.name == "broken":
            raise EtlchError("models/broken: no weights there (expected model.safetensors)")
        if system.name == "late":
            time.sleep(1.5)
        return FakeExtractor(seen, task)

    names = [a for a in sys.argv[2:] if "=" not in a] or ["fake"]
    limits = limits_of([a for a in sys.argv[2:] if "=" in a])
    model = seen.with_name("model")
    model.mkdir()
    (model / "config.json").touch()  # what makes a folder a model's
    try:
        start.start(
            factory, [f"{name}={model}" for name in names], [], ("127.0.0.1", 0), limits, start.key_of("ETLCH_API_KEY")
        )
    except EtlchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
