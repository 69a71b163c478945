"""The report's figures as files, drawn again only when what they show has changed: drawing is the slowest part of a report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from etlch.checksums import of_file
from etlch.records import dump_json, write_text
from etlch.tasks import Card

INK, GRID, PAPER = "#222222", "#cfcfcf", "#ffffff"
"""Colours that the report exchanges for the page's own; nothing else in a figure uses them."""
LIST = "figures.json"


@dataclass(frozen=True, slots=True)
class Drawn:
    """One figure: its file stem, heading, caption, and the SVG's path; `missing` says why there is none."""

    name: str
    heading: str
    caption: str
    svg: Path | None = None
    missing: str = ""


def draw(
    tidy: pd.DataFrame, scores: pd.DataFrame, wins: pd.DataFrame, out_dir: Path, cards: Sequence[Card] | None = None
) -> tuple[list[Drawn], str]:
    """`eval.figures.write_figures`, or what it wrote into `out_dir` before, when from the same numbers by the same code.

    What lacked characters is drawn again, since a font may have come.
    """
    key = _made_from(scores, wins, cards)
    if kept := _kept(out_dir, key):
        return kept, ""
    (out_dir / LIST).unlink(missing_ok=True)
    from eval.figures import write_figures  # matplotlib takes most of a second to import

    figures, unseen = write_figures(tidy, out_dir, cards, scores=scores, wins=wins)
    if not unseen:
        rows = [[f.name, f.heading, f.caption, f.svg and f.svg.name, f.missing] for f in figures]
        write_text(out_dir / LIST, dump_json({"made_from": key, "figures": rows}, indent=1) + "\n")
    return figures, unseen


def _made_from(scores: pd.DataFrame, wins: pd.DataFrame, cards: Sequence[Card] | None) -> str:
    here = Path(__file__).resolve().parent
    parts = [frame.to_csv(index=False) for frame in (scores, wins)]
    parts += [f"{card.name}: {card.title}" for card in cards or ()]
    parts += [version("matplotlib"), *(of_file(here / name) for name in ("drawn.py", "figures.py", "names.py"))]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _kept(out_dir: Path, key: str) -> list[Drawn]:
    """The figures that stand in a folder, where all do and were made from what `key` stands for; else none."""
    try:
        row = json.loads((out_dir / LIST).read_bytes())
    except (OSError, ValueError):
        return []
    if not isinstance(row, dict) or row.get("made_from") != key:
        return []
    figures = [
        Drawn(name, heading, caption, out_dir / svg if svg else None, missing)
        for name, heading, caption, svg, missing in row["figures"]
    ]
    whole = all(f.svg is None or (f.svg.is_file() and f.svg.with_suffix(".png").is_file()) for f in figures)
    return figures if whole else []
