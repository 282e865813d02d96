"""How an engine is chosen: by name or as an object."""

import subprocess
import sys

import pytest

from websocket_heartbeat import engines
from websocket_heartbeat.engines.memory import MemoryEngine
from websocket_heartbeat.errors import EngineNotInstalled


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make packages look as if they were not installed."""
    for name in names:
        for module in [key for key in sys.modules if key.partition(".")[0] == name]:
            monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, f"websocket_heartbeat.engines.{name}", raising=False)


@pytest.mark.parametrize("name", engines.NAMES)
def test_an_engine_is_loaded_by_its_name(name: str) -> None:
    assert engines.load(name).name == name


def test_an_engine_given_as_an_object_is_taken_as_it_is() -> None:
    engine = MemoryEngine()
    assert engines.load(engine) is engine


def test_auto_takes_the_engine_that_needs_nothing_more() -> None:
    assert engines.load("auto").name == "websockets"


@pytest.mark.parametrize("name", ["websockets", "aiohttp"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hide(monkeypatch, name)
    with pytest.raises(EngineNotInstalled) as caught:
        engines.load(name)
    assert f"pip install 'websocket-heartbeat[{name}]'" in str(caught.value)
    assert isinstance(caught.value, ImportError)


@pytest.mark.parametrize("name", ["curl", "", "picows", "Websockets"])
def test_an_unknown_name_is_refused_with_argument_and_value(name: str) -> None:
    with pytest.raises(ValueError, match=r"engine must be one of .*'websockets'.* not ") as caught:
        engines.load(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", engines.NAMES)
def test_no_engine_loads_the_package_of_another(name: str) -> None:
    others = set(engines.NAMES) - {name}
    code = (
        "import sys; from websocket_heartbeat import engines\n"
        f"assert not {{'websockets', 'aiohttp'}} & set(sys.modules)\n"
        f"engines.load({name!r})\n"
        f"assert not {others!r} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
