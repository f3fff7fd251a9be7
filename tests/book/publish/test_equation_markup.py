"""What stands around an equation: number, mark, note, TeX, and the text that touches math."""

import re

import markdown
import pytest
from bs4 import BeautifulSoup

from dlkb.book.publish.equation_markup import flat_primes, link, mark_symbols
from dlkb.book.publish.math import MathError
from dlkb.book.read.notation import symbols
from dlkb.book.read.pages import read_page
from dlkb.book.read.tex import Equation, parse_mathml, typeset

NOTATION = r"""# Notation

| letter | means | in code | shape, range | on |
|---|---|---|---|---|
| η | learning rate | `lr` | ≥ 0 | |
| $m$, $v$ | first and second moment | `state.m`, `state.v` | like $\theta$ | optimizers |
| $\hat m$ | **corrected** | – | – | optimizers |
| $\lambda_i$ | eigenvalue | `lam` | – | |
| λ | decay | `weight_decay` | ≥ 0 | optimizers |
| λ | exponent | – | – | optimizers/adam |
"""
TEXT = r"""# Adam

$$ x = \eta\,\hat m_t + v + \lambda_2 + h' \label{eq:step} $$

/// tied | `dlkb.optimizers.adam.step(eta, v)`
    attrs: {data-equation: "eq:step", data-where: "0 < eta < 1"}

Read as `eta*v < 3`.
///

$$ y $$

::: dlkb.optimizers.adam
"""


def tree(tex):
    return parse_mathml(typeset(Equation(1, tex, True, None), {}))


@pytest.fixture
def docs(tmp_path):
    (tmp_path / "docs/optimizers").mkdir(parents=True)
    (tmp_path / "docs/notation.md").write_text(NOTATION)
    (tmp_path / "docs/optimizers/adam.md").write_text(f"---\ntitle: Adam\n---\n\n{TEXT}")
    return tmp_path / "docs"


def rendered(text, docs):
    out = markdown.markdown(
        text,
        extensions=["attr_list", "pymdownx.blocks.admonition", "dlkb.book.publish.math"],
        extension_configs={
            "dlkb.book.publish.math": {"docs": str(docs)},
            "pymdownx.blocks.admonition": {"types": ["tied"]},
        },
    )
    return BeautifulSoup(out, "html.parser")


def test_a_tied_equation_has_a_mark_whose_note_says_what_it_is_tested_against(docs):
    page = rendered(TEXT, docs)
    box = page.find(id="eq-step")
    mark = box.find("button", class_="tested")
    note = box.find(id=mark["popovertarget"])
    assert mark.text == "✓"
    assert mark["aria-label"] == "About equation 1, tested"
    assert "popover" in note.attrs
    assert "Tested against dlkb.optimizers.adam.step(eta, v)" in note.text
    assert note.find("a")["href"] == "#dlkb.optimizers.adam.step"
    assert [code.text for code in note.find_all("code")][1:3] == ["0 < eta < 1", "eta*v < 3"]
    assert page.find(class_="admonition") is None
    assert "data-search-exclude" in box.attrs


def test_an_equation_that_is_not_tied_says_nothing_of_tests(docs):
    boxes = rendered(TEXT, docs).find_all(class_="equation")
    assert len(boxes) == 2
    assert boxes[1].find(class_="tested") is None
    assert "Tested" not in boxes[1].text
    assert boxes[1].find(class_="eq-number") is None
    assert boxes[1].find(class_="copy-tex")


def test_only_the_button_is_a_stop_for_the_keyboard(docs):
    box = rendered(TEXT, docs).find(id="eq-step")
    assert box.find(class_="eq-number")["tabindex"] == "-1"
    inside = box.find(class_="eq-note").find_all(["a", "button"])
    assert [item["href"] for item in inside if item.name == "a"][-1] == "#eq-step"


def test_the_tex_is_there_without_its_label(docs):
    maths = rendered(TEXT, docs).select(".eq-body math")
    assert maths[0]["data-tex"] == r"x = \eta\,\hat m_t + v + \lambda_2 + h'"
    assert rendered("as $a < b$", docs).math["data-tex"] == "a < b"


def test_letters_are_marked_with_their_row_of_the_notation(docs):
    box = rendered(TEXT, docs).find(id="eq-step")
    rows = [row.text for row in box.select("[data-row]")]
    assert len(rows) == 4
    assert rows[0] == "η: learning rate; lr; ≥ 0"
    assert rows[1] == "mˆ: corrected"
    assert rows[2] == "m, v: first and second moment; state.m, state.v; like θ"
    assert rows[3] == "λi: eigenvalue; lam"
    marked = {found["data-symbol"]: found.text for found in box.select("[data-symbol]")}
    assert marked == {"0": "η", "1": "mˆ", "2": "v", "3": "λ2"}


def test_a_tie_of_no_equation_is_an_error_with_its_place(docs):
    wrong = TEXT.replace('"eq:step"', '"eq:stop"')
    (docs / "optimizers/adam.md").write_text(wrong)
    with pytest.raises(MathError, match="no equation is labelled 'eq:stop'"):
        rendered(wrong, docs)


@pytest.mark.parametrize(
    ("stem", "means"),
    [("optimizers/adam", "exponent"), ("optimizers/adamw", "decay"), ("gradients/clipping", None)],
)
def test_the_row_nearest_to_the_page_explains_a_letter(stem, means):
    found = symbols(NOTATION, stem).get("<mi>λ</mi>")
    assert (found and found.means) == means


def test_a_letter_matches_in_whatever_way_it_is_written():
    known = symbols("| letter | m | c | s |\n|---|---|---|---|\n| ε | small | – | – |", "a/b")
    for tex in (r"\epsilon", r"\varepsilon", "ε", r"\frac{\epsilon}{2}"):
        assert [row.means for row in mark_symbols(tree(tex), known)] == ["small"]
    assert mark_symbols(tree(r"\mathbf{e}"), known) == []


@pytest.mark.parametrize(
    ("tex", "shown"),
    [
        ("h'", "<mrow>h P</mrow>"),
        ("h'_l", "<mrow><msub>h l</msub> P</mrow>"),
        ("f'^2", "<msup><mrow>f P</mrow> 2</msup>"),
        ("f''", "<mrow>f P</mrow>"),
        ("x^2", "<msup>x 2</msup>"),
        (r"\frac{f'}{2}", "<mfrac><mrow>f P</mrow> 2</mfrac>"),
    ],
)
def test_primes_stand_beside_their_letter_without_space(tex, shown):
    root = tree(tex)
    flat_primes(root)

    def said(node):
        if node.get("class") == "prime":
            assert (node.get("lspace"), node.get("rspace")) == ("0", "0")
            return "P"
        if not len(node):
            return node.text
        inner = " ".join(map(said, node))
        return inner if node.tag == "math" else f"<{node.tag}>{inner}</{node.tag}>"

    assert said(root) == shown


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("as $x$, then", r"<math .*</span>,"),
        ("($x$) then", r"\(<math .*</span>\)"),
        ("an $n$-th", r"<math .*</span>-th"),
    ],
)
def test_punctuation_stays_with_its_math(text, kept, docs):
    out = str(rendered(text, docs))
    assert re.search(rf'<span class="unbroken">{kept}</span>', out)


@pytest.mark.parametrize("text", ["as $x$ then", "$$ x $$", "*a* $x$ *b*"])
def test_math_that_touches_nothing_is_left_alone(text, docs):
    assert "unbroken" not in str(rendered(text, docs))


def test_a_function_that_another_page_documents_is_not_linked(docs):
    page = read_page(docs / "optimizers/adam.md", docs)
    assert link("dlkb.optimizers.adam.step(x)", page) == "#dlkb.optimizers.adam.step"
    assert link("dlkb.optimizers.adamw.step(x)", page) is None
    assert link("dlkb.optimizers.adam.step(x)", None) is None
