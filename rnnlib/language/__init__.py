"""What does a language model do when it reads its own words?

The word-level model with tied decoder, its loops (most probable word, drawn words, constant word)
and what they end in.
"""

from rnnlib.language.fast_decoding import fast_closed_loop
from rnnlib.language.free_running import free_run
from rnnlib.language.loss_by_context import loss_by_context
from rnnlib.language.model import BEGINNINGS, LANGUAGE_MODELS, PRECISIONS, LanguageModel
from rnnlib.language.random_loop import after_reading, drawn_texts, merging
from rnnlib.language.recorder import (
    HELD,
    SHOWN,
    TEXT,
    LanguageRecorder,
    LanguageSamples,
    pack_language_samples,
    read_language_samples,
    read_packed,
)
from rnnlib.language.regimes import in_closed_loop, spoken, under_constant_word, written_cycle
from rnnlib.language.word_attractors import word_attractors

__all__ = [
    "BEGINNINGS",
    "HELD",
    "LANGUAGE_MODELS",
    "LanguageModel",
    "LanguageRecorder",
    "LanguageSamples",
    "PRECISIONS",
    "SHOWN",
    "TEXT",
    "after_reading",
    "drawn_texts",
    "fast_closed_loop",
    "free_run",
    "in_closed_loop",
    "loss_by_context",
    "merging",
    "pack_language_samples",
    "read_language_samples",
    "read_packed",
    "spoken",
    "under_constant_word",
    "word_attractors",
    "written_cycle",
]
