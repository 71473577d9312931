"""How help is laid out: flags under headings with the essential ones first, commands by what they are for."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

CONTEXT = {"help_option_names": ["-h", "--help"]}
# The headings of what no declaration puts elsewhere.
ARGUMENTS, OPTIONS = "Arguments", "Options"
HELP = "help"

# heading: name: (module under cli, one line of help)
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Start here": {
        "demo": ("demo", "Adapt a tiny CLIP to handwritten digits: the whole job, offline, command by command."),
        "run": ("run", "Do every stage that is missing, and compare the methods."),
        "report": ("report", "Write one HTML file that shows results, mistakes and their evidence."),
        "predict": ("predict", "Classify new images with a trained adapter, and say why."),
    },
    "Use": {
        "serve": ("serve", "Answer requests over HTTP with a trained adapter."),
    },
    "Label": {
        "next": ("next", "Choose which images without labels to label next."),
    },
    "One stage at a time": {
        "init": ("init", "Write an xmap.toml with every setting and what it means."),
        "extract": ("extract", "Compute the features of images and prompts, once."),
        "import": ("import_", "Take over features that others extracted."),
        "build-cache": ("build_cache", "Build the key-value caches from the few-shot support."),
        "train": ("train", "Fit the methods on cached features."),
        "eval": ("eval", "Score the test images with every method and seed."),
        "export": ("export", "Write an adapter as one portable folder."),
    },
    "Studies": {
        "bench": ("bench", "Run datasets x shots x seeds x methods, and print the grid beside published numbers."),
        "enough": ("enough", "Say whether more labels would help, and for which classes."),
        "ablate": ("ablate", "Vary one part of XMAdapter at a time, and measure it on validation samples."),
        "datasets": ("datasets", "List the benchmarks, and check what is there of one."),
    },
    "The store": {
        "status": ("status", "Show what the store holds and what a run would do."),
        "show": ("show", "Print what an artifact is and what it was made from."),
        "diff": ("diff", "Say which settings and which results of two artifacts differ."),
        "sql": ("sql", "Query samples, features, affinities, predictions and runs."),
        "verify": ("verify", "Read every stored byte and name what is damaged."),
        "gc": ("gc", "Remove what no evaluation was made from and no present setting uses."),
        "doctor": ("doctor", "Try the parts xmap stands on, and say how to mend what is broken."),
    },
}
COMMANDS = {name: entry for group in GROUPS.values() for name, entry in group.items()}


class Command(TyperCommand):
    """A command whose help has a heading for each group of flags."""

    def sections(self, ctx: Any) -> dict[str, list[tuple[str, str]]]:
        """Flags and what they mean under each heading, the command's own and the essential ones first."""
        found: dict[str, list[tuple[str, str]]] = {ARGUMENTS: [], OPTIONS: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                # Its name says what it is.
                found[ARGUMENTS].append((record[0].partition(" <")[0], record[1]))
            else:
                found.setdefault(getattr(parameter, "rich_help_panel", None) or OPTIONS, []).append(record)
        return {heading: records for heading, records in found.items() if records}

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for heading, records in self.sections(ctx).items():
            with formatter.section(heading):
                formatter.write_dl(records)


class Group(TyperGroup):
    """The group of all commands: `xmap help COMMAND` is `xmap COMMAND --help`, and a wrong name is told the nearest."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        # Only the names are used, to suggest one for a typing error.
        self.commands: Any = dict.fromkeys(COMMANDS)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [*args[1:2], "--help"] if args[:1] == [HELP] else args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        wide = max(map(len, COMMANDS))
        for heading, commands in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(wide), about) for name, (_, about) in commands.items()])
