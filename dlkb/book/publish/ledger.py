"""The ledger: every claim of the notes, its verdict, and where the evidence runs."""

import html
import json
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any

from dlkb.book.hold.check import assignments
from dlkb.book.hold.equations import equation_counts
from dlkb.book.publish.claim_markup import LABELS, source_text
from dlkb.book.read.freshness import write
from dlkb.book.read.parts import VERDICTS, Page
from dlkb.book.read.topics import family_of

MEANING = {
    "holds": "true as it stands, with the conventions of its field",
    "conditional": "true only under conditions that the notes leave out and that practice breaks",
    "imprecise": "the idea is right, the wording or a symbol is not; who follows the idea gets the "
    "right result",
    "refuted": "who follows it gets a wrong result; the counterexample lies in the notes' own "
    "setting",
    "buggy": "code that fails or computes something else",
    "outdated": "was true",
    "opinion": "no code can decide",
    "missing": "a heading without content",
}
"""What a verdict says of the notes' statement, read in its context; as CONTRIBUTING.md has it."""

EVIDENCE = ("proved", "checked", "measured", "cited")


def claim_rows(pages: list[Page]) -> list[dict[str, Any]]:
    """Return one row a claim, ordered by its number."""
    rows = [
        {
            "id": claim.id,
            "topic": page.stem,
            "verdict": claim.verdict,
            "statement": claim.statement,
            "source": claim.source,
            "evidence": claim.evidence,
            "fences": len([fence for fence in claim.fences if fence.runnable]),
            "anchor": f"{page.stem}/#{claim.id}",
        }
        for page in pages
        for claim in page.claims
    ]
    return sorted(rows, key=lambda row: row["id"])


def _verdicts(counts: dict[str, int]) -> list[str]:
    """Return the choice of a verdict."""
    choices = {"all": "All", **{name: LABELS[name] for name in counts}}
    rows = ['<fieldset class="ledger-verdicts"><legend>Verdict</legend>']
    for value, label in choices.items():
        checked = " checked" if value == "all" else ""
        count = counts.get(value, sum(counts.values()))
        rows.append(
            f'<label><input type="radio" name="verdict" value="{value}"{checked}> '
            f'<span class="verdict {value}">{label}</span> <small>{count}</small></label>'
        )
    return [*rows, "</fieldset>"]


def _select(name: str, label: str, options: list[str]) -> str:
    return (
        f'<label>{label} <select name="{name}" autocomplete="off">'
        f'<option value="all" selected>All</option>{"".join(options)}</select></label>'
    )


def _option(value: str, label: str, count: int) -> str:
    return f'<option value="{value}">{html.escape(label)} ({count})</option>'


def _topics(rows: list[dict[str, Any]], titles: dict[str, str]) -> list[str]:
    """Return the choice of a topic, or of all topics of a family, grouped by family."""
    counts = Counter(row["topic"] for row in rows)
    groups = []
    for family, members in groupby(sorted(counts), key=family_of):
        stems = list(members)
        name = titles.get(f"{family}/index", family)
        total = sum(counts[stem] for stem in stems)
        options = [_option(family, f"All of {name}", total)]
        options += [_option(stem, titles[stem], counts[stem]) for stem in stems]
        groups.append(f'<optgroup label="{html.escape(name)}">{"".join(options)}</optgroup>')
    return groups


def _style(rows: list[dict[str, Any]]) -> str:
    """Return the filters as CSS for who has no script: with one, ledger.js is 100 times faster."""
    chosen = {
        f'[data-{name}="{row[name]}"]': f'[name="{name}"] [value="{row[name]}"]:checked'
        for row in rows
        for name in ("topic", "evidence")
    }
    chosen |= {
        f'[data-topic^="{family_of(row["topic"])}/"]': '[name="topic"] '
        f'[value="{family_of(row["topic"])}"]:checked'
        for row in rows
    }
    chosen |= {
        f'[data-verdict="{row["verdict"]}"]': f'[name="verdict"][value="{row["verdict"]}"]:checked'
        for row in rows
    }
    rules = [f".ledger:has({choice}) li:not({kept})" for kept, choice in sorted(chosen.items())]
    style = f"{', '.join(rules)} {{ display: none }}"
    return f'<style media="(scripting: none)">{style}</style>' if rules else ""


def _item(row: dict[str, Any], title: str) -> list[str]:
    source = html.escape(source_text(row["source"]))
    return [
        f'<li id="{row["id"]}" class="claim" data-verdict="{row["verdict"]}" '
        f'data-topic="{row["topic"]}" data-evidence="{row["evidence"]}" markdown="block">',
        "",
        f'<span class="verdict {row["verdict"]}">{LABELS[row["verdict"]]}</span>',
        "",
        f"{row['statement']}",
        "",
        f'<small class="provenance">[{row["id"].upper()}]({row["topic"]}.md#{row["id"]}) · '
        f"{title} · {source} · {row['evidence']}</small>",
        "",
        "</li>",
    ]


def _filters(rows: list[dict[str, Any]], titles: dict[str, str]) -> list[str]:
    verdicts = Counter(row["verdict"] for row in rows)
    evidence = Counter(row["evidence"] for row in rows)
    kinds = [
        _option(name, name.capitalize(), evidence[name]) for name in EVIDENCE if evidence[name]
    ]
    return [
        '<form class="ledger-filter" role="search" aria-label="Filter the claims">',
        *_verdicts({name: verdicts[name] for name in VERDICTS if verdicts[name]}),
        '<div class="ledger-more">',
        _select("topic", "Topic", _topics(rows, titles)),
        _select("evidence", "Evidence", kinds),
        '<label class="ledger-text">Words <input type="search" name="words" autocomplete="off" '
        'placeholder="moment, C-035, 001:16 …"></label>',
        f'<output name="count">{len(rows)} claims</output>',
        "</div>",
        "</form>",
    ]


def ledger_markdown(root: Path, pages: list[Page]) -> str:
    """Return the ledger page: filters, and one entry a claim with a deep link."""
    rows = claim_rows(pages)
    counts = [equation_counts(page) for page in pages]
    tied, used, untied = (sum(len(rows) for rows in kind) for kind in zip(*counts, strict=True))
    titles = {page.stem: page.name for page in pages}
    found = {row["verdict"] for row in rows}
    open_topics = {s: ids for s, ids in assignments(root).items() if s not in titles}
    lines = [
        "---",
        "title: Claims",
        "description: Every statement of the notes, with a verdict and the code that decides it.",
        "hide: [toc]",
        "---",
        "",
        "# Claims",
        "",
        f"{len(rows)} statements of five sets of notes, each with a verdict and the evidence for "
        "it. Proved, checked and measured evidence runs whenever the site is tested. "
        "The same list as data: [claims.json](claims.json). A verdict is wrong? See "
        "[Errata](errata.md).",
        "",
        "/// details | What the verdicts mean",
        "",
        "| verdict | the notes' statement |",
        "|---|---|",
        *(f"| {LABELS[name]} | {MEANING[name]} |" for name in VERDICTS if name in found),
        "",
        f"{tied} equations are tied to the function that computes them: a test reads the TeX that "
        "you see, compares values on every side, and fails if a sign, an exponent or a factor is "
        f"changed. {used} more are where a derivation starts; {untied} are held by neither.",
        "",
        "///",
        "",
        '<div class="ledger" data-search-exclude markdown="1">',
        "",
        _style(rows),
        "",
        *_filters(rows, titles),
        "",
        '<ol class="claims" markdown="1">',
        *(line for row in rows for line in _item(row, titles[row["topic"]])),
        "</ol>",
        "",
        "</div>",
        "",
    ]
    if open_topics:
        count = sum(len(ids) for ids in open_topics.values())
        lines += [
            "## Not yet answered",
            "",
            f"{count} claims are assigned to pages that are not written: "
            + ", ".join(f"{stem} ({len(ids)})" for stem, ids in open_topics.items())
            + ".",
            "",
        ]
    return "\n".join(lines)


def write_ledger(root: Path, pages: list[Page]) -> None:
    """Write `docs/claims.md` and `docs/claims.json`."""
    table = json.dumps(claim_rows(pages), indent=1) + "\n"
    write(root / "docs" / "claims.md", ledger_markdown(root, pages).encode())
    write(root / "docs" / "claims.json", table.encode())
