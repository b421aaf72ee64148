"""Keep the weights during training, for analyses after it."""

from pathlib import Path

from torch import nn

from rnnlib.files import save_checkpoint


class Snapshots:
    """A callback that stores the weights every so many epochs, ``epoch_00010.pt`` and so on.

    Args:
        folder: where to; made if needed.
        every: at epochs 0, ``every``, ``2 every``, ...
        until: the last epoch to keep.
    """

    def __init__(self, folder: Path, every: int, until: int):
        self.folder, self.every, self.until = folder, every, until

    def __call__(self, epoch: int, model: nn.Module) -> None:
        if epoch % self.every == 0 and epoch <= self.until:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_checkpoint(self.folder / f"epoch_{epoch:05}.pt", model.state_dict())
