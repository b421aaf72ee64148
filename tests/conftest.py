"""What every test shares."""

import os

import torch

# Per-step loops over small tensors: a second thread only waits, and for long on a busy machine.
torch.set_num_threads(int(os.environ.get("RNNLIB_TEST_THREADS", "1")))  # `make sweep` asks for 2
