"""Run once before several test workers start: compile the kernels that most tests need."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from store_processes import warm

from hashserver.readers import open_source, read_rows
from hashserver.server.warmup import warm_up, warm_up_changes

_MD5, _SHA1 = "0123456789abcdef" * 2, "0123456789" * 4
_LISTINGS = (
    f"md5,sha1,category,id\n{_MD5},{_SHA1},baseline,A-1\n",
    f"{_MD5}  a.jpg\n",
    f"{_MD5}\n",
    json.dumps({"md5": _MD5, "id": "A-1"}) + "\n",
    json.dumps({"Contents": [{"Key": "a", "ETag": f'"{_MD5}"', "Size": 1}]}),
    json.dumps({"odata.metadata": "http://github.com/ICMEC/ProjectVic#Media", "value": [{"MD5": _MD5}]}),
    f"%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n1,{_MD5},a.jpg\n",
    '<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2"><images><image><id>1</id>'
    f"<classification>1</classification><fingerprints><md5>{_MD5}</md5></fingerprints></image></images></queryResult>",
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        warm_up(Path(folder))
        warm_up_changes()
        warm()
        file = Path(folder) / "listing"
        for listing in _LISTINGS:
            file.write_text(listing)
            with open_source(str(file)) as source:
                for _ in read_rows(source, on_reject=lambda reject: None):
                    pass


if __name__ == "__main__":
    main()
