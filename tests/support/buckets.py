"""An S3 server on loopback, and a client of it, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.session import Session
from moto.server import ThreadedMotoServer


@dataclass(frozen=True)
class Storage:
    """A running S3 server.

    Args:
        url: of its endpoint.
        client: botocore's.
    """

    url: str
    client: Any

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to use it, and nothing of the machine that the tests run on."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "never-printed",
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def fill(self, bucket: str, objects: dict[str, bytes]) -> None:
        """Make a bucket, where there is none, and put objects into it."""
        self.client.create_bucket(Bucket=bucket)
        for key, content in objects.items():
            self.client.put_object(Bucket=bucket, Key=key, Body=content)


@contextmanager
def storing() -> Iterator[Storage]:
    """An S3 server on a port of the system's choice, stopped at the end."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        client = Session().create_client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="never-printed",
        )
        yield Storage(url, client)
    finally:
        server.stop()
