"""The handshake of a session as it is written: what is right comes through, and anything else is nothing."""

import json

import pytest

from websocket_heartbeat.controls import MAX_SIZE, decode, encode


@pytest.mark.parametrize(
    "text",
    [
        '{"session":1,"window":[256,262144],"max":1048576,"ttl":120,"protocol":"chat"}',
        '{"hello":1,"window":[256,1048576],"max":1048576,"binary":true}',
        '{"resume":"ID.SECRET","link":7,"in":[17,19],"out":[40,45]}',
        '{"welcome":"new","key":"ID.SECRET"}',
        '{"welcome":"resumed","in":[42,43]}',
        '{"welcome":"reset","key":"ID.SECRET","why":"expired","done":41}',
        '{"welcome":"over","why":"account closed"}',
        '{"end":"bye"}',
        '{"end":""}',
    ],
)
def test_each_control_is_written_as_it_is_read(text: str) -> None:
    control = decode(text)
    assert control is not None
    assert json.loads(encode(control)) == json.loads(text)


def test_members_that_are_not_known_are_ignored() -> None:
    control = decode('{"welcome":"resumed","in":[1,2],"later":{"x":[null]}}')
    assert control is not None
    assert (control.answer, control.done, control.got) == ("resumed", 1, 2)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[]",
        "{" * 4000,
        '{"end":"x"' + " " * MAX_SIZE + "}",
        '{"end":1}',
        '{"end":"x","welcome":"new"}',
        '{"hello":1}',
        '{"hello":1,"window":[1],"max":1}',
        '{"hello":1,"window":[1,2,3],"max":1}',
        '{"hello":1,"window":[-1,2],"max":1}',
        '{"hello":1,"window":[1.5,2],"max":1}',
        '{"hello":1,"window":[true,2],"max":1}',
        '{"hello":1,"window":null,"max":1}',
        '{"resume":"k","link":9007199254740992,"in":[0,0],"out":[0,0]}',
        '{"resume":"k","link":NaN,"in":[0,0],"out":[0,0]}',
        '{"resume":null,"link":1,"in":[0,0],"out":[0,0]}',
        '{"welcome":["new"]}',
    ],
)
def test_what_is_no_control_is_nothing(text: str) -> None:
    assert decode(text) is None
