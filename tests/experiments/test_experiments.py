"""Experiment files: those of the repository, the order of cells, and every mistake as one line with its place."""

import pytest

from etlch import cli
from etlch.errors import EtlchError
from etlch.experiments import FOLDER, load_experiment

GOOD = """\
title: t
cards: [mentions]
corpora: [bc5cdr]
systems:
  gemma: {train: mf_ner_gemma.yaml, predict: mf_ner_predict.yaml}
"""


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("etlch", 8),
        ("etlch_small", 5),
        ("short", 4),
        ("short_en", 3),
        ("smollm_en", 3),
        ("mf_ner", 2 * 7 * 3),
        ("mf_ner_small", 5),
    ],
)
def test_the_experiments_of_the_repository(root, monkeypatch, name, cells):
    monkeypatch.chdir(root)
    found = list(load_experiment(FOLDER / f"{name}.yaml").cells())
    assert len(found) == cells == len({cell.folder for cell in found})


def test_a_cell_writes_where_its_config_does(root, monkeypatch):
    """`make train-300` and `etlch run` share a folder, so neither does the other's work again."""
    from etlch.trainer import configs

    monkeypatch.chdir(root)
    for name in ("etlch", "etlch_small", "short", "short_en", "smollm_en"):
        for cell in load_experiment(FOLDER / f"{name}.yaml").cells():
            if cell.train:
                config = configs.read(cell.train)
                assert config["output_dir"] == cell.adapter.as_posix()
                assert config["dataset"] == ",".join(c.dataset(cell.scale) for c in cell.experiment.load_cards())
            else:
                assert configs.read(cell.predict)["output_dir"] == cell.answers.as_posix()


def test_a_cell_is_answered_as_make_predict_does(root, monkeypatch):
    """One config, so that neither finds the other's answers to be those of another run."""
    from etlch import runner
    from etlch.trainer import configs

    monkeypatch.chdir(root)
    jobs = []
    monkeypatch.setattr("etlch.infer.predict.read_job", lambda path, given: jobs.append(configs.read(path, given)))
    monkeypatch.setattr(runner, "replace", lambda job, **_: job)
    monkeypatch.setattr(runner.engines, "answer", lambda job, options: [])
    for name in ("etlch", "etlch_small", "short", "short_en", "smollm_en"):
        for cell in load_experiment(FOLDER / f"{name}.yaml").cells():
            runner.answer(cell)
            adapter = [f"adapter_name_or_path={cell.adapter.as_posix()}"] if cell.train else []
            assert jobs.pop() == configs.read(cell.predict, [*adapter, f"output_dir={cell.answers.as_posix()}"])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("cards: [mentions]", "cards: [mention]"), "x.yaml:2: cards: found 'mention' (expected one of "),
        (("[bc5cdr]", "[bc5]"), "x.yaml:3: corpora: found 'bc5' (expected one of "),
        (("mf_ner_gemma", "mf_gemma"), "x.yaml:5: train: llamafactory_configs/mf_gemma.yaml is not there"),
        (("title: t", "titel: t"), "x.yaml:1: unknown key 'titel'"),
        (("systems:", "draws: 0\nsystems:"), "x.yaml:4: draws: found [0] (expected whole numbers above 0"),
        (("systems:", "draws: two\nsystems:"), "x.yaml:4: draws: found 'two'"),
        (("systems:", "scales: [300, 100]\nsystems:"), "x.yaml:4: scales: found (300, 100) (expected whole numbers"),
        (("systems:", "train_on: {a: {formats: [multi_tern]}}\nsystems:"), "formats: found 'multi_tern' (expected one"),
        (("systems:", "test_with: {a: {context: fixed}}\nsystems:"), "examples: found 0 (expected 1 or more)"),
        (("systems:", "test_with: {a: {context: nearest}}\nsystems:"), "context: found 'nearest'"),
        (
            ("systems:", "tables: [{title: t, rows: [mix], values: [entity_f1]}]\nsystems:"),
            "rows: found 'mix' (expected one of system",
        ),
        (("corpora: [bc5cdr]\n", ""), "x.yaml:2: cards: 'mentions' has no sets of its own (expected `corpora`)"),
        (("corpora: [bc5cdr]\n", "draws: 2\n"), "draws: found 2 without corpora (expected 1)"),
        (
            ("[mentions]\ncorpora: [bc5cdr]", "[ner]\nscales: [100, 200]"),
            "scales: found 200 (expected of ner's: 100, 300, 500, 1000)",
        ),
        (("cards: [mentions]", "cards: []"), "no cells (expected a card and a system at least)"),
    ],
)
def test_a_mistake_is_one_line(project, capsys, change, expected):
    path = project / "x.yaml"
    path.write_text(GOOD.replace(*change))
    assert cli.main(["run", str(path), "--dry-run"]) == 2
    assert expected in capsys.readouterr().err


def test_two_cells_of_one_folder_are_refused(project):
    path = project / "x.yaml"
    system = "{train: mf_ner_gemma.yaml, predict: mf_ner_predict.yaml}"
    path.write_text(GOOD.replace("gemma: {", f"gemma_a: {system}\n  gemma: {{") + "train_on: {a_b: {}, b: {}}\n")
    with pytest.raises(EtlchError, match="two cells are named 'gemma_a_b'"):
        list(load_experiment(path).cells())


def test_cells_are_chosen_and_listed(experiment, capsys):
    experiment()
    assert cli.main(["run", "experiments/tiny.yaml", "--list", "--only", "draw=2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "etlch run experiments/tiny.yaml --only system=gemma --only train_on=7best --only draw=2",
        "etlch run experiments/tiny.yaml --only system=gemma --only train_on=multi_span --only draw=2",
    ]
    assert cli.main(["run", "experiments/tiny.yaml", "--dry-run"]) == 0
    assert "1/4  gemma_7best_draw1: to do  (llamafactory_configs/mf_ner_gemma.yaml -> " in capsys.readouterr().out
    for wrong in ("mix=7best", "draw=3", "draw"):
        assert cli.main(["run", "experiments/tiny.yaml", "--only", wrong]) == 2
        assert f"--only {wrong}: found" in capsys.readouterr().err


def test_corpora_that_are_not_there_are_told(experiment, capsys):
    experiment()
    assert cli.main(["run", "experiments/tiny.yaml"]) == 2
    assert "runs/corpora/bc5cdr" in capsys.readouterr().err
