"""Listings of S3 buckets as JSON, as `aws s3api list-objects-v2` and its kin print them.

An ETag of 32 hexadecimal digits is taken for the MD5 of the object. That of an object uploaded in
parts has a dash and is not one. Neither is that of an object encrypted with a key of KMS or of the
customer, but a listing does not tell; only where an item does, as those of head-object, is its ETag
left alone. Sources: "Object" and "HeadObject" in the Amazon S3 API Reference.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any

from hashcore.rows import Reject, Rows
from hashserver.readers.blocks import BLOCK_BYTES
from hashserver.readers.empty_listing import format_of_empty_listing
from hashserver.readers.head import Head
from hashserver.readers.json_items import Path, read_items
from hashserver.readers.objects import checkable_rows, text_of
from hashserver.readers.source import Source

_PLACES: tuple[Path, ...] = ((), ("Contents",), ("Versions",), ("DeleteMarkers",))
_OBJECT = re.compile(rb"\s*+\{")
_ARRAY = re.compile(rb"\s*+\[\s*+\{")
_LISTED = re.compile(rb'"(?:Contents|Versions|DeleteMarkers)"\s*+:\s*+\[')
_KEY = re.compile(rb'"Key"\s*+:\s*+"')
_ETAG = re.compile(rb'"ETag"\s*+:\s*+"')
_MD5 = re.compile(r"[0-9A-Fa-f]{32}")
_MD5_ENCRYPTIONS = (None, "", "AES256")
_CHECKSUMS = {"ChecksumSHA1": ("sha1", 20), "ChecksumSHA256": ("sha256", 32)}


def looks_like(head: Head) -> bool:
    """Whether a JSON document has the members of a bucket's listing."""
    text = head.text
    if _KEY.search(text) is None:
        return False
    if _OBJECT.match(text):
        return _LISTED.search(text) is not None
    return _ARRAY.match(text) is not None and _ETAG.search(text) is not None


def read_s3_listing(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows]:
    """Read a listing, or several pages after one another; see `hashserver.readers.read_rows`.

    Lines are numbers of items. Delete markers, which are no objects, are passed over; objects
    without a hash of their content are not checkable.
    """
    if format_of_empty_listing(source.head) is not None:
        return
    for items in read_items(source, _PLACES, on_reject=on_reject, block_bytes=block_bytes):
        rows = checkable_rows(items, _read, source, on_reject)
        if rows is not None:
            yield rows


def _read(item: dict[str, Any]) -> dict[str, bytes] | None:
    if "IsLatest" in item and "ETag" not in item and "Size" not in item:
        return None  # a delete marker
    etag = _string(item, "ETag").removeprefix('"').removesuffix('"')
    found = _checksums(item, in_parts="-" in etag)
    if _MD5.fullmatch(etag) and _is_plain(item):
        found["md5"] = etag.encode()
    if (key := item.get("Key")) is not None:
        found["name"] = text_of("Key", key)
    return found


def _is_plain(item: dict[str, Any]) -> bool:
    """Whether nothing tells that it is encrypted in a way that makes its ETag no MD5."""
    return item.get("ServerSideEncryption") in _MD5_ENCRYPTIONS and not item.get("SSECustomerAlgorithm")


def _checksums(item: dict[str, Any], in_parts: bool) -> dict[str, bytes]:
    """The checksums of the whole object; those of objects in parts may be hashes of hashes."""
    nested = item.get("Checksum")  # as get-object-attributes has them
    members = nested if isinstance(nested, dict) else item
    kind = members.get("ChecksumType")
    found = {}
    for name, (role, width) in _CHECKSUMS.items():
        text = _string(members, name)
        whole = kind == "FULL_OBJECT" or (kind is None and not in_parts)
        if not text or not whole or "-" in text:
            continue
        try:
            digest = binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error as error:
            raise ValueError(f"{name}: not base64: {error}") from None
        if len(digest) != width:
            raise ValueError(f"{name}: expected base64 of {width} bytes, got {len(digest)}")
        found[role] = digest.hex().encode()
    return found


def _string(members: dict[str, Any], name: str) -> str:
    """A string, empty where the member is missing.

    Raises:
        ValueError: it is something else.
    """
    value = members.get(name)
    if value is None:
        return ""
    text_of(name, value)
    return str(value)
