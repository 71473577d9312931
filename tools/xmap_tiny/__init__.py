"""How the two xmap-tiny CLIP models were made: fonts in, local-dir model out."""
