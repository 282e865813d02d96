"""What the event loop and the system give: one timer for all, what the kernel knows of sockets, wake-ups."""
