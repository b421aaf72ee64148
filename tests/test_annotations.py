"""What is public is annotated: the type checker passes over what is not."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "rnnlib"


def functions(node):
    """Yield the public functions and methods of a module, what makes and calls objects included."""
    for child in node.body:
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from functions(child)
        elif isinstance(child, ast.FunctionDef):
            if not child.name.startswith("_") or child.name in ("__init__", "__call__"):
                yield child


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.relative_to(PACKAGE).as_posix()
)
def test_public_functions_say_what_they_take_and_return(path):
    for function in functions(ast.parse(path.read_text())):
        spec = function.args
        arguments = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
        bare = [a.arg for a in arguments if a is not None and a.annotation is None]
        assert set(bare) <= {"self", "cls", "ctx"}, f"{function.name}: {bare}"  # ctx: autograd's
        assert function.returns or function.name == "__init__", f"{function.name} returns what?"
