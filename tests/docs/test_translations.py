"""A translation says which English page it is of, and the tests fail when that has changed and it has not."""

from pathlib import Path

import pytest
from tools import translations
from tools.translations import digest, done, stale


def test_every_translation_is_of_its_page_as_it_is() -> None:
    assert list(stale()) == []


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(translations, "REQUIRED", ("docs/index.md",))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Start\n", encoding="utf-8")
    return tmp_path


def test_a_page_that_must_have_a_translation_and_has_none_is_named(root: Path) -> None:
    assert list(stale(root)) == ["docs/index.zh.md is missing"]


def test_a_page_that_has_changed_is_named_until_its_translation_is_done(root: Path) -> None:
    page, file = root / "docs" / "index.md", root / "docs" / "index.zh.md"
    file.write_text("---\ntranslates: \n---\n# 开始\n", encoding="utf-8")
    done(file)
    assert list(stale(root)) == []
    assert digest(page) in file.read_text(encoding="utf-8")
    page.write_text("# Begin\n", encoding="utf-8")
    assert list(stale(root)) == ["docs/index.md has changed since docs/index.zh.md was translated"]
    done(file)
    assert list(stale(root)) == []


def test_a_translation_without_its_page_is_named(root: Path) -> None:
    done_file = root / "docs" / "index.zh.md"
    done_file.write_text("---\ntranslates: \n---\n", encoding="utf-8")
    done(done_file)
    (root / "docs" / "old.zh.md").write_text("---\ntranslates: 0\n---\n", encoding="utf-8")
    assert list(stale(root)) == ["docs/old.zh.md translates old.md, which there is not"]


def test_a_translation_that_does_not_say_what_it_translates_is_named(root: Path) -> None:
    (root / "docs" / "index.zh.md").write_text("# 开始\n", encoding="utf-8")
    assert list(stale(root)) == ["docs/index.zh.md does not say what it translates"]
