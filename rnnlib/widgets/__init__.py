"""What a reader can drag: the explorer of the chaotic LSTM and the epoch sliders."""

from rnnlib.widgets.epoch_slider import EpochSlider
from rnnlib.widgets.explorer import ChaosExplorer

__all__ = [
    "ChaosExplorer",
    "EpochSlider",
]
