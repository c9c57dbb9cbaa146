"""Networks: stacked, sequence, convolutional, hybrid, bidirectional, Hopfield."""
