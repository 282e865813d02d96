"""Runs every test, on each event loop where that matters, and holds it to leave things as it found them."""

import asyncio
import gc
import itertools
import logging
import sys
from collections.abc import Iterator

import pytest
from tests.watch import Run, Watch

try:
    import uvloop
except ImportError:  # PyPy has none
    LOOPS = {"asyncio": asyncio.run}
else:
    LOOPS = {"asyncio": asyncio.run, "uvloop": uvloop.run}

# Nothing of what is imported and collected is garbage, and to look for some takes a quarter of that time.
gc.disable()


def pytest_collection_finish() -> None:
    """Let each test be seen to leave no garbage."""
    gc.enable()


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine in real time, once on each event loop; nothing of it may be left."""
    return lambda main: Watch().run(main, LOOPS[request.param])


@pytest.fixture
def run_asyncio() -> Run:
    """Run a coroutine in real time on asyncio's own loop, where the loop makes no difference."""
    return lambda main: Watch().run(main, asyncio.run)


TESTS_OF_ONE_HEAP = 50
"""After so many tests, what is alive is kept from the collector: pytest keeps something of each."""

_begun = itertools.count()


def pytest_runtest_logstart() -> None:
    """Spare each test's collection of garbage a walk over what others made: it takes longer than most tests.

    That is all modules, and what pytest keeps. Between two tests, so that nothing of one is among it.
    """
    if next(_begun) % TESTS_OF_ONE_HEAP == 0 and sys.implementation.name == "cpython":
        # PyPy's collector has generations, and no freeze
        gc.collect()
        gc.freeze()


def pytest_sessionfinish() -> None:
    """Let pytest complain of what was lost in spite of that."""
    if sys.implementation.name == "cpython":
        gc.unfreeze()


def _levels() -> dict[str, int]:
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    return {logger.name: logger.level for logger in loggers if isinstance(logger, logging.Logger)}


@pytest.fixture(autouse=True)
def _logging_is_left_as_it_was() -> Iterator[None]:
    """A level left behind would hide the log lines of later tests."""
    before = _levels()
    disabled = logging.root.manager.disable
    yield
    after = _levels()
    assert {name: after[name] for name in before} == before
    assert logging.root.manager.disable == disabled
