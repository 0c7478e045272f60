"""Every table on one screen.  What is filtered or counted has a column; the whole message lies beside it as CBOR."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

VERSION: Final = 1
"""Of the tables as a whole; raised with every change, and with a step in `database.py` that brings older ones along."""

SCHEMA: Final = sa.MetaData()
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite stores a table in the order of its key only where that is called INTEGER."""

version = sa.Table("dicem_version", SCHEMA, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False))

results = sa.Table(
    "dicem_results",
    SCHEMA,
    sa.Column("vehicle", sa.Text, primary_key=True),
    sa.Column("call_id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False, comment="the gateway that computes it, or did"),
    sa.Column("lease_utc", sa.Double, nullable=False, comment="until when it may compute, where there is no reply"),
    sa.Column("made_utc", sa.Double, nullable=False, index=True),
    sa.Column("reply", sa.LargeBinary, comment="a Reply in CBOR; null: it is being computed"),
)

answers = sa.Table(
    "dicem_answers",
    SCHEMA,
    sa.Column("number", _KEY, primary_key=True, autoincrement=False, comment="in the order of becoming visible"),
    sa.Column("fleet", sa.Text, nullable=False),
    sa.Column("vehicle", sa.Text, nullable=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("program_id", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("t_utc", sa.Double, nullable=False),
    sa.Column("received_utc", sa.Double, nullable=False),
    sa.Column("answer", sa.LargeBinary, nullable=False, comment="an Answer in CBOR"),
    sa.UniqueConstraint("id", "vehicle", "fleet"),
    sa.Index("dicem_answers_time", "t_utc", "number"),
    sa.Index("dicem_answers_vehicle", "vehicle", "t_utc", "number"),
    sa.Index("dicem_answers_status", "status", "t_utc", "number"),
    sa.Index("dicem_answers_program", "program_id", "t_utc", "number"),
    sa.Index("dicem_answers_counts", "fleet", "vehicle", "program_id", "status", "t_utc"),
)

places = sa.Table(
    "dicem_places",
    SCHEMA,
    sa.Column("number", _KEY, nullable=False, index=True, comment="of the answer"),
    sa.Column("lat", sa.Double, nullable=False),
    sa.Column("lon", sa.Double, nullable=False),
    sa.Index("dicem_places_where", "lat", "lon", "number"),
)

counter = sa.Table(
    "dicem_counter",
    SCHEMA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", _KEY, nullable=False, comment="the last number that was given"),
)

vehicles = sa.Table(
    "dicem_vehicles",
    SCHEMA,
    sa.Column("fleet", sa.Text, primary_key=True),
    sa.Column("vehicle", sa.Text, primary_key=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("status_utc", sa.Double, comment="since when, as far as we heard it happen"),
    sa.Column("seen_utc", sa.Double, comment="when it last spoke"),
    sa.Column("lat", sa.Double),
    sa.Column("lon", sa.Double),
    sa.Column("position_utc", sa.Double),
)

deployments = sa.Table(
    "dicem_deployments",
    SCHEMA,
    sa.Column("fleet", sa.Text, primary_key=True),
    sa.Column("vehicle", sa.Text, primary_key=True),
    sa.Column("program", sa.Text, primary_key=True, comment="its name on the vehicle"),
    sa.Column("wanted_action", sa.Text),
    sa.Column("wanted_id", sa.Text),
    sa.Column("wanted_counter", sa.BigInteger),
    sa.Column("wanted_utc", sa.Double),
    sa.Column("question", sa.Text),
    sa.Column("state", sa.Text),
    sa.Column("counter", sa.BigInteger),
    sa.Column("program_id", sa.Text),
    sa.Column("running_id", sa.Text),
    sa.Column("previous_id", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("reported_utc", sa.Double),
)
