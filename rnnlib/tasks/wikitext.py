"""WikiText-2: 720 Wikipedia articles as word tokens, found on disk or fetched once.

The files are those of Merity et al., "Pointer sentinel mixture models", ICLR 2017, as they stand
beside PyTorch's word language model example. Their licence is CC BY-SA 3.0.
"""

import hashlib
import os
from pathlib import Path

from rnnlib.tasks.corpus import Corpus, corpus_of

URL = "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/"
VARIABLE = "RNNLIB_WIKITEXT2"
SHA256 = {
    "train.txt": "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
    "valid.txt": "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
    "test.txt": "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
}
REMEDY = (
    f"Put {', '.join(SHA256)} of WikiText-2 into a folder and give it as wikitext.load(folder) or "
    f"in the environment variable {VARIABLE}. Without them there is the synthetic language of "
    f"rnnlib.tasks.hidden_markov_language."
)


class WikitextError(RuntimeError):
    """The files of WikiText-2 are missing, cannot be fetched, or are not the right ones."""


def load(folder: str | os.PathLike | None = None) -> Corpus:
    """Return WikiText-2: 2,088,628 / 217,646 / 245,569 tokens of 33,278 words.

    Args:
        folder: where ``train.txt``, ``valid.txt`` and ``test.txt`` are; by default the folder that
            the environment variable ``RNNLIB_WIKITEXT2`` names, and without it the user's cache,
            to which files that it lacks are fetched.

    Raises:
        WikitextError: a file is missing or cannot be fetched, or one byte of it is not as it
            should be.
    """
    folder = folder or os.environ.get(VARIABLE)
    texts = []
    for name, digest in SHA256.items():
        path = Path(folder) / name if folder else _fetched(name, digest)
        texts.append(_checked(path, digest).decode())
    return corpus_of(*texts)


def _checked(path: Path, digest: str) -> bytes:
    """Return what the file holds, once its sha256 is what it should be."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WikitextError(f"{path} cannot be read: {error.strerror}. {REMEDY}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise WikitextError(
            f"{path} is not the file of WikiText-2: its sha256 is {found} and should be {digest}. "
            f"Replace it, or delete it where it is a fetched one."
        )
    return content


def _fetched(name: str, digest: str) -> Path:
    """Return the file's place in the cache, fetched if it is not there."""
    import pooch  # only here: who has the files needs no downloader

    cache = pooch.os_cache("rnnlib") / "wikitext-2"
    if (cache / name).exists():
        return cache / name
    try:  # written under another name, and moved once its digest is right
        return Path(pooch.retrieve(URL + name, f"sha256:{digest}", fname=name, path=cache))
    except (OSError, ValueError) as error:
        raise WikitextError(f"{URL}{name} cannot be fetched: {error} {REMEDY}") from error
