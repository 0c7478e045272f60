"""One database by its URL: SQLite for the gateways of one machine, PostgreSQL for more, through SQLAlchemy Core.

Whatever is done is handed in as a function of a connection and may be done twice, because a connection that turns out
to be dead is replaced once.  SQLite: write-ahead log, so that readers never wait; a writer takes the lock when it
begins, so that it cannot find out half-way that another was faster.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from dicem_shared.errors import ConfigError, DicemError, MessageError, MissingExtra

from . import tables

log = logging.getLogger(__name__)

T = TypeVar("T")
MEMORY: Final = "sqlite://"
"""A database that ends with the process."""
BUSY_S: Final = 5.0
"""so long a writer waits for another"""
_WRITES: Final = "dicem_writes"
_SCHEMA_LOCK: Final = 0x64696365
"""PostgreSQL's advisory lock while tables are made: two gateways may start at the same moment"""
_AGAIN: Final = frozenset({"40001", "40P01"})
"""PostgreSQL: serialisation failure, deadlock"""
_POSTGRES: Final[dict[str, Any]] = {
    "connect_timeout": 3,
    "application_name": "dicem-cloud",
    "options": "-c statement_timeout=10s -c lock_timeout=5s -c idle_in_transaction_session_timeout=30s",
    # A server that is gone without a word is given up after some seconds, not after the system's quarter of an hour.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8000,
}


class StoreUnavailable(DicemError):
    """The database is away, full, locked, or may not be written; later it may be there again."""

    reason = "store-away"


class Database:
    """See the module's text; safe to be used by any thread, but not within the work that was handed to it."""

    def __init__(self, url: str, *, password: str | None = None) -> None:
        """Open it and make its tables if they are not there.

        :param url: `sqlite:///path/file.db` (from the working folder), `sqlite:////abs/file.db`, `sqlite://` for one in
            memory, or `postgresql://user@host/name`
        A server that is away now is no error: it may come.  Until then every use raises StoreUnavailable.

        :raises ConfigError: no such kind of database, a file that cannot be used, or tables of another dicem
        :raises MissingExtra: the driver is not installed
        """
        self._url = _checked(url)
        if password is not None:
            self._url = self._url.set(password=password)
        self._engine = _engine(self._url)
        self._writing = self._engine.execution_options(**{_WRITES: True})
        self._prepared = False
        self._turn = threading.Lock() if self.is_sqlite else None
        """SQLite lets a writer who finds another try again ever later; our own threads take turns instead"""
        try:
            self._begin()
        except StoreUnavailable as cause:
            if self.is_sqlite:
                self.close()
                raise ConfigError(
                    f"{self.name} cannot be used", got=cause.got, todo="See store.url in the config."
                ) from None
            log.warning("%s", cause)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self._url.render_as_string(hide_password=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is SQLite; else it is PostgreSQL."""
        return self._engine.dialect.name == "sqlite"

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` gives.  Each statement sees one moment, two of them may see different ones.

        :raises StoreUnavailable: not now
        """
        return self._run(self._engine, work)

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` gives, done whole or not at all.

        :raises StoreUnavailable: not now; nothing was written
        :raises MessageError: the database does not take such values
        """
        if self._turn is None:
            return self._run(self._writing, work)
        if not self._turn.acquire(timeout=BUSY_S):
            raise StoreUnavailable(f"{self.name} cannot be used now", got="others are writing")
        try:
            return self._run(self._writing, work)
        finally:
            self._turn.release()

    def insert(self, table: sa.Table) -> postgresql.Insert:
        """An insert that may say what to do on conflict: two dialects, one language."""
        return cast(postgresql.Insert, sqlite.insert(table)) if self.is_sqlite else postgresql.insert(table)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _run(self, engine: sa.Engine, work: Callable[[sa.Connection], T]) -> T:
        if not self._prepared:
            try:
                self._begin()
            except ConfigError as cause:  # found out too late to refuse to start
                raise StoreUnavailable(str(cause)) from None
        return self._twice(engine, work)

    def _begin(self) -> None:
        self._twice(self._writing, self._prepare)
        self._prepared = True

    def _twice(self, engine: sa.Engine, work: Callable[[sa.Connection], T]) -> T:
        """Do it; once more where the connection was dead, or the server asks for it."""
        for last in (False, True):
            try:
                with engine.begin() as connection:
                    return work(connection)
            except (sa.exc.DataError, sa.exc.IntegrityError) as cause:
                raise MessageError(f"{self.name} does not take a value", got=_short(cause)) from None
            except sa.exc.DBAPIError as cause:
                if last or not (cause.connection_invalidated or getattr(cause.orig, "sqlstate", None) in _AGAIN):
                    raise StoreUnavailable(f"{self.name} cannot be used now", got=_short(cause)) from None
            except sa.exc.TimeoutError as cause:  # all our connections are busy
                raise StoreUnavailable(f"{self.name} cannot be used now", got=_short(cause)) from None
        raise AssertionError("unreachable")

    def _prepare(self, connection: sa.Connection) -> None:
        if not self.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
        if sa.inspect(connection).has_table(tables.version.name):
            found = connection.scalar(sa.select(tables.version.c.version))
            if found != tables.VERSION:
                raise ConfigError(
                    f"{self.name} holds the tables of another dicem",
                    expected=f"version {tables.VERSION}",
                    got=f"version {found}",
                    todo="Update dicem, or name another database in store.url.",
                )
            return
        tables.SCHEMA.create_all(connection)
        connection.execute(tables.version.insert().values(version=tables.VERSION))
        connection.execute(tables.counter.insert().values(name="answers", value=0))


def _checked(url: str) -> sa.URL:
    """The URL's parts; a file's folder is made.

    :raises ConfigError: nothing that we can use
    """
    expected = "sqlite:///file.db or postgresql://user@host/name"
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # the text may hold a password: it is not repeated
        raise ConfigError("store.url is no database's URL", expected=expected) from None
    if parsed.drivername == "sqlite":
        if parsed.host or parsed.query:
            raise ConfigError("store.url of SQLite is more than a path", expected=expected)
        return _with_folder(parsed)
    if parsed.drivername in ("postgresql", "postgresql+psycopg", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise ConfigError("store.url names a database that is not used here", expected=expected, got=parsed.drivername[:40])


def _with_folder(url: sa.URL) -> sa.URL:
    if not url.database or url.database == ":memory:":
        return url.set(database=None)
    path = Path(url.database).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as cause:
        raise ConfigError(f"the folder of {path} cannot be made", got=str(cause), todo="See store.url.") from None
    return url.set(database=str(path))


def _engine(url: sa.URL) -> sa.Engine:
    """:raises MissingExtra: the driver is not installed"""
    common: dict[str, Any] = {"hide_parameters": True, "pool_timeout": BUSY_S}
    if url.get_backend_name() != "sqlite":
        try:
            arguments = {name: value for name, value in _POSTGRES.items() if name not in url.query}
            return sa.create_engine(url, pool_size=8, max_overflow=8, connect_args=arguments, **common)
        except ImportError as cause:
            raise MissingExtra(f"the driver of PostgreSQL ({cause.name})", "cloud") from None
    in_memory = url.database is None
    # In memory the one connection is the database: it is lent to one thread at a time, and never closed.
    size = {"pool_size": 1, "max_overflow": 0} if in_memory else {"pool_size": 8, "max_overflow": 8}
    engine = sa.create_engine(
        url, poolclass=sa.QueuePool, connect_args={"timeout": BUSY_S, "check_same_thread": False}, **size, **common
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say when a transaction begins
    for pragma in ("journal_mode=wal", "synchronous=normal"):
        connection.execute(f"pragma {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    if connection.get_execution_options().get(_WRITES):
        connection.exec_driver_sql("begin immediate")


def _short(error: sa.exc.SQLAlchemyError) -> str:
    """The database's own words, on one line, without our statements and values."""
    said = str(error.orig) if isinstance(error, sa.exc.DBAPIError) else str(error)
    return " ".join(said.split())[:200]
