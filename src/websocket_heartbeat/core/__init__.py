"""The heartbeat core: portable Python without I/O and without a clock."""
