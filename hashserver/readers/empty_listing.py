"""Listings of nothing: what the tools print for an empty bucket or folder, as a whole document."""

from __future__ import annotations

import orjson

from hashserver.readers.head import Head

_LISTS = {"Contents", "Versions", "DeleteMarkers", "CommonPrefixes"}
_MEMBERS = _LISTS | {
    *("RequestCharged", "Prefix", "Name", "MaxKeys", "KeyCount", "IsTruncated", "EncodingType", "Delimiter"),
    *("Marker", "NextMarker", "ContinuationToken", "NextContinuationToken", "StartAfter", "ResponseMetadata"),
    *("KeyMarker", "VersionIdMarker", "NextKeyMarker", "NextVersionIdMarker"),
}


def format_of_empty_listing(head: Head) -> str | None:
    """The format of a listing that lists nothing; None for everything else.

    What is known by nothing but its lack of items counts only if all its members are those of a
    listing: the error page of a service is no empty bucket.
    """
    if not head.is_whole or len(head.text) > 1 << 14:
        return None
    try:
        value = orjson.loads(head.text)
    except orjson.JSONDecodeError:
        return None
    if value is None:
        return "s3-listing"  # as --query 'Contents[]' prints it
    if value == []:
        return "rclone"
    if value == {"list": []}:
        return "rclone"
    if isinstance(value, dict) and value and value.keys() <= _MEMBERS and not any(map(value.get, _LISTS)):
        return "s3-listing"
    return None
