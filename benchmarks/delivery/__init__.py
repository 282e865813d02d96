"""What arrives of numbered messages while links die: ours beside the peers, under the same faults."""
