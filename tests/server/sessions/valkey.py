"""A real server of Valkey or Redis, from a package, to which a test may do what happens to servers."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import redis
from tests.server.sessions.servers import Program


class Valkey:
    """A server with a port of its own. folder: where it keeps its data. options: of its command."""

    def __init__(self, folder: Path, *options: str, program: Program | None = None) -> None:
        self._folder = folder
        self._options = options
        self._program = program or Program()
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}"

    def client(self) -> "redis.Redis":
        return redis.Redis(port=self.port, protocol=2)

    def start(self) -> None:
        command = [str(self._program.path), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._folder), "--save", "", *self._options]
        environment = os.environ | self._program.environment
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
        with redis.Redis(port=self.port, protocol=2, socket_timeout=5) as client:
            while self._process.poll() is None:
                try:
                    client.ping()
                except (redis.ConnectionError, redis.TimeoutError):
                    time.sleep(0.05)
                else:
                    return
        raise RuntimeError(f"the server has ended: {self._process.returncode}")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Let it do nothing any more, on connections that stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
