"""What a first visit transfers, compressed as GitHub Pages compresses it."""

import gzip
from pathlib import PurePosixPath

import pytest

from tests.site.test_site import TOPICS, address

COMPRESSED = (".woff2", ".png", ".webp", ".jpg")
PAGE, SCRIPT = 500_000, 60_000


@pytest.mark.parametrize("rank", range(3))
def test_first_visit_is_light(visit, built, rank):
    def weight(stem: str) -> int:
        return (built / address(stem) / "index.html").stat().st_size

    stem = sorted(TOPICS, key=weight)[-1 - rank]  # the heaviest
    here = visit(width=1280)
    responses = []
    here.page.on("response", lambda response: responses.append(response))
    here.go(address(stem))
    sizes = {}
    for response in responses:
        name = response.url.removeprefix(here.site).split("#")[0] or "/"
        body = response.body()
        packed = PurePosixPath(name).suffix in COMPRESSED
        sizes[name] = len(body if packed else gzip.compress(body))
    assert "/assets/fonts/dlkb-math.woff2" in sizes
    assert not any(name.startswith(("/search/", "/assets/rank.js")) for name in sizes)
    own = {
        name: size
        for name, size in sizes.items()
        if name.endswith(".js") and not name.startswith("/assets/javascripts/")
    }
    assert own
    heaviest = sorted(sizes.items(), key=lambda item: -item[1])[:6]
    assert sum(sizes.values()) < PAGE, f"{sum(sizes.values())} bytes: {heaviest}"
    assert sum(own.values()) < SCRIPT, own


def test_the_search_index_comes_when_it_is_wanted(visit):
    here = visit()
    here.go(address(TOPICS[0]))
    with here.page.expect_response("**/search/titles.js"):
        here.page.keyboard.press("/")
