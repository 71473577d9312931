"""The README of an exported folder: a model card, with the front matter that model hubs read.

Names of classes, data and files are other people's text. In Markdown they stand in code, where nothing is a link, a picture or HTML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from xmap.stages.adapters.kept import OUT_OF_SAMPLE
from xmap.stages.adapters.pool_words import pool_words
from xmap.stages.encoder.names import BUNDLED, HUB
from xmap.stages.onnx.form import FILE
from xmap.store.artifacts.root import EXPORT
from xmap.store.disk.plain import plain

Facts = Mapping[str, Any]
NAMED = "not named: the features came from elsewhere"
UNKNOWN = "unknown"
APART = "Samples that were kept apart chose no setting. They have a part in the temperature, which changes no answer."
FOLDS = "No sample was left to keep apart: each labelled image was judged by what the others had trained, so that nothing is proven."
TEST = "Test images choose nothing in xmap."
# How Python names an encoder that is not in the folder, by the flag that does.
ENCODERS = {"--model": '"NAME", "TAG"', "--also-model": 'also_model=["NAME"]'}


def card(facts: Facts, flags: str, onnx: bool) -> str:
    """The card of what `facts` tell (see `facts_of`); `flags` name an encoder that is not in the folder, empty for one that is."""
    parts = (_front(facts), _head(facts), _use(flags, onnx), _data(facts), _method(facts), _encoder(facts, flags), _measures(facts))
    return "\n".join([*parts, _limits(facts), _provenance(facts, onnx), _classes(facts)])


def code(text: object) -> str:
    """Any text as it is, in one line: as code, between more backticks than there are in it."""
    shown = plain(str(text)) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{fence}{shown}{fence}" if len(fence) == 1 and shown.strip() == shown else f"{fence} {shown} {fence}"


def block(text: str, language: str = "") -> str:
    """Lines as a block of code, between more backticks than there are in them."""
    shown = "\n".join(plain(line) for line in text.split("\n"))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{fence}{language}\n{shown}\n{fence}\n"


def quoted(text: object) -> str:
    """Any text as a string of the front matter: JSON's strings are also YAML's."""
    return json.dumps(plain(str(text)), ensure_ascii=False)


def _front(facts: Facts) -> str:
    """Front matter: the licence of adapter and weights is for others to say, and accuracies stand by what they were measured on."""
    base = str(facts.get("encoder_model", ""))
    hub = [f"base_model: {quoted(base.removeprefix(HUB))}"] if base.startswith(HUB) else []
    splits = {"validation": "validation, kept apart", "test": "test"}
    results = [line for name, split in splits.items() if name in facts for line in _result(facts, facts[name], split)]
    index = ["model-index:", f"- name: {quoted(facts['name'])}", "  results:", *results] if results else []
    lines = [
        "license: unknown", "library_name: xmap", "pipeline_tag: image-classification", *hub, "tags:", "- xmap", "- clip", "- few-shot",
        "- image-classification", f"- {quoted(facts['method'])}", *index,
    ]  # fmt: skip
    return "\n".join(["---", *lines, "---", ""])


def _result(facts: Facts, measured: Facts, split: str) -> Sequence[str]:
    name, of = facts["data"]["name"] or "unnamed", f"Accuracy in percent, {measured['samples']} images"
    return (
        "  - task:", "      type: image-classification", "    dataset:", f"      name: {quoted(name)}", f"      type: {quoted(name)}",
        f"      split: {quoted(split)}", "    metrics:", "    - type: accuracy", f"      value: {measured['accuracy']:.2f}",
        f"      name: {quoted(of)}",
    )  # fmt: skip


def _head(facts: Facts) -> str:
    count, shots = len(facts["classes"]), f"{facts['shots']} labelled image{'s' * (facts['shots'] != 1)} a class"
    return f"""# {code(facts["name"])}

An image classifier of {count:,} classes: a frozen CLIP model and an adapter that the method {code(facts["method"])} learned from
{shots}. Made by xmap.
"""


def _use(flags: str, onnx: bool) -> str:
    more = f" {flags}" if flags else ""
    commands = "\n".join(
        [
            f"xmap predict photo.jpg --adapter .{more}",
            f"xmap predict photos/ --adapter . --explain --json{more}",
            f"xmap predict photos/ --adapter . --sets 0.9 --reject 0.95{more}",
            "xmap verify --store .",
        ]
    )
    words = flags.split()
    given = ", ".join(said for flag, said in ENCODERS.items() if flag in words)
    loaded = f", encoder=adapter.encoder({given})" if flags else ""
    python = f'import xmap\nadapter = xmap.load("path/of/this/folder")\nprint(adapter.predict("photo.jpg"{loaded})[0].top(3))'
    without = f"\nWhere onnxruntime is installed, `xmap predict` takes `{FILE}` by itself and needs no torch.\n"
    return f"## Use\n\n{block(commands, 'sh')}\n{block(python, 'python')}{without if onnx else ''}"


def _data(facts: Facts) -> str:
    data = facts["data"]
    counts = ", ".join(f"{count:,} {code(split)}" for split, count in data.get("counts", {}).items())
    corrections = ", ".join(map(code, data["corrections"])) if "corrections" in data else UNKNOWN
    rows = {
        "data set": code(data["name"]) if data["name"] else UNKNOWN,
        "classes": f"{len(facts['classes']):,}, below",
        "images, by split": counts or f"{UNKNOWN}: the features are not in the store that this was exported from",
        "images learned from": f"{data['support']:,}, drawn with seed {facts['seed']}; {data['views']} views of each",
        "images without labels learned from": code(pool_words(facts["pool"])) if "pool" in facts else "none",
        "tables that correct labels": corrections or "none",
        **({"sentences that describe classes": f"{data['sentences']:,}, beside the prompts"} if "sentences" in data else {}),
        "licence of the images": UNKNOWN,
    }
    remarks = "".join(f"- {code(remark)}\n" for remark in data.get("remarks", ()))
    said = f"\nWhat was said when its features were made:\n\n{remarks}" if remarks else ""
    return f"## Data\n\n{_table(rows)}{said}"


def _method(facts: Facts) -> str:
    chosen, found = facts["selection"], facts.get("calibration", {})
    accuracy = chosen.get("accuracy")
    reached = "" if accuracy is None else f", of which these reached {accuracy:.2f} %: the best of several, and so too good"
    given = {name: value for name, value in facts.get("options", {}).items() if value is not None}
    edges = f"; at the edge of what was tried: {', '.join(map(code, chosen['edges']))}" if chosen.get("edges") else ""
    rows = {
        "method": code(facts["method"]) + (f" of the package {code(' '.join(facts['origin'].values()))}" if facts.get("origin") else ""),
        "settings": ", ".join(f"{code(name)} {_shown(value)}" for name, value in facts["settings"].items()) or "none",
        "chosen on": f"{code(chosen['selected_on'])}, {chosen['trials']:,} trials{reached}{edges}",
        "options": ", ".join(f"{code(name)} {_shown(value)}" for name, value in given.items()) or "none",
        "parameters trained": f"{facts['trainable_parameters']:,}",
        "probabilities": f"calibrated: temperature {found['temperature']:g}, fitted on {code(found['calibrated_on'])}"
        if found.get("samples")
        else "as trained, not calibrated",
    }
    return f"## Method\n\n{_table(rows)}"


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else code(json.dumps(value, ensure_ascii=False))


def _encoder(facts: Facts, flags: str) -> str:
    sizes, own = facts.get("encoder_sizes", {}), facts.get("encoder_model") in BUNDLED
    rows = {
        "model": code(facts["encoder"]) if facts["encoder_weights"] else NAMED,
        "blake3 of its weights": code(facts["encoder_weights"]) if facts["encoder_weights"] else UNKNOWN,
        "sizes": f"images of {' x '.join(map(str, sizes['image_size']))}, features of width {sizes['width']}, {code(sizes['precision'])}"
        if sizes
        else UNKNOWN,
        "licence of its weights": "MIT, as xmap" if own else f"{UNKNOWN} to xmap: ask where they came from",
        **{
            f"encoder {number}, which sees the same images": f"{code(one['encoder'])}, blake3 {code(one['encoder_weights'])}"
            if one["encoder_weights"]
            else f"{code(one['encoder'])}, whose features were imported"
            for number, one in enumerate(facts.get("more_encoders", ()), 2)
        },
        "where": "not in this folder, and nothing is fetched because a folder says so: name it as above"
        if flags
        else "in `encoder/`" + ", further ones beside it" * ("more_encoders" in facts),
    }
    return f"## Encoder\n\n{_table(rows)}\nAnother encoder than the one it was made with is refused.\n"


def _measures(facts: Facts) -> str:
    rows = {}
    if "validation" in facts:
        found = facts["validation"]
        rows[f"accuracy on {found['source']}"] = f"{_percent(found)}; log loss, uncalibrated, {found['log_loss']:.3f}"
    if "test" in facts:
        rows["accuracy on the test images"] = f"{_percent(facts['test'])}, by an evaluation of this very adapter"
    none = "Nothing was measured with images that it did not learn from or choose by.\n"
    source = facts.get("validation", {}).get("source", "")
    said = [APART] * source.endswith("kept apart") + [FOLDS] * (source == OUT_OF_SAMPLE) + [TEST] * ("test" in facts)
    return f"## Measures\n\n{_table(rows) if rows else none}" + "".join(f"\n{line}\n" for line in said)


def _percent(measured: Facts) -> str:
    low, high = measured["interval"]
    return f"{measured['accuracy']:.2f} % of {measured['samples']:,}, 95 % interval [{low:.2f}, {high:.2f}] (Wilson)"


def _limits(facts: Facts) -> str:
    promises = facts.get("promises", {})
    lines = [
        "It knows the classes below and no other. Without `--reject` every image gets one of them, also one that shows none.",
        f"`--sets 0.9`: {code(promises['sets'])}"
        if promises
        else "It was trained before samples were kept apart: sets and `--reject` are refused.",
        *([f"`--reject 0.95`: {code(promises['rejection'])}"] if promises else []),
        "What was measured holds for images like those of its data: of the same sources, with classes as frequent as there.",
        "How it does on groups of people, places or cameras was not measured.",
    ]
    return "## Limits\n\n" + "".join(f"- {line}\n" for line in lines)


def _provenance(facts: Facts, onnx: bool) -> str:
    parts = {
        "`adapter/`": "the adapter's tensors and settings, its training log, and its scores of samples that chose nothing of it",
        "`cache/`": "the key-value caches: features of the labelled images, their names and classes, and the class texts; no images",
        "`texts/` or `coop/`": "the text features of the classes and the prompts",
        **({f"`{FILE}`": "encoder, caches and texts as one file for onnxruntime; its metadata say how it is used"} if onnx else {}),
        f"`{EXPORT}`": "these facts for programs, and the hash of every other file; sealed",
    }
    return f"""## Provenance

Adapter {code(facts["adapter"])}, trained {code(facts["trained"])}, exported {code(facts["exported"])}, by

{block(str(facts["command"]), "sh")}
{_table(parts)}
Files that were changed, cut, added or swapped are found when the folder is read; this page is yours to change. That tells of accidents,
not of who made it: anybody can make another folder.
"""


def _classes(facts: Facts) -> str:
    return "## Classes\n\n" + "".join(f"{label}. {code(name)}\n" for label, name in enumerate(facts["classes"]))


def _table(rows: Mapping[str, str]) -> str:
    # A cell ends at this sign, in code too.
    cells = ((name, value.replace("|", "\\|")) for name, value in rows.items())
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in cells)
