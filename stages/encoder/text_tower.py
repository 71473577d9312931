"""The frozen text tower of an open_clip model with context vectors in place of words (CoOp, Zhou et al., IJCV 2022).

A prompt holds placeholder tokens, and a hook puts the context vectors where the tower looks these up. Everything after that
(positions, masks, pooling at the end token, the highest, first or last one, projection) is the model's own code, so CLIP,
CustomTextCLIP, CoCa and Hugging Face towers need nothing of their own here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from xmap.store.errors import InputError

# Prompts in one piece of a forward pass; with more, each is computed again for the gradient instead of being kept.
CHUNK = 128
PLACEHOLDER = "a"


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts: `ids` (N, L) int64 whose `count` tokens from `start` on are placeholders."""

    ids: Tensor
    start: int
    count: int


class TextTower:
    """A text tower whose weights are frozen: gradients reach the context vectors alone."""

    def __init__(self, model: Any, tokenizer: Callable[..., Tensor], context_length: int, name: str, device: str) -> None:
        self._model, self._tokenizer, self._length, self._name, self._device = model, tokenizer, context_length, name, device
        self._table = _token_table(model, name)
        for weight in model.parameters():
            weight.requires_grad_(False)
        one, other = tokenizer(["a", "b"], context_length=context_length)
        # What both begin with is the tokenizer's own start token, where it has one.
        self._start = int((one != other).int().argmax())

    @property
    def width(self) -> int:
        """The width of token embeddings, and so of context vectors."""
        return int(self._table.embedding_dim)

    def prompts(self, texts: Sequence[str], count: int) -> Prompts:
        """`texts` with `count` placeholders before each. Raises `InputError` where they do not fit the context length."""
        if not self._fit(texts, count):
            most = next((fewer for fewer in range(count - 1, 0, -1) if self._fit(texts, fewer)), 0)
            remedy = f"choose --context {most} or fewer" if most else "use --text prompts"
            raise InputError(
                f"{count} context vectors and the class names do not fit the {self._length} tokens of {self._name!r}; {remedy}."
            )
        ids = self._tokenizer(list(texts), context_length=self._length - count)
        holder = int(self._tokenizer([PLACEHOLDER], context_length=self._length)[0, self._start])
        held = torch.full((len(ids), count), holder, dtype=ids.dtype)
        return Prompts(torch.cat([ids[:, : self._start], held, ids[:, self._start :]], dim=1).to(self._device), self._start, count)

    def words(self, text: str) -> Tensor:
        """The embeddings (n, width) float32 of the tokens of `text`; n is 0 for no words."""
        # A word after the text shows where its tokens end: before it they agree, whatever the tokenizer puts at the end.
        one, other = self._tokenizer([f"{text} a", f"{text} b"], context_length=self._length)
        stop = int((one != other).int().argmax())
        embedded: Tensor = self._table(one[self._start : stop].to(self._device))
        return embedded.detach().float()

    def features(self, prompts: Prompts, context: Tensor) -> Tensor:
        """Features (N, C) float32, not normalised, of `prompts` with `context` (count, width) in their places."""
        pieces = torch.split(prompts.ids, CHUNK)
        if len(pieces) == 1 or not torch.is_grad_enabled():
            return torch.cat([self._piece(ids, prompts.start, context) for ids in pieces])
        return torch.cat([_recomputed(self._piece, ids, prompts.start, context) for ids in pieces])

    def _piece(self, ids: Tensor, start: int, context: Tensor) -> Tensor:
        with _replaced(self._table, start, context):
            features: Tensor = self._model.encode_text(ids)
        return features.float()

    def _fit(self, texts: Sequence[str], count: int) -> bool:
        """Whether no prompt loses a token to the placeholders, beyond what it loses without them."""
        room = self._length - count
        if room <= self._start + 1:
            return False
        whole, cut = (self._tokenizer(list(texts), context_length=length) for length in (self._length, room))
        rest = whole[:, room:]
        return bool((whole[:, :room] == cut).all()) and bool((rest == rest[:, -1:]).all())


def _token_table(model: Any, name: str) -> torch.nn.Embedding:
    tower = getattr(model, "text", model)
    table = getattr(tower, "token_embedding", None)
    inner = getattr(tower, "transformer", None)
    if table is None and inner is not None and hasattr(inner, "get_input_embeddings"):
        table = inner.get_input_embeddings()
    if not isinstance(table, torch.nn.Embedding):
        raise InputError(f"the text tower of {name!r} has no token embeddings that context vectors could replace; use --text prompts.")
    return table


@contextmanager
def _replaced(table: torch.nn.Embedding, start: int, context: Tensor) -> Iterator[None]:
    def hook(module: object, inputs: object, embedded: Tensor) -> Tensor:
        held = context.to(embedded.dtype).expand(len(embedded), -1, -1)
        return torch.cat([embedded[:, :start], held, embedded[:, start + len(context) :]], dim=1)

    handle = table.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _recomputed(function: Callable[..., Tensor], *inputs: Any) -> Tensor:
    found: Tensor = checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
    return found
