"""The page in a real browser, over the service with the fake extractor: by keyboard, in light and dark, safe and offline."""

import json

import browser
import pytest

from etlch.extract import writers
from etlch.extract.values import Extraction, Relation, Value

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="no chromium or google-chrome on the path")
TEXT = "𠮷甲在臺灣大學<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"


@pytest.fixture(scope="module")
def service(launch):
    return launch("one", "two", "max-chars=1000")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    tab = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield tab
    tab.close()


@pytest.fixture
def page(chromium, service):
    """The page, loaded, with nothing asked yet."""
    chromium.look(1200)
    chromium.open(f"{service.address}/")
    chromium.until("document.getElementById('task').options.length > 0")
    return chromium


def put(page, text, task="ner"):
    """Fill in the form and ask; returns when the answer or an error is there."""
    page.run(
        f"$('task').value = '{task}'; $('task').dispatchEvent(new Event('change')); $('text').value = {json.dumps(text)}"
    )
    page.run("$('text').focus(); $('state').textContent = ''")
    page.press("Enter", ctrl=True)
    page.until("$('state').textContent.length > 10 && $('go').getAttribute('aria-disabled') === 'false'")


def test_values_are_marked_where_they_stand_and_nested_ones_say_both(page):
    put(page, TEXT)
    marks = page.run(
        "[...document.querySelectorAll('#marked mark')].map((m) => [m.textContent, m.title, m.dataset.label])"
    )
    assert marks == [["甲", "標", "標"], ["臺灣", "地方", "地方"], ["大學", "地方", "地方"]]
    rows = page.run("[...$('values').tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent))")
    assert rows == [
        ["標", "甲", "1–2"],
        ["地方", "臺灣大學", "3–7"],
        ["地方", "臺灣", "3–5"],
        ["人物", "<b>沒有</b>", "not in the text"],
    ]
    assert page.run("$('state').textContent").startswith("4 values, answer repaired, ")
    assert page.run("[...$('problems').children].map((item) => item.textContent)") == ["one value is not in the text"]
    assert json.loads(page.run("$('json').textContent"))["values"][0]["span"] == [1, 2]


def test_markup_is_shown_as_text_and_runs_nothing(page):
    put(page, TEXT, "kge")
    assert page.run("$('marked').textContent") == TEXT
    assert page.run("document.title") == "etlch"
    assert page.run("document.querySelectorAll('#result img, #result script, #result b, #result i').length") == 0


def test_triples_are_drawn_as_a_graph_within_its_frame(page):
    put(page, "甲住在臺灣", "kge")
    labels = page.run("[...document.querySelectorAll('#graph g text')].map((node) => node.textContent)")
    assert labels == ["甲", "乙", "<i>臺灣</i>", "臺灣"]
    edges = page.run("[...document.querySelectorAll('#graph text.edge')].map((node) => node.textContent)")
    assert edges == ["認識", "住在", "住在"]
    assert page.run(
        "(() => { const box = document.querySelector('#graph svg').getBoundingClientRect();"
        "return [...document.querySelectorAll('#graph text')].every((node) => { const r = node.getBoundingClientRect();"
        "return r.left >= box.left - 1 && r.right <= box.right + 1 && r.top >= box.top - 1 && r.bottom <= box.bottom + 1 }) })()"
    )
    put(page, "甲", "ner")
    assert page.run("$('graph-part').hidden")


def test_a_model_can_be_chosen_and_the_curl_command_is_the_request(page, service):
    page.run("$('system').value = 'two'")
    put(page, "甲's")
    assert json.loads(page.run("$('json').textContent"))["system"] == "two"
    curl = page.run("$('curl').textContent")
    assert curl.startswith(f"curl {service.address}/v1/extract -H 'Content-Type: application/json' -d '")
    assert json.loads(curl.split(" -d '")[1][:-1].replace("'\\''", "'")) == {
        "text": "甲's",
        "task": "ner",
        "system": "two",
    }


def test_everything_can_be_reached_and_used_by_keyboard(page):
    seen = []
    page.run("$('task').value = 'json'; $('task').dispatchEvent(new Event('change'))")
    page.run("document.activeElement.blur()")
    for _ in range(7):
        page.press("Tab")
        seen.append(page.run("document.activeElement.id || document.activeElement.tagName"))
    assert seen == ["A", "task", "system", "keys", "text", "go", "example"]
    page.run("$('task').value = 'ner'; $('task').dispatchEvent(new Event('change'))")
    page.run("$('text').focus()")
    page.type("甲")
    page.press("Tab")
    page.press("Enter")
    page.until("!$('result').hidden")
    assert page.run("$('marked').textContent") == "甲"
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_every_control_has_a_label(page):
    nameless = "[...document.querySelectorAll('select, input, textarea')].filter((node) => !node.labels.length).length"
    assert page.run(nameless) == 0
    assert page.run(
        "[...document.querySelectorAll('[tabindex=\"0\"]')].every((node) => node.getAttribute('aria-label'))"
    )


def test_the_example_asks_for_keys_where_the_task_needs_them(page):
    page.run("$('task').value = 'json'; $('task').dispatchEvent(new Event('change'))")
    assert not page.run("$('keys-label').hidden")
    page.run("$('example').click(); $('go').click()")
    page.until("!$('result').hidden")
    assert page.run("$('text').value").startswith("林靖雯")
    assert json.loads(page.run("$('curl').textContent").split(" -d '")[1][:-1])["keys"] == ["人物", "時間", "組織"]


def test_an_error_is_said_and_hides_the_old_result(page):
    put(page, "甲")
    put(page, "甲" * 1001)
    assert page.run("[$('state').textContent, $('state').className, $('result').hidden]") == [
        "text: 1,001 characters (expected at most 1,000)", "error", True,
    ]  # fmt: skip


def test_nothing_is_wider_than_the_window_and_text_is_readable_in_light_and_dark(page):
    for width, dark in ((360, False), (1200, True)):
        page.look(width, dark)
        put(page, "甲在臺灣大學" * 40, "ner")
        assert page.run("[document.documentElement.scrollWidth <= innerWidth, innerWidth]") == [True, width]
        for selector in ("body", "mark", ".soft", "#legend span", "#go"):
            assert contrast(page, selector) >= 4.5, (selector, dark)


def contrast(page, selector):
    """WCAG 2 contrast of an element's text and the first background behind it."""
    return page.run(
        "(() => { let node = document.querySelector('" + selector + "'); const ink = getComputedStyle(node).color;"
        "const of = (value) => value.match(/[\\d.]+/g).map(Number);"
        "while (node.parentElement && of(getComputedStyle(node).backgroundColor)[3] === 0) node = node.parentElement;"
        "const light = (value) => of(value).slice(0, 3).map((c) => c / 255).map((c) => c <= 0.03928 ? c / 12.92 :"
        " ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);"
        "const both = [light(ink), light(getComputedStyle(node).backgroundColor)].sort();"
        "return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05) })()"
    )


def test_the_page_asks_no_other_host(page, service):
    put(page, TEXT, "kge")
    asked = {address for address in page.requests if not address.startswith("data:")}
    assert asked and all(address.startswith(service.address) for address in asked)


def test_the_page_of_etlch_extract_shows_its_documents(chromium, tmp_path):
    def value(text, span=None, label="地方"):
        return Value(label, text, span)

    ends = (value("甲", (1, 2), ""), value("大學", None, ""))
    found = [
        Extraction(
            "a.txt", "ner", TEXT, values=(value("臺灣大學", (3, 7)), value("臺灣", (3, 5)), value("<b>沒有</b>"))
        ),
        Extraction(
            "b.txt", "kge", "𠮷甲", "zh", values=ends, triples=(Relation(ends[0], "在", ends[1]),), part="triples"
        ),
    ]
    with (tmp_path / "found.html").open("w", encoding="utf-8") as file:
        writers.writer("", tmp_path / "found.html", True)(file, found)
    chromium.open(f"file://{tmp_path}/found.html")
    assert chromium.run("[...document.querySelectorAll('section > h2:first-child')].map((h) => h.textContent)") == [
        "a.txt (ok)", "b.txt (ok)",
    ]  # fmt: skip
    assert chromium.run("[...document.querySelectorAll('.marked')].map((m) => m.textContent)") == [TEXT, "𠮷甲"]
    assert chromium.run("[...document.querySelectorAll('mark')].map((m) => m.textContent)") == ["臺灣", "大學", "甲"]
    assert chromium.run("[...document.querySelectorAll('td.lost')].length") == 2
    assert chromium.run("[...document.querySelectorAll('.graph text.edge')].map((t) => t.textContent)") == ["在"]
    assert chromium.run("document.title + document.querySelectorAll('form, img, [id=json]').length") == "etlch0"


def test_the_key_is_asked_for_on_the_page(chromium, launch):
    locked = launch(key="geheim")
    chromium.open(f"{locked.address}/")
    chromium.until("!document.getElementById('key-label').hidden")
    assert chromium.run("$('state').textContent").startswith("the API key is missing")
    chromium.run("$('key').value = 'geheim'; $('key').dispatchEvent(new Event('change'))")
    chromium.until("$('task').options.length > 0")
    put(chromium, "甲")
    assert chromium.run("$('marked').textContent") == "甲"
    assert "geheim" not in chromium.run("$('curl').textContent")
