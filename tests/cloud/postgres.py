"""A throwaway PostgreSQL on a free loopback port, for the tests that ask; it writes nothing to the disk for good."""

from __future__ import annotations

import atexit
import functools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ..ports import free_port


def server_folder() -> Path | None:
    """Where `initdb` and `postgres` lie; Debian puts them where nobody's PATH looks."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


def _unprivileged() -> dict[str, Any]:
    """PostgreSQL does not run as root: as whom it runs instead."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


@dataclass
class Postgres:
    """A server that can be stopped and started again; `new_url` makes room for a test."""

    programs: Path
    folder: Path
    user: dict[str, Any]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    schemas: int = 0

    def init(self) -> None:
        data = self.folder / "data"
        command = [
            self.programs / "initdb",
            "-D",
            data,
            "-U",
            "dicem",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "-N",
        ]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, timeout=60, **self.user)

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off",
            "shared_buffers": "16MB", "max_connections": 50,
        }  # fmt: skip
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.process = subprocess.Popen(
            [self.programs / "postgres", "-D", self.folder / "data", *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder, **self.user,
        )  # fmt: skip
        give_up = time.monotonic() + 30
        while True:
            try:
                self.execute("select 1")
                return
            except sa.exc.OperationalError:
                if time.monotonic() > give_up or self.process.poll() is not None:
                    raise
                time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(3)  # SIGQUIT: at once, as a power cut would
            self.process.wait(30)
            self.process = None

    def execute(self, statement: str) -> None:
        engine = sa.create_engine(self.url("postgres"), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://dicem@127.0.0.1:{self.port}/{database}"

    def new_url(self) -> str:
        """Of a schema that nobody else uses: it is made in a hundredth of the time that a database takes."""
        self.schemas += 1
        self.execute(f"create schema test_{self.schemas}")
        return self.url("postgres") + f"?options=-csearch_path%3Dtest_{self.schemas}"


@functools.cache
def _server() -> Postgres:
    """One for all tests of this process; it ends with it."""
    programs = server_folder()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    user = _unprivileged()
    folder = tempfile.TemporaryDirectory(prefix="dicem-pg-")  # pytest's own folders are closed to other users
    atexit.register(folder.cleanup)
    if user:
        os.chown(folder.name, user["user"], user["group"])
    server = Postgres(programs, Path(folder.name), user)
    server.init()
    atexit.register(server.stop)
    return server


@pytest.fixture
def postgres() -> Postgres:
    """The server, running; a test may stop it."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    server = _server()
    if server.process is None:
        server.start()
    return server
