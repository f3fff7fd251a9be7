"""Whoever searches for a topic's name, an abbreviation or a symptom finds the page."""

import pytest

from dlkb.book.read.pages import read_book
from tests.site.conftest import ROOT, window
from tests.site.test_site import address

BOOK = {page.stem: page for page in read_book(ROOT)}

QUERIES = {
    "symptoms": """
        symptoms · troubleshooting · network does not learn · training is slow
        loss is nan · nan loss · nan gradients · nan after eigh · fp16 nan
        loss explodes · loss increases · loss diverges · loss spike · gradient norm spikes
        loss does not go down · loss not decreasing · loss does not decrease · loss stuck
        loss plateaus · 2.303 · ln(10) · initial loss too high
        lr too small · learning rate too small · learning rate too large
        vanishing gradients · exploding gradients · gradients are zero · gradients vanish
        dead relu · dying relu · dead neurons
        validation loss goes up · validation loss increases
        train accuracy above validation accuracy
        validation accuracy higher than training accuracy
        forgot model.eval() · different output every time
        weight decay does nothing · adam weight_decay · l1 not sparse · no zero weights
        optimizer state · resume from checkpoint · half precision · loss scale
        lora does not learn · lora loss does not decrease · merged twice
    """,
    "notation": "notation · symbols",
    "linear_algebra/singular_values": """
        singular values · svd · condition number · operator norm · spectral norm · determinant
        spectral radius · jacobian · power iteration · gelfand · dynamical isometry
        defective matrix
    """,
    "linear_algebra/symmetric_matrices": """
        symmetric matrices · symmetric matrix · eigenvalues · eigenvectors · complex eigenvalues
        eigh · spectral theorem · rayleigh quotient · covariance · hessian · nan after eigh
    """,
    "gradients/vanishing_exploding": """
        vanishing exploding · vanishing gradient · vanishing gradients · exploding gradient
        exploding gradients · gradient_norms · early layers do not learn
    """,
    "gradients/loss_explosion": """
        loss explosion · edge of stability · sharpness · divergence · momentum · heavy ball
        nesterov · learning rate too large · loss is nan · catapult
    """,
    "gradients/iterated_maps": """
        iterated maps · logistic map · chaos · lyapunov · cliff · recurrent network
    """,
    "gradients/clipping": """
        clipping · grad clip · gradient clipping · clip gradients · clip_grad_norm
        clip_grad_norm_ · clip_grad_value_ · max_grad_norm · clipnorm · global norm
        exploding gradients
    """,
    "initialization/signal_scale": """
        signal scale · weight initialization · initial weights · fan-in · saturation · mean field
        edge of chaos · nan at step 0 · dead network
    """,
    "initialization/xavier": """
        xavier · glorot · kaiming · he init · he initialization · lecun · orthogonal · haar
        calculate_gain · fan_in · fan_out · xavier_uniform_ · weight initialization
    """,
    "regularization/overfitting": """
        overfitting · early stopping · patience · generalization gap · generalization
        validation loss goes up · train accuracy above validation accuracy
    """,
    "regularization/l1_l2": """
        l1 l2 · l1 · l2 · lasso · ridge · elastic net · weight decay · sparse · sparsity
        soft threshold · proximal · ista · fista · l1 regularization · l2 regularization
    """,
    "regularization/dropout": """
        dropout · mc dropout · monte carlo dropout · dropconnect · keep_prob · uncertainty
        inverted dropout · variance shift · model.eval · predictions change
    """,
    "optimizers/adam": """
        adam · amsgrad · rmsprop · bias correction · epsilon · adaptive learning rate · loss scale
    """,
    "optimizers/adamw": """
        adamw · weight decay · weight_decay · decoupled weight decay · adam weight decay · l2 adam
        no_decay · decay groups
    """,
    "finetuning/lora": """
        lora · peft · rslora · qlora · low rank adaptation · parameter efficient · lora_alpha
        target_modules · rank · adapter · merge weights · fine-tuning · finetuning
        intrinsic dimension · lora does not learn
    """,
}


def queries(stem: str) -> list[str]:
    """Return what is searched for: the page's title, its name, and the words of the table."""
    words = [word.strip() for row in QUERIES[stem].split("\n") for word in row.split("·")]
    name = stem.rsplit("/", 1)[-1].replace("_", " ")
    return list(dict.fromkeys([BOOK[stem].title, name, *filter(None, words)]))


def found(page, query: str) -> list[str]:
    """Type a query into the open page's search; return where the results lead, best first."""
    field = page.locator("input.md-search__input")
    results = page.locator(".md-search-result__item > .md-search-result__link")
    for text in ("", query):
        field.fill(text)
        field.press("End")  # the search listens to keys
        if text:
            results.first.wait_for()
        else:
            page.wait_for_function("!document.querySelector('.md-search-result__item')")
    links = results.evaluate_all("all => all.map(link => link.getAttribute('href'))")
    return [link.split("?")[0].split("#")[0] for link in links]


def test_every_topic_is_searched_for():
    assert set(QUERIES) >= {page.stem for page in BOOK.values() if page.is_topic}
    assert sum(len(queries(stem)) for stem in QUERIES) >= 150


@pytest.fixture(scope="module")
def here(browser, site):
    """Open the home page once: one who searches does so again and again."""
    with window(browser, site) as visit:
        visit.go("")
        yield visit


@pytest.mark.parametrize("stem", QUERIES)
def test_search_finds_the_page_among_the_first_five(here, stem):
    missed = {}
    for query in queries(stem):
        pages = found(here.page, query)
        if f"{here.site}/{address(stem)}" not in pages[:5]:
            missed[query] = pages
    assert missed == {}
