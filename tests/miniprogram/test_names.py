"""New names change no script: each variable stays itself, and nothing else is renamed."""

import json
import subprocess
from random import Random

import pytest

from websocket_heartbeat.miniprogram.bundle import EXPORTS, Target, chosen_names, unnamed
from websocket_heartbeat.miniprogram.names import Script

SCRIPT = """
function Outer(a,b){var c=0,d={c:a,"b":b},e=function(f){var g=f,h;for(h in d)g+=h;return g+c},i;
function j(k){try{if(k)throw k;c++}catch(l){c+=l.a?l.a:l}return c?j2(k):d.c}
function j2(m){return[m,c,typeof m,d.b].join()}
for(i=0;i<2;i++)c+=i;return[e(j(b)),j({a:5}),i,String(a)].join("a,b;in")}
print(Outer(1,2)+Outer("x",0));
"""
NAMES = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"]


def test_what_is_renamed_are_variables_but_not_those_of_the_top_nor_members_nor_texts() -> None:
    script = Script(SCRIPT)
    assert sorted(each.name for each in script.variables) == sorted([*NAMES, "j2"])
    assert {each.name for each in script.fixed} == {"Outer", "String", "print"}
    names = [f"new_{each.name}" for each in script.variables]
    renamed = script.renamed(names)
    assert script.fits(names)
    assert 'new_d={c:new_a,"b":new_b}' in renamed
    assert "new_l.a?new_l.a:new_l" in renamed
    assert '.join("a,b;in")' in renamed
    assert renamed.replace("new_", "") == SCRIPT


@pytest.mark.parametrize(
    ("source", "names", "does"),
    [
        ("function F(a){return function(b){return a+b}}", "x x", False),
        ("function F(a){return function(b){return b}}", "x x", True),
        ("function F(a){return function(b){return b}}", "x y z", False),
        ("function F(a){return function(b){return b}}", "x if", False),
        ("function F(a){return Math.min(a)}", "Math", False),
        ("function F(a){return function(b){return F(b)}}", "x F", False),
        ("function F(a){try{a()}catch(b){a(b)}}", "x x", False),
        ("function F(a){try{a()}catch(b){b()}}", "x x", True),
        ("function F(a){var b=function(){var c=a;return c},d=b;return d}", "x y z y", False),
        ("function F(a){var b=function(){var c=1;return c},d=b;return d}", "x y x z", True),
        ("function F(a){function b(){return c()}function c(){return a}return b}", "x y y", False),
    ],
)
def test_two_variables_may_share_a_name_where_neither_hides_the_other(
    source: str, names: str, does: bool
) -> None:
    assert Script(source).fits(names.split()) is does


def test_a_script_does_the_same_under_all_names_that_fit(node: str) -> None:
    random, script = Random(1), Script(SCRIPT)
    fitting: list[str] = []
    for _ in range(20_000):
        names = [random.choice("abcdefghijk") for _ in script.variables]
        if script.fits(names):
            fitting.append(script.renamed(names))
    assert len(fitting) > 20
    code = f"const say = []; for (const each of {json.dumps([SCRIPT, *fitting])}) "
    code += (
        "new Function('print', each)((text) => say.push(text)); console.log(new Set(say).size, say.length)"
    )
    done = subprocess.run([node, "-e", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == (f"1 {len(fitting) + 1}", "")


@pytest.mark.parametrize("target", EXPORTS)
def test_the_names_that_were_found_are_for_the_script_as_it_is_now(target: Target) -> None:
    assert Script(unnamed(target)).fits(chosen_names(target)), "run: python tools/names.py"
