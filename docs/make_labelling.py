"""Run the commands of docs/labelling.md in an empty folder and put what they print under each: `python docs/make_labelling.py`.

The runs open the digits' test split: note it in docs/decisions.md.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "labelling.md"
FENCE = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRESS = re.compile(r"^(built|reused|encode|train |eval |\S+ waits|adapter |trying once|\S+: taken )")
PROGRAMS = {"xmap": [sys.executable, "-u", "-c", "from xmap.cli.main import main; main()"], "python": [sys.executable]}


def printed(command: str, folder: Path) -> str:
    """What a command prints in `folder`, without its progress."""
    program, *words = shlex.split(command)
    words = [str(ROOT / word) if word.startswith("examples/") else word for word in words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XMAP_STORE": "", "XDG_STATE_HOME": str(folder / ".state")}
    done = subprocess.run(
        [*PROGRAMS[program], *words], cwd=folder, env=environment, text=True, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return "\n".join(line.rstrip() for line in done.stdout.splitlines() if line.strip() and not PROGRESS.match(line))


def photograph(page_file: Path) -> None:
    """A picture of the page after a few guesses were taken."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1240, "height": 880})
        page.goto(page_file.as_uri())
        for _ in range(4):
            page.keyboard.press("Enter")
        # Where it was made is no matter of the page's.
        page.evaluate("document.querySelector('.path').remove()")
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(64, dither=Image.Dither.NONE)
        picture.save(ROOT / "docs/images/labelling.png", optimize=True)
        browser.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:

        def anew(fence: re.Match[str]) -> str:
            commands = [line[2:] for line in fence[1].splitlines() if line.startswith("$ ")]
            blocks = [f"$ {command}\n{printed(command, Path(folder))}".rstrip() for command in commands]
            return "```text\n" + "\n".join(blocks) + "\n```"

        PAGE.write_text(FENCE.sub(anew, PAGE.read_text("utf-8")), "utf-8")
        photograph(Path(folder) / "next.html")


if __name__ == "__main__":
    main()
