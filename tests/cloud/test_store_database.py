"""Databases that cannot be opened, and what is said then; tables that two gateways make at once."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from dicem_cloud.config import CloudConfig
from dicem_cloud.results import MemoryResults
from dicem_cloud.store import tables
from dicem_cloud.store.database import Database, StoreUnavailable
from dicem_cloud.store.opened import open_store
from dicem_cloud.store.safe import SafeResults
from dicem_cloud.store.settings import StoreConfig
from dicem_shared.config import parse_config
from dicem_shared.errors import ConfigError, MessageError

from ..ports import free_port
from .postgres import Postgres, postgres
from .stores import Opened, SetClock, answer, database, opened, reply

__all__ = ["database", "opened", "postgres"]  # fixtures


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "no database's URL"),
        ("no url", "no database's URL"),
        ("postgresql://me:secret@host:port/x", "no database's URL"),
        ("mysql://host/x", "not used here .*got mysql"),
        ("postgresql+asyncpg://host/x", "not used here"),
        ("sqlite+aiosqlite:///x.db", "not used here"),
        ("sqlite:///file.db?mode=ro", "more than a path"),
        ("sqlite://host/file.db", "more than a path"),
        ("sqlite:////dev/null/no/folder/x.db", "cannot be made"),
        ("sqlite:////", "cannot be used"),
        ("sqlite:////proc/version", "cannot be used"),
    ],
)
def test_what_cannot_be_opened_is_one_clear_line(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Database(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("rubbish " * 1000)
    with pytest.raises(ConfigError, match=r"cannot be used .*not a database"):
        Database(f"sqlite:///{tmp_path}/x.db")
    assert (tmp_path / "x.db").read_text() == "rubbish " * 1000


def test_folders_are_made_and_home_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Database("sqlite:///~/a/b/x.db").close()
    assert (tmp_path / "a" / "b" / "x.db").exists()


def test_tables_of_another_dicem_are_left_alone(opened: Opened) -> None:
    first = opened()
    first.write(lambda connection: connection.execute(tables.version.update().values(version=99)))
    with pytest.raises(ConfigError, match=r"another dicem .*version 1, got version 99"):
        opened()


def test_gateways_that_start_at_once_make_the_tables_once(opened: Opened) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: opened(), range(6)))
    versions = made[0].read(lambda connection: connection.execute(sa.select(tables.version)).all())
    assert [tuple(row) for row in versions] == [(tables.VERSION,)]


def test_a_server_that_comes_later_is_used_then(postgres: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    url = postgres.new_url()
    postgres.stop()
    database = Database(url)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    with pytest.raises(StoreUnavailable, match=r"cannot be used now .*got"):
        database.read(lambda connection: connection.scalar(sa.select(1)))
    postgres.start()
    assert database.read(lambda connection: connection.scalar(sa.select(tables.version.c.version))) == tables.VERSION
    database.close()


def test_a_server_that_comes_later_with_other_tables_is_not_used(postgres: Postgres) -> None:
    url = postgres.new_url()
    first = Database(url)
    first.write(lambda connection: connection.execute(tables.version.update().values(version=99)))
    first.close()
    postgres.stop()
    second = Database(url)
    postgres.start()
    with pytest.raises(StoreUnavailable, match="another dicem"):
        second.read(lambda connection: connection.scalar(sa.select(1)))
    second.close()


def test_a_server_that_was_started_again_is_not_noticed(postgres: Postgres) -> None:
    database = Database(postgres.new_url())
    postgres.stop()
    postgres.start()
    assert database.read(lambda connection: connection.scalar(sa.select(tables.version.c.version))) == tables.VERSION
    database.close()


def test_the_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    config = StoreConfig(url=f"postgresql://me@127.0.0.1:{free_port()}/x", password_env="DICEM_DB")
    monkeypatch.delenv("DICEM_DB", raising=False)
    with pytest.raises(ConfigError, match="DICEM_DB is not set"):
        open_store(config, SetClock())
    monkeypatch.setenv("DICEM_DB", "secret")
    with open_store(config, SetClock()) as store:
        assert "secret" not in store.database.name
        with pytest.raises(StoreUnavailable) as caught:
            store.answers.count()
        assert "secret" not in str(caught.value)


def test_work_that_fails_leaves_nothing(database: Database) -> None:
    def work(connection: sa.Connection) -> None:
        connection.execute(tables.counter.insert().values(name="x", value=1))
        raise KeyError

    with pytest.raises(KeyError):
        database.write(work)
    with pytest.raises(MessageError, match="does not take a value"):
        database.write(lambda connection: connection.execute(tables.counter.insert().values(name="answers", value=1)))
    names = database.read(lambda connection: connection.scalars(sa.select(tables.counter.c.name)).all())
    assert names == ["answers"]


def test_a_store_without_a_url_is_in_memory() -> None:
    with open_store(StoreConfig(), SetClock()) as store:
        assert isinstance(store.results, MemoryResults)
        store.answers.put([("f", answer())])
        assert store.answers.count() == 1


def test_a_store_is_written_to_the_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    with open_store(StoreConfig(url=url), SetClock()) as store:
        assert isinstance(store.results, SafeResults)
        store.results.put("boat", reply())
    with open_store(StoreConfig(url=url), SetClock()) as store:
        assert store.results.claim("boat", "c1") == reply()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"url": "mysql://x"}, "must begin with sqlite:// or postgresql://"),
        ({"url": "postgresql://me:secret@host/x"}, "must hold no password"),
        ({"url": "postgresql://host/x?password=secret"}, "must hold no password"),
        ({"url": "sqlite:///x", "password_env": "X"}, "needs a url of PostgreSQL"),
        ({"password_env": "X"}, "needs a url of PostgreSQL"),
        ({"lease_s": 0}, "store.lease_s"),
        ({"keep": 1}, "unknown key store.keep"),
        ({"name": "a b"}, "store.name"),
    ],
)
def test_a_wrong_config_is_one_clear_line(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse_config(CloudConfig, {"functions": {"depth": {}}, "store": keys}, where="cloud.yaml")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
