"""The transports of a back end, one file each: they make links, and know nothing of peers."""
