"""A copy of the project whose test set is validation: for trials of settings, which the test set must never choose.

    python benchmarks/validation.py FOLDER          then, in FOLDER: etlch train configs/..., etlch predict configs/..., etlch score

The test topics are left out. Of each theme and language one training topic, drawn by a fixed seed, takes their place; `etlch data`
builds and checks every set from the rest.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
from pathlib import Path

from etlch.knowledge.leakage import NGRAM, normalise
from etlch.knowledge.topics import Topic, load_topics

ROOT = Path(__file__).resolve().parents[1]
SEED = 20261125
LINKED = ("llamafactory_configs", "models", "etlch", "eval")


def validation_topics(topics: list[Topic]) -> set[str]:
    """One training topic a theme and language, by name of its file."""
    groups: dict[tuple[str, str], list[str]] = {}
    for topic in topics:
        if topic.split == "train":
            groups.setdefault((topic.lang, topic.theme), []).append(topic.slug)
    rng = random.Random(SEED)
    drawn = {key: rng.choice(sorted(slugs)) for key, slugs in sorted(groups.items())}
    return {
        slug for (lang, _), slug in drawn.items() if lang != "en" or hash_of(slug) % 2
    }  # half of the few English ones


def ngrams(topic: Topic) -> set[str]:
    """The 13-grams of characters of everything that a topic says."""
    texts = [normalise(wording.text) for sentence in topic.sentences for wording in sentence.wordings]
    return {text[i : i + NGRAM] for text in texts for i in range(len(text) - NGRAM + 1) if topic.lang != "en"}


def hash_of(text: str) -> int:
    """A number that is the same in every process."""
    return sum(text.encode())


def make(folder: Path, sizes: dict[str, int]) -> None:
    """Write the copy. Raises FileExistsError for a folder that is there."""
    folder.mkdir(parents=True)
    topics = load_topics(ROOT / "data/knowledge")
    chosen = validation_topics(topics)
    forbidden = set().union(*(ngrams(topic) for topic in topics if topic.slug in chosen))
    for topic in topics:
        path = ROOT / "data/knowledge" / f"{topic.slug}.yaml"
        if topic.split == "train" and (topic.slug in chosen or not ngrams(topic) & forbidden):
            text = path.read_text(encoding="utf-8")
            target = folder / "data/knowledge" / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(
                text.replace("split: train", "split: test", 1) if topic.slug in chosen else text, encoding="utf-8"
            )
    shutil.copytree(ROOT / "tasks", folder / "tasks")
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    (folder / "configs").symlink_to("llamafactory_configs")
    code = (
        f"from etlch.examples import dataset as d; {'; '.join(f'd.{key} = {value!r}' for key, value in sizes.items())}"
    )
    code += "; import pathlib; root = pathlib.Path('.'); d.write(d.build(root), root)"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    # fewer topics carry fewer paragraphs and articles
    make(parser.parse_args().folder, {"SHORT": {"zh-TW": ("", 300, 60), "en": ("_en", 100, 30)}, "TEST_RECORDS": 30})
