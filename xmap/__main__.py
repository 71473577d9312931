"""`python -m xmap` is the command `xmap`."""

from xmap.cli.main import main

main()
