"""The real service, started from this repository, and a proxy that cuts its connections."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

repository = Path(__file__).resolve().parents[3]
node = repository / "node_modules" / ".bin" / "node"


class Service:
    """A service in its own process, on a free port, with its own database in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.address = ""
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        settings = {
            "ITEMBANK_LISTEN": "127.0.0.1:0",
            "ITEMBANK_DATA_DIR": str(self.directory),
            "ITEMBANK_LOG_LEVEL": "error",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ITEMBANK_")}
        self._process = subprocess.Popen(
            [str(node), "src/main.ts"],
            cwd=repository,
            env={**inherited, **settings},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        greeting = self._process.stdout.readline()
        match = re.search(r"listens on (\S+),", greeting)
        assert match, f"the service does not start: {greeting}"
        self.address = match.group(1)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            assert process.stdout is not None
            process.stdout.close()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class CuttingProxy:
    """A proxy between a client and a service that cuts all connections after a number of bytes from the client."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.cuts = 0
        self._every: int | None = None
        self._left = 0
        self._strike: Callable[[], None] = lambda: None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_every(self, count: int, strike: Callable[[], None] | None = None) -> None:
        """Cuts after every `count` bytes, or calls `strike` once."""
        self._every = self._left = count
        if strike is not None:
            self._strike = strike

    def cut(self) -> None:
        with self._lock:
            sockets, self._open = self._open, set()
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        self._every = None
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            try:
                host, port = self.target.split(":")
                far = socket.create_connection((host, int(port)))
            except OSError:
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
            threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if counted and self._is_due(len(data)):
                    break
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            with self._lock:
                self._open.discard(one)
            one.close()

    def _is_due(self, count: int) -> bool:
        if self._every is None:
            return False
        self._left -= count
        if self._left > 0:
            return False
        self._left = self._every
        self.cuts += 1
        self._strike()
        return True
