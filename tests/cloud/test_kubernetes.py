"""The manifests under configs/kubernetes: valid, whole, closed, and what they configure can be loaded.

There is no cluster here.  What is checked are schemas, names, ports and rules, not whether it runs.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from dicem_cloud.config import CloudConfig, load_cloud_config
from dicem_cloud.kuberay import build
from dicem_shared.errors import ConfigError

from .manifests import ROOT, Object, Pod, allowed, built, by_name, copied, pods

KINDS = pytest.importorskip("kubernetes_validate", reason="needs the extra [test]")
BUILT_IN = re.compile(r"(v1|(apps|batch|policy|autoscaling)/v\d|(\w+\.)*k8s\.io/v\d)\Z")
THIRD_PARTY = {"ray.io/v1", "keda.sh/v1alpha1", "monitoring.coreos.com/v1"}
OLDEST, NEWEST = "1.29", KINDS.latest_version()
"""of Kubernetes; 1.29 is the first that takes sidecars for granted"""
VARIANTS = {
    "demo": ("demo", {}),
    "fleet": ("fleet", {}),
    "fleet-keda": ("fleet", {"- ../../components/hpa ": "- ../../components/keda\n- ../../components/monitoring #"}),
    "gpu": ("gpu", {}),
    "gpu-models": ("gpu", {"- ../../components/hpa\n": "- ../../components/hpa\n- ../../components/models\n"}),
}
"""Each overlay as it is, and with the optional components in the way that docs/kubernetes.md says."""


class Deployed:
    """One variant, put together."""

    def __init__(self, name: str, folder: Path) -> None:
        overlay, changes = VARIANTS[name]
        self.folder = copied(folder) / "overlays" / overlay
        file = self.folder / "kustomization.yaml"
        text = file.read_text(encoding="utf-8")
        for old, new in changes.items():
            assert text.count(old) == 1
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")
        self.objects = built(self.folder)
        self.named = by_name(self.objects)
        self.pods = pods(self.objects)

    def pod(self, owner: str) -> Pod:
        (found,) = [one for one in self.pods if one.owner == owner]
        return found

    def of(self, kind: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] == kind]

    def data(self, kind: str, name: str) -> dict[str, str]:
        data: dict[str, str] = self.named[kind, name]["data"]
        return data

    def config(self, folder: Path) -> CloudConfig:
        """The gateway's, read as the gateway reads it."""
        file = folder / "cloud.yaml"
        file.write_text(self.data("ConfigMap", "dicem-cloud")["cloud.yaml"], encoding="utf-8")
        return load_cloud_config(file)


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Deployed]:
    return {name: Deployed(name, tmp_path_factory.mktemp(name)) for name in VARIANTS}


@pytest.fixture(params=VARIANTS)
def deployed(request: pytest.FixtureRequest, variants: dict[str, Deployed]) -> Deployed:
    return variants[request.param]


@pytest.fixture
def gpu(variants: dict[str, Deployed]) -> Deployed:
    return variants["gpu-models"]


@pytest.fixture
def config(deployed: Deployed, tmp_path: Path) -> CloudConfig:
    return deployed.config(tmp_path)


def walk(value: Any) -> list[dict[str, Any]]:
    """Every mapping inside."""
    if isinstance(value, list):
        return [found for one in value for found in walk(one)]
    if not isinstance(value, dict):
        return []
    return [value, *(found for one in value.values() for found in walk(one))]


# Schemas


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_built_in_kind_is_valid(variants: dict[str, Deployed], version: str) -> None:
    distinct = {json.dumps(one): one for deployed in variants.values() for one in deployed.objects}
    seen = set()
    for one in distinct.values():
        if BUILT_IN.match(one["apiVersion"]):
            KINDS.validate(one, version, strict=True)
            seen.add(one["kind"])
        else:
            assert one["apiVersion"] in THIRD_PARTY
    assert seen == {
        "Namespace", "ServiceAccount", "Service", "StatefulSet", "ConfigMap", "Secret", "NetworkPolicy", "Job",
        "PersistentVolumeClaim", "HorizontalPodAutoscaler", "PodDisruptionBudget",
    }  # fmt: skip


def test_the_pods_of_ray_are_valid(gpu: Deployed) -> None:
    """KubeRay's own kind has no schema here; the pods in it have Kubernetes'."""
    for pod in gpu.pods:
        template = {"metadata": {"labels": pod.labels}, "spec": pod.spec}
        made = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": template}
        KINDS.validate(made, OLDEST, strict=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec.update(replica=1),
        lambda spec: spec.pop("selector"),
        lambda spec: spec["template"]["spec"]["containers"][0].update(ports=[{"containerPort": "8080"}]),
    ],
)
def test_an_error_would_be_seen(gpu: Deployed, spoil: Callable[[dict[str, Any]], Any]) -> None:
    spoilt = json.loads(json.dumps(gpu.named["StatefulSet", "dicem-gateway"]))
    spoil(spoilt["spec"])
    with pytest.raises(KINDS.ValidationError):
        KINDS.validate(spoilt, NEWEST, strict=True)


def test_as_kubectl_puts_it_together(deployed: Deployed) -> None:
    """The tests' own resolver leaves nothing out: the real one makes the same of the same files."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run([kubectl, "kustomize", deployed.folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = done.stdout
    for kind, name in deployed.named:
        if kind in ("ConfigMap", "Secret"):
            text, count = re.subn(rf"\b{name}-[a-z0-9]{{10}}\b", name, text)
            assert count, f"{kind} {name} has no hash"
    assert by_name(list(yaml.safe_load_all(text))) == deployed.named


# Names


def test_what_pods_name_is_there(deployed: Deployed) -> None:
    for pod in deployed.pods:
        name = pod.spec.get("serviceAccountName")
        assert name is None or ("ServiceAccount", name) in deployed.named
        for volume in pod.spec.get("volumes", []):
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in deployed.named
            if "secret" in volume:
                assert ("Secret", volume["secret"]["secretName"]) in deployed.named
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in deployed.named
        volumes = {volume["name"] for volume in pod.spec.get("volumes", [])} | pod.claims
        mounted = {mount["name"] for one in pod.containers for mount in one.get("volumeMounts", [])}
        assert mounted == volumes, f"{pod.owner}: volumes and mounts differ"


def test_secrets_have_the_keys_that_are_asked_for(deployed: Deployed) -> None:
    asked = [
        found
        for one in deployed.objects
        for found in walk(one)
        if {"name", "key"} <= set(found) <= {"name", "key", "optional"}
    ]
    assert len(asked) >= 4
    for reference in asked:
        assert reference["key"] in deployed.data("Secret", reference["name"])


def test_files_are_where_containers_look(deployed: Deployed, config: CloudConfig) -> None:
    gateway = deployed.pod("dicem-gateway")
    assert config.broker is not None
    assert config.broker.tls is not None
    paths = ["/etc/dicem/cloud.yaml", str(config.broker.tls.ca_file)]
    assert paths[0] in next(one for one in gateway.containers if one["name"] == "gateway")["args"]
    for path in paths:
        assert Path(path).name in _mounted(deployed, gateway, Path(path).parent)
    broker = deployed.pod("dicem-broker")
    conf = deployed.data("ConfigMap", "dicem-broker")["mosquitto.conf"]
    named = [
        Path(found)
        for found in re.findall(r"^\w+file? (/\S+)$|^\w+_file (/\S+)$", conf, re.M)
        for found in found
        if found
    ]
    assert len(named) == 8
    for file in named:
        assert file.name in _mounted(deployed, broker, file.parent)
    (data,) = re.findall(r"^persistence_location (\S+)/$", conf, re.M)
    assert {"name": "data", "mountPath": data} in broker.containers[0]["volumeMounts"]


def _mounted(deployed: Deployed, pod: Pod, folder: Path) -> dict[str, str]:
    """The files in a folder of a pod that a ConfigMap or Secret fills."""
    (name,) = {
        mount["name"] for one in pod.containers for mount in one["volumeMounts"] if mount["mountPath"] == str(folder)
    }
    (volume,) = [one for one in pod.spec["volumes"] if one["name"] == name]
    if "configMap" in volume:
        return deployed.data("ConfigMap", volume["configMap"]["name"])
    return deployed.data("Secret", volume["secret"]["secretName"])


def test_selectors_find_pods(deployed: Deployed) -> None:
    for one in deployed.of("Service"):
        (pod,) = [pod for pod in deployed.pods if pod.matches(one["spec"]["selector"])]
        for port in one["spec"]["ports"]:
            assert port["targetPort"] in pod.ports()
    for one in deployed.of("StatefulSet"):
        assert one["spec"]["selector"]["matchLabels"].items() <= one["spec"]["template"]["metadata"]["labels"].items()
        assert ("Service", one["spec"]["serviceName"]) in deployed.named
    for one in deployed.of("PodDisruptionBudget"):
        assert [pod.owner for pod in deployed.pods if pod.matches(one["spec"]["selector"]["matchLabels"])] == [
            "dicem-gateway"
        ]
    for one in deployed.of("HorizontalPodAutoscaler") + deployed.of("ScaledObject"):
        target = one["spec"]["scaleTargetRef"]
        assert deployed.named[target["kind"], target["name"]]["apiVersion"] == target["apiVersion"]
        assert "replicas" not in deployed.named[target["kind"], target["name"]]["spec"], "two would say how many"
    for one in deployed.of("ServiceMonitor"):
        wanted = one["spec"]["selector"]["matchLabels"]
        (service,) = [each for each in deployed.of("Service") if wanted.items() <= each["metadata"]["labels"].items()]
        assert one["spec"]["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]


def test_one_autoscaler_where_gateways_share_a_store_and_none_where_not(
    deployed: Deployed, config: CloudConfig
) -> None:
    scalers = len(deployed.of("HorizontalPodAutoscaler") + deployed.of("ScaledObject"))
    assert scalers == len(deployed.of("PodDisruptionBudget")) == (0 if config.store.url is None else 1)


# What is allowed


def test_nobody_talks_but_those_who_must(deployed: Deployed) -> None:
    known = {pod.owner: pod for pod in deployed.pods}
    gateway, broker = known["dicem-gateway"], known["dicem-broker"]
    world: dict[str, str] = {"kubernetes.io/metadata.name": "elsewhere"}
    ingress = {"kubernetes.io/metadata.name": "ingress-nginx"}
    assert allowed(deployed.objects, gateway, broker, 8884)
    assert allowed(deployed.objects, world, broker, 8883)
    assert not allowed(deployed.objects, world, broker, 8884)
    assert allowed(deployed.objects, ingress, gateway, 8080)
    assert not allowed(deployed.objects, world, gateway, 8080)
    assert not allowed(deployed.objects, ingress, broker, 8884)
    monitoring = {"kubernetes.io/metadata.name": "monitoring"}
    assert allowed(deployed.objects, monitoring, gateway, 8080) == bool(deployed.of("ServiceMonitor"))
    for pod in deployed.pods:
        away = pod.owner == "dicem-models"
        assert allowed(deployed.objects, pod, None, 443) == (away or pod.owner == "dicem-ray-head"), pod.owner
        assert not allowed(deployed.objects, pod, None, 80)
        assert pod is gateway or not allowed(deployed.objects, pod, broker, 8884)
        if "dicem-database" in known:
            assert allowed(deployed.objects, pod, known["dicem-database"], 5432) == (pod is gateway)
            assert not allowed(deployed.objects, world, known["dicem-database"], 5432)


def test_ray_is_for_its_nodes_and_for_kuberay(gpu: Deployed) -> None:
    head, worker, gateway = (gpu.pod(name) for name in ("dicem-ray-head", "dicem-ray-gpu", "dicem-gateway"))
    operator = {"app.kubernetes.io/name": "kuberay-operator", "kubernetes.io/metadata.name": "kuberay"}
    for port in (6379, 8265, 10002):
        assert allowed(gpu.objects, gateway, head, port)
        assert allowed(gpu.objects, worker, gateway, port)
        assert not allowed(gpu.objects, {"kubernetes.io/metadata.name": "elsewhere"}, head, port)
        assert not allowed(gpu.objects, gpu.pod("dicem-broker"), head, port)
    assert allowed(gpu.objects, operator, head, 8265)
    assert not allowed(gpu.objects, operator, head, 6379)
    assert not allowed(gpu.objects, worker, gpu.pod("dicem-broker"), 8884)


def test_policies_name_pods_and_ports_that_are_there(deployed: Deployed) -> None:
    for one in deployed.of("NetworkPolicy"):
        spec = one["spec"]
        mine = [pod for pod in deployed.pods if pod.matches(spec["podSelector"].get("matchLabels", {}))]
        assert mine, f"{one['metadata']['name']} is about nobody"
        for rule in spec.get("ingress", []):
            for port in rule.get("ports", []):
                assert all(port["port"] in pod.ports().values() for pod in mine)
        for rule in spec.get("egress", []):
            for peer in rule.get("to", []):
                if "namespaceSelector" in peer:
                    continue
                targets = [pod for pod in deployed.pods if pod.matches(peer["podSelector"]["matchLabels"])]
                assert targets
                for port in rule.get("ports", []):
                    assert all(port["port"] in pod.ports().values() for pod in targets)


def test_containers_may_do_little(deployed: Deployed) -> None:
    for pod in deployed.pods:
        security = pod.spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for one in pod.containers:
            assert one["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }, f"{pod.owner}: {one['name']}"  # fmt: skip
            assert {"cpu", "memory"} <= set(one["resources"]["requests"])
            assert "memory" in one["resources"]["limits"]
            assert re.search(r":v?\d[\w.-]*$", one["image"]), f"{one['image']}: no fixed version"
        if pod.owner != "dicem-ray-head":  # whose autoscaler asks Kubernetes for pods
            assert pod.spec["automountServiceAccountToken"] is False
    (namespace,) = deployed.of("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_image_runs_as_who_the_pods_run(gpu: Deployed) -> None:
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "configs/containers/cloud.Dockerfile").read_text(), re.M)
    assert user is not None
    for pod in gpu.pods:
        if any("dicem-cloud" in one["image"] for one in pod.containers):
            security = pod.spec["securityContext"]
            assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (10001, 10001, 10001)
            assert user.groups() == ("10001", "10001")


# What is configured


def test_the_config_fits_what_is_there(deployed: Deployed, config: CloudConfig) -> None:
    assert config.broker is not None
    _is_served(deployed, config.broker.host, config.broker.port)
    if config.store.url is not None:
        url = urlsplit(config.store.url)
        _is_served(deployed, url.hostname or "", url.port or 5432)
        (database,) = deployed.pod("dicem-database").containers
        given = {one["name"]: one.get("value") for one in database["env"]}
        assert (url.username, url.path) == (given["POSTGRES_USER"], f"/{given['POSTGRES_DB']}")
    assert ("Service", "dicem-database") in deployed.named or config.store.url is None
    gateway = next(one for one in deployed.pod("dicem-gateway").containers if one["name"] == "gateway")
    assert {"name": "http", "containerPort": config.http.port} in gateway["ports"]
    assert config.http.host == "0.0.0.0"
    wanted = {config.broker.password_env, config.store.password_env, *(token.env for token in config.http.tokens)}
    assert wanted - {None} <= {one["name"] for one in gateway["env"]}
    assert f"user {config.broker.username}\n" in deployed.data("ConfigMap", "dicem-broker")["gateways.acl"]


def _is_served(deployed: Deployed, host: str, port: int) -> None:
    ports = deployed.named["Service", host]["spec"]["ports"]
    assert port in [one["port"] for one in ports]


def test_the_models_are_in_the_image_or_on_the_volume(deployed: Deployed, config: CloudConfig) -> None:
    for name, model in config.functions.models.items():
        if config.backend == "inprocess":
            assert Path(model).is_relative_to(ROOT / "models"), name
        else:
            assert not Path(model).exists(), f"{name}: a name on the hub"


def test_memory_is_enough_for_what_the_config_lets_in(deployed: Deployed, config: CloudConfig) -> None:
    gateway = next(one for one in deployed.pod("dicem-gateway").containers if one["name"] == "gateway")
    limit = gateway["resources"]["limits"]["memory"]
    assert limit.endswith("Gi")
    let_in = config.blobs.max_mb + config.limits.waiting_mb + config.http.max_bodies_mb
    assert let_in + 800 <= int(limit[:-2]) * 1073.7


def test_there_is_time_to_start_and_to_end(deployed: Deployed, config: CloudConfig) -> None:
    pod = deployed.pod("dicem-gateway")
    gateway = next(one for one in pod.containers if one["name"] == "gateway")
    startup = gateway["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > config.ray.ready_s
    pause = int(gateway["lifecycle"]["preStop"]["exec"]["command"][1])
    longest = config.ray.answer_s if config.backend == "ray" else config.http.call_timeout_s
    assert pod.spec["terminationGracePeriodSeconds"] >= pause + longest + 10


def test_probes_ask_what_answers(deployed: Deployed) -> None:
    """Also what Prometheus reads, and what KEDA asks it for."""
    pytest.importorskip("fastapi", reason="needs the extra [cloud]")
    from dicem_cloud.metrics import Meter
    from dicem_shared.clock import SystemClock

    from .http_client import serving

    gateway = next(one for one in deployed.pod("dicem-gateway").containers if one["name"] == "gateway")
    paths = {gateway[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert paths == {"/healthz", "/readyz"}
    monitored = {point["path"] for one in deployed.of("ServiceMonitor") for point in one["spec"]["endpoints"]}
    with serving(SystemClock(), meter=Meter(["yolov8"])) as client:
        for path in paths | monitored:
            assert client.get(path).status_code == 200
        shown = client.get("/metrics").text
    for one in deployed.of("ScaledObject"):
        query = one["spec"]["triggers"][0]["metadata"]["query"]
        metrics = re.findall(r"dicem_\w+", query)
        assert metrics
        assert all(f"# TYPE {name} " in shown for name in metrics)


# Ray


def serve_config(gpu: Deployed) -> dict[str, Any]:
    said: dict[str, Any] = yaml.safe_load(gpu.named["RayService", "dicem-ray"]["spec"]["serveConfigV2"])
    return said


def test_ray_takes_what_it_is_to_serve(gpu: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    schema = pytest.importorskip("ray.serve.schema", reason="needs the extra [cluster]").ServeDeploySchema
    said = serve_config(gpu)
    read = schema.model_validate(said)
    assert read.proxy_location == "Disabled"
    for one in said["applications"]:  # Ray lets unknown keys through
        fields = importlib.import_module("ray.serve.schema")
        assert set(one) <= set(fields.ServeApplicationSchema.model_fields)
        assert all(set(each) <= set(fields.DeploymentSchema.model_fields) for each in one["deployments"])
    said["applications"][0]["deployments"][0]["num_replicas"] = "many"
    with pytest.raises(ValueError, match="num_replicas"):
        schema.model_validate(said)


def test_gateways_find_their_functions_on_ray(gpu: Deployed, tmp_path: Path) -> None:
    """The same names, the same numbers, and nothing that autoscales beside the gateways."""
    from dicem_cloud.ray_backend.backend import configured
    from dicem_cloud.ray_backend.deploying import MAX_ONGOING

    config = gpu.config(tmp_path)
    assert config.backend == "ray"
    applications = {one["name"]: one for one in serve_config(gpu)["applications"]}
    remote = [name for name in config.functions.configured if name not in config.ray.inprocess]
    wanted = {one.declared: one for one in (configured(config, name) for name in remote)}
    assert set(applications) == set(wanted)
    for name, one in applications.items():
        (deployment,) = one["deployments"]
        assert deployment["name"] == wanted[name].name == one["args"]["function"]
        assert (one["route_prefix"], one["external_scaler_enabled"]) == (None, True)
        assert "autoscaling_config" not in deployment
        rule = wanted[name].replicas
        assert deployment["ray_actor_options"] == {"num_cpus": rule.num_cpus, "num_gpus": rule.num_gpus}
        assert deployment["num_replicas"] == max(1, rule.min_replicas)
        assert deployment["max_ongoing_requests"] == MAX_ONGOING
        assert one["args"]["config"] == "/etc/dicem/cloud.yaml"


def test_the_first_replicas_fit_the_first_node(gpu: Deployed) -> None:
    cluster = gpu.named["RayService", "dicem-ray"]["spec"]["rayClusterConfig"]
    (group,) = cluster["workerGroupSpecs"]
    (worker,) = gpu.pod("dicem-ray-gpu").containers
    options = [each["ray_actor_options"] for one in serve_config(gpu)["applications"] for each in one["deployments"]]
    assert group["minReplicas"] >= 1
    assert (
        sum(one["num_gpus"] for one in options)
        <= worker["resources"]["limits"]["nvidia.com/gpu"] * group["minReplicas"]
    )
    assert sum(one["num_cpus"] for one in options) <= int(worker["resources"]["limits"]["cpu"]) * group["minReplicas"]


def test_rays_nodes_are_set_up_as_gateways_are(gpu: Deployed, tmp_path: Path) -> None:
    from dicem_cloud.ray_backend.cluster import ENVIRONMENT

    for owner in ("dicem-ray-head", "dicem-ray-gpu"):
        (container,) = gpu.pod(owner).containers
        given = {one["name"]: one["value"] for one in container["env"]}
        assert ENVIRONMENT.items() <= given.items()
    gateway = gpu.pod("dicem-gateway")
    (node,) = gateway.spec["initContainers"]
    assert f"--address={gpu.config(tmp_path).ray.address}" in node["command"]
    assert gpu.config(tmp_path).ray.address == "dicem-ray-head-svc:6379"  # as KubeRay calls the head of `dicem-ray`
    ray = {one["image"] for pod in gpu.pods for one in pod.containers if "dicem" in one["image"]}
    assert len(ray) == 1, "Ray wants one version everywhere"


def test_the_version_of_ray_is_the_one_we_test_with(gpu: Deployed) -> None:
    ray = pytest.importorskip("ray", reason="needs the extra [cluster]")
    said: str = gpu.named["RayService", "dicem-ray"]["spec"]["rayClusterConfig"]["rayVersion"]
    assert said.split(".")[:2] == ray.__version__.split(".")[:2]


def test_ray_can_build_each_application(gpu: Deployed, tmp_path: Path) -> None:
    """By the import path, with the arguments and out of the file that the manifest names."""
    serve = pytest.importorskip("ray.serve", reason="needs the extra [cluster]")
    gpu.config(tmp_path)
    for one in serve_config(gpu)["applications"]:
        module, name = one["import_path"].split(":")
        builder = getattr(importlib.import_module(module), name)
        made = builder(one["args"] | {"config": str(tmp_path / "cloud.yaml")})
        assert isinstance(made, serve.Application)
        (deployment,) = one["deployments"]
        assert made._bound_deployment.name == deployment["name"]
        assert deployment["ray_actor_options"].items() <= made._bound_deployment.ray_actor_options.items()
        assert made._bound_deployment.num_replicas == deployment["num_replicas"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({}, "config"),
        ({"config": "nowhere.yaml", "function": "depth"}, "is not there"),
        ({"config": "gpu", "function": "yolov8"}, "no function yolov8 for Ray"),
        ({"config": "gpu", "function": "../x"}, "function"),
        ({"config": "gpu", "function": "depth", "replicas": 3}, "replicas"),
        ({"config": 7, "function": "depth"}, "config"),
    ],
)
def test_an_application_that_cannot_be_built(gpu: Deployed, tmp_path: Path, args: dict[str, Any], message: str) -> None:
    gpu.config(tmp_path)
    if args.get("config") == "gpu":
        args = args | {"config": str(tmp_path / "cloud.yaml")}
    with pytest.raises(ConfigError, match=message):
        build(args)


def test_the_job_fetches_what_the_config_names(gpu: Deployed, tmp_path: Path) -> None:
    from dicem_cloud.models.known import defaults

    (job,) = gpu.pod("dicem-models").containers
    assert job["args"][:2] == ["models", "pull"]
    names = job["args"][2:]
    assert {name: defaults()[name] for name in names} == gpu.config(tmp_path).functions.models
    cache = {"name": "HF_HOME", "value": "/models/hub"}
    assert all(cache in gpu.pod(owner).containers[0]["env"] for owner in ("dicem-models", "dicem-ray-gpu"))


# Secrets


def test_no_secret_is_in_the_repository(deployed: Deployed) -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("no git here")
    folder = "configs/kubernetes/secrets"
    files = [f"{folder}/{key}" for key in _user_files(deployed)]
    done = subprocess.run(
        [git, "check-ignore", *files, f"{folder}/ca.key"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert set(done.stdout.split()) == {*files, f"{folder}/ca.key"}


def _user_files(deployed: Deployed) -> list[str]:
    said = yaml.safe_load((deployed.folder.parents[1] / "secrets" / "kustomization.yaml").read_text(encoding="utf-8"))
    made = said["secretGenerator"] + said["configMapGenerator"]
    return [name for one in made for name in (*one.get("files", []), *one.get("envs", []))]
