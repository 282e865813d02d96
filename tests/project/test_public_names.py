"""What users can write does not change by accident, and an editor tells about all of it."""

import inspect
import re
from dataclasses import is_dataclass
from enum import Enum
from importlib.metadata import version

from tests.project.public_names import LIST, documented_fields, members, public_objects, written

import websocket_heartbeat
from websocket_heartbeat.client.hooks import Hook


def test_every_public_name_is_in_the_list_as_it_is() -> None:
    # If a change is meant: python -m tests.project.public_names, and an entry in CHANGELOG.md.
    assert written() == LIST.read_text()


def test_every_public_class_function_method_and_property_has_a_docstring() -> None:
    bare = []
    for name, value in public_objects():
        if inspect.isclass(value):
            if not value.__doc__ or (is_dataclass(value) and value.__doc__.startswith(f"{value.__name__}(")):
                bare.append(name)
            for member, what in members(value).items():
                is_told = inspect.getdoc(getattr(value, member)) if inspect.isroutine(what) else True
                if not is_told or (isinstance(what, property) and not what.__doc__):
                    bare.append(f"{name}.{member}")
        elif inspect.isroutine(value) and not value.__doc__:
            bare.append(name)
    assert bare == []


def test_every_public_field_hook_and_value_of_an_enum_is_told_about() -> None:
    bare = []
    for name, value in public_objects():
        if inspect.isclass(value):
            told = documented_fields(value)
            for member, what in members(value).items():
                is_field = what is ... or isinstance(what, Hook | Enum)
                if is_field and member not in told:
                    bare.append(f"{name}.{member}")
    assert bare == []


def test_every_option_of_connect_is_told_about() -> None:
    told = re.findall(r"^ +(\w+(?:, \w+)*): ", websocket_heartbeat.connect.__doc__ or "", re.M)
    options = inspect.signature(websocket_heartbeat.connect).parameters
    assert set(options) - set(", ".join(told).split(", ")) == set()


def test_the_version_is_that_of_the_package() -> None:
    assert websocket_heartbeat.__version__ == version("websocket-heartbeat")
