"""`js` writes the library for mini programs and pages, the same bytes each time, or says why it cannot."""

from pathlib import Path

import pytest
from tests.cli.program import finish, start
from tools.es5 import bundle

from websocket_heartbeat.cli.js import EXPORTS, Format, Target


@pytest.fixture(autouse=True, scope="module")
def fresh() -> None:
    """The scripts that the command copies are what the sources make of them now."""
    bundle.write()


def expected(form: Format, target: Target, *, minify: bool = False) -> str:
    name = bundle.EXPORTS[target]
    footers = {
        "cjs": f"module.exports = {name}.default = {name}.{name} = {name};\n",
        "esm": f"export default {name};\nexport {{ {name} }};\n",
        "iife": "",
    }
    return bundle.build(target, minify=minify) + footers[form]


@pytest.mark.parametrize(
    ("form", "target"), [("esm", "miniprogram"), ("cjs", "browser"), ("iife", "browser")]
)
def test_the_format_and_the_target_that_were_asked_for_are_what_the_library_builds(
    form: Format, target: Target, tmp_path: Path
) -> None:
    file = tmp_path / "new" / "folder" / "websocket-heartbeat.js"
    done = finish(start("js", "-o", str(file), "--format", form, "--target", target))
    assert (done.status, done.out, done.err) == (0, "", "")
    assert file.read_text(encoding="utf-8") == expected(form, target)
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_without_arguments_a_mini_programs_file_goes_to_standard_output_the_same_each_time() -> None:
    first, second = start("js"), start("js")
    done = finish(first)
    assert done.status == 0
    assert done.out == expected("cjs", "miniprogram")
    assert finish(second).out == done.out


def test_minified_it_is_the_same_each_time_and_smaller() -> None:
    first, second = start("js", "--minify"), start("js", "--minify")
    done = finish(first)
    assert done.out == finish(second).out == expected("cjs", "miniprogram", minify=True)
    assert 0 < len(done.out) < len(expected("cjs", "miniprogram")) / 2


@pytest.mark.parametrize(
    ("name", "types", "target"),
    [("lib.js", "lib.d.ts", "miniprogram"), ("lib.mjs", "lib.d.mts", "browser")],
)
def test_types_lie_beside_the_file_where_typescript_looks_for_them(
    name: str, types: str, target: Target, tmp_path: Path
) -> None:
    form = "esm" if name.endswith(".mjs") else "cjs"
    done = finish(start("js", "-o", str(tmp_path / name), "--target", target, "--format", form, "--types"))
    assert (done.status, done.err) == (0, "")
    export = "export default" if form == "esm" else "export ="
    assert f"{export} {EXPORTS[target]};" in (tmp_path / types).read_text(encoding="utf-8")


def test_types_without_a_file_to_lie_beside_are_refused() -> None:
    done = finish(start("js", "--types"))
    assert (done.status, done.out) == (2, "")
    assert "-o" in done.err


def test_an_installation_without_the_file_says_so() -> None:
    missing = "from pathlib import Path; from websocket_heartbeat.cli import js; js.files = lambda _: Path()"
    done = finish(start("js", "--minify", before=missing))
    assert (done.status, done.out) == (1, "")
    assert "no miniprogram.min.js" in done.err
    assert "Traceback" not in done.err


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "lib.js"
    done = finish(start("js", "-o", str(path)))
    assert (done.status, done.out) == (1, "")
    assert str(path) in done.err
    assert "Traceback" not in done.err
