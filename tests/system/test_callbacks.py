"""Whatever a function of the user's raises is one error; the end of the program and of our task are not."""

import asyncio
import warnings

import pytest

from websocket_heartbeat.errors import HookFailed
from websocket_heartbeat.system.callbacks import call, close_unawaited, place_of, settle


def raise_it(error: BaseException) -> None:
    raise error


async def raise_it_later(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


def test_what_a_function_returns_is_returned() -> None:
    assert call("url", lambda host: f"ws://{host}", "here") == "ws://here"

    async def token() -> str:
        return "fresh"

    assert asyncio.run(settle("headers", token())) == "fresh"


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError(), TimeoutError()])
def test_what_a_function_raises_is_told_by_its_name_and_kept_as_the_cause(error: BaseException) -> None:
    with pytest.raises(HookFailed, match=f"^on_open raised {type(error).__name__}$") as failed:
        call("on_open", raise_it, error)
    assert failed.value.name == "on_open"
    assert failed.value.__cause__ is error


class Panic(BaseException):
    """As extensions written in Rust raise."""


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError(), TimeoutError(), Panic()])
def test_what_a_coroutine_function_raises_is_told_by_its_name_and_kept_as_the_cause(
    error: BaseException,
) -> None:
    with pytest.raises(HookFailed, match=f"^on_open raised {type(error).__name__}$") as failed:
        asyncio.run(settle("on_open", raise_it_later(error)))
    assert failed.value.__cause__ is error


@pytest.mark.parametrize("error", [SystemExit(), KeyboardInterrupt()])
def test_what_ends_the_program_passes_through(error: BaseException) -> None:
    with pytest.raises(type(error)):
        call("on_open", raise_it, error)
    with pytest.raises(type(error)):
        asyncio.run(settle("on_open", raise_it_later(error)))


def test_a_cancelled_task_stays_cancelled_and_its_hook_has_not_failed() -> None:
    async def main() -> None:
        task = asyncio.create_task(settle("on_open", asyncio.sleep(60)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_plain_function_that_raises_cancelled_error_has_failed_even_in_a_task_that_is_being_cancelled() -> (
    None
):
    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with pytest.raises(HookFailed):
            call("on_state", raise_it, asyncio.CancelledError())
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(0)
        task.uncancel()

    asyncio.run(main())


def test_a_coroutine_whose_task_never_took_a_step_is_closed_without_a_warning() -> None:
    async def main() -> None:
        pending = raise_it_later(ValueError())
        task = asyncio.create_task(settle("on_open", pending))
        close_unawaited(task, pending)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())


def test_the_place_of_an_error_is_the_line_that_raised_it_without_the_text() -> None:
    with pytest.raises(HookFailed) as failed:
        call("on_open", raise_it, ValueError("secret"))
    place = place_of(failed.value.__cause__)
    assert place == f"{__file__}:{raise_it.__code__.co_firstlineno + 1}"
    assert place_of(ValueError("never raised")) == place_of(None) == "?"
