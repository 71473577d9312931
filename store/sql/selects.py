"""The text of each SQL view over the files of a store. No duckdb here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from xmap.store.errors import QueryError
from xmap.store.sql.columns import VIEWS
from xmap.store.sql.views import Sources

# Views of what manifests say, and columns that name the class of a label.
FACTS = ("artifacts", "runs")
# What stands in for the columns that predictions of before, or of one encoder, lack: their probabilities were raw, and they knew no sets.
INSTEAD = {
    "raw_probability": "t.probability", "raw_true_probability": "t.true_probability", "set_size": "NULL", "in_set": "NULL",
    "strangeness": "NULL", "encoder_said": "NULL", "encoder_share": "NULL",
}  # fmt: skip
NAMED = {"class_name": "label", "predicted_name": "predicted", "other_class": "other_label", "likely_name": "likely"}


def definitions(found: Sources) -> dict[str, str]:
    """The SELECT of each view that reads Parquet files."""
    texts = {name: view.empty() for name, view in VIEWS.items() if name not in FACTS}
    if found.files["images"]:
        own = sorted(set(found.files["images"]) - set(found.referring))
        samples = [_select("samples", files, "WHERE t.view = 0", **columns) for files, columns in _samples(found, own) if files]
        features = [_select("features", own)] if own else []
        features += [_referring(found)] if found.referring else []
        texts |= {"samples": " UNION ALL ".join(samples), "features": " UNION ALL ".join(features)}
    if found.files["packs"]:
        texts["unused"] = _unused(found)
    for name in ("errors", "affinity", "pairs", "answers", "sentences"):
        if found.files[name]:
            texts[name] = _select(name, found.files[name])
    if found.files["predictions"]:
        listed = (_select("predictions", files, **{name: INSTEAD[name] for name in lacking}) for lacking, files in found.predicted.items())
        texts["predictions"] = " UNION ALL ".join(listed)
    if found.files["affinity"]:
        texts["neighbors"] = _neighbors()
    judged = [_select("out_of_sample", found.files["out_of_sample"])] if found.files["out_of_sample"] else []
    texts["out_of_sample"] = " UNION ALL ".join([*judged, _judged_in_test()])
    return texts


def _samples(found: Sources, own: Sequence[Path]) -> Iterator[tuple[Sequence[Path], Mapping[str, str]]]:
    """The tables of samples by what they have, and where the columns come from that not all of them have."""
    content, grouped = {"content": "lower(hex(t.content))"}, set(found.grouped)
    yield own, {"content": "NULL", "group": "NULL", "source": "NULL"}
    yield [path for path in found.referring if path not in grouped], {**content, "group": "NULL", "source": "NULL"}
    yield found.grouped, {**content, "group": "nullif(t.\"group\", '')"}


def _neighbors() -> str:
    expressions = {
        "rank": "CAST(rank AS INTEGER)",
        "neighbor_id": "neighbors[rank].sample_id",
        "neighbor_label": "neighbors[rank].label",
        "affinity": "neighbors[rank].affinity",
    }
    return _of_view("neighbors", "(SELECT *, unnest(range(1, len(neighbors) + 1)) AS rank FROM affinity)", expressions)


def _judged_in_test() -> str:
    """Test samples, whose label no adapter has learned."""
    expressions = {
        "split": "'test'",
        "label_probability": "true_probability",
        "likely": "predicted",
        "likely_probability": "probability",
        "likely_name": "predicted_name",
    }
    return _of_view("out_of_sample", "predictions WHERE true_probability IS NOT NULL", expressions)


def _of_view(name: str, source: str, expressions: Mapping[str, str]) -> str:
    """The columns of a view that stands on another one; `expressions` say those that are called otherwise there."""
    columns = ", ".join(f"{expressions.get(column, column)} AS {column}" for column in VIEWS[name].columns)
    return f"SELECT {columns} FROM {source}"  # noqa: S608


def _referring(found: Sources) -> str:
    """Rows whose features lie in packs: those of the maker that the table of the sample names."""
    used = {row[name] for row in found.file_rows for name in ("plain", "augmented")}
    files = [Path(row["file"]) for row in found.pack_rows if row["maker"] in used]
    if not files:
        return VIEWS["features"].empty()
    packs = f"SELECT * FROM {_parquet(files)} p JOIN _packs k ON k.file = p._file"  # noqa: S608
    match = "p.content = t.content AND p.view = t.view AND p.maker = if(t.view = 0, f.plain, f.augmented)"
    # True of every sample, which DuckDB cannot know: it takes the side that it thinks is smaller into memory, and vectors are large.
    smaller = "WHERE length(t.sample_id) >= 0 AND length(t.split) >= 0"
    return _select("features", found.referring, smaller, joined=f" JOIN ({packs}) p ON {match}", feature="p.feature")


def lacking(found: Sources) -> str:
    """The SELECT of the artifacts that refer to rows that no pack has, and how many; nothing where none refers to any."""
    if not found.referring:
        return ""
    about = "f.artifact, t.content, t.view, if(t.view = 0, f.plain, f.augmented) AS maker"
    rows = f"SELECT {about} FROM {_parquet(found.referring)} t JOIN _files f ON f.file = t._file"  # noqa: S608
    stored = ""
    if found.files["packs"]:
        packs = f"SELECT content, view, maker FROM {_parquet(found.files['packs'])} JOIN _packs ON file = _file"  # noqa: S608
        stored = f"ANTI JOIN ({packs}) USING (content, view, maker)"
    return f"SELECT artifact, count(*) FROM ({rows}) {stored} GROUP BY artifact ORDER BY artifact"  # noqa: S608


def _unused(found: Sources) -> str:
    """The contents of packs that no table of samples refers to."""
    sources = {"content": "lower(hex(p.content))", "views": "count(DISTINCT p.view)", "maker": "k.maker"}
    columns = ", ".join(f"CAST({sources[column]} AS {kind}) AS {column}" for column, (kind, _) in VIEWS["unused"].columns.items())
    listed = f" ANTI JOIN {_parquet(found.referring)} t ON t.content = p.content" if found.referring else ""
    packs = f"{_parquet(found.files['packs'])} p JOIN _packs k ON k.file = p._file"
    return f"SELECT {columns} FROM {packs}{listed} GROUP BY p.content, k.maker"  # noqa: S608


def _parquet(files: Sequence[Path]) -> str:
    listed = ", ".join(literal(pattern(path)) for path in files)
    # Without hive_partitioning=false a folder named `label=5` above the store would replace the label column.
    return f"read_parquet([{listed}], filename='_file', hive_partitioning=false)"


def literal(text: str) -> str:
    """`text` as a SQL string."""
    return "'" + text.replace("'", "''") + "'"


def pattern(path: Path) -> str:
    """`path` as the glob pattern that matches it alone: DuckDB reads `*`, `?` and `[` in every path it is given.

    Raises `QueryError` for the one combination that DuckDB's patterns cannot say, `UnicodeEncodeError` for what is no Unicode.
    """
    text = str(path)
    # DuckDB says nothing of use about a path that is no Unicode.
    text.encode()
    if not any(sign in text for sign in "*?["):
        return text
    if "\\" in text:
        raise QueryError(
            f"SQL cannot read {text}: its name has both a backslash and one of * ? [; move the store elsewhere with --store DIR."
        )
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in text)


def _select(name: str, files: Sequence[Path], where: str = "", joined: str = "", **sources: str) -> str:
    """The columns of a view over `files`; `sources` say where those come from that are no column of the files."""
    view = VIEWS[name]
    sources |= {**{column: f"{column}.class_name" for column in NAMED}, "dataset": "f.dataset", "artifact": "f.artifact"}
    columns = ", ".join(f'CAST({sources.get(column, "t." + column)} AS {kind}) AS "{column}"' for column, (kind, _) in view.columns.items())
    names = (
        f" LEFT JOIN _classes {column} ON {column}.origin = f.origin AND {column}.label = t.{label}"
        for column, label in NAMED.items()
        if column in view.columns
    )
    return f"SELECT {columns} FROM {_parquet(files)} t JOIN _files f ON f.file = t._file{joined}{''.join(names)} {where}"  # noqa: S608
