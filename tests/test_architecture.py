"""The shape of the code, read from its imports: data flows one way and heavy libraries have one door each."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import osor_video

PACKAGE = Path(osor_video.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
LAYERS: list[set[str]] = [
    {"errors", "tensors", "config", "memory", "parallel", "shapes"},
    {"layers", "membrane", "motionblur"},
    {"video", "flow"},
    {"masks"},
    {"background"},
    {"removal"},
    {"composite"},
    {"follow", "feed"},
    {"analysis", "restore"},
    {"work"},
    {"tally"},
    {"pipeline"},
    {"project"},
    {"spans", "segments"},
    {"api"},
    {"provenance"},
    {"apps", "batch", "benchmark", "training", "desk"},
]
"""A module imports from its own layer and from those above it in this list, never from below."""
ANYWHERE = {"report", "version"}
"""Plain records and clocks that know nothing of the stages."""
LONGEST = 60
DOORS = {
    "av": ("video/",),
    "decord": ("video/",),
    "OpenEXR": ("video/stills.py",),
    "diffusers": (
        *(
            "removal/model.py",
            "removal/sdxl.py",
            "removal/flux.py",
            "removal/coder.py",
            "removal/autoencoder.py",
        ),
        *("benchmark/random_sdxl.py", "training/"),
    ),
    "transformers": ("removal/prompt.py", "masks/sam.py"),
    "peft": ("removal/adapter.py",),
    "huggingface_hub": ("removal/fetch.py",),
    "c2pa": ("provenance/content.py",),
}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports anywhere in it, ``import_module("...")`` too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            yield from (str(arg.value) for arg in node.args if isinstance(arg, ast.Constant))


def layer_of(part: str) -> int | None:
    return next((number for number, layer in enumerate(LAYERS) if part in layer), None)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def upward(path: Path) -> list[str]:
    """Imports of a file that point to a later layer."""
    own = layer_of(part_of(path))
    parts = [name.split(".")[1] for name in imported(path) if name.startswith("osor_video.")]
    if part_of(path) in ANYWHERE:
        return [part for part in parts if layer_of(part) not in (None, 0)]
    assert own is not None, f"{name_of(path)} belongs to no layer; give it one in this test"
    return [part for part in parts if (layer_of(part) or 0) > own]


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent != PACKAGE or p.stem[0] != "_"], ids=name_of)
def test_layers_point_one_way(path: Path) -> None:
    assert upward(path) == []


def test_neighbours_of_the_library_know_it_and_not_the_other_way() -> None:
    for first, second in (("video", "flow"), ("flow", "video"), ("analysis", "restore")):
        for path in MODULES:
            if part_of(path) == first:
                assert not [name for name in imported(path) if name.startswith(f"osor_video.{second}")]


@pytest.mark.parametrize("library", DOORS)
def test_a_heavy_library_has_one_door(library: str) -> None:
    users = [name_of(path) for path in MODULES if any(n.split(".")[0] == library for n in imported(path))]
    assert users, f"nobody imports {library}: this test reads nothing"
    assert [user for user in users if not user.startswith(DOORS[library])] == []


def test_only_the_apps_print() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in MODULES
        if part_of(path) not in {"apps", "benchmark"}
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert found == []


def length(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function; the options of a command are a list, not counted."""
    begin = node.body[0].lineno if name_of(path) == "apps/cli.py" else node.lineno
    return (node.end_lineno or begin) - begin + 1


def test_no_function_is_longer_than_a_screen() -> None:
    found = [
        f"{name_of(path)}:{node.lineno} {node.name}: {length(path, node)} lines"
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(path, node) > LONGEST
    ]
    assert found == []


@pytest.mark.parametrize("module", ["osor_video", "osor_video.config", "osor_video.errors"])
def test_importing_settings_loads_no_network_library(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'torch', 'cv2', 'av', 'diffusers'}} & set(sys.modules)))"
    root = os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": root},
    )
    assert done.stdout.split() == []
