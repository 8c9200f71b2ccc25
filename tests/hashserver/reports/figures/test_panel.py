from __future__ import annotations

from pathlib import Path

import pytest

from hashserver.ledger import Ledger
from hashserver.parties.admin import PartyAdmin
from hashserver.reports.figures.panel import NEVER, BadReports, connections_of, read_panel
from hashserver.times import month_of

MARCH_2020 = (2020 - 1970) * 12 + 2


def write(folder: Path, text: str) -> Path:
    file = folder / "reports.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_reports_become_a_panel_without_gaps(tmp_path: Path) -> None:
    text = "date,provider,urls\n2020-03-30,Alpha,4\n2020-03-02,alpha ,1\n\n2020-06-01,Beta  Ltd,7\n"
    panel = read_panel(write(tmp_path, text), {"ALPHA": MARCH_2020 + 2, "Gamma": MARCH_2020})
    assert panel.providers == ["Alpha", "Beta  Ltd"]
    assert panel.months == ["2020-03", "2020-04", "2020-05", "2020-06"]
    assert panel.urls.tolist() == [[5, 0, 0, 0], [0, 0, 0, 7]]
    assert panel.connected.tolist() == [2, NEVER]
    assert panel.unreported == ["Gamma"]


def test_semicolons_other_columns_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    text = '\ufeffURLs;Land;"Provider";Date\n3;NL;"A; B";2020-03-01\n'
    panel = read_panel(write(tmp_path, text), {"A; B": MARCH_2020})
    assert panel.providers == ["A; B"]
    assert panel.urls.tolist() == [[3]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column date or provider or urls"),
        ("date,provider\n", "no column urls"),
        ("date,provider,urls\n", "holds no report"),
        ("date,provider,urls\n2020-03-01,a,1\n01-03-2020,a,1\n", "line 3: '01-03-2020' is not a date"),
        ("date,provider,urls\n2020-03-01,a,-1\n", "line 2: '-1' is not a number of URLs"),
        ("date,provider,urls\n2020-03-01,a\n", "line 2: a cell is missing"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadReports, match=words):
        read_panel(write(tmp_path, text), {})


def test_parties_connect_when_they_first_check_or_when_they_were_made(tmp_path: Path) -> None:
    with Ledger(tmp_path / "data", create=True) as ledger:
        admin = PartyAdmin(ledger, "test")
        admin.add("Alpha")
        admin.add("Beta")
        hour = 439_000  # in January 2020
        with ledger.transaction() as connection:
            for at, checked in ((hour, 0), (hour + 24 * 60, 10), (hour + 24 * 90, 10)):
                connection.execute("INSERT INTO counts VALUES (?, 1, 'md5', 1, ?, 0, 0)", (at, checked))
        created = connection.execute("SELECT created FROM parties").fetchone()[0]
        assert connections_of(connection) == {"Alpha": month_of((hour + 24 * 60) * 3_600_000)}
        assert connections_of(connection, by_first_check=False) == {
            "Alpha": month_of(created),
            "Beta": month_of(created),
        }
