"""What every test shares."""

import os
import signal

import torch

# Per-step loops over small tensors: a second thread only waits, and for long on a busy machine.
torch.set_num_threads(int(os.environ.get("RNNLIB_TEST_THREADS", "1")))  # `make sweep` asks for 2

# Programs that nohup or a script's background starts ignore these, and so would what tests start:
# a test of Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in {"SIGHUP", "SIGTERM"} & set(dir(signal)):
    if signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, name), signal.SIG_DFL)
