"""Experiments (`experiments/*.yaml`): corpora x cards x train_on x scales x systems x draws; each cell is a LlamaFactory run.

    cards: [mentions]                     # tasks/*.yaml
    corpora: [bc5cdr, ncbi]               # corpora/*.yaml, drawn into runs/<experiment>/data; without: the sets of `etlch data`
    train_on:                             # named variants of the training set
      7best: {formats: [conv_term, multi_term]}
      few: {context: fixed, examples: 3}
    test_with: {plain: {}, few: {context: fixed, examples: 3}}
    scales: [100, 300]                    # samples a card and corpus; without: all that the limits allow
    draws: 3
    limits: {train: 10000, dev: 200, test: 300}
    systems:                              # configs in llamafactory_configs/; {scale} is filled in
      gemma: {train: gemma_{scale}.yaml, predict: gemma_predict.yaml, engine: transformers}
      gemma_untuned: {predict: gemma_predict.yaml, engine: transformers}
    choose: entity_f1                     # the checkpoint with the best of it on the validation split
    tables: ...                           # eval/tables.py
    figures: ...

A mistake is one error with file, line, what was found and what is allowed; unknown keys are mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from etlch import corpora as catalogue
from etlch import yamlfile
from etlch.corpora import Corpus
from etlch.errors import EtlchError, ManyErrors
from etlch.formats import Format
from etlch.runs import RAW
from etlch.tasks import Card, load_cards
from etlch.yamlfile import YamlFile

FOLDER, RUNS, CONFIGS = Path("experiments"), Path("runs"), Path("llamafactory_configs")
FACTORS = ("system", "train_on", "scale", "draw")
COLUMNS = (*FACTORS, "base_model", "task", "card", "corpus", "format", "context")
"""What rows and columns of a table may be made of."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to make a training or a test set. formats: of the card's (none: all). context: what stands before a question,
    `none` or `fixed`, the same `examples` records of the training split before all of them (etlch/examples/context.py)."""

    formats: tuple[str, ...] = ()
    context: Literal["none", "fixed"] = "none"
    examples: int = 0

    @property
    def before(self) -> str:
        """What a row says of its context: `none`, `fixed-3`."""
        return self.context if self.context == "none" else f"{self.context}-{self.examples}"


@dataclass(frozen=True, slots=True)
class System:
    """A model. train: its config (none: it is not trained); predict: the config of its answers; overrides: of that."""

    predict: str
    train: str = ""
    engine: Literal["llamafactory", "transformers"] = "llamafactory"
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """The most records of a corpus in each split."""

    train: int | None = None
    dev: int | None = 200
    test: int | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    """Published values beside a table: the table's id; for each of its key columns the factor that finds a row; the
    columns to print, in which {factor} is its value; where: the rows that have some; names: the paper's name of a
    factor's value."""

    table: str
    key: dict[str, str]
    columns: tuple[str, ...]
    where: dict[str, tuple[str, ...]] = field(default_factory=dict)
    names: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A group-by of the tidy table. rows: factors; columns: one factor whose values stand beside each other; values:
    metrics; where, without: the values of factors that count, or do not; over: the factor whose values are averaged."""

    title: str
    rows: tuple[str, ...]
    values: tuple[str, ...]
    columns: str = ""
    where: dict[str, tuple[str, ...]] = field(default_factory=dict)
    without: dict[str, tuple[str, ...]] = field(default_factory=dict)
    over: str = "draw"
    digits: int = 1
    percent: bool = True
    published: Beside | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class FigureSpec:
    """kind: dots (a point a row, its whisker the spread over draws), scatter (x against y) or confusion (of labels)."""

    name: str
    kind: Literal["dots", "scatter", "confusion"]
    x: str = "entity_f1"
    y: str = ""
    label: str = ""
    colour: str = "system"


@dataclass(frozen=True, slots=True)
class Experiment:
    """A file of `experiments/`, read and checked. runs: the folder below runs/ (default: the file's stem)."""

    title: str
    cards: tuple[str, ...]
    systems: dict[str, System]
    corpora: tuple[str, ...] = ()
    runs: str = ""
    paper: str = ""
    train_on: dict[str, Variant] = field(default_factory=dict)
    test_with: dict[str, Variant] = field(default_factory=dict)
    scales: tuple[int, ...] = ()
    draws: int = 1
    seed: int = 20260327
    limits: Limits = field(default_factory=Limits)
    choose: str = ""
    tables: tuple[TableSpec, ...] = ()
    figures: tuple[FigureSpec, ...] = ()

    @property
    def folder(self) -> Path:
        return RUNS / self.runs

    @property
    def variants(self) -> dict[str, Variant]:
        """The training sets by name; one without a name where the file has none."""
        return self.train_on or {"": Variant()}

    def data(self, draw: int) -> Path:
        """The folder of a draw's datasets."""
        return self.folder / "data" / f"draw{draw}"

    def load_cards(self) -> list[Card]:
        known = {card.name: card for card in load_cards()}
        return [known[name] for name in self.cards]

    def load_corpora(self) -> list[Corpus]:
        return catalogue.find(self.corpora) if self.corpora else []

    def cells(self) -> Iterator[Cell]:
        """Every cell, in the order of systems, variants, scales and draws. Raises EtlchError for two of one folder."""
        seen: dict[str, Cell] = {}
        for name, system in self.systems.items():
            scales = self.scales if system.train else ()
            for train_on in self.variants if system.train else [""]:
                for scale in scales or (0,):
                    for draw in range(1, self.draws + 1):
                        cell = Cell(self, name, train_on, scale, draw)
                        if cell.name in seen:
                            raise EtlchError(f"{self.runs}: two cells are named {cell.name!r} (expected one a folder)")
                        seen[cell.name] = cell
                        yield cell


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of an experiment: a training (but for systems without one) and its answers."""

    experiment: Experiment
    system: str
    train_on: str
    scale: int
    draw: int

    @property
    def name(self) -> str:
        """system_trainon_scale_draw, of which only what the experiment varies."""
        parts = [self.system, self.train_on, str(self.scale or ""), f"draw{self.draw}" * (self.experiment.draws > 1)]
        return "_".join(filter(None, parts))

    @property
    def how(self) -> System:
        return self.experiment.systems[self.system]

    @property
    def folder(self) -> Path:
        return self.experiment.folder / self.name

    @property
    def adapter(self) -> Path:
        return self.folder / "adapter"

    @property
    def answers(self) -> Path:
        return self.folder / RAW

    @property
    def factors(self) -> dict[str, str | int]:
        """What its runs say of it in run.json."""
        if not self.experiment.corpora:
            return {}
        return {"train_on": self.train_on, "scale": self.scale, "draw": self.draw}

    @property
    def train(self) -> Path | None:
        """The config of its training."""
        return CONFIGS / self.how.train.replace("{scale}", str(self.scale)) if self.how.train else None

    @property
    def predict(self) -> Path:
        return CONFIGS / self.how.predict

    def formats(self, card: Card) -> list[Format]:
        """The formats that it is trained on and asked in."""
        names = self.experiment.variants[self.train_on].formats if self.how.train else ()
        return [form for form in card.formats if not names or form.name in names]

    def selector(self) -> list[str]:
        """The arguments of `etlch run` that choose it."""
        values = {"system": self.system, "train_on": self.train_on, "scale": self.scale, "draw": self.draw}
        varied = {"draw": self.experiment.draws > 1, "scale": self.scale, "train_on": self.train_on, "system": True}
        return [f"--only {key}={values[key]}" for key in FACTORS if varied[key]]


def load_experiment(path: str | Path) -> Experiment:
    """Read and check one file. Raises ManyErrors with every problem, each naming file, line and key."""
    path = Path(path)
    file = yamlfile.read(path, "the keys title, cards, systems and others (etlch/experiments.py)")
    file.data.setdefault("runs", path.stem)
    experiment = yamlfile.build(Experiment, file)
    if problems := list(_problems(experiment, file)):
        raise ManyErrors(problems)
    return experiment


def _problems(found: Experiment, file: YamlFile) -> Iterator[str]:
    """Names of what is not there, numbers that make no cell, and variants that mean nothing."""
    cards = {card.name: card for card in load_cards()}
    yield from _unknown(file, ("cards",), found.cards, cards)
    yield from _unknown(file, ("corpora",), found.corpora, [corpus.key for corpus in catalogue.load_corpora()])
    if not found.cards or not found.systems:
        yield f"{file.where('cards' if not found.cards else 'systems')}: no cells (expected a card and a system at least)"
    for key, value in (("scales", found.scales), ("draws", [found.draws])):
        if any(number < 1 for number in value) or list(value) != sorted(set(value)):
            yield f"{file.where(key)}: {key}: found {value!r} (expected whole numbers above 0, rising)"
    formats = [form.name for name in found.cards if name in cards for form in cards[name].formats]
    for key, variants in (("train_on", found.train_on), ("test_with", found.test_with)):
        for name, variant in variants.items():
            yield from _unknown(file, (key, name, "formats"), variant.formats, formats)
            if (variant.context == "none") != (variant.examples < 1):
                expected = "0 without a context" if variant.context == "none" else "1 or more"
                yield f"{file.where(key, name)}: examples: found {variant.examples} (expected {expected})"
    yield from _problems_of_sets(found, file, cards)
    for name, system in found.systems.items():
        for key in ("train", "predict"):
            yield from _missing_configs(file, ("systems", name, key), getattr(system, key), found.scales)
    for number, table in enumerate(found.tables):
        for key in ("rows", "columns", "over"):
            named = getattr(table, key)
            yield from _unknown(file, ("tables", number, key), [named] if isinstance(named, str) else named, COLUMNS)
        for key in ("where", "without"):
            yield from _unknown(file, ("tables", number, key), getattr(table, key), COLUMNS)


def _problems_of_sets(found: Experiment, file: YamlFile, cards: dict[str, Card]) -> Iterator[str]:
    """What an experiment on the sets of `etlch data` cannot have, and sets that were not built."""
    if found.corpora:
        return
    for key in ("train_on", "test_with", "choose"):
        if getattr(found, key):
            yield f"{file.where(key)}: {key}: without corpora (expected `corpora`, whose records are drawn)"
    if found.draws > 1:
        yield f"{file.where('draws')}: draws: found {found.draws} without corpora (expected 1)"
    for name in found.cards:
        card = cards.get(name)
        if card and card.test is None:
            yield f"{file.where('cards')}: cards: {name!r} has no sets of its own (expected `corpora`)"
        elif card and (lacking := [str(scale) for scale in found.scales if scale not in card.scales]):
            expected = ", ".join(map(str, card.scales))
            yield f"{file.where('scales')}: scales: found {', '.join(lacking)} (expected of {name}'s: {expected})"


def _unknown(file: YamlFile, keys: tuple[str | int, ...], names: Sequence[str], known: Sequence[str]) -> Iterator[str]:
    for name in names:
        if name and name not in known:
            yield f"{file.where(*keys)}: {keys[-1]}: found {name!r} (expected one of {', '.join(dict.fromkeys(known))})"


def _missing_configs(file: YamlFile, keys: tuple[str, ...], name: str, scales: Sequence[int]) -> Iterator[str]:
    for made in dict.fromkeys(name.replace("{scale}", str(scale)) for scale in scales or (0,)) if name else ():
        if not (CONFIGS / made).is_file():
            yield f"{file.where(*keys)}: {keys[-1]}: {CONFIGS / made} is not there (expected a config)"
