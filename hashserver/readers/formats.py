"""The formats that are known, one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hashcore.rows import Rows, Withdrawals
from hashserver.readers import (
    exchange,
    exchange_csv,
    hashdeep,
    ncmec,
    nsrl,
    rclone,
    rds,
    s3_inventory,
    s3_listing,
    tat,
    vics,
)
from hashserver.readers.csv_text import read_csv
from hashserver.readers.head import Head
from hashserver.readers.json_lines import read_json_lines
from hashserver.readers.parquet import looks_like_parquet, read_parquet
from hashserver.readers.plain import read_text
from hashserver.readers.source import Source
from hashserver.readers.sums import read_sums


@dataclass(frozen=True, slots=True)
class Format:
    """A format.

    Args:
        name: what --format calls it.
        read: see `hashserver.readers.read_rows`.
        looks_like: whether a file is of this format, by its head; None for the formats without a
            signature, which `detect_format` tells apart by their lines.
        default_role: the role of a new set that comes from such a source, where it may not be
            `match`; None when it is.
    """

    name: str
    read: Callable[..., Iterator[Rows | Withdrawals]]
    looks_like: Callable[[Head], bool] | None = None
    default_role: Callable[[Source], str | None] | None = None


KNOWN_FORMATS = (
    Format("csv", read_csv),
    Format("text", read_text),
    Format("sums", read_sums),
    Format("jsonl", read_json_lines),
    Format("parquet", read_parquet, looks_like_parquet),
    Format("vics", vics.read_vics, vics.looks_like),
    Format("exchange", exchange.read_exchange, exchange.looks_like),
    Format("tat", tat.read_tat, tat.looks_like),
    Format("rds", rds.read_rds, rds.looks_like, rds.default_role),
    Format("ncmec", ncmec.read_ncmec, ncmec.looks_like),
    Format("hashdeep", hashdeep.read_hashdeep, hashdeep.looks_like),
    Format("nsrl", nsrl.read_nsrl, nsrl.looks_like, lambda _: nsrl.DEFAULT_ROLE),
    Format("s3-inventory", s3_inventory.read_s3_inventory, s3_inventory.looks_like),
    Format("exchange-csv", exchange_csv.read_exchange_csv, exchange_csv.looks_like),
    Format("rclone", rclone.read_rclone, rclone.looks_like),
    Format("s3-listing", s3_listing.read_s3_listing, s3_listing.looks_like),
)
