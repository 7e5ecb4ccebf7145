"""A server of a model made by hand, and a page of a headless Chromium that shows it."""

from __future__ import annotations

import handmade
import pytest
from showing import WEB, Shown, served

RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
DESK = {"width": 1200, "height": 800}


@pytest.fixture(scope="session")
def runtime_files():
    """onnxruntime-web, fetched."""
    if not all((WEB / "vendor" / name).exists() for name in RUNTIME_FILES):
        pytest.skip("onnxruntime-web is not here: make web (needs npm)")


@pytest.fixture(scope="session")
def artifact(tmp_path_factory):
    """The handmade model."""
    return handmade.write(tmp_path_factory.mktemp("page") / "handmade.pocket")


@pytest.fixture(scope="session")
def address(artifact):
    """Of its server."""
    with served(artifact) as found:
        yield found


@pytest.fixture(scope="module")
def new_tab(chromium):
    """Makes pages: `new_tab(address)`."""

    def make(address: str) -> Shown:
        return Shown(chromium.new_context(viewport=DESK).new_page(), address)

    return make


@pytest.fixture
def tab(new_tab):
    """A test's own pages, closed after it."""
    made = []

    def make(address: str) -> Shown:
        made.append(new_tab(address))
        return made[-1]

    yield make
    for each in made:
        each.page.context.close()


@pytest.fixture(scope="module")
def loaded(new_tab, address, runtime_files):
    """The handmade model's page, loaded once for all tests of a file."""
    return new_tab(address).open()


@pytest.fixture
def shown(loaded):
    """That page, its first row put again."""
    loaded.page.set_viewport_size(DESK)
    loaded.page.emulate_media(color_scheme="light")
    loaded.put_row("1")
    return loaded
