"""The traps of docs/torture.md, set for this client and its peers: `python -m benchmarks.torture`."""
