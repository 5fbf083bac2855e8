"""Images of pages in a real browser: ``python scripts/screenshots.py PAGE.html#view OUT.png [WIDTHxHEIGHT] [dark]``.

Drives the system's Chromium and its driver (Debian: ``apt install chromium chromium-driver``) by Selenium.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PHONE = 600
"""Narrower windows, in pixels, are those of a phone."""


def find_browser() -> tuple[str, str] | None:
    """Paths of a Chromium and its driver; None where either is missing."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextmanager
def open_browser(width: int = 1280, height: int = 1000, *, dark: bool = False) -> Iterator[Any]:
    """A headless browser that logs what a page's console says."""
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    found = find_browser()
    assert found, "no chromium and chromedriver here"
    options = ChromeOptions()
    options.binary_location = found[0]
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = Chrome(options, ChromeService(found[1]))
    try:
        resize(browser, width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield browser
    finally:
        browser.quit()


def resize(browser: Any, width: int, height: int) -> None:
    """Give the page a window of this size, in CSS pixels."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def settled(browser: Any) -> None:
    """Wait until the images in the window are there."""
    from selenium.webdriver.support.ui import WebDriverWait

    pending = """return [...document.images].filter((image) => {
      const {top, bottom} = image.getBoundingClientRect();
      return bottom > 0 && top < innerHeight && !(image.complete && image.naturalWidth > 1);
    }).length"""
    WebDriverWait(browser, 10).until(lambda page: page.execute_script(pending) == 0)


def main(page: str, out: str, size: str = "1280x1000", theme: str = "light") -> None:
    """Write one image."""
    path, _, view = page.partition("#")
    width, height = map(int, size.split("x"))
    with open_browser(width, height, dark=theme == "dark") as browser:
        browser.get(f"{Path(path).resolve().as_uri()}#{view}")
        settled(browser)
        browser.save_screenshot(out)


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
