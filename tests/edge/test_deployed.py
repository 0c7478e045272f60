"""Programs that operators send: who is believed, what is kept, when something starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dicem_edge.deployed import DeployConfig, Deployments, armed_from
from dicem_shared import messages
from dicem_shared.catalog import catalog
from dicem_shared.clock import VirtualClock
from dicem_shared.deployment import Deployed, Deployment, SignedDeployment
from dicem_shared.errors import ConfigError, MessageError, MessageTooLarge
from dicem_shared.functions import Registry, function
from dicem_shared.keys import OperatorKey, PublicKey
from dicem_shared.program import Program, prepare

SOURCE = "def execute_command(image):\n    return {}\n"
NOW = 1_700_000_000.0


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> OperatorKey:
    return OperatorKey.create(tmp_path_factory.mktemp("keys") / "operator.pem")


@pytest.fixture
def config(tmp_path: Path, key: OperatorKey) -> DeployConfig:
    return DeployConfig(operators=(key.public.text,), state=str(tmp_path / "deployments.db"))


def vehicle(
    config: DeployConfig, functions: Registry | None = None, armed: Callable[[], bool | None] | None = None
) -> Deployments:
    known = catalog() if functions is None else functions
    return Deployments(config, fleet="f", vehicle="v", functions=known, clock=VirtualClock(NOW), armed=armed)


def wanted(counter: int, value: object = 1, **more: object) -> Deployment:
    given: dict[str, object] = {
        "fleet": "f", "vehicle": "v", "program": "p", "counter": counter, "action": "run", "issued_utc": NOW,
        "program_id": f"id{value}", "source": SOURCE.format(value),
    }  # fmt: skip
    return Deployment.model_validate(given | more)


def remove(counter: int) -> Deployment:
    return wanted(counter, action="remove", source="", program_id="")


def sent(deployment: Deployment, key: OperatorKey) -> bytes:
    return messages.encode(deployment.signed(key))


def own() -> Program:
    return prepare("def execute_command(image):\n    return 'own'\n", name="own")


def sources(deployments: Deployments) -> list[str]:
    return [program.source for program in deployments.programs([own()])]


def test_a_deployment_runs_from_the_next_frame_on(config: DeployConfig, key: OperatorKey) -> None:
    boat = vehicle(config)
    report = boat.take("p", sent(wanted(5), key))
    assert report == Deployed(
        program="p", state="running", counter=5, program_id="id1", running_id="id1", t_utc=NOW
    )  # fmt: skip
    assert sources(boat) == [own().source, SOURCE.format(1)]
    assert [p.name for p in boat.programs([])] == ["p"]


def test_it_takes_the_place_of_its_namesake(config: DeployConfig, key: OperatorKey) -> None:
    boat = vehicle(config)
    boat.take("own", sent(wanted(1, program="own"), key))
    assert sources(boat) == [SOURCE.format(1)]
    boat.take("own", sent(remove(2).model_copy(update={"program": "own"}), key))
    assert sources(boat) == [own().source]


def test_a_newer_one_replaces_it_and_what_ran_before_is_known(config: DeployConfig, key: OperatorKey) -> None:
    boat = vehicle(config)
    boat.take("p", sent(wanted(1, 1), key))
    report = boat.take("p", sent(wanted(2, 2), key))
    assert report is not None
    assert (report.running_id, report.previous_id) == ("id2", "id1")
    report = boat.take("p", sent(wanted(3, 1), key))  # back to the one before
    assert report is not None
    assert (report.running_id, report.previous_id) == ("id1", "id2")
    assert sources(boat)[1:] == [SOURCE.format(1)]


def test_it_is_still_there_after_a_power_cut(config: DeployConfig, key: OperatorKey) -> None:
    vehicle(config).take("p", sent(wanted(7), key))  # and nobody closes anything
    boat = vehicle(config)
    assert sources(boat)[1:] == [SOURCE.format(1)]
    assert [(r.state, r.counter) for r in boat.reports()] == [("running", 7)]
    assert boat.take("p", sent(wanted(6, 2), key)) is None


def test_a_replay_changes_nothing(config: DeployConfig, key: OperatorKey) -> None:
    boat = vehicle(config)
    first = sent(wanted(1, 1), key)
    boat.take("p", first)
    boat.take("p", sent(remove(2), key))
    assert boat.take("p", first) is None
    assert sources(boat) == [own().source]
    again = boat.take("p", sent(remove(2), key))  # the broker's retained copy
    assert again is not None
    assert (again.state, again.counter) == ("removed", 2)


def test_what_another_key_has_signed_is_dropped(config: DeployConfig, key: OperatorKey, tmp_path: Path) -> None:
    boat = vehicle(config)
    stranger = OperatorKey.create(tmp_path / "stranger.pem")
    assert boat.take("p", sent(wanted(1), stranger)) is None
    forged = wanted(1).signed(stranger).model_copy(update={"key": key.public.id})
    assert boat.take("p", messages.encode(forged)) is None
    assert sources(boat) == [own().source]
    assert boat.reports() == []


@pytest.mark.parametrize("change", [{"vehicle": "w"}, {"fleet": "g"}, {"program": "q"}])
def test_what_is_meant_for_another_is_dropped(config: DeployConfig, key: OperatorKey, change: dict[str, str]) -> None:
    boat = vehicle(config)
    assert boat.take("p", sent(wanted(1).model_copy(update=change), key)) is None
    assert boat.reports() == []


@given(st.integers(0, 2000), st.integers(1, 255))
def test_no_byte_of_a_document_can_be_changed(position: int, change: int) -> None:
    signed = wanted(1).signed(_ANY)
    document = bytearray(signed.document)
    document[position % len(document)] ^= change
    forged = signed.model_copy(update={"document": bytes(document)})
    with pytest.raises(MessageError, match="signature does not fit"):
        forged.verified({_ANY.public.id: _ANY.public})


@given(st.binary(max_size=300))
def test_rubbish_is_dropped(data: bytes) -> None:
    with pytest.raises(MessageError):
        messages.decode(SignedDeployment, data).verified({_ANY.public.id: _ANY.public})


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def execute_command(image:\n", "p:1:"),
        ("def other(image):\n    return 1\n", "no entry function"),
        ("x = 1", "no entry function"),
    ],
)
def test_what_is_no_program_is_refused_and_the_old_one_runs_on(
    config: DeployConfig, key: OperatorKey, source: str, said: str
) -> None:
    boat = vehicle(config)
    boat.take("p", sent(wanted(1, 1), key))
    report = boat.take("p", sent(wanted(2, 2, source=source), key))
    assert report is not None
    assert (report.state, report.running_id, report.program_id, report.counter) == ("refused", "id1", "id2", 2)
    assert said in report.reason
    assert sources(boat)[1:] == [SOURCE.format(1)]
    assert boat.review() == []
    assert boat.take("p", sent(wanted(3, 3), key)).state == "running"  # type: ignore[union-attr]


@function(sites=("edge", "cloud"))
def depth(image: str, unit: str) -> float:
    """Another depth than the one that we know."""
    raise NotImplementedError


def test_a_program_whose_functions_have_changed_is_stale(config: DeployConfig, key: OperatorKey) -> None:
    versions = {spec.name: spec.version for spec in catalog()}
    checked = wanted(1, functions={name: versions[name] for name in ("depth", "blip2")})
    boat = vehicle(config)
    assert boat.take("p", sent(checked, key)).state == "running"  # type: ignore[union-attr]
    boat.close()
    others = Registry([depth, *(spec for spec in catalog() if spec.name != "depth")])
    boat = vehicle(config, others)  # dicem was upgraded meanwhile
    report = boat.reports()[0]
    assert (report.state, report.reason) == ("stale", "the function depth has changed since the program was checked")
    assert sources(boat) == [own().source]
    unknown = boat.take("p", sent(wanted(2, functions={"sonar": "x"}), key))
    assert unknown is not None
    assert (unknown.state, unknown.reason) == ("stale", "the function sonar is not known here")


def test_nothing_starts_while_the_autopilot_is_armed(config: DeployConfig, key: OperatorKey) -> None:
    armed: list[bool | None] = [True]
    careful = config.model_copy(update={"policy": "disarmed"})
    boat = vehicle(careful, armed=lambda: armed[0])
    report = boat.take("p", sent(wanted(1), key))
    assert report is not None
    assert (report.state, report.running_id) == ("waiting", "")
    armed[0] = None  # nobody knows
    assert boat.review() == []
    assert sources(boat) == [own().source]
    boat.close()
    boat = vehicle(careful, armed=lambda: armed[0])  # it waits through a restart
    assert boat.reports()[0].state == "waiting"
    armed[0] = False
    assert [r.state for r in boat.review()] == ["running"]
    assert boat.review() == []
    assert sources(boat)[1:] == [SOURCE.format(1)]
    armed[0] = True
    assert boat.take("p", sent(remove(2), key)).state == "waiting"  # type: ignore[union-attr]
    assert sources(boat)[1:] == [SOURCE.format(1)]


def test_who_takes_nothing_runs_nothing(config: DeployConfig, key: OperatorKey, tmp_path: Path) -> None:
    vehicle(config).take("p", sent(wanted(1), key))
    for closed in (config.model_copy(update={"policy": "never"}), config.model_copy(update={"operators": ()})):
        boat = vehicle(closed)
        assert not boat.is_open
        assert boat.take("p", sent(wanted(2), key)) is None
        assert sources(boat) == [own().source]
    assert not (tmp_path / "other.db").exists()
    vehicle(DeployConfig(state=str(tmp_path / "other.db")))
    assert not (tmp_path / "other.db").exists()


def test_a_key_that_is_trusted_no_longer_takes_its_programs_with_it(
    config: DeployConfig, key: OperatorKey, tmp_path: Path
) -> None:
    vehicle(config).take("p", sent(wanted(1), key))
    other = OperatorKey.create(tmp_path / "new.pem")
    boat = vehicle(config.model_copy(update={"operators": (other.public.text,)}))
    assert sources(boat) == [own().source]
    assert boat.take("p", sent(wanted(1, 2), other)).state == "removed"  # type: ignore[union-attr]  # 1 has been
    assert boat.take("p", sent(wanted(2, 2), other)).state == "running"  # type: ignore[union-attr]


def test_no_more_programs_than_may(config: DeployConfig, key: OperatorKey) -> None:
    boat = vehicle(config.model_copy(update={"max_programs": 1}))
    boat.take("p", sent(wanted(1, 1), key))
    second = wanted(2, 2, program="q")
    report = boat.take("q", sent(second, key))
    assert report is not None
    assert report.state == "refused"
    assert "max_programs" in report.reason
    boat.take("p", sent(remove(3), key))
    assert [r.program for r in boat.review()] == ["q"]  # there is room by now
    assert sources(boat)[1:] == [SOURCE.format(2)]


def test_a_damaged_file_is_said_so(config: DeployConfig) -> None:
    Path(config.state).write_bytes(b"no database at all, but long enough to be one" * 100)
    with pytest.raises(ConfigError, match=r"deploy\.state"):
        vehicle(config)


def test_a_tampered_file_runs_nothing_that_nobody_has_signed(config: DeployConfig, key: OperatorKey) -> None:
    boat = vehicle(config)
    boat.take("p", sent(wanted(1), key))
    forged = wanted(1).signed(key).model_copy(update={"document": messages.encode(wanted(1, "'forged'"))})
    boat._store._db.execute("update deployments set running = ?", (messages.encode(forged),))  # type: ignore[union-attr]
    boat._store._db.commit()  # type: ignore[union-attr]
    assert sources(vehicle(config)) == [own().source]


def test_a_file_of_another_vehicle_runs_nothing_here(config: DeployConfig, key: OperatorKey) -> None:
    vehicle(config).take("p", sent(wanted(1), key))
    other = Deployments(config, fleet="f", vehicle="w", functions=catalog(), clock=VirtualClock(NOW))
    assert sources(other) == [own().source]
    other.close()
    boat = vehicle(config)
    boat._store._db.execute("update deployments set program = 'q'")  # type: ignore[union-attr]
    boat._store._db.commit()  # type: ignore[union-attr]
    assert sources(vehicle(config)) == [own().source]


def test_a_full_disk_loses_nothing(config: DeployConfig, key: OperatorKey) -> None:
    boat = vehicle(config)
    boat.take("p", sent(wanted(1, 1), key))
    store = boat._store
    assert store is not None
    pages = store._db.execute("pragma page_count").fetchone()[0]
    store._db.execute(f"pragma max_page_count = {pages}")
    long = wanted(2, 2, source=SOURCE.format(repr("x" * 90_000)))
    assert boat.take("p", sent(long, key)) is None
    assert sources(boat)[1:] == [SOURCE.format(1)]
    store._db.execute("pragma max_page_count = 1000000")
    assert boat.take("p", sent(long, key)).state == "running"  # type: ignore[union-attr]  # the broker sends it again


def test_a_document_that_is_too_large_is_not_signed(key: OperatorKey) -> None:
    with pytest.raises(ValidationError):
        wanted(1, source="x" * 200_000)
    with pytest.raises(MessageTooLarge):
        wanted(1, source="é" * 90_000).signed(key)


def test_a_config_with_a_wrong_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="dicem keygen"):
        DeployConfig(operators=("ed25519:AAAA",))


@pytest.mark.parametrize(("word", "said"), [("armed\n", True), (" Disarmed", False), ("perhaps", None), ("", None)])
def test_a_file_says_whether_the_autopilot_is_armed(tmp_path: Path, word: str, said: bool | None) -> None:
    path = tmp_path / "armed"
    assert armed_from(path)() is None
    path.write_text(word)
    assert armed_from(path)() is said
    assert armed_from(None)() is None


def test_keys_are_kept_to_their_owner(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "operator.pem"
    made = OperatorKey.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert OperatorKey.load(path).public == made.public == PublicKey.parse(made.public.text)
    with pytest.raises(ConfigError, match="never overwritten"):
        OperatorKey.create(path)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        OperatorKey.load(path)
    path.chmod(0o600)
    path.write_text("rubbish")
    with pytest.raises(ConfigError, match="no operator's key"):
        OperatorKey.load(path)
    with pytest.raises(ConfigError, match="dicem keygen"):
        OperatorKey.load(tmp_path / "nowhere.pem")


def _any_key() -> OperatorKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return OperatorKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


_ANY = _any_key()
