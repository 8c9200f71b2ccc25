"""The pages: what they say, in both languages, and that they need nothing but themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import generate_year
import html5lib
import pytest

from hashcore import Store
from hashserver.ledger import Ledger
from hashserver.reports.figures.effect import estimate_effect
from hashserver.reports.figures.panel import connections_of, read_panel
from hashserver.reports.pages import annual, effect
from hashserver.reports.pages.annual import AnnualFigures
from hashserver.reports.pages.words import LANGUAGES, WORDS, words_for

SVG = "{http://www.w3.org/2000/svg}"
FIELDS = re.compile(r"\{(\w+)\}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "year"
    generate_year.generate(folder, scale=0.0005)
    return folder


@pytest.fixture(scope="module")
def figures(folder: Path) -> Iterator[AnnualFigures]:
    with Ledger(folder, read_only=True) as ledger, Store(folder) as store, store.read() as snapshot:
        yield annual.collect(ledger.connection, 2020, snapshot)


def parse(page: str) -> Element:
    """The page as a tree; an error where it is not well-formed HTML."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)


def text_of(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def assert_self_contained(page: str) -> None:
    """Nothing is fetched: no scripts, links, pictures, fonts or style sheets from elsewhere."""
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in page
    assert "@import" not in page
    for element in parse(page).iter():
        assert element.tag not in ("script", "link", "img", "iframe", "object", "base"), element.tag
        assert not {"src", "href", "srcset", "data", "action", "background"} & set(element.attrib), element.attrib


def assert_accessible(page: str) -> None:
    """Every chart has a title and a description, and a table beside it."""
    tree = parse(page)
    identities = [element.attrib["id"] for element in tree.iter() if "id" in element.attrib]
    assert len(identities) == len(set(identities))
    charts = [element for element in tree.iter(f"{SVG}svg") if element.get("class") == "chart"]
    assert charts
    for chart in charts:
        assert chart.attrib["role"] == "img"
        title, description = chart.find(f"{SVG}title"), chart.find(f"{SVG}desc")
        assert title is not None
        assert description is not None
        assert title.text
        assert chart.attrib["aria-labelledby"] == f"{title.attrib['id']} {description.attrib['id']}"
    pairs = [element for element in tree.iter("div") if "pair" in element.get("class", "").split()]
    assert len(pairs) == len(charts)
    assert all(pair.find(".//table/caption") is not None for pair in pairs)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_annual_report_is_one_file_with_all_in_it(figures: AnnualFigures, language: str) -> None:
    page = annual.render(figures, language)
    assert_self_contained(page)
    assert_accessible(page)
    tree = parse(page)
    assert tree.attrib["lang"] == language
    headings = [text_of(heading) for heading in tree.iter("h2")]
    words = words_for(language)
    sections = "s_growth s_phases s_categories s_types s_entries s_age s_parties s_repeated definitions"
    assert headings == [words[key] for key in sections.split()]


def test_the_annual_report_gives_the_figures(figures: AnnualFigures) -> None:
    text = text_of(parse(annual.render(figures, "en")))
    assert "In 2020, 26 connected parties checked 9.1 million hashes. Of these, 3,700 matched" in text
    usage = figures.usage
    assert usage.entries is not None
    for value in (
        *(line.checked for line in usage.months),
        *(line.hits for line in usage.categories),
        *(line.repeats for line in usage.sets),
        *(line.checked for line in usage.parties),
        *(month.bulk.checked for month in figures.phases),
        *(group.entries for group in usage.entries.ages),
        usage.entries.distinct,
        usage.entries.at_several_parties,
    ):
        assert f"{value:,}" in text


def test_the_anonymous_report_names_no_party(figures: AnnualFigures) -> None:
    assert "Provider A" in annual.render(figures, "en")
    page = annual.render(figures, "en", anonymous=True)
    assert "Provider" not in page
    assert "party 26" in page


def test_names_are_text_and_never_markup(folder: Path, tmp_path: Path) -> None:
    with Ledger(folder, create=True) as ledger:
        with ledger.transaction() as connection:
            connection.execute("UPDATE parties SET name = '<script>alert(1)</script>' WHERE id = 26")
        page = annual.render(annual.collect(ledger.connection, 2020), "nl")
        with ledger.transaction() as connection:
            connection.execute("UPDATE parties SET name = 'Provider Z' WHERE id = 26")
    assert_self_contained(page)
    assert "&lt;script&gt;" in page


def test_a_year_without_checks_has_a_report_that_says_so(tmp_path: Path) -> None:
    with Ledger(tmp_path / "empty", create=True) as ledger:
        page = annual.render(annual.collect(ledger.connection, 2019), "en")
    assert_self_contained(page)
    assert "Nothing was checked in 2019." in page


def test_no_hash_is_in_the_report_of_entries_without_ids(folder: Path) -> None:
    with Ledger(folder, create=True) as ledger, ledger.transaction() as connection:
        connection.execute("UPDATE entries SET external_id = NULL, key = 'hash:' || hex(id) || 'c0ffee'")
    with Ledger(folder, read_only=True) as ledger:
        page = annual.render(annual.collect(ledger.connection, 2020), "en")
    assert "c0ffee" not in page
    assert "entry 1" in page


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_of_effect_is_one_file_with_its_caveats(folder: Path, language: str) -> None:
    with Ledger(folder, read_only=True) as ledger:
        panel = read_panel(folder / "hotline-reports.csv", connections_of(ledger.connection))
    found = estimate_effect(panel, draws=200)
    page = effect.render(found, panel.months, language)
    assert_self_contained(page)
    assert_accessible(page)
    text = text_of(parse(page))
    words = words_for(language)
    assert words["k_cause"] in text
    assert words["k_spill"] in text
    assert effect.change(found.estimate.ratio, annual.Numbers(language)).replace("\xa0", " ") in text
    assert found.estimate.low < generate_year.EFFECT < found.estimate.high


@pytest.mark.parametrize("key", WORDS)
def test_both_languages_fill_in_the_same(key: str) -> None:
    dutch, english = WORDS[key]
    assert dutch
    assert english
    assert sorted(FIELDS.findall(dutch)) == sorted(FIELDS.findall(english))
    assert key.startswith(("<", "more")) or _is_used(key), f"no page says {key}"


def _is_used(key: str) -> bool:
    root = Path(annual.__file__).parent
    sources = [
        path.read_text() for path in (*root.glob("templates/*.html"), root / "annual.py", root / "effect.py")
    ]
    return any(re.search(rf'w\.{key}\b|"{key}"', source) for source in sources)
