"""The command line: `etlch COMMAND ...`; `etlch --help` lists the commands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from etlch.errors import EtlchError, ManyErrors

if TYPE_CHECKING:
    from etlch.sources.registry import Reading

DESCRIPTION = """\
etlch: structured information extraction with small language models.

The usual way, through make (each step does the ones before it when they are missing):
  make demo              the whole loop on a laptop, no download: train, answer, score, report
  make train-300         fine-tune Llama-3.2-1B on 300 samples a task (MODEL=nano: the embedded model)
  make predict-300       answer the test sets with it
  make report            scores, tests, figures: report/index.html
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status (0 fine, 1 problems found, 2 an error with its message on stderr)."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and hasattr(options, "overrides") and all("=" in item and not item.startswith("-") for item in rest):
        options.overrides += rest  # overrides may also follow an option
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return options.command(options)
    except EtlchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from where it can", file=sys.stderr)
        return 130


def run() -> None:
    """Entry point of the console script."""
    raise SystemExit(main())


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="etlch", description=DESCRIPTION, formatter_class=raw)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    data = commands.add_parser(
        "data",
        help="build data/ and dataset_info.json from the knowledge base and the task cards",
        description="Writes the records, one LlamaFactory file a task and scale, dataset_info.json, the data card and the manifest.",
    )
    data.add_argument("--check", action="store_true", help="write nothing; fail when a file on disk is not current")
    data.set_defaults(command=_data)

    knowledge = commands.add_parser(
        "knowledge",
        help="check the topic files and print their counts",
        description="Counts what the topics hold, by language, and reports every problem of every file as file:line.\n"
        "The authoring guide is data/knowledge/README.md.\n\n"
        "  etlch knowledge                                  # the whole base\n"
        "  etlch knowledge data/knowledge/golden_ratio.yaml # a topic at work",
        formatter_class=raw,
    )
    knowledge.add_argument("files", nargs="*", type=Path, help="topic files (default: all of data/knowledge)")
    knowledge.set_defaults(command=_knowledge)

    _add_import(commands, raw)
    _add_formats(commands, raw)
    _add_corpora(commands, raw)
    _add_mfner(commands, raw)
    _add_teach(commands, raw)
    _add_push_data(commands, raw)
    _add_serve(commands, raw)
    _add_export(commands, raw)

    check = commands.add_parser(
        "check",
        help="read a LlamaFactory config before its run costs hours",
        description="Unknown keys, missing datasets, template against model, and every example that would be cut.\n\n"
        "  etlch check configs/etlch_300.yaml\n"
        "  etlch check configs/*.yaml --tokenizer models/nano",
        formatter_class=raw,
    )
    check.add_argument(
        "overrides", nargs="+", metavar="CONFIG|key=value", help="YAML configs; overrides apply to all of them"
    )
    check.add_argument(
        "--tokenizer", metavar="NAME", help="count tokens with this tokenizer instead of the model's own"
    )
    check.set_defaults(command=_check)

    train = commands.add_parser(
        "train",
        help="llamafactory-cli train, with done stamps, resumption and readable errors",
        description="Runs `llamafactory-cli train CONFIG key=value ...`. A finished run is left alone, an interrupted one resumes.",
    )
    predict = commands.add_parser(
        "predict",
        help="answer the test sets of a predict config; one run folder a task",
        description="Runs LlamaFactory's predict and puts the answers into runs/<experiment>/<system>/<task>/ with a run.json.",
    )
    for command, function in ((train, _train), (predict, _predict)):
        command.add_argument("config", help="a YAML file of llamafactory_configs/")
        command.add_argument("overrides", nargs="*", metavar="key=value", help="overrides, for example max_steps=10")
        command.add_argument("--force", action="store_true", help="start over even if a finished run is there")
        command.set_defaults(command=function)
    _add_engines(predict)
    _add_extract(commands, raw)
    return parser


def _add_engines(predict: argparse.ArgumentParser) -> None:
    engines = ("llamafactory", "transformers", "endpoint")
    about = "llamafactory (its own predict, the default), transformers (in this process: faster, keeps answers as they come), endpoint"
    predict.add_argument("--engine", choices=engines, default=engines[0], help=about)
    schema = "JSON of the tasks' schemas and nothing else; a system of its own, <system>+schema"
    predict.add_argument("--schema", action="store_true", help=schema)
    group = predict.add_argument_group("--engine endpoint", "any OpenAI-compatible server; see docs/engines.md")
    group.add_argument("--served-as", default="", metavar="NAME", help="the model's name there (model_name_or_path)")
    send = "the prompt as token ids or text (raw completion), or the question only, for the server's own template"
    group.add_argument("--send", choices=("tokens", "text", "chat"), default="tokens", help=f"{send} (tokens)")
    _add_endpoint(group.add_argument)
    for name in ("in", "out"):
        group.add_argument(f"--price-{name}", type=float, metavar="X", help=f"price of a million tokens {name}")


def _add_endpoint(add: Callable[..., object]) -> None:
    """The options of whatever asks an OpenAI-compatible endpoint."""
    url = os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
    add("--base-url", default=url, metavar="URL", help="the endpoint (default: $OPENAI_BASE_URL, else OpenAI)")
    add("--key-env", default="OPENAI_API_KEY", metavar="VAR", help="environment variable with the key (OPENAI_API_KEY)")
    add("--request", default="{}", metavar="JSON", help="more parameters of the body; null takes one away")
    add("--concurrency", type=int, default=8, metavar="N", help="requests at once (8)")
    add("--retries", type=int, default=6, metavar="N", help="after 429, 5xx, time-out, dropped connection (6)")
    add("--backoff", type=float, default=1.0, metavar="S", help="first wait; doubles, or Retry-After (1)")
    add("--timeout", type=float, default=180.0, metavar="S", help="seconds for one answer (180)")
    add("--budget-tokens", type=int, metavar="N", help="never take more tokens than this, all starts of a run together")
    add("--budget-cost", type=float, metavar="X", help="never spend more than this, all starts of a run together")


def _add_extract(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    extract = commands.add_parser(
        "extract",
        help="extract from your own documents: files, folders, standard input, tables",
        description="Writes what a model finds in each document, every value with its place in the text. Long documents are cut at\n"
        "the ends of sentences and put together again. Exit status: 0 fine, 1 some documents failed, 2 an error.\n\n"
        "  etlch extract report.txt --task ner --system runs/nano/nano_1000           # JSONL on standard output\n"
        "  etlch extract letters/ --task ner --out letters.html                       # highlighted in the text\n"
        "  etlch extract articles.csv --text-column body --task json --keys 人物,時間 --schema --out found.csv\n"
        "  cat report.txt | etlch extract - --task kge --strict --out report.ttl      # Turtle; or .graphml\n\n"
        "More in docs/extract.md.",
        formatter_class=raw,
    )
    add = extract.add_argument
    add("sources", nargs="*", metavar="SOURCE", help="files, folders, - for standard input")
    add("--text", action="append", default=[], metavar="TEXT", help="a text itself; may be given again")
    add("--task", default="ner", metavar="CARD", help="a card of tasks/ by name, or a card's path (ner)")
    add("--keys", default="", metavar="A,B,...", help="the fields wanted, for a task that asks for fields")
    add("--model", metavar="NAME", help="a folder or a name on the Hub (models/nano)")
    add("--adapter", metavar="DIR", help="an adapter for it")
    add("--system", metavar="DIR", help="model and adapter of a run instead, such as runs/nano/nano_1000")
    add("--config", metavar="FILE", help="a predict config, for its template, precision and decoding")
    add("--schema", action="store_true", help="constrain answers in JSON to the card's schema")
    add("--strict", action="store_true", help="drop values that do not stand in the text")
    formats = ("jsonl", "json", "csv", "html", "turtle", "graphml")
    add("--format", choices=formats, default="", help="default: by the ending of --out, else jsonl")
    add("--out", type=Path, metavar="FILE", help="where to write, whole or not at all (standard output)")
    add("--text-column", default="", metavar="NAME", help="where the text is in CSV, TSV, Parquet and JSONL (text)")
    add("--encoding", default="utf-8", metavar="NAME", help="of the sources, such as big5 (utf-8)")
    add("--lang", default="", metavar="CODE", help="language of the documents; not compared with the task's then")
    add("--chunk-tokens", type=int, default=1000, metavar="N", help="longest piece of a document (1000)")
    add("--overlap-tokens", type=int, default=100, metavar="N", help="of a piece, from the one before (100)")
    extract.set_defaults(command=_extract)


def _add_teach(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    teach = commands.add_parser(
        "teach",
        help="let a teacher model write articles and annotate them, over an OpenAI-compatible endpoint",
        description="Topic -> long article -> instruction -> gold JSON; article -> triples; article -> entities. The result is\n"
        "OUT/records.jsonl, which a task card can name as `train:`. A run that was stopped, or killed, goes on where it was.\n\n"
        "What would it take? Nothing is asked:\n"
        "  etlch teach --model gpt-4o-mini --price-in 0.15 --price-out 0.60 --dry-run\n"
        "Twelve articles on each topic, for at most 2 (of the currency of the prices):\n"
        "  export OPENAI_API_KEY=...\n"
        "  etlch teach --model gpt-4o-mini --articles 12 --price-in 0.15 --price-out 0.60 --budget-cost 2\n"
        "Three teachers that vote, on a server of your own, on your own topics:\n"
        "  etlch teach --base-url http://127.0.0.1:8000/v1 --model a --model b --model c --topics topics.txt --out data/mine\n\n"
        "More in docs/teach.md.",
        formatter_class=raw,
    )
    add = teach.add_argument
    add("--model", action="append", required=True, metavar="NAME", help="a teacher; several vote, the first writes")
    _add_endpoint(add)
    add("--topics", type=Path, metavar="FILE", help="one topic a line (default: the training topics of data/knowledge)")
    add("--articles", type=int, default=1, metavar="N", help="articles a topic (1)")
    add("--out", type=Path, default=Path("data/teach"), metavar="DIR", help="journal and results (data/teach)")
    add("--tasks", type=Path, default=Path("tasks"), metavar="DIR", help="the folder of kge.yaml and ner.yaml (tasks)")
    add("--prompts", type=Path, metavar="DIR", help="your edited copies of etlch/teach/prompts/*.txt")
    add("--length", type=int, default=800, metavar="N", help="characters of an article, about (800)")
    add("--temperature", type=float, default=0.7, metavar="T", help="for writing (0.7); annotation has 0")
    add("--max-tokens", type=int, default=3000, metavar="N", help="longest answer (3000)")
    for name in ("in", "out"):
        about = f"price of a million tokens {name}: one, or one for each --model"
        add(f"--price-{name}", type=float, action="append", default=[], metavar="X", help=about)
    add("--seed", type=int, default=20250821, metavar="N", help="for the jitter of waits")
    add("--dry-run", action="store_true", help="ask nothing; print the requests, tokens and cost to expect")
    teach.set_defaults(command=_teach)


def _add_import(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    importer = commands.add_parser(
        "import",
        help="turn your own annotated texts (BIO, BRAT, CSV, Label Studio, ...) into records",
        description="Reads a file or folder and writes records, one JSON object a line. Prints what was read, what was repaired, and\n"
        "what was refused as file:line, found, expected. A record with anything wrong in it is refused whole.\n\n"
        "  etlch import train.tsv --out records.jsonl                       # the format is guessed, and said\n"
        "  etlch import train.conll --columns 1,4 --lang en --out records.jsonl\n"
        "  etlch import corpus/ --format brat --strict --out records.jsonl   # stop at the first problem\n"
        "  etlch import articles.csv --text-column body --columns people,places --out records.jsonl\n"
        "  etlch import old.tsv --encoding big5 --out records.jsonl\n"
        "  etlch import records.jsonl --to brat --out corpus/               # and back again\n\n"
        "All formats with an example each: etlch import --formats. More in docs/import.md.",
        formatter_class=raw,
    )
    add = importer.add_argument
    add("source", nargs="?", type=Path, metavar="SOURCE", help="the file, or the folder of a BRAT corpus")
    add("--formats", action="store_true", help="list the formats with an example each, and stop")
    add("--format", default="", metavar="NAME", help="the format of SOURCE (default: guessed from it)")
    add("--out", type=Path, metavar="FILE", help="where to write; nothing is written half")
    add(
        "--to",
        default="records",
        metavar="NAME",
        help="write this format instead of records: bio, layered-bio, brat, tokens",
    )
    add("--strict", action="store_true", help="stop at the first record that would be refused, and write nothing")
    add("--encoding", default="utf-8", metavar="NAME", help="of the source, such as big5 or gb18030 (utf-8)")
    add("--lang", default="", metavar="CODE", help="language of the records, such as en or zh-TW")
    add(
        "--id-prefix",
        default="",
        metavar="TEXT",
        help="in front of each id (default: the file's name where it has no ids)",
    )
    add("--text-column", default="", metavar="NAME", help="the column or key that holds the text")
    columns = "BIO: numbers of the token's and the tags' columns, such as 1,4; CSV, Parquet: names of the list columns"
    add("--columns", default="", metavar="A,B,...", help=columns)
    add("--joiner", metavar="TEXT", help="between BIO tokens (default: a blank, nothing for Chinese and Japanese)")
    add("--layers", type=int, default=0, metavar="N", help="with --to layered-bio: at least so many tag columns")
    add("--list-separator", default="", metavar="MARK", help="between the values in a CSV cell, such as 、 or ;")
    add("--answer-format", default="", metavar="NAME", help="how answers or lists are read: json_fields, ...")
    add("--offset-unit", default="", metavar="UNIT", help="of offsets: codepoint (Python) or utf16 (JavaScript)")
    importer.set_defaults(command=_import)


def _add_formats(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    formats = commands.add_parser(
        "formats",
        help="the output formats, what each can represent, and their round trip over your corpora",
        description="Without options: a table of the formats. With --round-trip: every sentence is rendered in every format and\n"
        "parsed back; what a format cannot represent is refused and counted, what comes back altered is a failure.\n\n"
        "  etlch formats\n"
        "  etlch formats --round-trip ../shared/data/bc5cdr ../shared/data/pgxcorpus/brat\n"
        "  etlch formats --round-trip train.conll --only multi_tag,multi_bio\n\n"
        "The formats with examples: docs/formats.md.",
        formatter_class=raw,
    )
    add = formats.add_argument
    corpora = "files, BRAT folders, or folders of such, in any format of `etlch import --formats`"
    add("--round-trip", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help=corpora)
    add("--only", default="", metavar="A,B,...", help="these formats only")
    formats.set_defaults(command=_formats)


def _add_corpora(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    corpora = commands.add_parser(
        "corpora",
        help="the eight biomedical corpora of the MF-NER paper: where to get them, and what you have against its Table 1",
        description="Lists licence, source, Hub copy and expected files of each; of those below --root, counts beside Table 1.\n"
        "Exit status: 1 when a corpus that is there cannot be read.\n\n"
        "  etlch corpora\n"
        "  etlch corpora --root ../shared/data bc5cdr genia",
        formatter_class=raw,
    )
    add = corpora.add_argument
    add("names", nargs="*", metavar="NAME", help="these corpora only")
    add("--root", type=Path, metavar="DIR", help="the folder of the corpora (runs/mfner/corpora)")
    corpora.set_defaults(command=_corpora_listed)


def _add_mfner(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    mfner = commands.add_parser(
        "mfner",
        help="the MF-NER experiment, step by step (make mfner runs all of it)",
        description="build writes the datasets of every draw; runs lists the trainings; train trains one and answers the validation\n"
        "set with its checkpoints; test answers the test sets with the best.\n\n"
        "  etlch mfner build nano\n"
        "  etlch mfner build qwen2.5-0.5b --root /data/corpora --corpora bc5cdr,ncbi\n"
        "  etlch mfner train nano draw1/7best\n"
        "  python -m eval.mfner best nano draw1/7best\n"
        "  etlch mfner test nano draw1/7best\n\n"
        "More in docs/mfner.md.",
        formatter_class=raw,
    )
    add = mfner.add_argument
    add("step", choices=("build", "runs", "train", "test"))
    add("grid", help="qwen2.5-0.5b, llama3.2-1b or nano")
    add("run", nargs="?", default="", metavar="RUN", help="one of `etlch mfner runs GRID`, for train and test")
    add("overrides", nargs="*", metavar="key=value", help="overrides of the training config")
    add("--root", type=Path, metavar="DIR", help="the folder of the corpora (runs/mfner/corpora)")
    add(
        "--corpora",
        default="",
        metavar="A,B,...",
        help="these only; knowledge: the knowledge base (all that are there)",
    )
    add("--force", action="store_true", help="train: delete what is there of this run and start over")
    add("--keep", action="store_true", help="keep the checkpoints that are not the best")
    mfner.set_defaults(command=_mfner)


def _add_serve(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    serve = commands.add_parser(
        "serve",
        help="an HTTP service for extraction, with a page to try models on",
        description="POST /v1/extract and /v1/extract/batch, GET /v1/tasks, /health, /ready, /openapi.json; the page is at /.\n\n"
        "  etlch serve --system runs/nano/nano_300\n"
        "  etlch serve --system runs/nano/nano_100 --system runs/nano/nano_300 --system untuned=models/nano\n"
        "  ETLCH_API_KEY=... etlch serve --system runs/etlch/etlch_300 --host 0.0.0.0\n\n"
        "More in docs/serve.md.",
        formatter_class=raw,
    )
    add = serve.add_argument
    system = "a system of runs/, an adapter's or a model's folder, or a Hub name; repeat for several"
    add("--system", action="append", required=True, metavar="[NAME=]FOLDER", help=system)
    add("--task", action="append", default=[], metavar="NAME", help="a task of tasks/; repeat for several (all)")
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (127.0.0.1; 0.0.0.0: everywhere)")
    add("--port", type=int, default=8000, metavar="N", help="where to listen (8000; 0: any that is free)")
    add(
        "--key-env",
        default="ETLCH_API_KEY",
        metavar="VAR",
        help="variable with the API key; none: open (ETLCH_API_KEY)",
    )
    add("--config", metavar="FILE", help="a predict config, for its template, precision and decoding")
    add("--schema", action="store_true", help="constrain answers in JSON to the card's shape")
    add("--lang", default="", metavar="CODE", help="the texts' language, which is then not compared with the task's")
    add("--max-chars", type=int, default=20_000, metavar="N", help="longest text (20000)")
    add("--max-texts", type=int, default=32, metavar="N", help="texts in a batch (32)")
    add("--max-body", type=int, default=4 * 2**20, metavar="BYTES", help="longest body (4194304)")
    add("--max-queue", type=int, default=64, metavar="N", help="texts that may wait (64); 503 beyond")
    add("--batch", type=int, default=16, metavar="N", help="texts that are answered together (16)")
    add("--timeout", type=float, default=60.0, metavar="S", help="longest wait for an answer (60); 504 beyond")
    add("--log", action="store_true", help="a line on stdout for each request, without its texts")
    serve.set_defaults(command=_serve)


def _add_export(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    export = commands.add_parser(
        "export",
        help="merge an adapter into its model, for vLLM, Ollama and llama.cpp, with a model card",
        description="Runs `llamafactory-cli export`; the card has the scores of the report, if they are of this adapter.\n\n"
        "  etlch export runs/nano/nano_300                       # to runs/nano/nano_300/merged\n"
        "  etlch export runs/etlch/etlch_300 --out out/etlch-300 --report report\n\n"
        "How to run the result: docs/serve.md.",
        formatter_class=raw,
    )
    add = export.add_argument
    add("system", type=Path, metavar="FOLDER", help="a system of runs/, or an adapter's folder")
    add("--out", type=Path, metavar="FOLDER", help="where to write (default: merged/ beside the adapter)")
    add("--report", type=Path, default=Path("report"), metavar="DIR", help="the report with the scores (report)")
    dtypes = ("float32", "bfloat16", "float16")
    add("--dtype", choices=dtypes, help="precision (default: the one the adapter was trained in)")
    add("--force", action="store_true", help="replace what is there")
    export.set_defaults(command=_export)


def _add_push_data(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    push = commands.add_parser(
        "push-data",
        help="publish data/ as a Hugging Face data set: to the Hub, or to a folder",
        description="One config a task with the splits train and test, one with the gold records, and a card made from data/README.md.\n\n"
        "  etlch push-data out/etlch-data --to-folder       # Parquet and README.md, offline\n"
        "  hf auth login\n"
        "  etlch push-data me/etlch-data --private          # one commit on the Hub",
        formatter_class=raw,
    )
    add = push.add_argument
    add("target", metavar="FOLDER_OR_HUB", help="owner/name on the Hub; with --to-folder a new or empty folder")
    add("--to-folder", action="store_true", help="save to a folder instead; needs neither network nor login")
    add("--family", default="etlch", metavar="NAME", help="which tasks: the `family:` of their cards (etlch)")
    add("--private", action="store_true", help="create the repository as a private one")
    push.set_defaults(command=_push_data)


def _data(options: argparse.Namespace) -> int:
    from etlch.build import dataset

    root = Path()
    files = dataset.build(root)
    if options.check:
        stale = dataset.stale(files, root)
        print("\n".join(stale) or f"{len(files)} files are current")
        return 1 if stale else 0
    written = dataset.write(files, root)
    print(f"{len(files)} files, {len(written)} written; counts are in {dataset.DATA_CARD}")
    return 0


def _knowledge(options: argparse.Namespace) -> int:
    from etlch.build.dataset import KNOWLEDGE
    from etlch.sources import knowledge

    topics, problems = knowledge.load_files(options.files or knowledge.topic_files(KNOWLEDGE))
    if options.files:
        print("".join(f"{knowledge.line(topic)}\n" for topic in topics), end="")
    if topics:
        print(knowledge.table(topics), flush=True)
    if problems:
        raise ManyErrors(problems)
    return 0


def _teach(options: argparse.Namespace) -> int:
    from etlch.teach.run import teach
    from etlch.teach.settings import Settings

    return teach(Settings.of(options))


def _import(options: argparse.Namespace) -> int:
    from etlch.sources import registry
    from etlch.sources.base import Options

    if options.formats:
        print(registry.table())
        return 0
    if options.source is None or options.out is None:
        raise EtlchError("SOURCE and --out FILE are needed (etlch import --help has examples, --formats the formats)")
    given = {name: getattr(options, name) for name in registry.option_names()}
    given["columns"] = tuple(column.strip() for column in options.columns.split(",") if column.strip())
    read = registry.read(options.source, options.format, Options(**given), options.to)
    print("\n".join(read.lines()), flush=True)
    print("\n".join(registry.write(read, options.to, Options(**given), options.out)))
    return 0


def _formats(options: argparse.Namespace) -> int:
    from etlch.formats import FORMATS, round_trip

    names = [name.strip() for name in options.only.split(",") if name.strip()] or list(FORMATS)
    for name in names:
        if name not in FORMATS:
            raise EtlchError(f"--only: unknown format {name!r} (expected some of {', '.join(FORMATS)})")
    if not options.round_trip:
        lines = round_trip.abilities()
        print(round_trip.table([line for line in lines if line is lines[0] or line[0] in names]))
        return 0
    failures = 0
    for path in _corpora(options.round_trip):
        reading = _corpus(path, path in options.round_trip)
        if reading is None:
            continue
        print("\n" + "\n".join([str(path), *reading.lines()]), flush=True)
        tallies = list(round_trip.over(reading.records, [FORMATS[name] for name in names]))
        failures += sum(len(tally.failures) for _, tally in tallies)
        print("\n".join([round_trip.table([round_trip.HEAD, *round_trip.rows(tallies)]), *round_trip.notes(tallies)]))
    print(f"\n{failures:,} failures")
    return 1 if failures else 0


def _corpora(paths: list[Path]) -> list[Path]:
    """Files and BRAT folders as they are; of another folder, whatever stands in it."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir() and not any(path.glob("*.ann")):
            found += _corpora(sorted(path.iterdir()))
        else:
            found.append(path)
    return found


def _corpus(path: Path, named: bool) -> Reading | None:
    """A corpus read; a file that cannot be is an error where the user named it, and else is passed over with a line."""
    from etlch.sources import registry
    from etlch.sources.base import Options

    try:
        return registry.read(path, "", Options())
    except EtlchError as error:
        if named:
            raise
        print(f"\n{path}: passed over ({str(error).splitlines()[0].removeprefix(f'{path}: ')})")
        return None


def _corpora_listed(options: argparse.Namespace) -> int:
    from etlch.sources import corpora

    root = options.root or corpora.ROOT
    if options.root and not root.is_dir():
        raise EtlchError(f"--root: {root} is no folder (expected one with folders such as bc5cdr and genia)")
    failed = False
    for corpus in corpora.find(options.names):
        print("\n".join(corpora.describe(corpus, root)), flush=True)
        if corpora.is_there(corpus, root):
            try:
                print("\n".join(corpora.compare(corpora.load(corpus, root))))
            except EtlchError as error:
                print(f"  error     {error}")
                failed = True
        print()
    print(corpora.HOW)
    return 1 if failed else 0


def _mfner(options: argparse.Namespace) -> int:
    from etlch.mfner import grid as grids
    from etlch.sources.corpora import ROOT

    grid = grids.find(options.grid)
    names = [name.strip() for name in options.corpora.split(",") if name.strip()]
    if options.step == "build":
        for line in grids.write_data(grid, names, options.root or ROOT):
            print(line, flush=True)
    elif options.step == "runs":
        print("\n".join(grid.runs()))
    elif options.step == "train":
        grids.train(grids.run(grid, options.run), options.overrides, options.force)
    else:
        for folder in grids.test(grids.run(grid, options.run), options.overrides, options.keep):
            print(folder)
    return 0


def _serve(options: argparse.Namespace) -> int:
    from etlch.serve.start import run

    run(options)
    return 0


def _export(options: argparse.Namespace) -> int:
    from etlch.export import export

    print(export(options.system, options.out, options.report, options.dtype, options.force))
    return 0


def _push_data(options: argparse.Namespace) -> int:
    from etlch.build import publish

    root = Path()
    cards = publish.family_cards(root, options.family)
    publish.check_target(options.target, options.to_folder)
    sets = publish.build(root, cards)
    card = publish.card_text(root, options.family, cards, sets)
    for config, splits in sets.items():
        print(f"{config:<10} {', '.join(f'{split} {len(rows):,}' for split, rows in splits.items())}")
    if options.to_folder:
        publish.save(sets, card, Path(options.target))
        print(f"saved in {options.target}")
    else:
        print(publish.push(sets, card, options.target, options.private))
    return 0


def _check(options: argparse.Namespace) -> int:
    from etlch import check

    paths = [item for item in options.overrides if "=" not in item]
    overrides = [item for item in options.overrides if "=" in item]
    failed = False
    for path in paths:
        found = check.check(path, overrides, options.tokenizer)
        print(check.render(path, found))
        failed = failed or bool(found.problems)
    return 1 if failed else 0


def _train(options: argparse.Namespace) -> int:
    from etlch import launch

    print(launch.train(options.config, options.overrides, options.force))
    return 0


def _predict(options: argparse.Namespace) -> int:
    from etlch.infer import engines, predict

    job = predict.read_job(options.config, options.overrides)
    if options.schema:
        job = predict.with_schema(job)
    for folder in engines.answer(job, options):
        print(folder)
    return 0


def _extract(options: argparse.Namespace) -> int:
    from etlch.extract import command

    return command.run(options)


if __name__ == "__main__":
    run()
