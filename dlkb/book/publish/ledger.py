"""The ledger: every claim of the notes, its verdict, and where the evidence runs."""

import html
import json
from collections import Counter
from pathlib import Path
from typing import Any

from dlkb.book.hold.check import assignments
from dlkb.book.hold.equations import equation_counts
from dlkb.book.read.freshness import write
from dlkb.book.read.pages import VERDICTS, Page

MEANING = {
    "holds": "true as it stands",
    "conditional": "true under conditions that the notes leave out",
    "imprecise": "points the right way, says it wrongly",
    "refuted": "false",
    "buggy": "code that does not do what it says, repaired",
    "opinion": "advice that no code can decide",
    "outdated": "was true once",
    "missing": "a heading without content, filled",
}


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


def _radios(name: str, legend: str, counts: dict[str, int]) -> list[str]:
    total = sum(counts.values())
    rows = [f'<fieldset class="ledger-filter"><legend>{legend}</legend>']
    for value, count in {"all": total, **counts}.items():
        checked = " checked" if value == "all" else ""
        label = value.replace("_", " ")
        rows.append(
            f'<label><input type="radio" name="{name}" value="{value}"{checked}> '
            f"{label} <small>{count}</small></label>"
        )
    return [*rows, "</fieldset>"]


def _style(verdicts: list[str], families: list[str]) -> str:
    """Return the filter as CSS, so that it works without script."""
    rules = [
        f'.ledger:has(input[name="{name}"][value="{value}"]:checked) '
        f'li[data-{name}]:not([data-{name}="{value}"])'
        for name, values in (("verdict", verdicts), ("family", families))
        for value in values
    ]
    return f"<style>{', '.join(rules)} {{ display: none }}</style>"


def _item(row: dict[str, Any]) -> list[str]:
    family, topic = row["topic"].split("/")
    source = html.escape(row["source"])
    return [
        f'<li id="{row["id"]}" class="claim" data-verdict="{row["verdict"]}" '
        f'data-family="{family}" markdown="block">',
        "",
        f'<span class="verdict {row["verdict"]}">{row["verdict"]}</span> '
        f"[{row['id'].upper()}]({row['topic']}.md#{row['id']}) {row['statement']}",
        f'<small class="provenance">{topic.replace("_", " ")} · notes {source} · '
        f"{row['evidence']}</small>",
        "",
        "</li>",
    ]


def ledger_markdown(root: Path, pages: list[Page]) -> str:
    """Return the ledger page: counts, two filters, one entry a claim with a deep link."""
    rows = claim_rows(pages)
    counts = [equation_counts(page) for page in pages]
    tied, used, untied = (sum(len(rows) for rows in kind) for kind in zip(*counts, strict=True))
    verdicts = Counter(row["verdict"] for row in rows)
    families = Counter(row["topic"].split("/")[0] for row in rows)
    by_verdict = {name: verdicts[name] for name in VERDICTS if verdicts[name]}
    by_family = dict(sorted(families.items()))
    written = {page.stem for page in pages}
    open_topics = {s: ids for s, ids in assignments(root).items() if s not in written}
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
        f"{tied} equations are tied to the function that computes them: a test reads the TeX that "
        "you see, compares values on every side, and fails if a sign, an exponent or a factor is "
        f"changed. {used} more are where a derivation starts; {untied} are held by neither.",
        "",
        "| verdict | means | claims |",
        "|---|---|---|",
        *(f"| {name} | {MEANING[name]} | {count} |" for name, count in by_verdict.items()),
        "",
        '<div class="ledger" markdown="1">',
        "",
        _style(list(by_verdict), list(by_family)),
        "",
        *_radios("verdict", "Verdict", by_verdict),
        *_radios("family", "Family", by_family),
        "",
        '<ol class="claims" markdown="1">',
        *(line for row in rows for line in _item(row)),
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
