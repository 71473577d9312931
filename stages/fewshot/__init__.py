"""The few-shot support and its samples as tensors."""
