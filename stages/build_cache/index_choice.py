"""Which index a cache of many keys gets, from their number, the memory it may take and the recall wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xmap.store.errors import InputError

GB = 1e9
# Up to so many keys an exact search costs less than the training of lists.
FEW = 50_000
# With fewer keys a list, k-means has too little to learn from.
LEAST_PER_LIST = 64
# What an IVF index keeps beside its codes: a 64-bit row a key.
ROW_BYTES = 8
# Bytes a channel of product codes (4 bits for two channels, scanned in the processor's registers) and half-precision codes.
REFINED_BYTES = 0.25 + 2.0
# The best recall to be had from these is about this, and from 8-bit codes too; from product codes alone less (measured at each build).
CODED_RECALL = 0.98


@dataclass(frozen=True)
class IndexChoice:
    """A FAISS factory string, and in one line why it was chosen."""

    factory: str
    why: str


def choose_index(keys: int, width: int, memory: float, recall: float) -> IndexChoice:
    """The index for `keys` vectors of `width` within `memory` GB: exact where they are few, else lists of the finest codes that fit.

    Raises `InputError` where even the smallest codes take more.
    """
    exact, size = keys * width * 4, f"{keys:,} keys x {width} take {keys * width * 4 / GB:.2f} GB as Flat, {memory:g} GB allowed"
    if exact <= memory * GB and (keys <= FEW or recall >= 1.0):
        return IndexChoice("Flat", f"index auto: Flat, exact ({size})")
    lists = 2 ** round(math.log2(max(min(4.0 * math.sqrt(keys), keys / LEAST_PER_LIST), 4.0)))
    told = f"({size}; recall wanted {recall:g})"
    if keys > FEW and width % 2 == 0 and recall <= CODED_RECALL and keys * (width * REFINED_BYTES + ROW_BYTES) <= memory * GB:
        factory = f"IVF{lists},PQ{width // 2}x4fs,Refine(SQfp16)"
        return IndexChoice(factory, f"index auto: {factory} scans 4-bit codes of part of {lists} lists, and ranks the best anew {told}")
    if exact + keys * ROW_BYTES <= memory * GB and keys > FEW:
        return IndexChoice(f"IVF{lists},Flat", f"index auto: IVF{lists},Flat searches part of {lists} lists {told}")
    if keys * (width + ROW_BYTES) <= memory * GB and recall <= CODED_RECALL:
        return IndexChoice(f"IVF{lists},SQ8", f"index auto: IVF{lists},SQ8 keeps a byte a channel {told}")
    for share in (1, 2, 4, 8, 16):
        parts = width // share
        if width % share == 0 and keys * (parts + ROW_BYTES) <= memory * GB:
            return IndexChoice(f"IVF{lists},PQ{parts}", f"index auto: IVF{lists},PQ{parts} keeps {parts} bytes a key {told}")
    raise InputError(f"no index fits: {size}; give more with --index-memory, or name one with --index.")
