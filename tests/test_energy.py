"""Energy and carbon: the formula against the published table, and nothing measured without codecarbon."""

import pytest

from etlch.trainer import energy

# Table 9 of the paper
TABLE_9 = [
    ("02:23:46", 4.57, 234.47),
    ("02:11:45", 4.19, 214.8),
    ("01:34:26", 3.01, 154.13),
    ("02:07:55", 4.06, 208.24),
    ("02:36:45", 4.99, 255.79),
    ("02:51:37", 5.47, 280.38),
    ("03:02:57", 5.82, 298.42),
]


@pytest.mark.parametrize(("clock", "kwh", "grams"), TABLE_9)
def test_the_formula_gives_table_9(clock, kwh, grams):
    hours, minutes, seconds = map(int, clock.split(":"))
    time = 3600 * hours + 60 * minutes + seconds
    assert energy.PAPER.kwh(time) == pytest.approx(kwh, rel=0.005)
    assert energy.PAPER.grams(time) == pytest.approx(grams, rel=0.005)


def test_without_codecarbon_nothing_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("etlch.trainer.energy.find_spec", lambda name: None)
    with energy.measured(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_machine_is_the_users(tmp_path, monkeypatch):
    """Two GPUs at their power limits, without a building; a machine that does not tell them has no energy."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 700.00\necho 500.00\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    machine = energy.this_machine(gpu=True)
    assert (machine.processors, machine.watts, machine.pue) == (2, 600.0, 1.0)
    program.write_text("#!/bin/sh\necho '[N/A]'\n")
    assert energy.this_machine(gpu=True) is None
    assert energy.this_machine().processors >= 1
