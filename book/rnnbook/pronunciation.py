"""A trained network that nobody here wrote: it writes the pronunciation of English words.

The weights are those of the package g2p_en: an encoder, a GRU that reads letters, and a decoder,
a GRU that begins where the encoder ended and reads the phonemes that it has written so far. The
package itself is not imported, only its file of weights is read.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

LETTERS = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
BEGIN, END = 2, 3  # the decoder's numbers for the beginning and the end of a word
LONGEST = 20  # phonemes


class Pronunciation(NamedTuple):
    """The two networks of the package.

    Attributes:
        encoder, decoder: `torch.nn.GRU` of 256 units, time as first axis.
        letters, phonemes: the embeddings that they read.
        head: from the decoder's state to the logits of the next phoneme.
    """

    encoder: nn.GRU
    decoder: nn.GRU
    letters: nn.Embedding
    phonemes: nn.Embedding
    head: nn.Linear


def load() -> Pronunciation:
    """Return the networks with the weights that the package ships.

    Raises:
        ModuleNotFoundError: the package is not installed, with what to install.
    """
    found = find_spec("g2p_en")
    if found is None or found.origin is None:
        raise ModuleNotFoundError(
            "the package g2p_en, whose weights this chapter looks at, is not installed; "
            "pip install --no-deps g2p_en==2.1.0"
        )
    with np.load(Path(found.origin).with_name("checkpoint20.npz"), allow_pickle=False) as file:
        weights = {name: torch.from_numpy(file[name]) for name in file.files}

    def gru(name: str) -> nn.GRU:
        layer = nn.GRU(weights[f"{name}_w_ih"].shape[1], weights[f"{name}_w_hh"].shape[1])
        short = {"weight_ih_l0": "w_ih", "weight_hh_l0": "w_hh", "bias_ih_l0": "b_ih"}
        short["bias_hh_l0"] = "b_hh"
        layer.load_state_dict({key: weights[f"{name}_{value}"] for key, value in short.items()})
        return layer.eval()

    outputs, units = weights["fc_w"].shape
    head = nn.Linear(units, outputs)
    head.load_state_dict({"weight": weights["fc_w"], "bias": weights["fc_b"]})
    return Pronunciation(
        gru("enc"),
        gru("dec"),
        nn.Embedding.from_pretrained(weights["enc_emb"]),
        nn.Embedding.from_pretrained(weights["dec_emb"]),
        head.eval(),
    )


@torch.no_grad()
def read_and_write(networks: Pronunciation, words: list[str]) -> tuple[Tensor, list[list[int]]]:
    """Let the networks pronounce words.

    Args:
        networks: from `load`.
        words: of lower-case letters.

    Returns:
        What the decoder read, `LONGEST` steps of each word, shape ``(LONGEST, words, 256)``, and
        the numbers of the phonemes that it wrote up to the end of the word.
    """
    inputs, written = [], []
    for word in words:
        letters = torch.tensor([LETTERS.index(letter) for letter in word] + [LETTERS.index("</s>")])
        _, state = networks.encoder(networks.letters(letters))
        phoneme, read, said = torch.tensor([BEGIN]), [], []
        for _ in range(LONGEST):
            read.append(networks.phonemes(phoneme))
            h, state = networks.decoder(read[-1], state)
            phoneme = networks.head(h).argmax(-1)
            said.append(int(phoneme))
        inputs.append(torch.cat(read))
        written.append(said[: said.index(END)] if END in said else said)
    return torch.stack(inputs, dim=1), written
