"""What a reader takes home: each topic as notebook, script and Markdown source, and llms.txt.

Written under `docs/` before the site is built, so that every generator copies it. Only what has
run is offered, so a page runs again when it, or what it imports or shows, has changed.
"""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path

from dlkb.book.draw import drawing
from dlkb.book.draw.figures import environment_with
from dlkb.book.hold.peers import FOLDER
from dlkb.book.read.addresses import addresses
from dlkb.book.read.freshness import digest, digest_of, page_key, write
from dlkb.book.read.pages import Page, PageError, read_book
from dlkb.book.read.references import BIBLIOGRAPHY

OUTPUT = Path("docs/downloads")
CACHE = Path(".cache/downloads.json")
ENDINGS = ("ipynb", "py", "md.txt")  # a generator would make a page of what ends in .md
_ENGINE = sorted(Path(__file__).parents[1].rglob("*.py"))


def _key(root: Path, page: Page) -> str:
    figures = [root / "docs/assets/figures" / f"{image.name}-light.svg" for image in page.images]
    shared = [root / "mkdocs.yml", root / BIBLIOGRAPHY, root / "constraints.txt"]
    table = root / FOLDER / f"{page.stem}.py"
    return page_key(root, page, [*_ENGINE, *figures, *shared, table])


def _make(root: str, stem: str) -> dict[str, str] | str:
    """Return the downloads of one page by ending, or why there are none. Runs in a worker."""
    from dlkb.book.publish.export import run_whole, to_markdown, to_script
    from dlkb.book.publish.held_markup import write_values
    from dlkb.book.publish.notebook import to_notebook

    try:
        page = read_book(Path(root), [stem])[0]
        session = run_whole(page)
        write_values(Path(root), page, session.bound())
        return {
            "ipynb": to_notebook(session, Path(root)),
            "py": to_script(session, Path(root)),
            "md.txt": to_markdown(page, Path(root)),
        }
    except PageError as error:
        return str(error)


def _made(root: Path, stems: list[str]) -> Iterator[tuple[str, dict[str, str] | str]]:
    """Yield the downloads of pages that run in parallel processes."""
    if not stems:
        return
    with (
        environment_with({**drawing.ENVIRONMENT, "MPLBACKEND": "agg"}),
        ProcessPoolExecutor(
            min(os.cpu_count() or 1, len(stems)), get_context("spawn"), drawing.start, (str(root),)
        ) as pool,
    ):
        yield from zip(stems, pool.map(partial(_make, str(root)), stems), strict=True)


def write_downloads(root: Path, book: list[Page]) -> list[str]:
    """Write the downloads that are stale, remove those of pages that are gone.

    Returns:
        The stems of the pages that have run.

    Raises:
        PageError: If pages do not run; it names each one's first failing fence.
    """
    root = root.resolve()
    try:
        cache = json.loads((root / CACHE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        cache = {}
    topics = {page.stem: _key(root, page) for page in book if page.is_topic}
    files = {stem: [root / OUTPUT / f"{stem}.{ending}" for ending in ENDINGS] for stem in topics}
    stale = [
        stem
        for stem, key in topics.items()
        if cache.get(stem) != [key, *(digest_of(file) for file in files[stem])]
    ]
    wrong = []
    for stem, made in _made(root, stale):
        if isinstance(made, str):
            wrong.append(made)
            cache.pop(stem, None)
            continue
        contents = [made[ending].encode() for ending in ENDINGS]
        for file, content in zip(files[stem], contents, strict=True):
            write(file, content)
        cache[stem] = [topics[stem], *(digest(content) for content in contents)]
    kept = {stem: cache[stem] for stem in topics if stem in cache}
    write(root / CACHE, json.dumps(kept, indent=1).encode())
    wanted = {file for stem in topics for file in files[stem]}
    for path in (root / OUTPUT).rglob("*.*"):
        if path not in wanted:
            path.unlink()
    if wrong:
        raise PageError("\n".join(wrong))
    write(root / "docs" / "llms.txt", llms(root, book).encode())
    return stale


def llms(root: Path, book: list[Page]) -> str:
    """Return the index of pages for language models: https://llmstxt.org."""
    known = addresses(root)
    titles = {page.stem: page.meta.get("title", page.title) for page in book}
    rows = [
        f"# {known.name}",
        "",
        f"> {known.description}",
        "",
        "Each link leads to the Markdown source of a page. Its Python fences run in order, in "
        "one namespace, and print what they show.",
    ]
    topics = (page for page in book if page.is_topic)
    for family, members in groupby(topics, lambda page: page.stem.split("/")[0]):
        rows += ["", f"## {titles.get(f'{family}/index', family)}", ""]
        rows += [
            f"- [{titles[page.stem]}]({known.download(page.stem, 'md.txt')}): "
            f"{page.meta.get('description', '')}"
            for page in members
        ]
    rows += [
        "",
        "## Optional",
        "",
        f"- [Claims]({known.site}/claims.json): every claim with verdict, source and evidence",
        f"- [Source]({known.repository}): the formulas, their tests, the figures' scripts",
    ]
    return "\n".join(rows) + "\n"
