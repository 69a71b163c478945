"""A copy of the project whose test set is validation: for trials of settings, which the test set must never choose.

    python benchmarks/validation.py FOLDER          then, in FOLDER: etlch train configs/..., etlch predict configs/..., etlch score

The test topics are left out and the validation topics take their place; `etlch data` builds and checks every set from these.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINKED = ("llamafactory_configs", "models", "etlch", "eval")
# fewer topics carry fewer paragraphs and articles
SIZES = """
for lang, counts in d.ARTICLES.values(): counts["test"] = counts.pop("validation")
d.SHORT = {"zh-TW": ("", 300, 60), "en": ("_en", 100, 30)}
"""


def make(folder: Path) -> None:
    """Write the copy. Raises FileExistsError for a folder that is there."""
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "data" / "knowledge", folder / "data" / "knowledge")
    for path in (folder / "data" / "knowledge").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        if "\nsplit: test\n" in text:
            path.unlink()
        else:
            path.write_text(text.replace("\nsplit: validation\n", "\nsplit: test\n", 1), encoding="utf-8")
    shutil.copytree(ROOT / "tasks", folder / "tasks")
    for path in (folder / "tasks").glob("*.yaml"):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith("validation:")), encoding="utf-8")
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    (folder / "configs").symlink_to("llamafactory_configs")
    code = f"from pathlib import Path; from etlch.examples import dataset as d; {SIZES}d.write(d.build(Path()), Path())"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    make(parser.parse_args().folder)
