"""What every test shares."""

import torch

# Per-step loops over small tensors: a second thread only waits, and for long on a busy machine.
torch.set_num_threads(1)
