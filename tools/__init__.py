"""What builds, draws and checks: for developers, not in the wheel."""
