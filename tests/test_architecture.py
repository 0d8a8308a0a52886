"""What may import what; who may read files of weights; what is nowhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"

LEVELS = {
    "types": 0, "images": 0, "report": 0, "runs": 0,
    "cli": 1, "detection": 1, "tracking": 1,
    "models": 2, "evaluation": 2,
    "profiling": 3, "comparison": 3, "synthetic": 3,
    "data": 4, "prediction": 5, "distillation": 4, "pruning": 4,
    "checkpoint": 5,
    "detector": 6, "training": 6, "deploy": 6,
    "contest": 7, "search": 7, "stages": 7,
}  # fmt: skip
"""Module or package of ``src`` -> level; those that can be started are above all of them."""

ENTRY_POINT = 8


def files() -> list[Path]:
    return sorted(SRC.rglob("*.py"))


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def part(file: Path) -> str:
    """The first name below ``src``: a package, or a module of its own."""
    relative = file.relative_to(SRC)
    return relative.parts[0].removesuffix(".py")


def level(name: str) -> int:
    if name in LEVELS:
        return LEVELS[name]
    file = SRC / f"{name}.py"
    assert file.is_file(), f"give src/{name} a level in tests/test_architecture.py"
    assert '__name__ == "__main__"' in file.read_text(), f"give src/{name}.py a level"
    return ENTRY_POINT


def imported(module: ast.Module) -> Iterator[tuple[str, int]]:
    """Every module of ``src`` that is imported, and the line."""
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            if node.module == "src":
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif node.module and node.module.startswith("src."):
                yield node.module.split(".")[1], node.lineno
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("src."):
                    yield alias.name.split(".")[1], node.lineno


def test_levels_name_what_exists():
    for name in LEVELS:
        assert (SRC / f"{name}.py").is_file() or (SRC / name / "__init__.py").is_file(), name


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(SRC)))
def test_imports_go_down(file):
    if file == SRC / "__init__.py":
        return
    own = part(file)
    for name, line in imported(tree(file)):
        assert name == own or level(name) < level(own), (
            f"{file.relative_to(SRC.parent)}:{line}: src.{own} (level {level(own)}) imports "
            f"src.{name} (level {level(name)})"
        )


def test_an_upward_import_would_be_seen():
    found = dict(imported(ast.parse("from src.train import x\nimport src.data.check\n")))
    assert found == {"train": 1, "data": 2}
    assert level("train") == ENTRY_POINT


def calls(module: ast.Module, *names: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names
    ]


def test_nothing_is_printed():
    found = [f"{file}:{c.lineno}" for file in files() for c in calls(tree(file), "print")]
    assert found == []


def test_weights_are_read_in_one_place_and_cannot_run_code():
    loaders = ("torch.load", "pickle.load", "pickle.loads", "joblib.load")
    programs = ("torch.jit.load", "torch.export.load")
    found = {file: calls(tree(file), *loaders) for file in files()}
    assert [file.name for file, sites in found.items() if sites] == ["checkpoint.py"]
    exported = {file.name for file in files() if calls(tree(file), *programs)}
    assert exported == {"torch_files.py"}  # what it, or its user, has written
    for call in found[SRC / "checkpoint.py"]:
        options = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert options.get("weights_only") == "True"


def test_torchvision_is_imported_in_one_place():
    found = [file for file in files() if "torchvision" in imports(tree(file))]
    assert found == [SRC / "models" / "deformable.py"]


def imports(module: ast.Module) -> set[str]:
    """First names of everything imported."""
    names = {alias.name for node in ast.walk(module) if isinstance(node, ast.Import)
             for alias in node.names}  # fmt: skip
    names |= {node.module or "" for node in ast.walk(module) if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in names}


def test_the_one_import_of_torchvision_is_guarded():
    module = tree(SRC / "models" / "deformable.py")
    guarded = {
        node.lineno
        for attempt in ast.walk(module)
        if isinstance(attempt, ast.Try)
        for node in attempt.body
    }
    found = [
        node.lineno
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torchvision")
    ]
    assert len(found) == 1
    assert set(found) <= guarded


@pytest.mark.parametrize("package", ["cli", "comparison", "report", "runs"])
def test_runs_are_read_and_shown_without_pytorch(package):
    for file in (SRC / package).glob("*.py"):
        assert not imports(tree(file)) & {"torch", "lightning", "torchmetrics"}, file
        below = {name for name, _ in imported(tree(file))}
        assert below <= {"cli", "comparison", "report", "runs"}, file


def test_prediction_starts_without_lightning():
    # Its import takes seconds. What the command imports, transitively, inside src.
    seen, todo = set(), [SRC / "predict.py"]
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert not node.module.startswith("lightning"), f"{file}:{node.lineno}"
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                for name in names:
                    path = SRC.parent.joinpath(*name.split("."))
                    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
                        if name.startswith("src.") and candidate.is_file():
                            todo.append(candidate)
    assert SRC / "checkpoint.py" in seen
