"""Holds every test to leave logging as it found it: a level left behind makes a later test deaf."""

import logging
from collections.abc import Iterator

import pytest


def _levels() -> dict[str, int]:
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    return {logger.name: logger.level for logger in loggers if isinstance(logger, logging.Logger)}


@pytest.fixture(autouse=True)
def _logging_is_left_as_it_was() -> Iterator[None]:
    before = _levels()
    disabled = logging.root.manager.disable
    yield
    after = _levels()
    assert {name: after[name] for name in before} == before
    assert logging.root.manager.disable == disabled
