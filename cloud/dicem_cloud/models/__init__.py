"""`dicem models`: which models there are, fetching them, trying them, and making ONNX of a detector."""
