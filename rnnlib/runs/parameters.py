"""The strict check of a chapter's parameters that papermill leaves out.

papermill only warns of a parameter that does not exist, and runs with the default. A chapter calls
`check_notebook` right after its parameters, so a misspelt name or a wrong type stops it there.
"""

import ast
import difflib

INJECTED = "# Parameters"  # the first line of the cell that papermill puts in
# What its option --inject-paths adds to the user's parameters
PATHS = ("PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH")


class ParameterError(ValueError):
    """A parameter that the chapter does not have, or of another type than its default."""


def literals(source: str) -> dict:
    """Return the names and values assigned in a cell of literal assignments.

    Args:
        source: the text of the cell.

    Raises:
        ParameterError: a statement that is not the assignment of a literal to one name.
    """
    values = {}
    for statement in ast.parse(source).body:
        try:
            if not isinstance(statement, ast.Assign):
                raise ValueError("not an assignment")
            (target,) = statement.targets
            if not isinstance(target, ast.Name):
                raise ValueError("not to a name")
            values[target.id] = ast.literal_eval(statement.value)
        except ValueError as error:
            raise ParameterError(
                f"the parameters cell has {ast.unparse(statement)!r}; it may only assign a plain "
                f"literal to a name."
            ) from error
    return values


def check(defaults: dict, given: dict) -> None:
    """Compare given parameters with the defaults.

    A value must be of its default's type; an int may stand for a float, and a default of None
    takes anything.

    Args:
        defaults: the chapter's parameters.
        given: those that replace some of them.

    Raises:
        ParameterError: an unknown name, with the nearest valid one, or a wrong type.
    """
    for name, value in given.items():
        if name not in defaults:
            near = difflib.get_close_matches(name, defaults, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ParameterError(
                f"there is no parameter {name!r}.{hint} The chapter has {sorted(defaults)}."
            )
        default = defaults[name]
        kinds = (int, float) if isinstance(default, float) else type(default)
        is_bool = isinstance(value, bool) and not isinstance(default, bool)
        if default is not None and (is_bool or not isinstance(value, kinds)):
            raise ParameterError(
                f"parameter {name} is {value!r}, a {type(value).__name__}; its default "
                f"{default!r} is a {type(default).__name__}. Give a {type(default).__name__}."
            )


def check_notebook() -> None:
    """Check what papermill has injected into the notebook that this is called in.

    Without papermill there is nothing to check.

    Raises:
        ParameterError: see `check`.
    """
    from IPython import get_ipython

    cells = get_ipython().user_ns["In"]
    for before, cell in zip(cells, cells[1:], strict=False):
        if cell.startswith(INJECTED):
            given = {name: v for name, v in literals(cell).items() if name not in PATHS}
            return check(literals(before), given)
