"""New images scored by an adapter."""
