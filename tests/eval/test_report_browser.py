"""The report in a real browser: headless Chromium opens it, sorts, filters and walks through the samples by keyboard."""

import re
import shutil
import subprocess

import pytest
import synthetic

from etlch.tasks import load_cards
from eval import report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on the path")
PAYLOAD = "</script><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    tidy = synthetic.tidy_table(30)
    out = tmp_path_factory.mktemp("page")
    samples = synthetic.answers(tidy, payload=PAYLOAD)
    return report.write_report(tidy, None, samples, out, experiment=PAYLOAD, cards=load_cards("tasks")), tidy


@pytest.fixture
def drive(page, tmp_path):
    """Open the report, run statements in it, and return what the last one gives, as text."""

    def run(statements, width=1280):
        text = page[0].read_text(encoding="utf-8")
        # the page's policy forbids foreign scripts, the test's own included
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
        script = (
            "<script>(async () => {"
            "const wait = async (test) => { for (let i = 0; i < 200 && !test(); i++) await new Promise((r) => setTimeout(r, 20)); };"
            "const key = (node, name) => node.dispatchEvent(new KeyboardEvent('keydown', {key: name, bubbles: true, cancelable: true}));"
            "const pick = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event('change', {bubbles: true})); };"
            "const rows = () => [...$('b-list').querySelectorAll('[role=option]')].map((r) => r.textContent);"
            "const shown = () => $('b-detail').dataset.sample;"
            "await wait(() => shown());"
            "let said; try { said = await (async () => {" + statements + "})(); } catch (e) { said = 'ERROR ' + e; }"
            "const out = document.createElement('pre'); out.id = 'said'; out.textContent = String(said); document.body.append(out);"
            "})();</script>"
        )
        copy = tmp_path / "driven.html"
        copy.write_text(text.replace("</body>", script + "</body>"), encoding="utf-8")
        done = subprocess.run(
            [
                CHROMIUM,
                *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
                *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
                f"--user-data-dir={tmp_path / 'profile'}",
                f"--window-size={width},900",
                "--virtual-time-budget=8000",
                "--dump-dom",
                copy.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        found = re.search(r'<pre id="said">(.*?)</pre>', done.stdout, re.DOTALL)
        assert found, done.stdout[-500:] + done.stderr[-1500:]
        return found[1]

    return run


def scores_of(tidy, task, metric, system):
    rows = tidy[(tidy["task"] == task) & (tidy["metric"] == metric) & (tidy["system"] == system)]
    return dict(zip(rows["sample"], rows["value"].round(3), strict=True))


def test_the_worst_answer_comes_first_and_keys_walk_on(page, drive):
    said = drive(
        "const list = $('b-list'); const first = shown(); key(list, 'ArrowDown'); const second = shown();"
        "key(list, 'End'); const last = shown(); key(list, 'Home');"
        "return [first, second, last, shown(), list.getAttribute('aria-activedescendant')].join(' ');"
    )
    scores = scores_of(page[1], "json", "field_f1", "nano_1000")
    order = sorted(scores, key=lambda sample: (scores[sample], sample))
    assert said.split() == [order[0], order[1], order[-1], order[0], "b-row-0"]


def test_task_system_and_order_can_be_chosen(page, drive):
    said = drive(
        "pick('b-task', 'ner'); await wait(() => shown().startsWith('ner'));"
        "pick('b-focus', 'dictionary'); pick('b-sort', 'worst');"
        "return shown() + ' ' + [...document.querySelectorAll('.card[data-system]')].map((c) => c.dataset.system).join(' ');"
    )
    scores = scores_of(page[1], "ner", "entity_f1", "dictionary")
    assert said.split() == [min(scores, key=lambda s: (scores[s], s)), "dictionary", "nano_untuned", "nano_1000"]


def test_the_largest_disagreement_comes_first(page, drive):
    first = drive("pick('b-sort', 'gap'); return shown();")
    a, b = (scores_of(page[1], "json", "field_f1", name) for name in ("nano_untuned", "nano_1000"))
    assert first == max(sorted(a), key=lambda s: round(abs(a[s] - b[s]), 9))


def test_invented_values_are_marked_and_can_come_first(drive):
    said = drive(
        "pick('b-sort', 'made'); const bad = [...document.querySelectorAll('li.bad')].map((li) => li.textContent);"
        "return rows()[0] + '|' + bad.join(',') + '|' + document.querySelectorAll('mark.h').length;"
    )
    row, bad, marks = said.split("|")
    assert row.endswith("1 invented") and "不存在的人" in bad and int(marks) >= 1


def test_gold_and_answered_values_are_highlighted_in_the_source(drive):
    said = drive(
        "key($('b-list'), 'End'); const marks = (c) => [...document.querySelectorAll(`#b-detail > .text mark[class='${c}']`)].length;"
        "const hits = document.querySelectorAll('.card[data-system=nano_1000] li.hit').length;"
        "return [marks('g a'), hits].join(' ');"
    )
    both, hits = map(int, said.split())
    assert hits >= 1 and both >= hits


def test_the_search_box_narrows_the_list(drive):
    said = drive(
        "$('b-find').value = 'json-0007'; $('b-find').dispatchEvent(new Event('input')); const one = rows().length + ' ' + shown();"
        "$('b-find').value = 'no such text'; $('b-find').dispatchEvent(new Event('input'));"
        "return one + ' ' + $('b-count').textContent + ' ' + $('b-detail').textContent;"
    )
    assert said == "1 json-0007 0 of 30 samples No sample fits."


def test_markup_in_answers_is_shown_as_text_and_runs_nothing(drive):
    said = drive(
        "for (const d of document.querySelectorAll('#b-detail details')) d.open = true;"
        "return [document.title.startsWith('etlch report'), document.querySelectorAll('#b-detail img').length,"
        "$('b-detail').textContent.includes('<img src=x'), document.images.length].join(' ');"
    )
    assert said == "true 0 true 0"


def test_a_table_is_sorted_by_a_click_on_its_head(drive):
    said = drive(
        "const table = $('t-scores_json'); const at = [...table.tHead.rows[0].cells].findIndex((c) => c.textContent === 'Field F1');"
        "const read = () => [...table.tBodies[0].rows].map((r) => Number(r.cells[at].dataset.v));"
        "const button = table.tHead.rows[0].cells[at].querySelector('button'); button.click(); const down = read();"
        "const mark = table.tHead.rows[0].cells[at].getAttribute('aria-sort'); button.click(); const up = read();"
        "return JSON.stringify([down, up, mark]);"
    )
    import json

    down, up, mark = json.loads(said)
    assert down == sorted(down, reverse=True) and up == sorted(up) and mark == "descending" and len(set(down)) > 3


def test_comparisons_are_filtered_by_task_metric_and_system(drive):
    said = drive(
        "const seen = () => [...$('t-comparisons').tBodies[0].rows].filter((r) => !r.hidden);"
        "const first = seen().length; pick('f-system', 'nano_100'); const second = seen().length; pick('f-task', 'kge');"
        "return [first, second, new Set(seen().map((r) => r.dataset.task + r.dataset.metric)).size, seen()[0].dataset.metric].join(' ');"
    )
    assert said == "28 7 1 triple_f1"


@pytest.mark.parametrize("width", [500, 1280])
def test_nothing_is_wider_than_the_window(drive, width):
    said = drive("return document.documentElement.scrollWidth + ' ' + innerWidth;", width)
    wide, window = map(int, said.split())
    assert wide <= window


def test_the_page_as_written_runs_under_its_own_policy(page, tmp_path):
    done = subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=5000",
            "--dump-dom",
            page[0].as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert 'data-sample="json-' in done.stdout
    assert "hacked" not in re.search(r"<title>(.*?)</title>", done.stdout)[1].replace("document.title='hacked'", "")
