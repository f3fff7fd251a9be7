"""The math extension: what is math, what it becomes, and what it says when it cannot."""

import re

import markdown
import pytest

from dlkb.book.publish.math import Equation, MathError, check, equations, plain

EXTENSIONS = [
    "tables",
    "attr_list",
    "md_in_html",
    "toc",
    "footnotes",
    "pymdownx.highlight",
    "pymdownx.superfences",
    "pymdownx.blocks.admonition",
    "dlkb.book.publish.math",
]


def html(text, docs="docs"):
    return markdown.markdown(
        text,
        extensions=EXTENSIONS,
        extension_configs={"dlkb.book.publish.math": {"docs": str(docs)}},
    )


def count(text):
    return html(text).count("<math")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$x$", 1),
        ("a $x_1$ b $x_2$ c", 2),
        ("**$x$** and *a $y_*$ b*", 2),
        ("($x$), “$y$”; $z$-axis", 3),
        ("# The power $W^k$", 1),
        ("- item\n\n    $$\n    a \\\\\n    b\n    $$", 1),
        ("| a | b |\n|---|---|\n| $|x|$ | $\\|y\\|$ |", 2),
        ("> quoted\n> $$\n> a\n> $$", 1),
        ("/// note | About $x$\n$$\ny\n$$\n///", 2),
        ('<div markdown="1">\n\n$x$\n\n</div>', 1),
        ("note[^1]\n\n[^1]: with $x$", 1),
        ("[link $x$](#a)", 1),
        ("$a$\n$$b$$\n$c$", 3),
        ("$a\n+ b$", 1),
        ("$$a \\$ b$$", 1),
    ],
)
def test_math_is_found(text, expected):
    assert count(text) == expected
    assert "\x02" not in html(text)
    assert "$" not in re.sub(' data-tex="[^"]*"', "", html(text)).replace(
        r"<mi>$</mi>", ""
    ).replace("<mo>$</mo>", "")


@pytest.mark.parametrize(
    "text",
    [
        r"costs \$5 or \$6",
        "costs $5 or $6",
        "$ x $",
        "`$x$`",
        "`` `$x$` ``",
        "```python\n$x$\n```",
        "~~~\n```\n$$x$$\n```\n~~~",
        "- a\n\n    ```text\n    $$\n    x\n    $$\n    ```",
        "/// note | t\n```text\n$x$\n```\n///",
        "text\n\n    indented $x$\n",
        "<pre>$x$</pre>",
        "<!-- $x$ -->",
        "a $b\n\nc$ d",
    ],
)
def test_what_is_not_math_stays(text):
    assert count(text) == 0
    assert html(text).count("$") == text.replace(r"\$", "$").count("$")


def test_a_failing_equation_in_code_is_nobodys_business():
    assert r"$\nope$" in html("text\n\n    indented $\\nope$\n")


def test_markdown_leaves_tex_alone():
    out = html(r"$a_i b_j * c * d < e & f \\ g$".replace("&", r"\&"))
    assert "<em>" not in out
    assert out.count("<math") == 1


def test_numbers_and_links():
    text = (
        "See $\\eqref{eq:b}$.\n\n$$\na \\label{eq:a}\n$$\n\n$$x$$\n\n"
        "$$\\label{eq:b} b$$\n\nBy $\\eqref{eq:a}$."
    )
    out = html(text)
    assert '<a class="eq-ref" href="#eq-b">(2)</a>' in out
    assert '<a class="eq-ref" href="#eq-a">(1)</a>' in out
    assert re.search(r'<div class="equation"[^>]* id="eq-a"><span class="eq-body"><math', out)
    assert re.search(r'</math></span><a class="eq-number" href="#eq-b"[^>]*>\(2\)</a>', out)
    assert out.count("eq-number") == 2
    assert "label{" not in out


def test_a_display_inside_a_paragraph_is_valid_html():
    out = html("Therefore\n$$\na\n$$\nas said.")
    assert re.fullmatch(r"<p>Therefore\n<span class=\"equation\".*</span>\nas said.</p>", out)


def test_the_search_index_gets_words():
    assert '<div class="equation" data-search-exclude="">' in html("$$x$$")
    out = html(r"as $10^{-3} < \eta$")
    assert '<math data-search-exclude="" data-tex=' in out
    assert out.endswith("</math><span hidden>10^−3&lt;η</span></p>")


def test_the_table_of_contents_is_text():
    md = markdown.Markdown(extensions=EXTENSIONS)
    out = md.convert("# Growth of $\\mathbf{W}^k$ & more\n\n## $\\frac{a}{b}$ {#own}")
    top = md.toc_tokens[0]
    assert top["name"] == "Growth of W^k &amp; more"
    assert top["children"][0]["name"] == "a/b"
    assert top["children"][0]["id"] == "own"
    assert re.match(r'<h1 id="growth-of-w?k-more">Growth of <math data-tex="[^"]*">', out)


def test_alt_text_holds_no_markup():
    assert 'alt="the curve σ(x)"' in html(r"![the curve $\sigma(x)$](a.png)")


def test_pages_do_not_share_numbers():
    md = markdown.Markdown(extensions=EXTENSIONS)
    for _ in range(2):
        md.reset()
        assert "(1)" in md.convert("$$x \\label{eq:x}$$")
    md.reset()
    with pytest.raises(MathError, match="no equation is labelled 'eq:x'"):
        md.convert(r"$\eqref{eq:x}$")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (r"$\nope$", r"Unknown command .\\nope"),
        (r"$\frac{a$", "Expected"),
        (r"$\eqref{eq:none}$", "no equation is labelled 'eq:none'"),
        (r"$a \eqref{eq:none}$", "stands alone"),
        ("$$a \\label{eq:a}$$\n\n$$b \\label{eq:a}$$", "used twice"),
        (r"$$a \label{a}$$", "spelt eq:some-name"),
        (r"$a \label{eq:a}$", "only displays"),
        (r"$$a \tag{1}$$", r"\\tag: use"),
        (r"$$\begin{align} a \end{align}$$", "aligned"),
    ],
)
def test_errors_name_file_and_line(text, message, tmp_path):
    (tmp_path / "family").mkdir()
    page = tmp_path / "family" / "topic.md"
    page.write_text("---\ntitle: t\n---\n\n" + text)
    with pytest.raises(MathError, match=rf"family/topic\.md:[57]: .*{message}"):
        html(text, docs=tmp_path)
    ((line, said),) = check(page.read_text())
    assert line in (5, 7)
    assert re.search(message, said)


def test_equations_of_a_page():
    page = (
        "---\ntitle: costs $5$\n---\n# A $x$\n\n$$\ny \\label{eq:y}\n$$\n\n"
        "```\n$n$\n```\n> $$\n> z\n> $$\n"
    )
    assert equations(page) == [
        Equation(4, "x", False, None),
        Equation(6, "y", True, "eq:y"),
        Equation(13, "z", True, None),
    ]
    assert check(page) == []


def test_a_relation_at_the_start_of_a_line_survives():
    assert "&gt;" in html("$$\na\n> 0\n$$")


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"\mathbf{W}^k_{ij}", "W_ij^k"),
        (r"\sqrt{v} \le \mathcal{N}", "√v≤N"),
        (r"\lVert x \rVert_2", "‖x‖_2"),
    ],
)
def test_plain(tex, expected):
    mathml = re.search("<math.*</math>", html(f"$${tex}$$"))[0]
    assert plain(mathml) == expected
