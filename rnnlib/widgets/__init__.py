"""What a reader can drag: the explorer of the chaotic LSTM, epoch sliders and curve sliders."""

try:
    import anywidget  # noqa: F401
except ImportError as error:
    raise ImportError(
        "rnnlib.widgets needs anywidget, which could not be imported. Install it with "
        'pip install "rnnlib[notebook]".'
    ) from error

from rnnlib.widgets.curve_slider import CurveSlider
from rnnlib.widgets.epoch_slider import EpochSlider
from rnnlib.widgets.explorer import ChaosExplorer

__all__ = [
    "ChaosExplorer",
    "CurveSlider",
    "EpochSlider",
]
