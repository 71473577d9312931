"""What the tiny models can name: characters, concepts and their captions.

A glyph may be named in more than one way: the image of a capital A is "the letter a"
as well as "the capital letter a". Each such meaning is a *concept*; the loss treats every
(image, concept) pair that is true as a positive.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

from xmap.stages.datasets.benchmarks.table import IMAGENET_PROMPTS

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CHARACTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
N_DIGITS = len(string.digits)

# The template that validation uses: it is fixed here so that no measurement picks it.
ZERO_SHOT_TEMPLATE = "a photo of the digit {}."
LETTER_TEMPLATE = "a photo of the letter {}."

# Carrier phrases that say nothing about the kind of thing: the plain CLIP prompts, among
# them the seven of the usual ensemble, so that a prompt file written for CLIP works here.
_GENERAL = (
    "{}",
    "a {}",
    "the {}",
    "a photo of {}",
    "a photo of a {}.",
    "a photo of the {}.",
    "a picture of a {}.",
    "an image of a {}.",
    "a drawing of a {}.",
    "a printed {}.",
    *IMAGENET_PROMPTS,
)
_KINDS_OF_DIGIT = ("digit", "number", "numeral", "character", "figure", "printed digit")
_KINDS_OF_LETTER = ("letter", "character", "printed letter")
_KINDS_OF_CAPITAL = ("capital letter", "uppercase letter", "capital", "uppercase")
_KINDS_OF_SMALL = ("lowercase letter", "lowercase")
_NAMING = ("a photo of the {} {}.", "the {} {}", "{} {}", "an image of the {} {}.")


@dataclass(frozen=True)
class Concept:
    """One meaning: the captions that say it and the characters it is true of."""

    captions: tuple[str, ...]
    characters: str


def _named(kinds: tuple[str, ...], names: tuple[str, ...]) -> list[str]:
    """Every naming phrase with each kind and name, the name bare and in quotes."""
    spelled = [form for name in names for form in (name, f'"{name}"')]
    return [t.format(kind, name) for t in _NAMING for kind in kinds for name in spelled]


def _digit(index: int) -> Concept:
    names = (string.digits[index], DIGIT_WORDS[index])
    general = [t.format(name) for t in _GENERAL for name in names]
    return Concept((*general, *_named(_KINDS_OF_DIGIT, names)), string.digits[index])


def _letter(small: str) -> Concept:
    general = [t.format(small) for t in _GENERAL]
    captions = (*general, *_named(_KINDS_OF_LETTER, (small,)))
    return Concept(captions, small.upper() + small)


def concepts() -> list[Concept]:
    """The ten digits, then each letter in either case, as a capital and as a small one."""
    digits = [_digit(index) for index in range(N_DIGITS)]
    letters = [_letter(small) for small in string.ascii_lowercase]
    capitals = [Concept(tuple(_named(_KINDS_OF_CAPITAL, (small,))), small.upper()) for small in string.ascii_lowercase]
    smalls = [Concept(tuple(_named(_KINDS_OF_SMALL, (small,))), small) for small in string.ascii_lowercase]
    return digits + letters + capitals + smalls
