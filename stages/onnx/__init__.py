"""An adapter and its encoder as one ONNX file: made with torch, run without it."""
