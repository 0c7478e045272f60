"""Kubernetes manifests as `kubectl kustomize` puts them together, as far as ours go, and what a test asks of them.

Read are: resources, components, both generators, strategic-merge patches of objects, and the namespace.  Any other key
is an error, so that nothing is left out unseen.  Generated names stay without their hash.  Where kubectl is installed,
a test holds this module against it.
"""

from __future__ import annotations

import base64
import copy
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "configs" / "kubernetes"
MADE_BY_USERS = ("ca.crt", "tls.crt", "tls.key", "vehicles", "gateways", "gateway.env", "database.env")
GATEWAY_ENV = ("DICEM_BROKER_PASSWORD", "DICEM_TOKEN", "DICEM_METRICS_TOKEN")
WITHOUT_NAMESPACE = {"Namespace", "CustomResourceDefinition"}
GENERATORS = {"configMapGenerator": "ConfigMap", "secretGenerator": "Secret"}
_READ = {"apiVersion", "kind", "namespace", "resources", "components", "patches", "configurations", *GENERATORS}
_MERGED_BY = {"volumeMounts": "mountPath"}

Object = dict[str, Any]


def copied(folder: Path) -> Path:
    """The manifests with the files that users make, as they would look."""
    tree = folder / "kubernetes"
    shutil.copytree(KUBERNETES, tree, ignore=shutil.ignore_patterns(*MADE_BY_USERS, "ca.key"))
    for name in MADE_BY_USERS:
        (tree / "secrets" / name).write_text("made by the user\n")
    (tree / "secrets" / "gateway.env").write_text("".join(f"{name}=x\n" for name in GATEWAY_ENV))
    (tree / "secrets" / "database.env").write_text("POSTGRES_PASSWORD=x\n")
    return tree


def built(folder: Path) -> list[Object]:
    """Every object of a kustomization."""
    said = _load(folder / "kustomization.yaml")
    unknown = set(said) - _READ
    assert not unknown, f"{folder}: this resolver does not read {sorted(unknown)}"
    objects: list[Object] = []
    for name in said.get("resources", []):
        objects += built(folder / name) if (folder / name).is_dir() else _documents(folder / name)
    for key, kind in GENERATORS.items():
        objects += [_generated(folder, kind, one) for one in said.get(key, [])]
    for name in said.get("components", []):
        objects += built(folder / name)
    for patch in said.get("patches", []):
        for change in _documents(folder / patch["path"]):
            (target,) = [one for one in objects if _key(one) == _key(change)]
            objects[objects.index(target)] = _merged(target, change)
    for one in objects:
        if "namespace" in said and one["kind"] not in WITHOUT_NAMESPACE:
            one["metadata"]["namespace"] = said["namespace"]
    return objects


def by_name(objects: list[Object]) -> dict[tuple[str, str], Object]:
    """The objects by kind and name; two of one name are an error."""
    found = {_key(one): one for one in objects}
    assert len(found) == len(objects), "two objects of one kind and name"
    return found


def _key(one: Object) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _documents(path: Path) -> list[Object]:
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one is not None]


def _generated(folder: Path, kind: str, said: dict[str, Any]) -> Object:
    values = {name: (folder / name).read_text(encoding="utf-8") for name in said.get("files", [])}
    for name in said.get("envs", []):
        lines = (folder / name).read_text(encoding="utf-8").split()
        values |= dict(line.split("=", 1) for line in lines)
    made: Object = {"apiVersion": "v1", "kind": kind, "metadata": {"name": said["name"]}}
    if kind == "Secret":
        values = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        made["type"] = said.get("type", "Opaque")
    return made | {"data": values}


def _merged(into: Any, change: Any, where: str = "") -> Any:
    """A strategic merge: mappings by key, lists of named things by name, anything else as the change has it."""
    if isinstance(into, dict) and isinstance(change, dict):
        merged = {key: _merged(into.get(key), value, key) for key, value in change.items()}
        return copy.deepcopy({**into, **merged})
    by = _MERGED_BY.get(where, "name")
    if isinstance(into, list) and isinstance(change, list) and all(by in one for one in into + change):
        known = {one[by]: one for one in into}
        changed = {one[by]: _merged(known.get(one[by]), one) for one in change}
        new = [one for name, one in changed.items() if name not in known]
        return new + [changed.get(name, one) for name, one in known.items()]
    return change


@dataclass(frozen=True)
class Pod:
    """A pod as some object makes it."""

    owner: str
    labels: dict[str, str]
    spec: dict[str, Any]
    claims: frozenset[str] = frozenset()
    """volumes that a StatefulSet makes for it"""

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All of them, those that start first too."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def ports(self) -> dict[str, int]:
        """Its named ports."""
        return {port["name"]: port["containerPort"] for one in self.containers for port in one.get("ports", [])}

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether a selector of these labels finds it."""
        return labels.items() <= self.labels.items()


def pods(objects: list[Object]) -> list[Pod]:
    """What runs."""
    return [pod for one in objects for pod in _pods_of(one)]


def _pods_of(one: Object) -> Iterator[Pod]:
    owner, spec = one["metadata"]["name"], one.get("spec", {})
    if one["kind"] in ("Deployment", "StatefulSet", "Job"):
        claims = frozenset(claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", []))
        yield Pod(owner, spec["template"]["metadata"]["labels"], spec["template"]["spec"], claims)
    if one["kind"] == "RayService":
        cluster = spec["rayClusterConfig"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            name = f"{owner}-{group.get('groupName', 'head')}"
            yield Pod(name, group["template"]["metadata"]["labels"], group["template"]["spec"])


def allowed(objects: list[Object], source: Pod | dict[str, str], target: Pod | None, port: int) -> bool:
    """Whether the NetworkPolicies let one talk to the other.

    A `source` of labels is somebody of another namespace that is labelled so; a `target` of None is the world outside.
    """
    policies = [one["spec"] for one in objects if one["kind"] == "NetworkPolicy"]
    out = not isinstance(source, Pod) or _lets(policies, "Egress", source, target, port)
    return out and (target is None or _lets(policies, "Ingress", target, source, port))


def _lets(policies: list[Object], way: str, pod: Pod, peer: Pod | dict[str, str] | None, port: int) -> bool:
    mine = [
        one for one in policies if way in one["policyTypes"] and pod.matches(one["podSelector"].get("matchLabels", {}))
    ]
    side = "to" if way == "Egress" else "from"
    rules = [rule for one in mine for rule in one.get(way.lower(), [])]
    return not mine or any(_fits(rule, side, peer) and _has_port(rule, port) for rule in rules)


def _fits(rule: dict[str, Any], side: str, peer: Pod | dict[str, str] | None) -> bool:
    return side not in rule or any(_is(selector, peer) for selector in rule[side])


def _is(selector: dict[str, Any], peer: Pod | dict[str, str] | None) -> bool:
    if peer is None:
        return False
    if isinstance(peer, Pod):
        return "namespaceSelector" not in selector and peer.matches(selector["podSelector"]["matchLabels"])
    if "namespaceSelector" not in selector:
        return False
    labels = selector["namespaceSelector"].get("matchLabels", {}) | selector.get("podSelector", {}).get(
        "matchLabels", {}
    )
    return bool(labels.items() <= peer.items())


def _has_port(rule: dict[str, Any], port: int) -> bool:
    return "ports" not in rule or any(one["port"] == port for one in rule["ports"])
