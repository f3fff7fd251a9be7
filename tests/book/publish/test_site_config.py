"""What mkdocs.yml and the pages around the topics promise."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
TEXT = {
    path: path.read_text()
    for folder in ("docs", "overrides")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".css", ".js", ".html")
}


def test_only_plugins_that_another_generator_knows():
    names = [next(iter(p)) if isinstance(p, dict) else p for p in CONFIG["plugins"]]
    assert names == ["mkdocstrings"]
    assert "hooks" not in CONFIG


def test_nothing_is_loaded_from_elsewhere():
    assert CONFIG["theme"]["font"] is False
    assert CONFIG["extra"]["generator"] is False
    assert "analytics" not in CONFIG["extra"]
    assert len(TEXT) >= 6
    for path, text in TEXT.items():
        found = re.findall(r"""(?:src=|url\(|import |fetch\()["']?(?:https?:)?//[^"')\s]+""", text)
        assert not found, f"{path} loads {found}"
    assert 'data-md-component="source"' not in TEXT[ROOT / "overrides/partials/source.html"]


def test_inventories_are_local_and_current(tmp_path, monkeypatch):
    from scripts import inventories

    python = CONFIG["plugins"][0]["mkdocstrings"]["handlers"]["python"]
    for inventory in python["inventories"]:
        assert inventory["url"].startswith("file:")
        assert (ROOT / inventory["url"].removeprefix("file:")).is_file()
    monkeypatch.setattr(inventories, "FOLDER", tmp_path)
    inventories.main()
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (ROOT / "scripts/inventories" / path.name).read_bytes()


def test_api_page_leads_to_every_public_module():
    """A module is documented once, on the page of its topic or here; the table links to topics."""
    pages = {path: path.read_text() for path in (ROOT / "docs").rglob("*.md")}
    api = ROOT / "docs/api.md"
    for path in sorted((ROOT / "dlkb").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[1] == "book" or parts[-1].startswith("_"):
            continue
        module, stem = ".".join(parts), "/".join(parts[1:])
        homes = [home for home, text in pages.items() if f"::: {module}\n" in text]
        assert len(homes) == 1, f"{module} is documented on {homes}"
        if (ROOT / "docs" / f"{stem}.md") in pages:
            assert homes == [ROOT / "docs" / f"{stem}.md"]
        link = f"]({homes[0].relative_to(ROOT / 'docs')}#in-code)"
        assert homes == [api] or link in pages[api], f"docs/api.md has no link to {module}"
        if len(parts) == 3:  # a part of a package is reached through the package's row
            named = f"`{module}`" in pages[api] or homes == [api]
            assert named, f"docs/api.md does not name {module}"


def test_math_font_covers_what_pages_write():
    from fontTools.ttLib import TTFont

    from dlkb.book.publish.math import equations
    from dlkb.book.read.tex import plain, typeset

    font = TTFont(ROOT / "docs/assets/fonts/dlkb-math.woff2")
    assert "MATH" in font
    assert {0x2DC, 0xAF, 0x302, 0x1D465, 0x1D400, 0x211D, 0x1D4A9, 0x23DF} <= set(
        font.getBestCmap()
    )
    covered = set(font.getBestCmap()) | {0xFE00, *range(0x2061, 0x2065)}
    for page in (ROOT / "docs").rglob("*.md"):
        found = equations(page.read_text())
        numbers = {e.label: 1 for e in found if e.label}
        for equation in found:
            mathml = typeset(equation, numbers)
            words = re.sub(r"<[^>]*>", "", mathml)
            missing = {c for c in words if ord(c) not in covered and not c.isspace()}
            assert not missing, (
                f"{page}:{equation.line}: {missing} not in the font: {plain(mathml)}"
            )


def test_docstring_examples_are_code():
    import griffe

    from dlkb.book.publish.docstrings import Examples

    module = griffe.load(
        "dlkb.arrays",
        search_paths=[ROOT],
        docstring_parser="google",
        extensions=griffe.load_extensions(Examples()),
    )
    kinds = [section.kind.value for section in module["erf"].docstring.parsed]
    assert kinds[-1] == "examples"


def entries(rows) -> int:
    """Return how many entries of the navigation the page of a topic carries, at most."""
    inner = [row for row in rows if isinstance(row, dict)]
    below = [entries(part) for row in inner for part in row.values() if isinstance(part, list)]
    return len(rows) + max(below, default=0)


def test_the_navigation_is_grouped_and_no_page_carries_it_all():
    assert "navigation.prune" in CONFIG["theme"]["features"]
    assert len(CONFIG["nav"]) <= 8
    assert entries(CONFIG["nav"]) <= 25
    assert entries(["a.md", {"B": ["c.md", {"D": ["e.md"]}]}, {"F": ["g.md"]}]) == 3 + 2 + 1


def test_every_page_says_what_a_link_to_it_shows():
    assert 'include "partials/preview.html"' in TEXT[ROOT / "overrides/main.html"]
    said = TEXT[ROOT / "overrides/partials/preview.html"]
    for name in ("og:title", "og:description", "og:image", "og:url", "twitter:card"):
        assert f'="{name}"' in said
    assert "application/ld+json" in said


def test_the_question_on_the_home_page_opens_the_search():
    home = (ROOT / "docs" / "index.md").read_text()
    form = home[home.index("<form") : home.index("</form>")]
    assert 'name="q"' in form
    assert "action" not in form.replace("autocomplete", "")
    assert "What do you see in training?" in form
