"""What holds of each page, in one visit: quiet, local, not too wide, not too long, accessible."""

from collections.abc import Iterator

import pytest

from tests.site.axe import (
    CONTRAST,
    EVERYTHING_ELSE,
    LEAN,
    OF_THE_AUTHOR,
    SAMPLES,
    findings,
    lay_out,
    unfolded,
)
from tests.site.conftest import Visit, window
from tests.site.test_site import ADDRESSES, OVERFLOW, PAGES, SHOWN, address

SCREEN = 800
MOST = {"S": 4.5, "M": 8.75, "L": 8.75}  # wanted: 4 and 8
BEFORE = "document.getElementById('statements-tested').getBoundingClientRect().top + scrollY"
SIZES = {address(page.stem): page.meta["size"] for page in PAGES if page.is_topic}
WHOLE = ["", *map(address, SHOWN)]  # looked at to the last piece of code and of math


@pytest.fixture(scope="module")
def wide(browser, site) -> Iterator[Visit]:
    with window(browser, site) as first:
        yield first


@pytest.fixture
def here(wide) -> Iterator[Visit]:
    """A tab of a window that keeps what all pages fetch."""
    tab = Visit(wide.page.context.new_page(), wide.site)
    yield tab
    tab.page.close()


@pytest.mark.parametrize("path", ADDRESSES)
def test_each_page(here, path):
    here.draw(path)
    for width in (390, 1280):
        here.page.set_viewport_size({"width": width, "height": 900})
        assert here.page.evaluate(OVERFLOW) <= 0, f"{path} is wider than {width} pixels"
    lay_out(here.page)
    if path in SIZES:
        assert here.page.evaluate(BEFORE) / SCREEN <= MOST[SIZES[path]], "fold, or cut"
    page = unfolded(here.page)
    if path not in WHOLE:
        page.evaluate(LEAN)
    like_others = path in SIZES and path not in WHOLE
    assert findings(page, OF_THE_AUTHOR if like_others else EVERYTHING_ELSE) == []
    assert here.complaints == []
    assert here.strangers == []
    assert page.evaluate(SAMPLES) >= 12  # the page is gone then
    assert findings(page, CONTRAST) == []
