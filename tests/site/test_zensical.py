"""The same mkdocs.yml builds with Zensical, which succeeds Material for MkDocs."""

import shutil
import subprocess
import sys

import pytest
from bs4 import BeautifulSoup

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
    soup = BeautifulSoup((built / page.stem / "index.html").read_text(), "html.parser")
    assert len(soup.find_all("math")) > 5
    assert "$" not in soup.find("h1").get_text()
    for image in page.images:
        for theme in ("light", "dark"):
            assert soup.find("img", src=lambda src, t=theme: f"-{t}.svg" in src)
            assert (built / "assets" / "figures" / f"{image.name}-{theme}.svg").is_file()
    assert {tag["id"] for tag in soup.find_all(id=True)} >= {claim.id for claim in page.claims}
    assert soup.find(id=lambda name: name and name.startswith(f"dlkb.{page.stem.split('/')[0]}"))
