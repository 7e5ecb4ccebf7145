"""Takes docs/page.png and docs/page-phone.png of a server's page.

    python docs/page_pictures.py http://127.0.0.1:8000/

On a machine that does nothing else: the page shows how long a row takes.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

HERE = Path(__file__).parent
DEVICES = {"page": (1200, 1350, 1), "page-phone": (390, 1350, 2)}
"""Name -> width and height in CSS pixels, and how fine the device's own are."""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
ROW = "3"
"""Of the rows of the log, the one that is shown."""


def photograph(browser: Browser, address: str, name: str) -> None:
    """The page as one device shows it, an edit after it was loaded for the second time."""
    width, height, scale = DEVICES[name]
    context = browser.new_context(
        viewport={"width": width, "height": height}, device_scale_factor=scale, reduced_motion="reduce"
    )
    page = context.new_page()
    settled = page.locator("#score-box[aria-busy=false]")
    for load in (lambda: page.goto(address), page.reload):
        load()
        settled.wait_for()
    page.get_by_role("button", name=ROW, exact=True).click()
    settled.wait_for()
    print(page.locator("#state").inner_text(), page.locator("#latency").inner_text())
    page.screenshot(path=HERE / f"{name}.png")
    context.close()


def main() -> None:
    """Both pictures."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for name in DEVICES:
            photograph(browser, sys.argv[1], name)
        browser.close()


if __name__ == "__main__":
    main()
