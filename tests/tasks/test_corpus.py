"""Hypotheses about corpora: numbering, streams and windows."""

import pytest
import torch

from rnnlib.tasks.corpus import EOS, Corpus, corpus_of, streams, windows


def test_words_are_numbered_as_they_first_appear_over_all_three_texts():
    """Hypothesis: train first, then what is new in valid, then in test; each line ends in <eos>."""
    corpus = corpus_of("b a\n b\n", "a c\n", "d b\n")
    assert corpus.words == ("b", "a", EOS, "c", "d")
    assert corpus.train.tolist() == [0, 1, 2, 0, 2]
    assert corpus.valid.tolist() == [1, 3, 2]
    assert corpus.test.tolist() == [4, 0, 2]
    assert corpus.train.dtype == torch.int64


def test_an_empty_line_is_one_token_and_a_last_line_needs_no_end():
    """Hypothesis: as iterating over a file's lines has it."""
    assert corpus_of("a\n\n b", "", "").decode(torch.arange(3)) == f"a {EOS} b"
    assert corpus_of("a\n\n b", "", "").train.tolist() == [0, 1, 1, 2, 1]


def test_decoding_undoes_encoding():
    """Hypothesis: words to numbers and back, from a string or one by one."""
    corpus = corpus_of("the sea is calm\n", "the sea is not\n", "")
    text = "is the sea not calm <eos>"
    assert corpus.decode(corpus.encode(text)) == text
    assert torch.equal(corpus.encode(text.split()), corpus.encode(text))
    assert corpus.index["sea"] == 1


def test_an_unknown_word_is_named_with_the_nearest_ones():
    """Hypothesis: the message says the word and what may have been meant."""
    corpus = corpus_of("Valkyria Chronicles\n", "", "")
    with pytest.raises(ValueError, match="'Valkyrie'.*'Valkyria'"):
        corpus.encode("Valkyrie")
    with pytest.raises(ValueError, match="near ones: none"):
        corpus.encode("xyz")


def test_streams_are_contiguous_stretches():
    """Hypothesis: column i is the i-th stretch; the remainder is dropped."""
    columns = streams(torch.arange(11), 3)
    assert columns.t().tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert columns.is_contiguous()


@pytest.mark.parametrize("batch", [0, -1, 6])
def test_streams_of_less_than_two_tokens_are_refused(batch):
    """Hypothesis: the message gives the batches that are possible."""
    with pytest.raises(ValueError, match=f"batch is {batch} and tokens has 11.*from 1 to 5"):
        streams(torch.arange(11), batch)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 100])
def test_every_token_but_the_first_is_a_target_once_and_in_order(length):
    """Hypothesis: windows cover the stream; tokens are the targets of one step before."""
    stream = streams(torch.arange(22), 2)
    found = list(windows(stream, length))
    torch.testing.assert_close(torch.cat([targets for _, targets in found]), stream[1:])
    torch.testing.assert_close(torch.cat([tokens for tokens, _ in found]), stream[:-1])
    assert {len(tokens) for tokens, _ in found[:-1]} <= {length}
    assert all(len(tokens) == len(targets) > 0 for tokens, targets in found)


def test_windows_of_no_length_are_refused():
    """Hypothesis: the message names the value."""
    with pytest.raises(ValueError, match="length is 0"):
        next(windows(torch.zeros(5, 1), 0))


def test_a_corpus_is_an_object_of_its_own():
    """Hypothesis: comparing two with equal tensors is no error."""
    parts = [torch.arange(3)] * 3
    assert Corpus(*parts, ("a",)) != Corpus(*parts, ("a",))
