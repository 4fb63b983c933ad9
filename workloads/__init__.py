"""What is computed: matrices, transformers, real training, recorded traces."""
