"""Published numbers to print beside our own: accuracies in percent with CLIP's ResNet-50, and where each row comes from.

Sources are the logs and tables of others; `chosen` says on what their settings were selected, as far as it is known. They are
for orientation: another backbone, other prompts or a larger validation set makes a row incomparable.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache

BACKBONE = "RN50"
SHOTS = (1, 2, 4, 8, 16)
VAL_TEST = "full val, on ImageNet test-selected"
UNSTATED = "selection not stated"


@dataclass(frozen=True)
class Source:
    """A row of numbers: the method, where it was published, and on what settings were chosen."""

    method: str
    source: str
    chosen: str

    @property
    def words(self) -> str:
        return f"{self.source}; {BACKBONE}; {self.chosen}"


@dataclass(frozen=True)
class Published:
    """A published row: accuracies by number of shots."""

    source: Source
    accuracy: Mapping[int, float]


ELEVEN = (
    "imagenet", "caltech101", "dtd", "eurosat", "fgvc_aircraft", "oxford_flowers", "food101", "oxford_pets", "stanford_cars", "sun397",
    "ucf101",
)  # fmt: skip
ZERO_SHOT = Source("zero-shot", "Tip-Adapter exp.log", "Tip-Adapter's prompts, nothing to choose")
# In the order of ELEVEN; the same at every number of shots.
ZERO_SHOT_ACCURACY = "60.32 85.92 42.20 37.52 17.10 66.02 77.32 85.83 55.74 58.52 61.35"

# A dataset and its accuracies at 1, 2, 4, 8 and 16 shots.
ALL_SHOTS: Mapping[Source, str] = {
    Source("Tip-Adapter", "Tip-Adapter exp.log", VAL_TEST + "; one seed"): """
        imagenet 60.70 60.96 60.98 61.45 62.01
        caltech101 87.18 88.44 89.39 89.83 90.18
        dtd 46.22 49.47 53.96 58.63 60.93
        eurosat 54.38 61.68 65.32 67.95 70.54
        fgvc_aircraft 19.05 21.21 22.41 25.59 29.76
        oxford_flowers 73.12 79.13 83.80 87.98 89.89
        food101 77.42 77.52 77.54 77.76 77.83
        oxford_pets 86.10 87.03 86.45 87.03 88.14
        stanford_cars 57.54 57.93 61.45 62.93 66.77
        sun397 61.30 62.70 64.15 65.62 66.85
        ucf101 62.60 64.74 66.46 68.68 70.58
    """,
    Source("Tip-Adapter-F", "Tip-Adapter exp.log", "test-selected: epoch chosen on test; one seed"): """
        imagenet 61.13 61.69 62.52 64.00 65.51
        caltech101 89.33 89.74 90.56 91.44 92.86
        dtd 49.65 53.72 57.39 62.71 66.55
        eurosat 59.53 66.15 74.12 77.93 84.54
        fgvc_aircraft 20.22 23.19 25.80 30.21 35.55
        oxford_flowers 79.98 82.30 88.83 91.51 94.80
        food101 77.51 77.81 78.24 78.64 79.43
        oxford_pets 87.00 87.03 87.54 88.09 89.70
        stanford_cars 58.86 61.50 64.57 69.25 75.74
        sun397 62.50 63.64 66.21 68.87 71.47
        ucf101 64.87 66.43 70.55 74.25 78.03
    """,
    Source("CLIP-Adapter", "Tip-Adapter exp.log", UNSTATED): """
        imagenet 61.20 61.52 61.84 62.68 63.59
        caltech101 88.60 89.37 89.98 91.40 92.49
        dtd 45.80 51.48 56.86 61.00 65.96
        eurosat 61.40 63.90 73.38 77.93 84.43
        fgvc_aircraft 17.49 20.10 22.59 26.25 32.10
        oxford_flowers 73.49 81.61 87.17 91.72 93.90
        food101 76.82 77.22 77.92 78.04 78.25
        oxford_pets 85.99 86.73 87.46 87.65 87.84
        stanford_cars 55.13 58.74 62.45 67.89 74.01
        sun397 61.30 63.29 65.96 67.50 69.55
        ucf101 62.20 67.12 69.05 73.30 76.76
    """,
    Source("CoOp", "APE_results.ipynb", UNSTATED): """
        imagenet 57.57 57.86 59.63 61.57 62.97
        caltech101 87.80 87.87 89.57 90.10 92.07
        dtd 44.10 46.00 53.53 59.63 63.70
        eurosat 51.30 59.87 70.30 77.13 83.27
        fgvc_aircraft 8.87 18.63 20.30 27.33 31.67
        oxford_flowers 69.07 78.00 85.80 91.40 94.73
        food101 74.30 71.77 73.33 71.93 74.47
        oxford_pets 85.87 82.03 87.03 85.40 86.30
        stanford_cars 56.23 58.73 62.90 67.85 73.33
        sun397 60.03 60.00 63.40 65.73 69.40
        ucf101 62.67 63.60 69.40 72.50 76.07
    """,
    Source("Tip-X", "APE_results.ipynb", VAL_TEST): """
        imagenet 60.73 61.03 61.10 61.57 62.16
        caltech101 88.39 88.60 89.29 89.81 90.70
        dtd 46.98 50.11 55.20 59.33 63.53
        eurosat 55.88 61.54 68.14 68.85 73.16
        fgvc_aircraft 20.10 21.93 22.92 26.91 30.12
        oxford_flowers 73.44 79.41 85.92 88.59 90.29
        food101 77.38 77.53 77.50 77.87 77.93
        oxford_pets 85.41 87.95 88.28 89.12 89.86
        stanford_cars 58.79 60.27 63.84 65.81 67.30
        sun397 61.69 63.38 64.94 66.28 68.00
        ucf101 62.78 66.45 66.87 68.88 71.95
    """,
    Source("APE", "APE_results.ipynb", VAL_TEST + "; GPT-3 prompts"): """
        imagenet 62.04 62.34 62.54 62.79 63.42
        caltech101 90.47 90.99 91.81 91.93 92.49
        dtd 52.66 58.63 60.70 66.08 67.73
        eurosat 59.79 62.86 70.33 74.51 78.16
        fgvc_aircraft 20.85 22.89 24.39 28.32 31.26
        oxford_flowers 79.62 83.68 87.90 91.11 91.96
        food101 77.59 77.64 77.59 78.27 78.50
        oxford_pets 86.26 87.06 87.31 87.55 88.88
        stanford_cars 59.57 61.39 65.09 66.71 70.31
        sun397 64.37 65.93 66.64 68.37 69.72
        ucf101 63.26 65.72 69.92 71.74 74.49
    """,
    Source("APE-T", "APE_results.ipynb", VAL_TEST + "; GPT-3 prompts"): """
        imagenet 62.51 63.25 63.66 64.80 66.07
        caltech101 90.47 90.79 91.67 93.02 93.14
        dtd 54.61 58.81 65.48 67.02 69.66
        eurosat 65.85 71.62 74.72 80.73 86.70
        fgvc_aircraft 24.69 25.59 29.16 33.36 39.62
        oxford_flowers 83.31 87.90 92.08 94.68 96.14
        food101 77.62 78.06 78.57 78.86 79.53
        oxford_pets 87.11 87.30 88.53 88.83 90.24
        stanford_cars 60.79 63.86 68.41 71.38 76.53
        sun397 66.01 67.32 69.05 71.10 72.73
        ucf101 66.51 69.23 73.43 75.43 79.73
    """,
    Source("TaskRes", "HC, NeurIPS 2024, Table 5 (rerun)", UNSTATED): """
        imagenet 61.44 62.28 62.78 64.30 65.41
        caltech101 89.49 89.86 90.71 92.09 93.31
        dtd 49.65 54.43 59.40 63.48 67.02
        eurosat 63.52 65.99 74.42 78.07 83.25
        fgvc_aircraft 21.36 23.67 26.49 32.25 35.82
        oxford_flowers 79.09 83.09 89.97 94.05 95.53
        food101 75.03 75.88 76.45 77.82 78.33
        oxford_pets 84.60 85.64 87.03 87.35 88.53
        stanford_cars 59.78 62.70 66.60 70.70 77.07
        sun397 61.87 64.89 67.22 69.29 71.41
        ucf101 64.26 67.41 69.36 74.46 78.43
    """,
    Source("Tip-Adapter-F", "HC, NeurIPS 2024, Table 5 (rerun)", UNSTATED): """
        imagenet 61.16 61.74 62.65 64.07 65.43
        caltech101 89.21 89.86 90.95 92.25 93.06
        dtd 49.17 54.37 58.22 63.12 66.55
        eurosat 59.10 66.19 73.46 78.04 84.98
        fgvc_aircraft 20.46 23.34 25.98 32.16 36.42
        oxford_flowers 79.29 85.30 89.69 91.76 94.64
        food101 77.52 77.73 78.12 78.52 79.40
        oxford_pets 86.43 87.05 87.49 87.79 89.67
        stanford_cars 59.69 61.52 65.73 70.12 75.80
        sun397 61.95 64.25 67.13 69.43 71.52
        ucf101 65.05 68.28 71.05 74.97 78.09
    """,
    Source("TIMO", "TIMO repository outputs", VAL_TEST + "; GPT-3 prompts; 3 seeds"): """
        imagenet 61.97 62.39 62.88 63.22 64.63
        caltech101 90.34 90.85 91.47 92.63 93.06
        dtd 54.35 55.91 60.54 65.43 68.68
        eurosat 63.92 67.09 75.76 80.87 86.09
        fgvc_aircraft 23.51 24.77 29.67 34.19 40.69
        oxford_flowers 79.71 86.91 91.23 94.67 96.35
        food101 77.46 77.93 78.40 78.48 79.39
        oxford_pets 88.32 87.87 88.80 87.47 89.85
        stanford_cars 58.79 59.98 64.10 66.79 74.11
        sun397 65.48 65.90 68.49 69.35 71.64
        ucf101 66.86 70.01 71.92 75.91 78.17
    """,
    Source("TIMO-S", "TIMO repository outputs", VAL_TEST + "; GPT-3 prompts; 3 seeds"): """
        imagenet 62.27 62.63 63.31 64.02 64.90
        caltech101 90.26 91.10 91.76 92.81 93.29
        dtd 54.39 57.57 60.86 65.35 68.64
        eurosat 64.42 68.63 76.01 80.99 86.22
        fgvc_aircraft 23.36 24.80 29.75 34.53 41.23
        oxford_flowers 82.34 86.95 91.66 94.51 96.32
        food101 77.54 77.95 78.45 78.61 79.46
        oxford_pets 88.53 88.03 88.80 89.79 89.92
        stanford_cars 59.29 61.49 65.80 69.75 75.67
        sun397 65.42 66.67 68.49 70.28 71.68
        ucf101 67.00 70.23 72.68 75.57 77.78
    """,
    Source("GDA-CLIP", "GDA-CLIP repository log", VAL_TEST + "; 3 seeds"): """
        imagenet 60.64 61.23 61.71 62.46 63.82
        caltech101 87.28 88.63 90.62 91.35 92.55
        dtd 46.26 51.26 57.47 62.77 66.51
        eurosat 58.30 67.88 75.40 81.70 86.12
        fgvc_aircraft 17.29 22.45 28.24 34.07 40.61
        oxford_flowers 72.11 82.91 89.73 93.23 95.72
        food101 77.42 77.87 77.83 78.43 79.05
        oxford_pets 85.49 86.69 87.19 89.12 88.81
        stanford_cars 56.77 59.30 62.75 68.93 75.12
        sun397 59.95 63.64 65.27 68.58 70.70
        ucf101 62.61 66.28 71.31 75.74 77.53
    """,
    Source("LDC", "LDC log", "fusion weight chosen on val, on ImageNet on test; uses inner layers of the backbone"): """
        imagenet 60.48 61.25 62.47 64.44 66.63
        caltech101 89.74 90.22 90.83 92.62 93.63
        dtd 50.12 54.67 59.34 65.84 71.39
        eurosat 73.93 74.49 80.49 87.89 90.20
        fgvc_aircraft 18.69 21.54 26.43 39.36 53.47
        oxford_flowers 79.98 86.48 91.56 93.63 96.39
        food101 76.42 77.23 77.81 78.98 79.28
        oxford_pets 87.22 87.08 88.06 88.96 90.54
        stanford_cars 56.97 59.77 64.82 74.38 81.21
        sun397 62.49 64.55 67.82 70.63 72.72
        ucf101 66.80 69.81 73.22 76.87 82.08
    """,
}

# At 16 shots, in the order of ELEVEN.
AT_16: Mapping[Source, str] = {
    Source("HC-TaskRes", "HC, NeurIPS 2024, Table 5", UNSTATED): "65.90 93.59 67.61 83.19 37.20 96.06 78.57 88.93 77.61 71.64 78.54",
    Source("HC-Tip-F", "HC, NeurIPS 2024, Table 5", UNSTATED): "66.04 93.35 68.32 86.65 38.34 95.37 79.54 90.49 77.55 72.01 79.22",
    Source("HC*-Tip-F", "HC, NeurIPS 2024, Table 5", UNSTATED): "66.40 93.83 68.56 85.73 38.82 95.82 79.61 90.24 77.64 71.62 79.54",
}

# Averages over the eleven, of rows whose single datasets are not known; "-" where a number of shots is not.
AVERAGES: Mapping[Source, str] = {
    Source("XMAdapter", "arXiv 2404.12588", "protocol unknown"): "- - - - 76.87",
    Source("CLAP", "notes on CLAP", "no validation, fixed settings; 3 seeds"): "62.79 66.07 69.13 72.08 74.57",
    Source("ProLIP, lambda 1/N", "ProLIP repository", "no validation; 10 supports"): "64.33 67.19 69.94 72.82 75.46",
    Source("LP++", "notes on LP++", "few-shot val; 10 supports"): "- - 69.16 - -",
    Source("Tip-Adapter-F", "notes on LP++ (rerun)", "few-shot val; 10 supports"): "- - 68.71 - -",
    Source("GraphAdapter", "notes on TOGA", UNSTATED): "64.8 67.7 70.3 73.4 76.2",
    Source("CCA-FT", "reading notes", UNSTATED): "- 68.9 - 75.0 77.6",
}

# ImageNet at 16 shots (zero-shot: none), then the four variants.
TARGETS = ("imagenet", "imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r")
DOMAINS: Mapping[Source, str] = {
    Source("zero-shot", "HC, NeurIPS 2024, Table 2", "one prompt"): "58.18 51.34 33.32 21.65 56.00",
    Source("zero-shot", "DMN README", "7 prompts"): "59.81 52.91 35.48 23.24 60.72",
    Source("linear probe", "HC, NeurIPS 2024, Table 2", UNSTATED): "55.87 45.97 19.07 12.74 34.86",
    Source("CoOp", "DMN README (TPT's run)", UNSTATED): "63.33 55.40 34.67 23.06 56.60",
    Source("CoCoOp", "DMN README (TPT's run)", UNSTATED): "62.81 55.72 34.48 23.32 57.74",
    Source("CLIP-Adapter", "Tip-Adapter Table 5, from notes", UNSTATED): "63.59 55.69 35.68 - -",
    Source("Tip-Adapter", "Tip-Adapter Table 5, from notes", "test-selected"): "62.03 54.60 35.90 - -",
    Source("Tip-Adapter-F", "Tip-Adapter Table 5, from notes", "test-selected"): "65.51 57.11 36.00 - -",
    Source("Tip-Adapter-F", "HC, NeurIPS 2024 (rerun)", UNSTATED): "65.43 57.20 35.99 23.52 60.45",
    Source("TaskRes", "HC, NeurIPS 2024 (rerun)", UNSTATED): "65.41 56.84 35.54 21.68 59.96",
    Source("HC-Tip-F", "HC, NeurIPS 2024, Table 2", UNSTATED): "66.04 57.44 36.17 23.49 60.52",
    Source("LDC", "LDC log", "uses inner layers of the backbone"): "66.02 57.79 35.51 - -",
}


@cache
def _tables() -> Mapping[Source, Mapping[str, Mapping[int, float]]]:
    """For each source, accuracies by dataset and shots."""
    same = ((name, [value] * len(SHOTS)) for name, value in zip(ELEVEN, _numbers(ZERO_SHOT_ACCURACY), strict=True))
    tables = {ZERO_SHOT: {name: _by_shots(values) for name, values in same}}
    for source, text in ALL_SHOTS.items():
        rows = (line.split(maxsplit=1) for line in text.strip().splitlines())
        tables[source] = {name: _by_shots(_numbers(numbers)) for name, numbers in rows}
    for source, text in AT_16.items():
        tables[source] = {name: _at_16(value) for name, value in zip(ELEVEN, _numbers(text), strict=True)}
    return tables


def _numbers(text: str) -> list[float | None]:
    return [None if word == "-" else float(word) for word in text.split()]


def _at_16(value: float | None) -> dict[int, float]:
    return {} if value is None else {SHOTS[-1]: value}


def _by_shots(values: list[float | None]) -> dict[int, float]:
    return {shots: value for shots, value in zip(SHOTS, values, strict=True) if value is not None}


def published(dataset: str) -> list[Published]:
    """The published rows of a benchmark; none for other data."""
    return [Published(source, table[dataset]) for source, table in _tables().items() if dataset in table]


def published_average(datasets: Collection[str]) -> list[Published]:
    """Averages over `datasets` of the rows that have all of them; over the eleven also those known as averages alone."""
    rows = []
    for source, table in _tables().items():
        if set(datasets) <= set(table):
            shots = [count for count in SHOTS if all(count in table[name] for name in datasets)]
            means = {count: sum(table[name][count] for name in datasets) / len(datasets) for count in shots}
            rows.append(Published(source, means))
    whole = AVERAGES.items() if set(datasets) == set(ELEVEN) else ()
    return rows + [Published(source, _by_shots(_numbers(text))) for source, text in whole]


def published_domains() -> list[tuple[Source, Mapping[str, float]]]:
    """Published accuracies of models adapted on ImageNet at 16 shots: on ImageNet and on the variants, by dataset."""
    tables = ((source, zip(TARGETS, _numbers(text), strict=True)) for source, text in DOMAINS.items())
    return [(source, {name: value for name, value in table if value is not None}) for source, table in tables]
