"""The table of symptoms is filtered by words, of the row or of what its section says first."""

from tests.site.conftest import window


def shown(here) -> list[str]:
    """Return the symptoms that are seen in the table."""
    table = here.page.locator("table", has=here.page.locator("th", has_text="symptom"))
    return table.locator("tbody tr:visible td:first-child").all_inner_texts()


def test_words_filter_the_symptoms(visit):
    here = visit()
    here.go("symptoms/")
    whole = shown(here)
    assert len(whole) >= 29
    here.page.fill(".finder input", "NaN gradients")
    assert "The loss is finite and the gradients are NaN" in shown(here)
    assert len(shown(here)) < len(whole) / 3
    here.page.fill(".finder input", "batch norm")
    left = shown(here)
    assert any("batch normalization" in name for name in left)
    assert (
        here.page.locator(".finder output").inner_text() == f"{len(left)} of {len(whole)} symptoms"
    )
    here.page.fill(".finder input", "")
    assert shown(here) == whole


def test_without_script_the_whole_table_stands(browser, site):
    with window(browser, site, width=390, javascript=False) as here:
        here.page.goto(f"{here.site}/symptoms/")
        assert len(shown(here)) >= 29
        assert here.page.locator(".finder").is_hidden()
