"""The transports that put links beneath the roster: one file each."""
