"""Which room may import which: from the top down, no circle, and nobody but the commands uses both packages."""

import grimp
import pytest

# a room may import those above it; rooms of one line are independent of each other
ROOMS = """\
errors
records
checksums yamlfile formats journal machine
tasks
embed knowledge sources weights
corpora runs
experiments
examples
endpoint trainer
infer
extract runner
export serve teach demo
"""


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("etlch", "eval", include_external_packages=True)


def imports(graph):
    for module in graph.modules:
        if module.startswith(("etlch", "eval")):
            for other in graph.find_modules_directly_imported_by(module):
                yield module, other


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_the_rooms_of_etlch_look_down_only(graph):
    level = {name: number for number, line in enumerate(ROOMS.splitlines()) for name in line.split()}
    wrong = [
        f"{module} imports {other}"
        for module, other in imports(graph)
        if module.startswith("etlch.") and other.startswith("etlch.") and room(module) in level
        if room(module) != room(other) and level.get(room(other), 99) >= level[room(module)]
    ]
    assert not wrong


def test_only_the_commands_know_both_packages(graph):
    wrong = [
        f"{module} imports {other}"
        for module, other in imports(graph)
        if other.startswith("eval.") and module.startswith("etlch.") and room(module) != "commands"
    ]
    wrong += [f"{m} imports {o}" for m, o in imports(graph) if m.startswith("eval.") and o.startswith("etlch.commands")]
    assert not wrong


def test_no_circles(graph):
    """No module reaches itself, not even by an import inside a function."""
    links = {}
    for module, other in imports(graph):
        links.setdefault(module, set()).add(other)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for other in links.get(module, ()):
                visit(other, (*path, module))
            done.add(module)

    for module in links:
        visit(module, ())
