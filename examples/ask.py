"""Ask the affinity log from Python: which labels are suspect, and do the two caches agree where the adapter is right?

    python examples/ask.py demo/.xmap

`connect` gives the same locked connection that `xmap sql` uses; `query` returns a pyarrow table, so pandas, polars and NumPy take
it from there.
"""

from __future__ import annotations

import argparse

from xmap.store.sql.connection import connect
from xmap.store.sql.questions import QUESTIONS

AGREEMENT = """
select method, correct, count(*) as images, avg(difference) as disagreement, avg(neighbor_agreement) as same_class_neighbors
from affinity where split = 'test' and difference is not null group by method, correct order by method, correct desc
"""
SPREAD = "select affinity_image, affinity_text from affinity where split = 'test' and method = 'xmadapter' and affinity_text is not null"


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask the affinity log of a store.")
    parser.add_argument("store", help="the store, such as demo/.xmap")
    with connect(parser.parse_args().store) as connection:
        print("Labels to look at again:")
        for row in connection.query(QUESTIONS["label-suspects"].sql).slice(0, 10).to_pylist():
            print(f"  {row['sample_id']}: labelled {row['labelled']}, taken for {row['predicted']} in {row['runs']} runs")
        print("Do the caches disagree where the adapter is wrong?")
        for row in connection.query(AGREEMENT).to_pylist():
            verdict = "right" if row["correct"] else "wrong"
            print(f"  {row['method']}, {row['images']} {verdict} answers: mean disagreement {row['disagreement']:.2f}, ", end="")
            print(f"{100 * row['same_class_neighbors']:.0f} % of the nearest cached images are of the true class")
        spread = connection.query(SPREAD)
        if spread.num_rows:
            image, text = (spread[name].to_numpy() for name in ("affinity_image", "affinity_text"))
            print(f"Affinity to the true class: image {image.mean():.3f}, text {text.mean():.3f} on average over {len(image)} answers")


if __name__ == "__main__":
    main()
