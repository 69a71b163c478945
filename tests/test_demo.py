"""`make demo`: a line a step, everything else in the log, a failure told by the log's end."""

import sys

import pytest

from etlch import demo
from etlch.errors import EtlchError
from etlch.trainer.configs import read


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("quick", [True, False])
def test_the_steps_name_what_is_there(quick, root, monkeypatch):
    monkeypatch.chdir(root)
    for step in demo.steps(quick):
        for config in (item for item in step.command if item.endswith(".yaml")):
            overrides = [item for item in step.command[step.command.index(config) + 1 :] if "=" in item]
            assert read(config, overrides)["output_dir"].startswith("runs/demo/")
    trained = [step for step in demo.steps(quick) if "train" in step.command]
    assert len(trained) == (0 if quick else 2)
    assert sum(step.seconds for step in demo.steps(quick)) <= (120 if quick else 900)


def test_a_line_a_step_and_the_rest_in_the_log(folder, monkeypatch, capsys):
    said = "import sys; print('much'); sys.stderr.write('3/4 [')"
    (folder / "noisy.py").write_text(said)
    monkeypatch.setattr(demo, "steps", lambda quick: [demo.Step("be noisy", ("noisy",), 1)] * 2)
    demo.run(quick=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:14] for line in lines[:2]] == ["[1/2] be noisy", "[2/2] be noisy"] and len(lines) == 3
    assert (folder / demo.LOG).read_text().count("much") == 2


def test_a_step_that_fails_ends_the_demo(folder, monkeypatch):
    (folder / "broken.py").write_text("import sys; sys.exit('error: no disk')")
    monkeypatch.setattr(demo, "steps", lambda quick: [demo.Step("break", ("broken",), 1)])
    with pytest.raises(EtlchError, match=r"\[1/1\] break: failed; the end of .*\n(.*\n)*error: no disk"):
        demo.run(quick=False)


def test_on_a_cpu_without_bfloat16_the_demo_says_so_to_llamafactory(root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setattr(demo.machine, "has_bf16", lambda: False)
    commands = [step.command for step in demo.steps(False)]
    assert all("bf16=false" in command for command in commands if "train" in command)
    assert all("infer_dtype=float32" in command for command in commands if "predict" in command)


def test_the_program_is_this_python(monkeypatch, folder):
    (folder / "where.py").write_text("import sys; print(sys.executable)")
    monkeypatch.setattr(demo, "steps", lambda quick: [demo.Step("ask", ("where",), 1)])
    demo.run(quick=True)
    assert (folder / demo.LOG).read_text().strip() == sys.executable
