"""Lay out the files of a new topic: each says in comments what is still to be written in it."""

import re
from pathlib import Path
from string import Template

from dlkb.book.read.freshness import write
from dlkb.book.read.parts import PageError
from dlkb.book.read.topics import family_of, files_of

SKELETON = Path(__file__).parent / "skeleton"
TAKEN = ("arrays", "assets", "book", "downloads", "experiments", "figures", "front", "nn", "optim")
"""Names that mean something else in `dlkb/`, `docs/`, `tests/` or `scripts/figures/`."""

_STEM = re.compile(r"([a-z][a-z0-9_]*)/([a-z][a-z0-9_]*)")
_INDEX = re.compile(r"( +)- (\w+)/index\.md")


def lay_out(root: Path, stem: str) -> list[Path]:
    """Write the files of a topic, and enter it in the navigation and in `docs/claims.toml`.

    The files run and keep the rules of form, so that each can be filled in turn; `dlkb check`
    lists what is still to be written.

    Returns:
        What was written or changed, from the root of the checkout.

    Raises:
        PageError: If `stem` is not like optimizers/adam, its family's name has another meaning, or
            one of the files is there.
    """
    named = _STEM.fullmatch(stem)
    if not named or named[1] in TAKEN or named[2] == "index":
        raise PageError(
            f"'{stem}' is no name for a topic: choose family/topic, of small letters, digits, _, "
            f"as in optimizers/adam; the family is none of {', '.join(TAKEN)}"
        )
    texts = {path: _filled(what, stem) for what, path in files_of(stem).items()}
    if there := [path for path in texts if (root / path).exists()]:
        raise PageError(f"{root / there[0]} is there already: edit it, or choose another name")
    texts |= _family(root, stem)
    navigation = (root / "mkdocs.yml").read_text(encoding="utf-8")
    texts[Path("mkdocs.yml")] = with_entry(navigation, stem)
    claims = (root / "docs" / "claims.toml").read_text(encoding="utf-8")
    texts[Path("docs/claims.toml")] = f'{claims.rstrip()}\n\n["{stem}"]\nclaims = []\n'
    for path, text in texts.items():
        write(root / path, text.encode())
    return sorted(texts)


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _filled(what: str, stem: str) -> str:
    family, topic = stem.split("/")
    return Template((SKELETON / f"{what}.txt").read_text(encoding="utf-8")).substitute(
        stem=stem,
        family=family,
        topic=topic,
        module=stem.replace("/", "."),
        title=_title(topic),
        family_title=_title(family),
    )


def _family(root: Path, stem: str) -> dict[Path, str]:
    """Return what a family needs once, as far as it is not there."""
    family = family_of(stem)
    folders = (Path("dlkb"), Path("tests"), Path("tests/figures"))
    texts = {folder / family / "__init__.py": "" for folder in folders}
    texts[Path("docs") / family / "index.md"] = _filled("family", stem)
    return {path: text for path, text in texts.items() if not (root / path).exists()}


def with_entry(navigation: str, stem: str) -> str:
    """Return mkdocs.yml with a topic behind the last of its family.

    A new family stands behind the last one, in the same group.

    Raises:
        PageError: If there is no family yet.
    """
    family, topic = stem.split("/")
    lines = navigation.split("\n")
    entry = f"- {_title(topic)}: {stem}.md"
    families = [found for line in lines if (found := _INDEX.match(line))]
    if not families:
        raise PageError(f"mkdocs.yml: nav has no family to follow: enter {stem} by hand")
    known = [found for found in families if found[2] == family]
    indent, neighbour = (known or families)[-1].groups()
    last = max(n for n, line in enumerate(lines) if re.match(rf" +- .*\b{neighbour}/\w+\.md", line))
    new = [f"{indent}{entry}"]
    if not known:
        new = [f"{indent[:-4]}- {_title(family)}:", f"{indent}- {family}/index.md", *new]
    return "\n".join([*lines[: last + 1], *new, *lines[last + 1 :]])
