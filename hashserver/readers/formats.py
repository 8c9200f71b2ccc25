"""The formats that are known, one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hashcore.rows import Rows, Withdrawals
from hashserver.readers import exchange, rclone, s3_listing, tat, vics
from hashserver.readers.csv_text import read_csv
from hashserver.readers.json_lines import read_json_lines
from hashserver.readers.parquet import looks_like_parquet, read_parquet
from hashserver.readers.plain import read_text
from hashserver.readers.sums import read_sums


@dataclass(frozen=True, slots=True)
class Format:
    """A format.

    Args:
        name: what --format calls it.
        read: see `hashserver.readers.read_rows`.
        looks_like: whether a file is of this format, by its first bytes (64 KiB, or all of it); None for
            the formats that have no signature, which `detect_format` tells apart by their lines.
    """

    name: str
    read: Callable[..., Iterator[Rows | Withdrawals]]
    looks_like: Callable[[bytes], bool] | None = None


KNOWN_FORMATS = (
    Format("csv", read_csv),
    Format("text", read_text),
    Format("sums", read_sums),
    Format("jsonl", read_json_lines),
    Format("parquet", read_parquet, looks_like_parquet),
    Format("vics", vics.read_vics, vics.looks_like),
    Format("exchange", exchange.read_exchange, exchange.looks_like),
    Format("tat", tat.read_tat, tat.looks_like),
    Format("rclone", rclone.read_rclone, rclone.looks_like),
    Format("s3-listing", s3_listing.read_s3_listing, s3_listing.looks_like),
)
