"""Checks the files that other programs read: dashboards, provisioning, compose. Run by deploy/local/check.sh."""

import json
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
problems: list[str] = []


def expect(condition: bool, where: Path, what: str) -> None:
    if not condition:
        problems.append(f"{where.relative_to(ROOT)}: {what}")


def check_dashboard(path: Path) -> None:
    board = json.loads(path.read_text())
    panels = board["panels"]
    expect(board.get("id") is None, path, "id must be null: Grafana gives it")
    expect(re.fullmatch(r"[a-zA-Z0-9_-]{8,40}", board["uid"]) is not None, path, f"uid {board['uid']!r}")
    expect(board["schemaVersion"] == 42, path, "schemaVersion must be 42")
    ids = [panel["id"] for panel in panels]
    expect(len(ids) == len(set(ids)), path, "two panels have one id")
    variables = {variable["name"] for variable in board["templating"]["list"]}
    expect({"datasource", "model"} <= variables, path, "the variables datasource and model are missing")

    taken: set[tuple[int, int]] = set()
    for panel in panels:
        title, at = panel["title"], panel["gridPos"]
        expect(at["x"] >= 0 and at["x"] + at["w"] <= 24, path, f"{title!r} is outside the 24 columns")
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        expect(not cells & taken, path, f"{title!r} lies on another panel")
        taken |= cells
        if panel["type"] == "row":
            continue
        expect(panel["datasource"]["uid"] == "${datasource}", path, f"{title!r} has a fixed data source")
        expect(bool(panel.get("targets")), path, f"{title!r} asks nothing")
        for target in panel.get("targets", []):
            expect(target["datasource"]["uid"] == "${datasource}", path, f"{title!r} has a fixed data source")
            expect("anchorwatch_" in target["expr"], path, f"{title!r} asks for nothing of ours")
            used = set(re.findall(r'"\$(\w+)"', target["expr"]))
            expect(used <= variables, path, f"{title!r} uses unknown variables {sorted(used - variables)}")


def check_provisioning(folder: Path) -> None:
    for path in sorted(folder.rglob("*.yaml")):
        document = yaml.safe_load(path.read_text())
        expect(document.get("apiVersion") == 1, path, "apiVersion must be 1")
        expect(bool(document.get("providers") or document.get("datasources")), path, "provides nothing")


def check_compose(path: Path) -> None:
    """What can be known without an engine: names that refer to one another, and files that are mounted."""
    document = yaml.safe_load(path.read_text())
    services, volumes = document["services"], set(document.get("volumes", {}))
    for name, service in services.items():
        expect("image" in service or "build" in service, path, f"{name} has neither image nor build")
        image = service.get("image", "")
        expect(":" in image and not image.endswith(":latest"), path, f"{name}: the version of {image!r} is not said")
        for other, condition in service.get("depends_on", {}).items():
            expect(other in services, path, f"{name} depends on {other!r}, which is no service")
            if condition["condition"] == "service_healthy":
                expect("healthcheck" in services.get(other, {}), path, f"{other} has no health check")
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                there = (path.parent / source).resolve()
                expect(there.exists(), path, f"{name} mounts {source}, which does not exist")
            else:
                expect(source in volumes, path, f"{name} mounts {source!r}, which is no volume")
        for port in service.get("ports", []):
            expect(port.startswith("127.0.0.1:"), path, f"{name} publishes {port} beyond this machine")


def main() -> None:
    for path in sorted((ROOT / "dashboards/grafana").glob("*.json")):
        check_dashboard(path)
    check_provisioning(ROOT / "dashboards/grafana/provisioning")
    check_compose(ROOT / "deploy/compose.yaml")
    for folder in ("deploy", "dashboards"):
        for path in sorted((ROOT / folder).rglob("*.y*ml")):
            try:
                list(yaml.safe_load_all(path.read_text()))
            except yaml.YAMLError as error:
                problems.append(f"{path.relative_to(ROOT)}: {error}")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
