"""Reading YAML: the line of everything, and one kind of error for whatever can be wrong with a file."""

import pytest

from etlch import yamlfile
from etlch.errors import ManyErrors

GOOD = "a: 1\nb:\n  - c: 2\n    d: 三\n  - 5\n"


def write(tmp_path, content: bytes):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", [GOOD, "\ufeff" + GOOD, GOOD.replace("\n", "\r\n")])
def test_data_and_lines(tmp_path, content):
    file = yamlfile.read(write(tmp_path, content.encode()), "keys")
    assert file.data == {"a": 1, "b": [{"c": 2, "d": "三"}, 5]}
    places = {(): 1, ("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 0, "c"): 3, ("b", 0, "d"): 4, ("b", 1): 5}
    assert file.lines == places
    assert file.where("b", 0, "d").endswith("x.yaml:4")
    assert file.where("b", 0, "none", 7).endswith("x.yaml:3")  # the nearest thing above
    assert file.where("none").endswith("x.yaml:1")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "x.yaml:1: found nothing (expected the key a)"),
        (b"- a\n", "x.yaml:1: found list (expected the key a)"),
        (b"a: 1\na: 2\n", "x.yaml:2: found key 'a' again (expected once; first on line 1)"),
        (b"a:\n - {b: 1, b: 2}\n", "x.yaml:2: found key 'b' again (expected once; first on line 2)"),
        (b"a: 1\n\n\xb1: 2\n", "x.yaml:3: not UTF-8: found byte 0xB1, invalid start byte (expected UTF-8)"),
        ("a: 1".encode("utf-16"), "x.yaml:1: not UTF-8: found byte 0xFF"),
        (b"a: 1\nb: c: d\n", "x.yaml:2: not YAML: mapping values are not allowed"),
        (b"a: 1\nb: [", "x.yaml:2: not YAML: "),
        (b"a: 1\nb: [\n", "x.yaml:2: not YAML: "),
        (b"a: 1\nb: \x07\n", "x.yaml:2: not YAML: "),
        (b"a: 1\n---\na: 2\n", "x.yaml:2: not YAML: "),
        (b"? [a]\n: 1\n", "x.yaml:1: not YAML: found unhashable key (expected the key a)"),
        (b"a: 2020-13-45\n", "x.yaml: not YAML: month must be in 1..12"),
        (b"b: 1\na: " + b"[" * 100_000, "x.yaml:2: found nesting of more than 50 levels"),
    ],
)
def test_whatever_is_wrong_is_said_with_its_line(tmp_path, content, problem):
    with pytest.raises(ManyErrors) as error:
        yamlfile.read(write(tmp_path, content), "the key a")
    assert problem in str(error.value)
    assert len(error.value.problems) == 1 and "\n" not in str(error.value)


def test_all_repeated_keys_come_at_once_and_a_missing_file_is_named(tmp_path):
    with pytest.raises(ManyErrors) as error:
        yamlfile.read(write(tmp_path, b"a: 1\na: 2\nb: {c: 1, c: 2}\n"), "keys")
    assert len(error.value.problems) == 2
    with pytest.raises(ManyErrors, match=r"none\.yaml: cannot be read \(No such file"):
        yamlfile.read(tmp_path / "none.yaml", "keys")


def test_an_anchor_that_names_itself_ends(tmp_path):
    file = yamlfile.read(write(tmp_path, b"a: &x\n  - *x\n  - {b: 1}\nc: *x\n"), "keys")
    assert file.lines["a", 1, "b"] == 3
    assert file.data["c"] is file.data["a"]
