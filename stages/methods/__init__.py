"""Methods: ways to turn support and queries into logits, behind one small protocol (`stages.methods.protocol`)."""
