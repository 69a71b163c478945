"""`etlch push-data`: the built data as Hugging Face data sets, one config a task, with a card; to the Hub or a folder.

Splits are `train` (the largest scale; a smaller one is its beginning, so `train[:300]`), `validation` where there is one, and `test`. The config
`records` holds the gold with offsets, under the same ids.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from etlch.errors import EtlchError
from etlch.examples.dataset import DATA_CARD
from etlch.records import Record, read_records, write_text
from etlch.tasks import Card, load_cards

if TYPE_CHECKING:
    from datasets import DatasetDict

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
LICENCE = "cc-by-4.0"
RECORDS = "records"
_CATEGORIES = {"entities": "token-classification", "triples": "text-generation", "fields": "text-generation"}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))


def family_cards(root: Path, family: str) -> list[Card]:
    """The task cards of a family. Raises EtlchError naming the families when it has none."""
    cards = load_cards(root / "tasks", built=True)
    chosen = [card for card in cards if card.family == family]
    if not chosen:
        known = ", ".join(sorted({card.family for card in cards}))
        raise EtlchError(f"--family: found {family!r} (expected one of {known})")
    return chosen


def build(root: Path, cards: list[Card]) -> dict[str, DatasetDict]:
    """A DatasetDict a config: one a task, and `records`. Raises EtlchError where `make data` has not been run."""
    rows = {card.name: _task_rows(root, card) for card in cards}
    rows[RECORDS] = _record_rows(root, cards)
    from datasets import Dataset, DatasetDict  # its import takes seconds: after what can fail

    return {
        config: DatasetDict({split: Dataset.from_list(items) for split, items in splits.items()})
        for config, splits in rows.items()
    }


def _task_rows(root: Path, card: Card) -> dict[str, list[dict[str, Any]]]:
    parts = {"train": card.scales[-1]} if card.scales else {}
    parts |= {split: split for split in ("validation", "test") if getattr(card, split)}
    return {split: _json(root / "data" / card.family / f"{card.stem}_{part}.json") for split, part in parts.items()}


def _json(path: Path) -> list[dict[str, Any]]:
    try:
        rows = json.loads(path.read_bytes())
    except OSError as error:
        raise EtlchError(f"{path}: cannot be read ({error.strerror or error}); `make data` builds it") from None
    except ValueError as error:
        raise EtlchError(f"{path}: not JSON ({error}); `make data` builds it again") from None
    if not isinstance(rows, list) or not rows:
        raise EtlchError(f"{path}: no rows (expected a list of examples); `make data` builds it again")
    return rows


def _record_rows(root: Path, cards: list[Card]) -> dict[str, list[dict[str, Any]]]:
    splits: dict[str, dict[str, dict[str, Any]]] = {"train": {}, "validation": {}, "test": {}}
    for card in cards:
        for split, path in (("train", card.train), ("validation", card.validation), ("test", card.test)):
            if path and (split != "train" or card.scales):
                splits[split] |= {record.id: _record_row(record) for record in read_records(root / path)}
    return {split: list(rows.values()) for split, rows in splits.items() if rows}


def _record_row(record: Record) -> dict[str, Any]:
    """A Record with the same keys in every row; `fields` is a list of key and values, since its keys differ by row."""
    names = ("head", "head_type", "relation", "tail", "tail_type")
    return {
        "id": record.id,
        "lang": record.lang,
        "theme": record.theme,
        "source": record.source,
        "text": record.text,
        "entities": [
            {"text": e.text, "type": e.type, "spans": [list(span) for span in e.spans]} for e in record.entities
        ],
        "triples": [{name: getattr(triple, name) for name in names} for triple in record.triples],
        "fields": [{"key": key, "values": values} for key, values in record.fields.items()],
    }


def card_text(root: Path, family: str, cards: list[Card], sets: dict[str, DatasetDict]) -> str:
    """The data set card: YAML front matter for the Hub, how to load it, then data/README.md."""
    path = root / DATA_CARD
    try:
        body = path.read_text(encoding="utf-8")
    except OSError as error:
        raise EtlchError(f"{path}: cannot be read ({error.strerror or error}); `make data` builds it") from None
    front = yaml.safe_dump(_front_matter(family, cards, sets), allow_unicode=True, sort_keys=False)
    return f"---\n{front}---\n\n{_usage(family, cards, sets)}\n{body}"


def _front_matter(family: str, cards: list[Card], sets: dict[str, DatasetDict]) -> dict[str, Any]:
    languages = list(dict.fromkeys(card.language for card in cards))
    most = max(len(split) for splits in sets.values() for split in splits.values())
    return {
        "pretty_name": f"{family.upper()} information extraction",
        "license": LICENCE,
        "language": sorted({language.split("-")[0] for language in languages}),
        "language_bcp47": languages,
        "task_categories": sorted({_CATEGORIES[card.format.part] for card in cards}),
        "tags": ["information-extraction", "llama-factory", family],
        "size_categories": [next((name for limit, name in _SIZES if most < limit), "100K<n<1M")],
        "configs": [
            {
                "config_name": config,
                "data_files": [{"split": split, "path": f"{config}/{split}.parquet"} for split in splits],
                **({"default": True} if number == 0 else {}),
            }
            for number, (config, splits) in enumerate(sets.items())
        ],
    }


def _usage(family: str, cards: list[Card], sets: dict[str, DatasetDict]) -> str:
    first = cards[0].name
    lines = [f"# {family.upper()} information extraction", "", "| config | what | rows |", "|---|---|---|"]
    titles = {card.name: f"{card.title}, LlamaFactory alpaca rows (format {card.format.name})" for card in cards}
    for config, splits in sets.items():
        counts = ", ".join(f"{split} {len(rows):,}" for split, rows in splits.items())
        lines.append(
            f"| `{config}` | {titles.get(config, 'the gold records, with offsets, under the same ids')} | {counts} |"
        )
    scales = sorted({scale for card in cards for scale in card.scales})
    lines += ["", "```python", "from datasets import load_dataset", "", f'load_dataset(NAME, "{first}")']
    if len(scales) > 1:
        lines.append(
            f'load_dataset(NAME, "{first}", split="train[:{scales[0]}]")  # the scales: {", ".join(map(str, scales))}'
        )
    closing = (
        "What follows is the data card of the repository that built it (`data/README.md`); its paths are those there."
    )
    return "\n".join([*lines, "```", "", closing, ""])


def check_target(target: str, to_folder: bool) -> None:
    """Fail before the work: raises EtlchError for a folder that is not empty, no repository's name, or no token."""
    if to_folder:
        folder = Path(target)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise EtlchError(f"{folder}: is there already (expected a new or empty folder)")
        return
    from huggingface_hub import get_token

    if not REPOSITORY.fullmatch(target):
        raise EtlchError(f"found {target!r} (expected owner/name on the Hub; --to-folder saves to a folder)")
    if not get_token():
        raise EtlchError("not logged in to the Hub (expected `hf auth login` or HF_TOKEN; --to-folder works without)")


def save(sets: dict[str, DatasetDict], card: str, folder: Path) -> None:
    """Write `<config>/<split>.parquet` and README.md into a new or empty folder, whole or not at all."""
    from datasets import disable_progress_bars

    check_target(str(folder), to_folder=True)
    disable_progress_bars()  # each split takes a fraction of a second
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for config, splits in sets.items():
            (temporary / config).mkdir()
            for split, rows in splits.items():
                rows.to_parquet(temporary / config / f"{split}.parquet")
        write_text(temporary / "README.md", card)
        temporary.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        temporary.replace(folder)
    except OSError as error:
        raise EtlchError(f"{folder}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def push(sets: dict[str, DatasetDict], card: str, repository: str, private: bool) -> str:
    """Upload everything in one commit; returns the address. Raises EtlchError when the Hub refuses or is not reached."""
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "data"
        save(sets, card, folder)
        api = HfApi()
        try:
            address = api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repository, folder_path=folder, repo_type="dataset", commit_message="etlch push-data"
            )
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else "no status"
            reason = (error.server_message or str(error)).splitlines()[0]
            raise EtlchError(
                f"{repository}: the Hub refused ({status}: {reason}); is the token allowed to write there?"
            ) from None
        except (httpx.HTTPError, OSError) as error:
            raise EtlchError(
                f"{repository}: the Hub cannot be reached ({error}); --to-folder works without a network"
            ) from None
    return str(address)
