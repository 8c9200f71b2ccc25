"""Show the whole way on this machine: sets are loaded, served, and a folder of pictures is checked.

Everything happens in a temporary folder, with generated hashes and generated pictures, and takes
well under a minute.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from hashserver.server.child import NotStarted, serving

COMMAND = [sys.executable, "-m", "hashserver"]
KNOWN_PICTURES, UNKNOWN_PICTURES = 6, 6
GENERATED = 1_000_000
BULK = 2_000_000


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="hashserver-demo-") as folder:
        root = Path(folder)
        data = root / "data"
        say(f"making {KNOWN_PICTURES} known and {UNKNOWN_PICTURES} unknown pictures, and {GENERATED:,} hashes")
        pictures = make_pictures(root / "pictures")
        generated = np.random.default_rng(2020).integers(0, 256, (GENERATED, 16), np.uint8)
        write_hashes(root / "generated.csv", generated)
        write_set(root / "sample.csv", pictures[:KNOWN_PICTURES])
        run("load", root / "generated.csv", "--set", "generated", "--category", "generated", "--data-dir", data)
        run("load", root / "sample.csv", "--set", "sample", "--data-dir", data)
        run("sets", "--data-dir", data)
        with serving(data) as server:
            url = server.url
            say(f"a server answers at {url}, {server.seconds:.1f} s after it was started")
            copies = reencode(pictures[:KNOWN_PICTURES], root / "pictures")
            check_folder(root / "pictures", root / "pictures.csv", url)
            print(
                f"  {KNOWN_PICTURES} originals are known by MD5, SHA-1 and PDQ, {len(copies)} re-encoded copies "
                f"by PDQ alone, and {len(pictures) - KNOWN_PICTURES} unknown pictures were left alone."
            )
            check_many(generated, root / "bulk.md5", url)
    say("done; `make serve` keeps a server running on http://127.0.0.1:8080")
    return 0


def say(sentence: str) -> None:
    print(f"\n== {sentence}", flush=True)


def run(*arguments: object, expect: tuple[int, ...] = (0,), show: bool = True) -> str:
    """Run one command as a user would, and show it."""
    words = [str(argument) for argument in arguments]
    named = [Path(word).name if "/" in word else word for word in words]
    shown = named if len(named) < 10 else [*named[:3], "..."]
    print("$ hashserver " + " ".join(shown), flush=True)
    result = subprocess.run([*COMMAND, *words], capture_output=True, text=True)
    if result.returncode not in expect:
        sys.exit(f"failed with exit code {result.returncode}:\n{result.stdout}{result.stderr}")
    shown_output = result.stdout if show and "--json" not in words else ""
    for line in shown_output.splitlines() + result.stderr.splitlines():
        print(f"  {line}")
    return result.stdout


def make_pictures(folder: Path) -> list[Path]:
    """Harmless pictures: smooth random landscapes, each different."""
    folder.mkdir()
    paths = []
    for number in range(KNOWN_PICTURES + UNKNOWN_PICTURES):
        random = np.random.default_rng(number)
        picture = Image.new("RGB", (480, 320))
        for cells, weight in ((4, 1.0), (10, 0.5), (24, 0.3)):
            coarse = Image.fromarray(random.integers(0, 256, (2 * cells, 3 * cells, 3), np.uint8))
            picture = Image.blend(picture, coarse.resize(picture.size, Image.Resampling.BICUBIC), weight)
        name = f"{'known' if number < KNOWN_PICTURES else 'holiday'}-{number}.jpg"
        picture.save(folder / name, quality=92)
        paths.append(folder / name)
    return paths


def reencode(pictures: list[Path], folder: Path) -> list[Path]:
    """Copies as they travel the web: smaller, and compressed again."""
    copies = []
    for path in pictures:
        copy = folder / f"{path.stem}-copy.jpg"
        Image.open(path).resize((240, 160)).save(copy, quality=70)
        copies.append(copy)
    return copies


def write_hashes(path: Path, digests: np.ndarray) -> None:
    text = digests.tobytes().hex()
    path.write_text("md5\n" + "\n".join(text[start : start + 32] for start in range(0, len(text), 32)) + "\n")


def write_set(path: Path, pictures: list[Path]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["md5", "sha1", "pdq", "category", "id"])
        for number, line in enumerate(run("hash", "--json", *pictures).splitlines()):
            hashes = json.loads(line)
            writer.writerow([hashes["md5"], hashes["sha1"], hashes["pdq"], "sample", f"S-{number}"])


def check_folder(folder: Path, listing: Path, url: str) -> None:
    """Check the real files of a folder."""
    say(f"checking the {len(list(folder.iterdir()))} files of a folder")
    listing.write_text(run("hash", *sorted(folder.iterdir()), show=False))
    output = run("check", listing, "--server", url, "--json", expect=(1,))
    findings = [json.loads(line) for line in output.splitlines()]
    for finding in findings:
        if finding["type"] != "sha1":
            print(
                f"  {Path(finding['name']).name:<18} {finding['type']} at distance {finding['distance']:>2}: "
                f"set {finding['set']}, category {finding['category']}, id {finding['id']}"
            )
    names = {Path(finding["name"]).name for finding in findings}
    known = {f"known-{number}{end}.jpg" for number in range(KNOWN_PICTURES) for end in ("", "-copy")}
    if names != known:
        sys.exit(f"expected the known pictures and their copies to match, and nothing else; got {sorted(names)}")


def check_many(known: np.ndarray, listing: Path, url: str) -> None:
    """Check a large listing, one in a thousand known, and say how fast that was."""
    say(f"checking a listing of {BULK:,} hashes, of which {BULK // 1000:,} are known")
    digests = np.random.default_rng(7).integers(0, 256, (BULK, 16), np.uint8)
    digests[::1000] = known[: BULK // 1000]
    write_hashes(listing, digests)
    output = run("check", listing, "--server", url, "--json", expect=(1,))
    if len(output.splitlines()) != BULK // 1000:
        sys.exit(f"expected {BULK // 1000:,} matches, got {len(output.splitlines()):,}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NotStarted as error:
        sys.exit(str(error))
