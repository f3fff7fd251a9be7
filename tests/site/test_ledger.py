"""The ledger is filtered by verdict, topic, evidence and words; the choice is in the address."""

import json

import pytest

from tests.site.conftest import window

# At once: a locator of what is visible asks for the place of each of hundreds of rows.
SEEN = """() => [...document.querySelectorAll("li.claim")]
  .filter((row) => row.checkVisibility({visibilityProperty: true})).map((row) => row.id)"""


@pytest.fixture(scope="module")
def rows(built):
    """Return all claims."""
    return json.loads((built / "claims.json").read_text())


def shown(here) -> list[str]:
    """Return the ids of the claims that are seen."""
    return here.page.evaluate(SEEN)


def ids(rows, **wanted) -> list[str]:
    return [row["id"] for row in rows if all(row[k] == value for k, value in wanted.items())]


def test_filters_need_no_script(browser, site, rows):
    with window(browser, site, width=390, javascript=False) as here:
        here.page.goto(f"{here.site}/claims/")
        assert shown(here) == ids(rows)
        here.page.locator(".ledger-verdicts label", has_text="Refuted").click()
        assert shown(here) == ids(rows, verdict="refuted")
        here.page.select_option("[name=topic]", "optimizers/adam")
        assert shown(here) == ids(rows, verdict="refuted", topic="optimizers/adam")
        here.page.locator(".ledger-verdicts label").first.click()
        here.page.select_option("[name=topic]", "optimizers")
        family = [row["id"] for row in rows if row["topic"].startswith("optimizers/")]
        assert shown(here) == family
        here.page.select_option("[name=topic]", "all")
        here.page.select_option("[name=evidence]", "measured")
        assert shown(here) == ids(rows, evidence="measured")
        assert here.page.locator("[name=words]").is_hidden(), "which needs a script"
        assert here.page.locator("output").is_hidden()


def test_words_and_the_address(visit, rows):
    here = visit()
    here.go("claims/")
    here.page.fill("[name=words]", "BIAS adam")
    words = shown(here)
    assert 0 < len(words) < 20
    for row in rows:
        text = f"{row['statement']} {row['topic']}".lower()
        assert row["id"] in words or not ("bias" in text and "adam" in text)
    here.page.fill("[name=words]", "c-035")
    assert shown(here) == ["c-035"]
    assert here.page.locator("output").inner_text() == f"1 of {len(rows)} claims"
    here.page.fill("[name=words]", "")
    here.page.select_option("[name=topic]", "optimizers/adam")
    here.page.locator(".ledger-verdicts label", has_text="Refuted").click()
    left = shown(here)
    assert left == ids(rows, verdict="refuted", topic="optimizers/adam")
    assert here.page.url.endswith("/claims/?verdict=refuted&topic=optimizers%2Fadam")
    here.page.goto(f"{here.page.url}&words=c-0")
    assert shown(here) == [name for name in left if name.startswith("c-0")]
    assert here.page.locator("[name=words]").input_value() == "c-0"
    here.page.locator(".ledger-verdicts label").first.click()
    here.page.select_option("[name=topic]", "all")
    here.page.fill("[name=words]", "")
    assert here.page.url.endswith("/claims/")
    assert shown(here) == ids(rows)
    here.go("claims/?topic=no/such&verdict=none")
    assert shown(here) == ids(rows), "what is no choice is not chosen"
    assert here.complaints == []


def test_a_phone_shows_all_of_the_filter(visit):
    here = visit("light", 390)
    here.go("claims/")
    width = here.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    for box in here.page.locator(".ledger-filter :is(select, input[type=search], label)").all():
        placed = box.bounding_box()
        assert placed["x"] >= 0
        assert placed["x"] + placed["width"] <= 390
