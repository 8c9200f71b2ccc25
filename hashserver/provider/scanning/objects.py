"""Objects in S3-compatible storage: listed page by page, read as streams.

botocore rather than a faster client: keys are any text, and a client that takes them for paths
loses `a//b` and `/a`, or ends the listing at the first `..`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from itertools import accumulate
from typing import Any

from hashserver.errors import Trouble
from hashserver.provider.scanning.walk import FoundFile, WalkOptions, matches

SCHEME = b"s3://"
_STEP = 1 << 20
_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 10, 60, 4

_SENTENCES = {
    "NoSuchBucket": "this bucket does not exist; check its name and AWS_ENDPOINT_URL",
    "NoSuchKey": "it was deleted after it was listed",
    "AccessDenied": "access denied: these credentials may not list or read it",
    "AllAccessDisabled": "access denied: it is disabled for everyone",
    "InvalidAccessKeyId": "the storage does not know this access key; check AWS_ACCESS_KEY_ID or the profile",
    "SignatureDoesNotMatch": "the secret access key is wrong; check AWS_SECRET_ACCESS_KEY or the profile",
    "ExpiredToken": "the session token has expired; get a new one",
    "InvalidObjectState": "it is archived; restore it before the next scan",
    "403": "access denied: these credentials may not list or read it",
    "404": "nothing exists here; check the name and AWS_ENDPOINT_URL",
}


class StorageError(Trouble):
    """A storage cannot be listed, or an object cannot be read; the message says what to do."""


class ObjectGone(StorageError):
    """An object was deleted after it was listed."""


def is_object(path: bytes) -> bool:
    """Whether a path names something in an object storage rather than in a file system."""
    return path.startswith(SCHEME)


def split_url(url: bytes) -> tuple[str, str]:
    """The bucket, and the key or prefix.

    Raises:
        StorageError: it names no bucket, or is not UTF-8 as all keys are.
    """
    try:
        bucket, _, key = url.removeprefix(SCHEME).decode().partition("/")
    except UnicodeDecodeError:
        raise StorageError(f"{url!r} is not UTF-8, but the keys of objects always are") from None
    if not bucket:
        raise StorageError(f"{url.decode()} names no bucket; write s3://bucket/prefix")
    return bucket, key


def list_objects(
    root: bytes, options: WalkOptions, anonymous: bool, seen: Counter[bytes] | None = None
) -> Iterator[FoundFile]:
    """Find the objects whose keys begin with a prefix, a page of 1,000 at a time.

    An object has its ETag, as a number, where a file has its inode. Keys that end in a slash and
    hold nothing are how some programs mark folders, and are left out.

    Args:
        root: `s3://bucket/prefix`; the prefix is taken literally, so that `a` has `ab/c` as well.
        options: what to look at; an excluded folder is one of the parts of a key that end in a
            slash.
        anonymous: ask without credentials.
        seen: takes the number of objects under the root, wanted or not.

    Raises:
        StorageError: the bucket is missing, cannot be listed, or the storage cannot be reached.
    """
    bucket, prefix = split_url(root)
    seen = Counter() if seen is None else seen
    with _sentences(root):
        pages = _client(anonymous).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for listed in page.get("Contents", ()):
                found = _found(bucket, listed)
                marks_a_folder = not found.size and found.path.endswith(b"/")
                if marks_a_folder:
                    continue
                seen[root] += 1
                if _wanted(found, len(root), options):
                    yield found


def read_object(url: bytes, anonymous: bool) -> Iterator[bytes]:
    """The content of an object, as pieces of up to 1 MiB while they arrive.

    Raises:
        StorageError: it is gone, may not be read, or the connection broke before its end.
    """
    bucket, key = split_url(url)
    with _sentences(None), closing(_client(anonymous).get_object(Bucket=bucket, Key=key)["Body"]) as body:
        while piece := body.read(_STEP):
            yield piece


def check_available() -> None:
    """Say what to install, before the scan rather than in it.

    Raises:
        StorageError: the client for S3 is not installed.
    """
    try:
        import botocore.session  # noqa: F401
    except ImportError:
        raise StorageError("scanning s3:// needs botocore: pip install 'hashserver[s3]'") from None


@cache
def _client(anonymous: bool) -> Any:
    """This process's client, set up by the environment and the AWS configuration."""
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.session import Session

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        **({"signature_version": UNSIGNED} if anonymous else {}),
    )
    try:
        return Session().create_client("s3", config=config)
    except ValueError as error:  # an endpoint that is no URL
        raise StorageError(f"{error}; check AWS_ENDPOINT_URL") from None


@contextmanager
def _sentences(place: bytes | None) -> Iterator[None]:
    """Turn the client's errors into sentences; they hold no keys, and neither do ours."""
    from botocore.exceptions import BotoCoreError, ClientError

    where = f"{place.decode()}: " if place else ""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        kind = ObjectGone if code == "NoSuchKey" else StorageError
        raise kind(where + _SENTENCES.get(code, f"the storage answers {code}")) from None
    except BotoCoreError as error:
        raise StorageError(where + _explain(type(error).__name__, str(error))) from None


def _explain(kind: str, message: str) -> str:
    if kind in ("NoCredentialsError", "PartialCredentialsError"):
        return "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or --anonymous"
    if kind in ("EndpointConnectionError", "ConnectTimeoutError", "ConnectionClosedError", "ProxyConnectionError"):
        return f"the storage cannot be reached ({message}); check AWS_ENDPOINT_URL"
    if kind in ("IncompleteReadError", "ResponseStreamingError", "ReadTimeoutError"):
        return "the connection to the storage broke; the next scan tries again"
    return message


def _found(bucket: str, listed: dict[str, Any]) -> FoundFile:
    etag = hashlib.blake2b(listed.get("ETag", "").encode(), digest_size=8).digest()
    return FoundFile(
        path=SCHEME + f"{bucket}/{listed['Key']}".encode(),
        size=listed["Size"],
        mtime_ns=int(listed["LastModified"].timestamp() * 1e6) * 1000,
        inode=int.from_bytes(etag, "big", signed=True),
    )


def _wanted(found: FoundFile, root_length: int, options: WalkOptions) -> bool:
    if options.newer_than is not None and found.mtime_ns < options.newer_than * 1e9:
        return False
    if options.exclude and any(matches(path, options.exclude) for path in _with_folders(found.path, root_length)):
        return False
    return not options.include or matches(found.path, options.include)


def _with_folders(path: bytes, root_length: int) -> Iterator[bytes]:
    """A key's folders below the root, and the key."""
    parts = path.split(b"/")
    for whole in accumulate(parts, lambda folder, part: folder + b"/" + part):
        if len(whole) > root_length:
            yield whole
