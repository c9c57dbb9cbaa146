"""A headless browser for tests, Debian's Chromium; None of it is downloaded."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
ALLOWED = "plotly.js"
"""Plotly brings rules for maps in a style element, which the policy of the page refuses."""


def missing() -> str | None:
    """Return what is missing to start a browser, or None."""
    if find_spec("selenium") is None:
        return "selenium is not installed"
    if not any(map(shutil.which, BROWSERS)):
        return "there is no Chromium"
    return None if shutil.which("chromedriver") else "there is no chromedriver"


@contextmanager
def browser() -> Iterator[Any]:
    """Start the browser."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_script_timeout(60)
    try:
        yield driver
    finally:
        driver.quit()


def look(driver: Any, width: int, scheme: str) -> None:
    """Set the width of the page in pixels, and the colour scheme: "light" or "dark"."""
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def complaints(driver: Any) -> list[str]:
    """Return what the browser's console says: errors, and what the policy refused."""
    lines = [entry["message"] for entry in driver.get_log("browser")]
    return [line for line in lines if not (ALLOWED in line and "inline style" in line)]
