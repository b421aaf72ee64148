"""Hypotheses about WikiText-2: its size, and every way in which its files can be wrong.

The failures are provoked on a tiny corpus of our own, with the digests of its own files, and on a
server on this machine.
"""

import functools
import hashlib
import http.server
import os
import threading
from pathlib import Path

import pytest
import torch

from rnnlib.tasks import wikitext
from rnnlib.tasks.wikitext import VARIABLE, WikitextError, load

pooch = pytest.importorskip("pooch", reason="the corpus needs the extra batch")
TEXTS = {"train.txt": "one two\n two\n", "valid.txt": "three\n", "test.txt": "one four\n"}


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder with the tiny corpus, also on a server, and an empty cache."""
    folder = tmp_path / "server"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in TEXTS.items()}
    monkeypatch.setattr(wikitext, "SHA256", digests)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(folder) as server:
        monkeypatch.setattr(wikitext, "URL", f"http://127.0.0.1:{server.server_port}/")
        yield folder
        server.shutdown()


def serve(folder):
    handler = functools.partial(Handler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def copyfile(self, source, outputfile):
        """Break off in the middle of a file that says so."""
        content = source.read()
        outputfile.write(content.partition(b"BREAK")[0])


def cached(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


def real_folder() -> Path | None:
    """The real files: where the variable says, or beside the repository."""
    root = Path(__file__).resolve().parents[2]
    places = [root / "data", root.parent / "data", root.parent / "shared" / "data"]
    folders = [place / "wikitext-2" for place in places]
    if os.environ.get(VARIABLE):
        folders.insert(0, Path(os.environ[VARIABLE]))
    return next((folder for folder in folders if (folder / "train.txt").exists()), None)


def test_the_real_corpus_has_the_published_size():
    """Hypothesis: 2,088,628 / 217,646 / 245,569 tokens, 33,278 words, all of which occur."""
    folder = real_folder()
    if folder is None:
        pytest.skip(f"no WikiText-2 here: name its folder in {VARIABLE}")
    corpus = load(folder)
    sizes = len(corpus.train), len(corpus.valid), len(corpus.test)
    assert sizes == (2_088_628, 217_646, 245_569)
    assert len(corpus.words) == len(set(corpus.words)) == 33_278
    assert len(torch.cat([corpus.train, corpus.valid, corpus.test]).unique()) == 33_278
    assert corpus.decode(corpus.train[:6]) == "<eos> = Valkyria Chronicles III ="
    shown = "is <unk> Valkyria"  # the words of the paper's projections
    assert corpus.decode(corpus.encode(shown)) == shown


def test_a_folder_is_read(served):
    """Hypothesis: three files with the right digests make a corpus."""
    corpus = load(served)
    assert corpus.words == ("one", "two", "<eos>", "three", "four")
    assert corpus.train.tolist() == [0, 1, 2, 1, 2]


def test_the_variable_names_the_folder_and_an_argument_outweighs_it(served, tmp_path, monkeypatch):
    """Hypothesis: argument, variable, cache, in this order."""
    monkeypatch.setenv(VARIABLE, str(served))
    assert len(load().words) == 5
    with pytest.raises(WikitextError, match="elsewhere"):
        load(tmp_path / "elsewhere")
    assert not cached(tmp_path)


@pytest.mark.parametrize("name", TEXTS)
def test_a_missing_file_is_named_with_what_to_do(served, name):
    """Hypothesis: the file, and three ways out."""
    (served / name).unlink()
    with pytest.raises(WikitextError, match=name) as error:
        load(served)
    for remedy in ("load(folder)", VARIABLE, "hidden_markov_language"):
        assert remedy in str(error.value)


@pytest.mark.parametrize("name", TEXTS)
def test_one_changed_byte_is_an_error(served, name):
    """Hypothesis: it names the file, the digest found and the one expected."""
    content = bytearray((served / name).read_bytes())
    content[-2] ^= 1
    (served / name).write_bytes(content)
    found = hashlib.sha256(content).hexdigest()
    with pytest.raises(WikitextError, match=rf"{name}.*{found}.*{wikitext.SHA256[name]}.*Replace"):
        load(served)


def test_what_was_fetched_once_needs_no_network(served, tmp_path, monkeypatch):
    """Hypothesis: the cache fills with the three files, and then serves alone."""
    assert len(load().words) == 5
    assert cached(tmp_path) == sorted(TEXTS)
    monkeypatch.setattr(wikitext, "URL", "http://127.0.0.1:9/")
    assert len(load().words) == 5


def test_without_a_network_the_error_says_what_to_do(served, tmp_path, monkeypatch):
    """Hypothesis: address, reason, three ways out; nothing is written."""
    monkeypatch.setattr(wikitext, "URL", "http://127.0.0.1:9/")
    with pytest.raises(WikitextError, match="127.0.0.1:9/train.txt cannot be fetched") as error:
        load()
    for remedy in ("load(folder)", VARIABLE, "hidden_markov_language"):
        assert remedy in str(error.value)
    assert not cached(tmp_path)


@pytest.mark.parametrize("wrong", ["other words\n", "one twoBREAK\n two\n"])
def test_nothing_half_or_wrong_gets_into_the_cache(served, tmp_path, wrong):
    """Hypothesis: another file on the server, or a line that breaks off."""
    (served / "train.txt").write_text(wrong)
    with pytest.raises(WikitextError, match="train.txt cannot be fetched"):
        load()
    assert not cached(tmp_path)


def test_a_changed_byte_in_the_cache_is_an_error(served, tmp_path):
    """Hypothesis: the digest counts there too, and the file stays for its owner to look at."""
    load()
    (path,) = (tmp_path / "cache").rglob("valid.txt")
    path.write_text("thres\n")
    with pytest.raises(WikitextError, match="valid.txt.*delete it"):
        load()
    assert path.read_text() == "thres\n"
