"""The command line: starts at once, teaches in --help, says one line for a mistake."""

import subprocess
import sys

import pytest

from etlch import cli


@pytest.mark.parametrize("arguments", [["--help"], ["data", "--help"], ["check", "--help"], ["train", "--help"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 0
    assert "usage: etlch" in capsys.readouterr().out


@pytest.mark.parametrize("module", ["etlch.cli", "eval"])
def test_help_imports_nothing_heavy(module):
    code = (
        f"import sys, runpy; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module('{module}', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'pandas', 'numpy', 'scipy', 'matplotlib', 'datasets', 'llamafactory'}\n"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_an_error_is_one_message_and_exit_2(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "none.yaml"]) == 2
    assert cli.main(["knowledge"]) == 2
    assert cli.main(["data"]) == 2
    err = capsys.readouterr().err
    assert err.count("error: ") == 3 and "Traceback" not in err


def test_overrides_may_follow_an_option(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "none.yaml", "--force", "a=1"]) == 2
    with pytest.raises(SystemExit):
        cli.main(["train", "none.yaml", "--forced"])
    with pytest.raises(SystemExit):
        cli.main(["data", "a=1"])


def test_data_check_tells_current_from_stale(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert cli.main(["data", "--check"]) == 0
    assert "are current" in capsys.readouterr().out


def test_knowledge_names_every_problem(tmp_path, capsys):
    bad = tmp_path / "bad.yaml"
    bad.write_text('topic: x\ntheme: y\nsentences:\n  - text: "[a|b"\n', encoding="utf-8")
    assert cli.main(["knowledge", str(bad)]) == 2
    err = capsys.readouterr().err
    assert f"{bad}:4: sentence 1" in err and "theme: found 'y'" in err and "split: found None" in err
