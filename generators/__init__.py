"""What is judged: generative models and controls under one contract."""
