"""Run the demo and put its real output into README.md and its picture into docs/images: `python docs/make_demo.py`.

Numbers and picture then come from one run of the code as it is. The run opens the digits' test split: note it in docs/decisions.md.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- demo: written by docs/make_demo.py -->", "<!-- end of demo -->"
PROGRESS = re.compile(r"^(built|reused|encode|train|eval|the data has|images from|\S+ waits)\b")


def transcript(folder: Path) -> str:
    """What `xmap demo` prints in `folder`, without its progress and its last advice."""
    code = "from xmap.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-u", "-c", code, "demo"], cwd=folder, text=True, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    shown = done.stdout.partition("\nThat took")[0].splitlines()
    lines = ["$ xmap demo", *(line.rstrip() for line in shown if not PROGRESS.match(line))]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = transcript(Path(folder))
        store = Path(folder) / "demo" / ".xmap"
        drawing = [sys.executable, str(ROOT / "examples" / "draw_affinity.py"), str(store), str(ROOT / "docs/images/affinity.svg")]
        subprocess.run(drawing, check=True)
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    readme.write_text(f"{before}{BEGIN}\n```text\n{text}\n```\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
