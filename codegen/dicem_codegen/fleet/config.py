"""The operator's config: which fleet, which broker, which key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field

from dicem_shared.broker_config import BrokerConfig
from dicem_shared.camera import Strict
from dicem_shared.config import load_config
from dicem_shared.resources import need
from dicem_shared.types import Id

VARIABLE = "DICEM_OPERATOR"
USUAL = "operator-demo"


class OperatorConfig(Strict):
    """`dicem deploy --operator`."""

    fleet: Id = "demo"
    broker: BrokerConfig = BrokerConfig()
    key: Path = Path("operator.pem")
    """the private key, as `dicem keygen` makes it; taken from the folder of this file"""
    wait_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """so long a vehicle that is online is given to say what came of it"""


def load_operator_config(given: str | None) -> OperatorConfig:
    """The config by name or path; without one what `$DICEM_OPERATOR` names, and else the demo's.

    :raises ConfigError: not there, an unknown key, a value out of bounds
    """
    path = need(given or os.environ.get(VARIABLE) or USUAL, "operator config", "configs", suffix=".yaml")
    config = load_config(OperatorConfig, path)
    # Of the demo, the key lies where one works; of a file of one's own, beside the file.
    folder = Path() if path.stem == USUAL else path.parent
    return config.model_copy(
        update={"key": folder / config.key.expanduser(), "broker": config.broker.relative_to(path.parent)}
    )
