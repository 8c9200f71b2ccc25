"""After warming up nothing is left to compile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from serving import environment

_CHANGES = """
import gc, sys
from pathlib import Path
from numba.core.dispatcher import Dispatcher
from hashcore import Store
from hashserver.ledger import Ledger
from hashserver.sets.entries import publish, read_contribution, withdraw
from hashserver.parties import LOCAL
from hashserver.server.warmup import warm_up, warm_up_changes

def compiled():
    return {(kernel.__module__, kernel.__name__, str(signature))
            for kernel in gc.get_objects() if isinstance(kernel, Dispatcher) for signature in kernel.signatures}

folder = Path(sys.argv[1])
folder.mkdir()
Ledger(folder, create=True).close()
with Store(folder) as store:
    warm_up(folder)
    checks = compiled()
    warm_up_changes()
    before = compiled()
    assert before > checks, "changes need kernels of their own"
    for name, hashes in [("A", b'"md5": "%s"' % (b"1" * 32)), ("B", b'"sha1": "%s"' % (b"2" * 40)),
                         ("A", b'"pdq": "%s", "md5": "%s"' % (b"0123456789abcdef" * 4, b"4" * 32)),
                         ("C", b'"phash": "0123456789abcdef"'), ("D", b'"photodna": "%s"' % (b"6" * 288))]:
        body = b'{"set": "police", "id": "%s", %s}' % (name.encode(), hashes)
        publish(store, LOCAL, read_contribution(body))
    withdraw(store, LOCAL, "police", "B")
    store.refresh()
    print(*sorted(compiled() - before), sep="\\n")
"""


def test_the_first_change_of_a_set_compiles_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHANGES, str(tmp_path / "data")], capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
