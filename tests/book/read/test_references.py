import pytest

from dlkb.book.read.parts import PageError
from dlkb.book.read.references import citations, cite, read_sources

BIB = """\
% Sources.

@inproceedings{kingma2015,
  author = {Kingma, Diederik P. and Ba, Jimmy},
  title = {Adam: A Method for Stochastic Optimization},
  booktitle = {ICLR},
  year = {2015},
  eprint = {1412.6980},
  confirmed = {Algorithm 1; section 2.1, on the step},
}

@article{reddi2018b,
  author = {Reddi, Sashank J. and Kale, Satyen and van der Berg, Ann},
  title = {Why {Adam}?},
  journal = {Journal},
  volume = {4},
  pages = {1--17},
  year = {2018},
  doi = {10.1/a(b)c},
}

@book{may1976,
  author = {May, Robert M.},
  title = {Maps},
  publisher = {Press},
  edition = {2nd edition},
  year = {1976},
}

@misc{team2020,
  author = {{Team} and R{\\'e}, Ada},
  title = {Notes},
  howpublished = {Blog of the team},
  year = {2020},
  confirmed = {half, 50\\%, of it},
}
"""


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/references.bib").write_text(BIB, encoding="utf-8")
    return read_sources(tmp_path)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[@kingma2015] say", "Kingma and Ba (2015) say"),
        ("[@kingma2015, section 2.1]", "Kingma and Ba (2015, section 2.1)"),
        ("[@kingma2015,\nsection 2.1]", "Kingma and Ba (2015, section 2.1)"),
        ("[@reddi2018b]", "Reddi et al. (2018b)"),
        ("[@may1976]", "May (1976)"),
        ("[@team2020]", "Team and Ré (2020)"),
        ("(see [@kingma2015])", "(see Kingma and Ba, 2015)"),
        (
            "([@may1976]; [@kingma2015, Algorithm 1])",
            "(May, 1976; Kingma and Ba, 2015, Algorithm 1)",
        ),
        ("(so) [@may1976]", "(so) May (1976)"),
        ("a) [@may1976]", "a) May (1976)"),
        ("(open\n\n[@may1976]", "(open\n\nMay (1976)"),
        ("$(0, 1]$ [@may1976]", "$(0, 1]$ May (1976)"),
    ],
)
def test_words_of_a_citation(sources, text, shown):
    links = cite(text, sources)
    words = links
    for source in sources.values():
        words = words.replace(f"]({source.url})", "]") if source.url else words
    assert words.replace("[", "").replace("]", "") == shown.replace("[", "").replace("]", "")


@pytest.mark.parametrize(
    "text",
    [
        "`[@may1976]`",
        "```text\n[@may1976]\n```",
        "<!-- [@may1976] -->",
        r"\[@may1976]",
        "[may1976]",
    ],
)
def test_no_citation_in_code_and_comments(sources, text):
    assert citations(text) == []
    assert cite(text, sources) == text


def test_citation_leads_to_the_list_on_the_site_and_to_the_source_elsewhere(sources):
    assert (
        cite("[@kingma2015]", sources) == "[Kingma and Ba (2015)](https://arxiv.org/abs/1412.6980)"
    )
    assert cite("[@kingma2015]", sources, site=True) == "[Kingma and Ba (2015)](#ref-kingma2015)"
    assert cite("[@may1976]", sources) == "May (1976)"


def test_list_holds_each_source_once_in_order(sources):
    text = "[@reddi2018b] [@kingma2015] [@reddi2018b]\n\n## References\n\n## Last\n"
    assert cite(text, sources, site=True).split("## References\n\n")[1] == (
        "- Diederik P. Kingma and Jimmy Ba (2015). *Adam: A Method for Stochastic Optimization.* "
        "ICLR. [arXiv:1412.6980](https://arxiv.org/abs/1412.6980). "
        "Looked up: Algorithm 1; section 2.1, on the step.\n"
        "  {: #ref-kingma2015 }\n"
        "- Sashank J. Reddi, Satyen Kale and Ann van der Berg (2018b). *Why Adam?* "
        "Journal 4, 1–17. [doi:10.1/a(b)c](https://doi.org/10.1/a%28b%29c).\n"
        "  {: #ref-reddi2018b }\n"
        "\n## Last\n".replace("\n\n## Last", "\n\n\n## Last")
    )
    listed = cite("## References\n", sources, keys=["may1976"])
    assert "- Robert M. May (1976). *Maps.* 2nd edition, Press.\n" in listed
    assert "{:" not in listed


def test_heading_in_a_fence_is_no_list(sources):
    text = "[@may1976]\n\n```text\n## References\n```\n"
    assert "*Maps.*" not in cite(text, sources)


def test_lines_and_places_of_citations():
    found = citations("a\n\nb [@x2000]\n[@y2001, part 2]")
    assert [(c.key, c.place, c.line) for c in found] == [("x2000", None, 3), ("y2001", "part 2", 4)]


def test_unknown_key_names_the_nearest(sources):
    with pytest.raises(PageError, match=r"no source 'kingma2014': did you mean kingma2015\?"):
        cite("[@kingma2014]", sources)
    with pytest.raises(PageError, match=r"no source 'x': add it to docs/references\.bib"):
        cite("[@x]", sources)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  year = {1976},\n", "", r"references\.bib:22: may1976 lacks year: add it"),
        ("  author = {May, Robert M.},\n", "", r"references\.bib:22: may1976 lacks author"),
        ("@book{may1976,", "@book{kingma2015,", r"references\.bib: not BibTeX: .*kingma2015"),
        ("@book{may1976,", "@book may1976,", r"references\.bib: not BibTeX"),
        ("50\\%", "50%", r"references\.bib:30: team2020, confirmed: what follows % is a comment"),
    ],
)
def test_broken_bibliography_names_file_and_entry(tmp_path, old, new, message):
    (tmp_path / "docs").mkdir()
    assert BIB.count(old) == 1
    (tmp_path / "docs/references.bib").write_text(BIB.replace(old, new), encoding="utf-8")
    with pytest.raises(PageError, match=message):
        read_sources(tmp_path)


def test_no_bibliography_is_empty(tmp_path):
    assert read_sources(tmp_path) == {}
