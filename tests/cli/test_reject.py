"""`xmap predict --reject`: images of none of the classes get no class, in every format, from a store, an exported folder and Python."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import xmap
from tests.promises.test_old_stores import FROZEN
from tests.worlds.commands import call
from tests.worlds.inputs import write_photos
from xmap.stages.datasets.digits import write_digits
from xmap.store.errors import InputError

RUN = ("--model", "xmap-tiny", "--views", "1", "--batch-size", "32", "--workers", "0", "--shots", "4", "--seeds", "1", "--quiet")
LEFT_OUT = ("0", "7")
