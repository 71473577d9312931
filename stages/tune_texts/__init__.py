"""The stage that tunes class texts (CoOp)."""
