"""A server that several files of tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serving import Server, load, md5_of, serving


@pytest.fixture(scope="session")
def police(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that answers anybody, for tests that only ask; its one set is `police`.

    It holds the MD5s of the texts "known 0" to "known 19" with the ids A-0 to A-19, that of
    "formula" with cells that begin as formulas do, and those of "known" and "also known" with the
    ids F-1 and F-2.
    """
    data = tmp_path_factory.mktemp("police") / "data"
    rows = [f"{md5_of(f'known {number}')},baseline,A-{number}" for number in range(20)]
    rows += [f"{md5_of('formula')},=cmd(),+1", f"{md5_of('known')},,F-1", f"{md5_of('also known')},,F-2"]
    load(data, "police", "\n".join(["md5,category,id", *rows, ""]))
    with serving(data) as server:
        yield server
        assert "Traceback" not in server.log
