"""The cardiogram: a live page of the connections of this process; server/dashboard.py serves it."""
