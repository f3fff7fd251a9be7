"""What a reader takes home: a topic as notebook, script and Markdown, others as Markdown; llms.txt.

Written under `docs/` before the site is built, so that every generator copies it. Only what has
passed `hold.verify` is offered.
"""

import json
from itertools import groupby
from pathlib import Path

from dlkb.book.hold.peers import FOLDER
from dlkb.book.hold.verify import ran
from dlkb.book.publish.front_markup import generated
from dlkb.book.publish.held_markup import write_values
from dlkb.book.read.addresses import addresses
from dlkb.book.read.freshness import digest, digest_of, page_key, read_note, write
from dlkb.book.read.parts import Page
from dlkb.book.read.references import BIBLIOGRAPHY
from dlkb.book.read.topics import family_of

OUTPUT = Path("docs/downloads")
CACHE = Path(".cache/downloads.json")
MARKDOWN = "md.txt"  # a generator would make a page of what ends in .md
ENDINGS = ("ipynb", "py", MARKDOWN)


def _key(root: Path, page: Page) -> str:
    from dlkb.book.publish.notebook import commit_of

    figures = [root / "docs/assets/figures" / f"{image.name}-light.svg" for image in page.images]
    shared = [root / "mkdocs.yml", root / BIBLIOGRAPHY, root / "constraints.txt"]
    table = root / FOLDER / f"{page.stem}.py"
    return page_key(root, page, [*figures, *shared, table]) + commit_of(root)


def endings(page: Page) -> tuple[str, ...]:
    """Return in which forms a page is offered: topics in all, what leads to others in none."""
    if page.is_topic:
        return ENDINGS
    leads = page.stem.rpartition("/")[2] == "index" or generated(page.text)
    return () if leads else (MARKDOWN,)


def _make(root: Path, page: Page) -> list[bytes]:
    """Return the downloads of one page, in the order of `endings`."""
    from dlkb.book.publish.export import to_markdown, to_script
    from dlkb.book.publish.notebook import to_notebook

    if not page.is_topic:
        return [to_markdown(page, root).encode()]
    whole = ran(root, page)
    texts = (to_notebook(whole, root), to_script(whole, root), to_markdown(page, root))
    return [text.encode() for text in texts]


def write_downloads(root: Path, book: list[Page]) -> None:
    """Write the downloads that are stale, remove those of pages that are gone.

    The values of bound numbers are kept with them, for the site.

    Raises:
        PageError: If a page has not been verified as it is now.
    """
    root = root.resolve()
    cache = read_note(root / CACHE)
    for page in book:
        write_values(root, page, ran(root, page).values)
    offered = {page.stem: page for page in book if endings(page)}
    files = {
        stem: [root / OUTPUT / f"{stem}.{ending}" for ending in endings(page)]
        for stem, page in offered.items()
    }
    for stem, page in offered.items():
        key = _key(root, page)
        if cache.get(stem) == [key, *(digest_of(file) for file in files[stem])]:
            continue
        contents = _make(root, page)
        for file, content in zip(files[stem], contents, strict=True):
            write(file, content)
        cache[stem] = [key, *(digest(content) for content in contents)]
    write(root / CACHE, json.dumps({stem: cache[stem] for stem in offered}, indent=1).encode())
    wanted = {file for stem in offered for file in files[stem]}
    for path in (root / OUTPUT).rglob("*.*"):
        if path not in wanted:
            path.unlink()
    write(root / "docs" / "llms.txt", llms(root, book).encode())


def llms(root: Path, book: list[Page]) -> str:
    """Return the index of pages for language models: https://llmstxt.org."""
    known = addresses(root)
    titles = {page.stem: page.name for page in book}
    rows = [
        f"# {known.name}",
        "",
        f"> {known.description}",
        "",
        "Each link leads to a page as Markdown. Its Python fences run in order, in one namespace, "
        "and print what they show.",
    ]
    topics = [page for page in book if page.is_topic]
    sections = {"Across topics": [page for page in book if endings(page) == (MARKDOWN,)]}
    for family, members in groupby(topics, lambda page: family_of(page.stem)):
        sections[titles.get(f"{family}/index", family)] = list(members)
    for heading, listed in sections.items():
        if listed:
            rows += ["", f"## {heading}", ""]
        rows += [
            f"- [{titles[page.stem]}]({known.download(page.stem, MARKDOWN)}): "
            f"{page.meta.get('description', '')}"
            for page in listed
        ]
    rows += [
        "",
        "## Optional",
        "",
        f"- [Claims]({known.site}/claims.json): every claim with verdict, source and evidence",
        f"- [Source]({known.repository}): the formulas, their tests, the figures' scripts",
    ]
    return "\n".join(rows) + "\n"
