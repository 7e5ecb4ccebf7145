"""The house rules: imports go down, public names are listed, importing is light, the README runs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pocketrec

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pocketrec"
FLOORS = {
    "errors": -1,  # under everything: even how sizes are read raises them
    "files": 0,
    "hashing": 0,
    "units": 0,
    "data": 1,
    "kernels": 1,
    "artifact": 2,
    "ops": 2,
    "runtime": 3,
    "sharing": 3,
    "embedding": 4,
    "compress": 5,
    "models": 5,
    "optim": 5,
    "theory": 5,
    "training": 6,
    "plan": 7,
    "runs": 7,
    "export": 8,
    "serving": 8,
    "study": 8,
    "report": 9,
    "cli": 10,
    "__main__": 11,
}
HEAVY = ("torch", "pandas", "polars", "matplotlib", "triton", "fastapi", "onnx", "torchmetrics", "tensorboard")


def room(path: Path) -> str:
    """`pocketrec/ops/lookup.py` -> `ops`, `pocketrec/hashing.py` -> `hashing`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_imported(source: str) -> set[str]:
    """The rooms of the package that a module's source imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module] if node.module != "pocketrec" else [f"pocketrec.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("pocketrec.")}
    return found


def climbs(name: str, source: str) -> set[str]:
    """What a module of room `name` imports from its own height or above, other rooms only."""
    return {
        other for other in rooms_imported(source) if other in FLOORS and other != name and FLOORS[other] >= FLOORS[name]
    }


MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path):
    assert not climbs(room(path), path.read_text()), "import only from lower floors (design: a house of floors)"


def test_every_room_has_a_floor():
    assert {room(p) for p in MODULES} <= FLOORS.keys()


def test_the_floor_test_can_fail():
    assert climbs("ops", "def f():\n    from pocketrec.embedding import EmbeddingBag") == {"embedding"}
    assert climbs("data", "from pocketrec import kernels") == {"kernels"}
    assert not climbs("embedding", "import pocketrec.ops.lookup\nfrom pocketrec import hashing")


def test_public_names():
    assert pocketrec.__all__ == [
        "Clustered",
        "DeepHash",
        "Embedding",
        "EmbeddingBag",
        "EmbeddingBagCollection",
        "Full",
        "HashEmbeddings",
        "HashedNets",
        "HashingTrick",
        "HotCold",
        "LowRank",
        "MixedDimensions",
        "MultiHash",
        "QuotientRemainder",
        "Robe",
        "Table",
        "TensorTrain",
        "TransformCoding",
        "compress_",
        "encode",
        "fit_",
        "from_dlrm_qr",
        "full_bytes",
        "load_authors_",
        "memory_report",
        "quantize_",
        "stored_bytes",
        "train",
    ]
    assert all(callable(getattr(pocketrec, name)) for name in pocketrec.__all__)
    assert pocketrec.models.DLRM.__name__ == "DLRM"
    with pytest.raises(AttributeError, match="no attribute 'Robee'"):
        _ = pocketrec.Robee


def test_train_stays_a_function_after_its_package_is_imported():
    """A submodule called `train` would replace it."""
    import pocketrec.training

    assert callable(pocketrec.train)


def loaded_by(code: str) -> set[str]:
    shown = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    out = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    return set(out.stdout.split())


@pytest.mark.parametrize(
    "code", ["import pocketrec", "import pocketrec.cli", "import pocketrec.data, pocketrec.data.ids"]
)
def test_importing_is_light(code):
    assert not loaded_by(code) & set(HEAVY)


def test_embeddings_load_torch_and_no_more():
    assert not loaded_by("from pocketrec import EmbeddingBag, Table, Robe, train") & (set(HEAVY) - {"torch"})


def test_versions_agree():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert declared == pocketrec.__version__
    assert f"## [{declared}]" in (ROOT / "CHANGELOG.md").read_text()


README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("number", range(len(re.findall(r"```python\n", README))))
def test_readme_examples_run(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[number]
    exec(compile(example, f"README.md, example {number + 1}", "exec"), {})


def test_readme_tree_names_what_exists():
    """The annotated tree of the README, line by line."""
    tree = re.search(r"```\npocketrec/\n(.*?)```", README, re.DOTALL)
    assert tree, "the README shows the tree of the package"
    for line in tree[1].splitlines():
        name = line.split()[0]
        where = PACKAGE if line.startswith("  ") else ROOT
        assert (where / name).exists(), f"README names {name}, which does not exist"


def test_readme_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_readme_lists_every_scheme_by_class_and_word():
    """One list, in one order: that of `SCHEMES`."""
    from pocketrec.sharing import SCHEMES

    text = (ROOT / "README.md").read_text().partition("<!-- schemes list -->")[2].partition("<!-- /schemes list -->")[0]
    listed = re.findall(r"^\| `(\w+)\(.*?\)` \| `([\w-]+)` \|", text, re.MULTILINE)
    assert listed == [(scheme.__name__, word) for word, scheme in SCHEMES.items()]
    assert all(hasattr(pocketrec, name) for name, _ in listed)
