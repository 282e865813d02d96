"""What a connection costs and how a herd of them behaves, beside its peers: `python -m benchmarks`."""
