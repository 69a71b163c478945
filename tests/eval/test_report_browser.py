"""The report in a real browser: headless Chromium opens it, sorts, filters and walks through the samples by keyboard."""

import html
import json
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

# each of these runs in the opened page, one after the other, and returns something to look at
STEPS = {
    "keys": """
        const list = $('b-list'), first = shown();
        key(list, 'ArrowDown'); const second = shown();
        key(list, 'End'); const last = shown();
        key(list, 'Home');
        return [first, second, last, shown(), list.getAttribute('aria-activedescendant')];""",
    "task": """
        pick('b-task', 'ner'); await wait(() => shown().startsWith('ner'));
        pick('b-focus', 'dictionary');
        return [shown(), ...[...document.querySelectorAll('.card[data-system]')].map((c) => c.dataset.system)];""",
    "gap": "pick('b-sort', 'gap'); return shown();",
    "made": """
        pick('b-sort', 'made');
        const bad = [...document.querySelectorAll('li.bad')].map((li) => li.textContent);
        return [rows()[0], bad, document.querySelectorAll('mark.h').length];""",
    "source": """
        key($('b-list'), 'End');
        const both = document.querySelectorAll("#b-detail > .text mark[class='g a']").length;
        return [both, document.querySelectorAll('.card[data-system=gemma_1000] li.hit').length];""",
    "search": """
        find('json-0007'); const one = [rows().length, shown()];
        find('第3段談到'); one.push(rows().length > 1);
        find('no such text');
        return [...one, $('b-count').textContent, $('b-detail').textContent];""",
    "markup": """
        for (const d of document.querySelectorAll('#b-detail details')) d.open = true;
        return [document.title, $('b-detail').textContent.includes('<img src=x'), document.images.length];""",
    "sort": """
        const table = $('t-scores_json'), cells = [...table.tHead.rows[0].cells];
        const at = cells.findIndex((c) => c.textContent === 'Field F1');
        const read = () => [...table.tBodies[0].rows].map((r) => parseFloat(r.cells[at].textContent));
        const button = cells[at].querySelector('button');
        button.click(); const down = read(), mark = cells[at].getAttribute('aria-sort');
        button.click();
        return [down, mark, read()];""",
    "filter": """
        const seen = () => [...$('t-comparisons').tBodies[0].rows];
        const all = seen().length;
        pick('f-system', 'gemma_100'); const some = seen().length;
        pick('f-task', 'kge');
        const head = $('t-comparisons').tHead.rows[0].cells[8]; head.querySelector('button').click();
        const read = () => seen().map((r) => parseFloat(r.cells[8].textContent.replace('−', '-')));
        const down = read(); pick('f-system', '');
        const first = seen()[0].cells;
        return [all, some, [...new Set(seen().map((r) => r.cells[2].textContent + ' ' + r.cells[3].textContent))], head.textContent,
                down, read(), [...first].slice(0, 2).map((c) => c.textContent), first[0].tagName + first[8].className];""",
    "width": "return [document.documentElement.scrollWidth, document.documentElement.clientWidth];",
    "phone": """
        const root = document.documentElement;
        root.style.width = '375px'; // narrower than Chromium's narrowest window
        const wide = [...document.querySelectorAll('main *')].filter((e) => !e.closest('.scroll, svg, .list'));
        const over = wide.filter((e) => e.getBoundingClientRect().right > 375.5).map((e) => e.tagName + ' ' + e.id);
        root.style.width = '';
        return over;""",
}
HARNESS = """<script>(async () => {
const wait = async (test) => { for (let i = 0; i < 200 && !test(); i++) await new Promise((r) => setTimeout(r, 20)); };
const key = (node, name) => node.dispatchEvent(new KeyboardEvent('keydown', {key: name, bubbles: true, cancelable: true}));
const pick = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event('change', {bubbles: true})); };
const rows = () => [...$('b-list').querySelectorAll('[role=option]')].map((r) => r.textContent);
const shown = () => $('b-detail').dataset.sample;
const find = (text) => { $('b-find').value = text; $('b-find').dispatchEvent(new Event('input')); };
const reset = async () => {
  find('');
  pick('b-task', 'json'); await wait(() => (shown() || '').startsWith('json'));
  for (const box of $('b-systems').querySelectorAll('input')) {
    const on = ['gemma_untuned', 'gemma_1000'].includes(box.value);
    if (box.checked !== on) box.click();
  }
  pick('b-focus', 'gemma_1000'); pick('b-sort', 'worst');
};
const said = {};
await wait(shown);
for (const [name, step] of STEPS) {
  try { await reset(); said[name] = await step(); } catch (error) { said[name] = 'ERROR ' + error; }
}
const out = document.createElement('pre'); out.id = 'said'; out.textContent = JSON.stringify(said); document.body.append(out);
})();</script>"""


def chromium(page, profile, width=1280):
    """The page's DOM after its scripts have run."""
    done = subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={profile}",
            f"--window-size={width},900",
            "--virtual-time-budget=20000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    tidy = synthetic.tidy_table(30)
    out = tmp_path_factory.mktemp("page")
    samples = synthetic.answers(tidy, payload=PAYLOAD)
    return report.write_report(tidy, None, samples, out, experiment=PAYLOAD, cards=load_cards("tasks")), tidy


def drive(path, folder, width=1280):
    """Run STEPS in the report; step -> what it returned."""
    # the page's own policy forbids foreign scripts, the test's included
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", path.read_text(encoding="utf-8"))
    steps = ",".join(f"['{name}', async () => {{{body}}}]" for name, body in STEPS.items())
    copy = folder / "driven.html"
    copy.write_text(text.replace("</body>", HARNESS.replace("STEPS", f"[{steps}]") + "</body>"), encoding="utf-8")
    dom = chromium(copy, folder / "profile", width)
    found = re.search(r'<pre id="said">(.*?)</pre>', dom, re.DOTALL)
    assert found, dom[-800:]
    return json.loads(html.unescape(found[1]))


@pytest.fixture(scope="module")
def said(page, tmp_path_factory):
    return drive(page[0], tmp_path_factory.mktemp("desktop"))


def scores_of(page, task, metric, system):
    rows = page[1]
    rows = rows[(rows["task"] == task) & (rows["metric"] == metric) & (rows["system"] == system)]
    return dict(zip(rows["sample"], rows["value"].round(3), strict=True))


def test_the_worst_answer_comes_first_and_keys_walk_on(page, said):
    scores = scores_of(page, "json", "field_f1", "gemma_1000")
    order = sorted(scores, key=lambda sample: (scores[sample], sample))
    assert said["keys"] == [order[0], order[1], order[-1], order[0], "b-row-0"]


def test_task_and_system_can_be_chosen(page, said):
    scores = scores_of(page, "ner", "entity_f1", "dictionary")
    worst = min(scores, key=lambda sample: (scores[sample], sample))
    assert said["task"] == [worst, "dictionary", "gemma_untuned", "gemma_1000"]


def test_the_largest_disagreement_comes_first(page, said):
    a, b = (scores_of(page, "json", "field_f1", name) for name in ("gemma_untuned", "gemma_1000"))
    assert said["gap"] == max(sorted(a), key=lambda sample: round(abs(a[sample] - b[sample]), 9))


def test_invented_values_are_marked_and_can_come_first(said):
    row, bad, marks = said["made"]
    assert row.endswith("1 invented") and bad == ["人物 · 不存在的人"] and marks >= 1


def test_gold_and_answered_values_are_highlighted_in_the_source(said):
    both, hits = said["source"]
    assert hits >= 1 and both >= hits


def test_the_search_box_narrows_the_list(said):
    assert said["search"] == [1, "json-0007", True, "0 of 30 samples", "No sample fits."]


def test_markup_in_answers_is_shown_as_text_and_runs_nothing(said):
    assert said["markup"] == [f"etlch report: {PAYLOAD}", True, 0]


def test_a_table_is_sorted_by_a_click_on_its_head(said):
    down, mark, up = said["sort"]
    assert down == sorted(down, reverse=True) and up == sorted(up) and mark == "descending" and len(set(down)) > 3


def test_comparisons_are_filtered_by_task_metric_and_system_and_stay_sorted(page, said):
    every, some, shown, head, seven, all_28, pair, kinds = said["filter"]
    assert (every, some, shown, head, kinds) == (28, 7, ["kge Triple F1"], "A − B, points", "THn")
    assert (len(seven), len(all_28)) == (7, 28)
    assert seven == sorted(seven, reverse=True) and all_28 == sorted(all_28, reverse=True)
    a, b = (scores_of(page, "kge", "triple_tp", name) for name in pair)
    assert sum(a.values()) > sum(b.values())


def test_nothing_is_wider_than_the_window_on_desktop_and_phone(page, said, tmp_path):
    narrow = drive(page[0], tmp_path, 390)
    for wide, window in (said["width"], narrow["width"]):
        assert wide <= window
    assert narrow["phone"] == []


def test_the_page_as_written_runs_under_its_own_policy(page, tmp_path):
    dom = chromium(page[0], tmp_path / "profile")
    assert 'data-sample="json-' in dom
    assert "<title>hacked</title>" not in dom
