"""What a cut vocabulary costs: loss on texts before and after, by token and by character.

    python benchmarks/bench_vocabulary.py gemma3-270m [--texts 20]

Prints a table for the first Chinese articles of data/etlch/train.jsonl and the first English paragraphs of
data/short/train_en.jsonl; no test set is read. Tokens are predicted from those before them (`<bos>` among them), in float32.
Loss a token is not comparable between vocabularies, for tokens are of different lengths; loss a character is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import islice
from pathlib import Path

from etlch.records import read_records
from etlch.weights import gguf_file, make, recipe, sources, tokenizer
from eval.tables import to_text

TEXTS = {"Chinese": "data/etlch/train.jsonl", "English": "data/short/train_en.jsonl"}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "model", nargs="?", default="gemma3-270m", help="a folder of models/ whose recipe cuts the vocabulary"
    )
    parser.add_argument("--texts", type=int, default=20, help="of each language (20)")
    arguments = parser.parse_args(argv)
    found = recipe.find(arguments.model)
    texts = {
        name: [record.text for record in islice(read_records(path), arguments.texts)] for name, path in TEXTS.items()
    }
    rows = []
    for which, (network, made) in (("whole", _whole(found)), ("cut", _cut(found))):
        for language, given in texts.items():
            loss, tokens = _loss(network, made, given)
            characters = sum(map(len, given))
            rows.append(
                [language, which, f"{len(made):,}", f"{tokens:,}", f"{loss / tokens:.3f}", f"{loss / characters:.3f}"]
            )
        del network
    print(to_text(["texts", "vocabulary", "tokens in it", "tokens", "loss a token", "loss a character"], sorted(rows)))
    return 0


def _whole(found: recipe.Recipe):
    with tempfile.TemporaryDirectory() as scratch:
        path = sources.fetch(found, Path(scratch) / "joined.gguf")
        vocabulary = tokenizer.read(gguf_file.read_metadata(path), path)
        tensors = Path(scratch) / "tensors.gguf"
        gguf_file.copy_without_tokenizer(path, tensors)
        return make.load(tensors, len(vocabulary.tokens)).float(), tokenizer.build(vocabulary)


def _cut(found: recipe.Recipe):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = make.make(found)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)


def _loss(network, made, texts: list[str]) -> tuple[float, int]:
    """Summed negative log-likelihood in nats, and the number of tokens predicted."""
    import torch
    from torch.nn.functional import cross_entropy

    loss, tokens = 0.0, 0
    for text in texts:
        ids = torch.tensor([made.encode(text)])
        with torch.inference_mode():
            logits = network(ids).logits[0, :-1]
        loss += float(cross_entropy(logits, ids[0, 1:], reduction="sum"))
        tokens += ids.shape[1] - 1
    return loss, tokens


if __name__ == "__main__":
    sys.exit(main())
