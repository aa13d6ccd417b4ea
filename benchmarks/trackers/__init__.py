"""Trackers: what of a record and its trainings is sent to TensorBoard, MLflow or Weights & Biases, and how."""
