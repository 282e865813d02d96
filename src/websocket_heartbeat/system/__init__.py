"""Timers, socket facts of the kernel, wake-ups of tasks, and calls of the users' functions."""
