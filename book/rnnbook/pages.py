"""Results as a page shows them: tables that scroll by themselves, sentences built from numbers."""

from collections.abc import Iterable, Sequence
from html import escape

from IPython.display import HTML, Markdown

from rnnlib.dynamics import FixedPoints


def table(header: Sequence, rows: Iterable[Sequence]) -> HTML:
    """Return a table that scrolls sideways in itself where the page is narrow.

    Args:
        header: the names of the columns.
        rows: entries, each shown as its `str`; format numbers before.
    """

    def line(tag: str, row: Sequence) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(entry))}</{tag}>" for entry in row) + "</tr>"

    body = "".join(line("td", row) for row in rows)
    return HTML(
        '<div style="overflow-x: auto"><table class="table table-sm">'
        f"<thead>{line('th', header)}</thead><tbody>{body}</tbody></table></div>"
    )


def say(*sentences: str) -> Markdown:
    """Return sentences as one paragraph of the page.

    A number or a verdict that a page computes is told this way: the sentence is built from the
    result, so it is right on every processor and at every size.
    """
    return Markdown(" ".join(sentences))


def roots(found: FixedPoints, axes: int = 4) -> HTML:
    """Return the fixed points or cycles that were found as a table, a line for each root.

    Args:
        found: from `rnnlib.dynamics.fixed_points`, of one system.
        axes: how many components to show.
    """
    return table(
        ["state", "period", "kind", "largest multiplier", "residual", "starts"],
        [
            [
                ", ".join(f"{round(v, 4) + 0.0:+.4f}" for v in x[:axes].tolist()),
                int(found.period[i]),
                found.stability[i],
                f"{float(found.eigenvalues[i].abs().max()):.4f}",
                f"{float(found.residual[i]):.0e}",
                int(found.hits[i]),
            ]
            for i, x in enumerate(found.points)
        ],
    )
