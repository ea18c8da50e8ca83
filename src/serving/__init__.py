"""The finished model: export to ONNX, check the export, predict and serve. Only onnx_export imports PyTorch."""
