"""Encodings, empty files, guessing the format, options, and the command line: nothing is written half."""

import pytest

from etlch.cli import main
from etlch.errors import EtlchError
from etlch.sources import registry
from etlch.sources.base import Options, Report
from etlch.sources.text_files import fitting_encodings, split_lines

CHINESE = "台北市位於臺灣北部，是中華民國的首都，人口約二百五十萬。"
SIMPLIFIED = "北京市位于华北平原，是中华人民共和国的首都，人口约两千万。"
FRENCH = "L'été dernier, François a été opéré à Genève d'une hernie à l'hôpital."


def tagged(text: str) -> str:
    return "".join(f"{character}\tO\n" for character in text)


@pytest.mark.parametrize(
    ("text", "codec", "name"),
    [
        (CHINESE, "big5", "Big5"),
        (SIMPLIFIED, "gb18030", "GB18030"),
        (SIMPLIFIED, "gbk", "GB18030"),
        ("これは日本語の文章です。東京は日本の首都です。", "shift_jis", "Shift_JIS"),
        ("서울은 대한민국의 수도이다.", "euc_kr", "EUC-KR"),
        (FRENCH, "latin-1", "Windows-1252"),
        (FRENCH + " “Œuvre” €", "cp1252", "Windows-1252"),
        (CHINESE, "utf-16", "UTF-16"),
        ("plain English words and so on", "utf-16-le", "UTF-16"),
        ("plain English words and so on", "utf-16-be", "UTF-16"),
    ],
)
def test_a_wrong_encoding_names_the_one_that_fits(importing, text, codec, name):
    raw = tagged(text).encode(codec)
    assert raw.decode(fitting_encodings(raw)[0]).removeprefix("\ufeff") == tagged(text)
    if codec.startswith("utf-16-"):
        return  # such bytes are valid UTF-8
    with pytest.raises(
        EtlchError, match=rf"a\.tsv:\d: not UTF-8 \(byte 0x.. at byte 1 of the line\); it would fit {name}"
    ):
        importing(raw, format="bio")


def test_the_offending_line_is_shown_as_it_would_read(importing):
    with pytest.raises(EtlchError) as error:
        importing(b"plain\tO\n" + "臺北市\tB-LOC\n".encode("big5"), format="bio")
    assert (
        "a.tsv:2: not UTF-8 (byte 0xBB at byte 1 of the line); it would fit Big5 (--encoding cp950; the line reads '臺北市\\tB-LOC')"
        in str(error.value)
    )


def test_a_damaged_utf8_file_is_not_called_big5(importing):
    raw = tagged(CHINESE * 3).encode()
    with pytest.raises(EtlchError, match="the rest is UTF-8, so the file is damaged there"):
        importing(raw[:100] + b"\xff" + raw[101:], format="bio")


def test_bytes_that_are_no_text_say_so(importing):
    with pytest.raises(EtlchError, match="no common encoding fits"):
        importing(bytes(range(128, 256)) * 3, format="bio")


def test_a_wrong_or_unknown_encoding_given_is_an_error_too(importing):
    with pytest.raises(EtlchError, match="unknown encoding 'klingon'"):
        importing("a\tO\n", format="bio", encoding="klingon")
    with pytest.raises(EtlchError, match="unknown encoding 'klingon'"):
        importing("a\tO\n", encoding="klingon")
    with pytest.raises(EtlchError, match=r"not ASCII .byte 0xE5"):
        importing("台\tO\n", format="bio", encoding="ascii")


@pytest.mark.parametrize("name", ["a.tsv", "a.jsonl", "a.json", "a.csv", "a.txt"])
@pytest.mark.parametrize("content", ["", "\ufeff", "\n\n"])
def test_an_empty_file_says_so(importing, name, content):
    with pytest.raises(EtlchError, match="the file is empty"):
        importing(content, name)


TEXT = "Ann met 柏林 Bob"
FILES = {
    "bio": ("a.tsv", "Ann\tB-X\nmet\tO\n柏林\tB-Y\n\n"),
    "layered-bio": ("a.tsv", "Ann\tB-X\tO\n柏林\tB-Y\tB-Z\n\n"),
    "tokens": (
        "a.jsonl",
        '{"tokens": ["Ann", "柏林"], "entity_mentions": []}\n{"tokens": ["x"], "entity_mentions": []}\n',
    ),
    "doccano": ("a.jsonl", f'{{"id": 1, "text": "{TEXT}", "label": [[8, 10, "X"]]}}\n'),
    "spacy-jsonl": ("a.jsonl", f'{{"text": "{TEXT}", "spans": [{{"start": 8, "end": 10, "label": "X"}}]}}\n'),
    "labelstudio": ("a.json", f'[\n{{"id": 1, "data": {{"text": "{TEXT}"}},\n"annotations": [{{"result": []}}]}}\n]\n'),
    "llamafactory": ("a.json", f'[\n{{"instruction": "x",\n"input": "{TEXT}", "output": "{{}}"}}\n]\n'),
    "csv": ("a.csv", f'text,people\n{TEXT},"[""Ann""]"\n'),
    "records": ("a.jsonl", f'{{"id": "1", "text": "{TEXT}", "triples": []}}\n'),
}


@pytest.mark.parametrize("format", FILES)
def test_a_byte_order_mark_and_crlf_change_no_record_and_are_noted(importing, format):
    name, content = FILES[format]
    plain = importing(content, name, format=format)
    odd = importing("\ufeff" + content.replace("\n", "\r\n"), name)
    assert (odd.reader.name, odd.records) == (format, plain.records)
    assert {"byte order mark taken off", "line ends are CRLF"} <= set(odd.report.notes)
    assert not odd.report.repaired


@pytest.mark.parametrize("format", FILES)
def test_every_text_format_is_read_in_the_encoding_given_and_no_other(importing, format):
    name, content = FILES[format]
    for codec in ("big5", "utf-16"):
        with pytest.raises(EtlchError, match=rf"{name}:\d: not UTF-8 .* it would fit"):
            importing(content.encode(codec), name, format=format)
        assert importing(content.encode(codec), name, format=format, encoding=codec).records == (
            importing(content, name, format=format).records
        )


def test_an_empty_json_list_has_no_record(importing):
    with pytest.raises(EtlchError, match="no record could be read as doccano"):
        importing("[]", "a.json", format="doccano")


def test_lines_end_at_line_feeds_only():
    assert split_lines("a\u2028b\n\x0cc\r\nd\re") == ["a\u2028b", "\x0cc", "d\re"]
    assert split_lines("a\rb\r") == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.txt", "EU NNP B-ORG\nis VBZ O\n", "bio"),
        ("a.conll", "EU\tB-ORG\tI-ORG\nis\tO\tO\n", "layered-bio"),
        ("a.jsonl", '{"id": "1", "text": "a"}\n', "records"),
        ("a.jsonl", '{"id": 1, "text": "a", "label": []}\n', "doccano"),
        ("a.jsonl", '{"tokens": ["a"], "entity_mentions": []}\n', "tokens"),
        ("a.json", '[{"id": 1, "data": {"text": "a"}, "annotations": [{"result": []}]}]', "labelstudio"),
        ("a.json", '[{"instruction": "x", "input": "y", "output": "{}"}]', "llamafactory"),
        ("a.csv", "text,a\nx,[]\n", "csv"),
    ],
)
def test_formats_are_guessed_and_the_report_says_why(importing, name, content, format):
    reading = importing(content, name)
    assert reading.reader.name == format
    assert reading.lines()[0].startswith(f"format    {format} (guessed: ")
    assert importing(content, name, format=format).lines()[0] == f"format    {format}"


@pytest.mark.parametrize(("name", "content"), [("a.txt", "Just a text.\n"), ("a.json", '{"a": 1}'), ("a.jsonl", "5\n")])
def test_what_cannot_be_guessed_is_asked_for(importing, name, content):
    with pytest.raises(
        EtlchError, match=r"its format cannot be told \(expected --format with one of bio, layered-bio, brat"
    ):
        importing(content, name)


def test_options_and_names_that_mean_nothing_are_refused(importing, tmp_path):
    with pytest.raises(
        EtlchError, match=r"--text-column means nothing to bio \(its own options: --columns, --joiner\)"
    ):
        importing("a\tO\n", format="bio", text_column="x")
    with pytest.raises(EtlchError, match=r"unknown format 'xml' .expected one of bio"):
        importing("a\tO\n", format="xml")
    with pytest.raises(EtlchError, match=r"--offset-unit: found 'byte' .expected one of codepoint, utf16"):
        importing("x", format="doccano", offset_unit="byte")
    with pytest.raises(EtlchError, match="no such file or folder"):
        registry.read(tmp_path / "none", "", Options())
    with pytest.raises(EtlchError, match=r"a folder .expected one file for bio, such as one of a.tsv"):
        importing("a\tO\n", format="bio")
        registry.read(tmp_path, "bio", Options())
    with pytest.raises(
        EtlchError, match=r"--to: cannot write 'csv' .expected one of bio, layered-bio, brat, records, tokens"
    ):
        registry.read(tmp_path / "a.tsv", "bio", Options(), to="csv")


def test_a_reader_is_one_module_with_readers():
    """The names that the command line's help gives for --to are those that can be written."""
    assert [r.name for r in registry.readers().values() if r.write] == [
        "bio",
        "layered-bio",
        "brat",
        "records",
        "tokens",
    ]
    assert all(reader.example.startswith("etlch import ") for reader in registry.readers().values())


def test_a_long_list_of_problems_is_cut_and_counted():
    report = Report()
    for number in range(30):
        report.refuse([(f"a:{number}", "wrong")])
    assert report.lines()[-1] == "  ... and 10 more problems"


# --- the command line ---


def test_import_writes_records_and_prints_the_counts(tmp_path, capsys):
    source = tmp_path / "a.tsv"
    source.write_text("Ann\tB-PER\n\nx\n\nBob\tI-PER\nand\tO\nCy\tB-PER\n", encoding="utf-8")
    out = tmp_path / "deep" / "out.jsonl"
    assert main(["import", str(source), "--format", "bio", "--out", str(out), "--lang", "en", "--id-prefix", "p"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "format    bio",
        "read      2 records, 3 mentions (PER 3)",
        f"repaired  1: I- after O, taken for the beginning of a mention (as conlleval does) (first at {source}:5)",
        "refused   1 records",
        f"  {source}:3: found 1 column: 'x' (expected at least 2, tabs between them)",
        f"written   {out}",
    ]
    assert (
        out.read_text("utf-8")
        .splitlines()[0]
        .startswith('{"id": "p-1", "lang": "en", "source": "a.tsv:1", "text": "Ann"')
    )


def test_strict_writes_nothing_and_leaves_an_old_file_alone(tmp_path, capsys):
    source, out = tmp_path / "a.tsv", tmp_path / "out.jsonl"
    source.write_text("Ann\tB-PER\n\nx\n", encoding="utf-8")
    out.write_text("old", encoding="utf-8")
    assert main(["import", str(source), "--format", "bio", "--out", str(out), "--strict"]) == 2
    assert (
        capsys.readouterr().err == f"error: {source}:3: found 1 column: 'x' (expected at least 2, tabs between them)\n"
    )
    assert out.read_text("utf-8") == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"a.tsv", "out.jsonl"}


def test_import_to_another_format_and_back(tmp_path, capsys):
    source = tmp_path / "a.tsv"
    source.write_text("Ann\tB-PER\nmet\tO\nBob\tB-PER\n\n", encoding="utf-8")
    assert main(["import", str(source), "--to", "brat", "--out", str(tmp_path / "corpus")]) == 0
    assert (tmp_path / "corpus" / "a-1.ann").read_text("utf-8") == "T1\tPER 0 3\tAnn\nT2\tPER 8 11\tBob\n"
    assert main(["import", str(tmp_path / "corpus"), "--to", "bio", "--out", str(tmp_path / "b.tsv")]) == 0
    assert (tmp_path / "b.tsv").read_bytes() == source.read_bytes()
    assert capsys.readouterr().out.splitlines()[-1] == f"written   {tmp_path / 'b.tsv'}"
    assert main(["import", str(source), "--to", "brat", "--out", str(tmp_path / "corpus")]) == 2
    assert "is there already (expected a new or empty folder)" in capsys.readouterr().err


def test_import_without_its_arguments_points_at_the_help(capsys):
    assert main(["import", "x"]) == 2
    assert "SOURCE and --out FILE are needed" in capsys.readouterr().err
    assert main(["import", "--formats"]) == 0
    assert "labelstudio" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path, capsys):
    source = tmp_path / "a.tsv"
    source.write_text("Ann\tB-PER\n", encoding="utf-8")
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file" / "corpus", tmp_path / "file" / "o.jsonl"):
        to = ["--to", "brat"] if out.name == "corpus" else []
        assert main(["import", str(source), *to, "--out", str(out)]) == 2
    assert capsys.readouterr().err.count("cannot be written") == 2
    assert {path.name for path in tmp_path.iterdir()} == {"a.tsv", "file"}
