"""The files of artifacts: Parquet, safetensors, FAISS."""
