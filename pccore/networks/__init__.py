"""Networks: stacks of equal layers, sequences, convolutional, hybrid, bidirectional."""
