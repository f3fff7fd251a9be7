"""The same mkdocs.yml builds with Zensical, which succeeds Material for MkDocs."""

import shutil
import subprocess
import sys

import pytest
from lxml import html

from dlkb.book.publish.site import prepare
from dlkb.book.read.book import read_book
from tests.site.conftest import ROOT

TOPICS = [page for page in read_book(ROOT) if page.is_topic]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build a copy of the sources, since Zensical writes beside its configuration."""
    prepare(ROOT)
    copy = tmp_path_factory.mktemp("zensical")
    for name in ("mkdocs.yml", "constraints.txt"):
        shutil.copy(ROOT / name, copy)
    for folder in ("docs", "dlkb", "overrides", "scripts"):
        shutil.copytree(ROOT / folder, copy / folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    ran = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return copy / "site"


@pytest.mark.parametrize("page", TOPICS, ids=lambda page: page.stem)
def test_page_has_its_math_figures_claims_and_api(built, page):
    tree = html.document_fromstring((built / page.stem / "index.html").read_text())
    assert len(list(tree.iter("math"))) > 5
    assert "$" not in tree.find(".//h1").text_content()
    sources = tree.xpath("//img/@src")
    for image in page.images:
        for theme in ("light", "dark"):
            drawn = f"-{theme}.svg"
            assert any(image.name in source and drawn in source for source in sources)
            assert (built / "assets" / "figures" / f"{image.name}{drawn}").is_file()
    ids = set(tree.xpath("//@id"))
    assert ids >= {claim.id for claim in page.claims}
    assert any(name.startswith(f"dlkb.{page.stem.split('/')[0]}") for name in ids)
