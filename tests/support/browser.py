"""A real Chromium without a window, driven through chromedriver."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def why_not() -> str | None:
    """Why there is no browser to test with, or None."""
    if CHROMIUM is None or DRIVER is None:
        return "chromium and chromedriver are not installed (Debian: apt install chromium chromium-driver)"
    return None


@contextmanager
def browsing(profile: Path, *, script: bool = True, width: int = 1280) -> Iterator[webdriver.Chrome]:
    """A browser with a fresh profile.

    Args:
        profile: folder that does not exist yet.
        script: whether pages may run JavaScript.
        width: of the window, pixels.
    """
    assert CHROMIUM is not None
    assert DRIVER is not None
    options = Options()
    options.binary_location = CHROMIUM
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if not script:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        resize(driver, width)
        yield driver
    finally:
        driver.quit()


def resize(driver: webdriver.Chrome, width: int, height: int = 900) -> None:
    """Show pages as in a window of this size; real windows have a least width."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def prefer(driver: webdriver.Chrome, scheme: str) -> None:
    """Say that the user prefers `light` or `dark`."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def complaints(driver: webdriver.Chrome) -> list[str]:
    """What the console has said since the last call: errors, missing files, policy violations."""
    entries: list[dict[str, Any]] = driver.get_log("browser")
    return [json.dumps(entry) for entry in entries if entry["level"] in ("SEVERE", "WARNING")]


def photograph(driver: webdriver.Chrome, file: Path) -> None:
    """The whole page as a PNG."""
    import base64

    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"})
    file.write_bytes(base64.b64decode(shot["data"]))
