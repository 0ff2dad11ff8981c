"""What an operator's file needs of float networks: units, torch modules, ONNX nodes, grids, the state of a split."""
