"""What is there to learn?

Sines, symbols among distractors, and language: each task draws or reads its data, says its loss,
and evaluates. This room imports nothing of ours but files.
"""

from rnnlib.tasks import language, wikitext
from rnnlib.tasks.corpus import EOS, Corpus, streams, windows
from rnnlib.tasks.hidden_markov_language import HiddenMarkovLanguage, three_places
from rnnlib.tasks.hidden_markov_reader import IdealReader, implied, judge, told
from rnnlib.tasks.language import N_WORDS, REDUCTIONS, WINDOW_STARTS, Language
from rnnlib.tasks.long_memory import Adding, Copying, draw_adding, draw_copying
from rnnlib.tasks.sine import HIGHEST, LOWEST, ForcedSine, Sine, frequencies
from rnnlib.tasks.symbols import (
    CLASSES,
    DRAWS,
    FIRST,
    SECOND,
    SYMBOLS,
    Symbols,
    draw_symbols,
    one_hot,
)

__all__ = [
    "Adding",
    "Copying",
    "draw_adding",
    "draw_copying",
    "CLASSES",
    "Corpus",
    "DRAWS",
    "EOS",
    "FIRST",
    "ForcedSine",
    "HIGHEST",
    "HiddenMarkovLanguage",
    "IdealReader",
    "LOWEST",
    "Language",
    "N_WORDS",
    "REDUCTIONS",
    "SECOND",
    "SYMBOLS",
    "Sine",
    "Symbols",
    "WINDOW_STARTS",
    "draw_symbols",
    "frequencies",
    "implied",
    "judge",
    "language",
    "one_hot",
    "streams",
    "three_places",
    "told",
    "wikitext",
    "windows",
]
