"""The service with a fake extractor, as a process of its own: `python fake_service.py SEEN [option=value ...] [system ...]`.

It prints its address and appends each text that reaches the extractor to the file SEEN. A text says what the extractor
does: `sleep 0.5 ...` takes that long, `fail`, `crash` and `load` raise; anything else answers at once with the mentions
of 臺灣 and 甲. The key comes from ETLCH_API_KEY.
"""

import re
import sys
import time
from pathlib import Path

from etlch import cli
from etlch.errors import EtlchError
from etlch.extract.extractor import checked_keys
from etlch.extract.values import Extraction, Relation, Value
from etlch.serve import app, start


class FakeExtractor:
    """Answers by rule, and writes down what it was asked."""

    def __init__(self, seen: Path, task: str, keys: tuple[str, ...]) -> None:
        self.seen, self.task, self.keys = seen, task, keys

    def extract_many(self, texts):
        for text in texts:
            with self.seen.open("a", encoding="utf-8") as file:
                print(len(texts), text, file=file)
            yield self.extract(text)

    def extract(self, text):
        if text.startswith("fail"):
            raise EtlchError("the text is not to the model's taste")
        if text.startswith("crash"):
            raise ZeroDivisionError
        if text.startswith("sleep"):
            time.sleep(float(text.split()[1]))
        found = [(m[0], m.span()) for m in re.finditer("臺灣大學|臺灣|甲", text)]
        found += [("臺灣", m.span()) for m in re.finditer("臺灣(?=大學)", text)]
        values = [Value("地方" if "臺灣" in item else (self.keys or ["標"])[0], item, span) for item, span in found]
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


def main() -> int:
    seen = Path(sys.argv[1])
    model = seen.with_name("model")
    model.mkdir()
    (model / "config.json").touch()  # what makes a folder a model's
    limits = dict(item.split("=") for item in sys.argv[2:] if "=" in item)
    app.UPLOAD_SECONDS = float(limits.pop("upload", app.UPLOAD_SECONDS))
    names = [item for item in sys.argv[2:] if "=" not in item] or ["fake"]
    systems = [part for name in names for part in ("--system", f"{name}={model}")]
    options = cli._parser().parse_args(
        ["serve", *systems, "--port", "0", *(f"--{name}={value}" for name, value in limits.items())]
    )

    def load(systems, cards, options):
        if "broken" in systems:
            raise EtlchError("models/broken: no weights there (expected model.safetensors)")
        if "late" in systems:
            time.sleep(1.5)
        return lambda system, task, keys: FakeExtractor(seen, task, checked_keys(cards[task], keys))

    try:
        start.run(options, load)
    except EtlchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
