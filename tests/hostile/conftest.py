"""Lends the hostile tests the watch that the client's tests run under: nothing may be left behind."""

from tests.client.conftest import _freeze_what_was_imported, run, run_asyncio

__all__ = ["_freeze_what_was_imported", "run", "run_asyncio"]
