"""A process under a limit of memory has less than its machine: control groups of both versions, and its own limits."""

import os
import resource
from pathlib import Path

import pytest

from zkinfer.memory_limits import group_limits, memory_limit

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "33 25 0:28 {group} /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory"
OTHERS = (
    "21 28 0:19 / /proc rw,relatime - proc proc rw",
    "34 25 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct",
)


def tree(root: Path, group: str, mount: str, limits: dict[str, str]) -> Path:
    """A file system as the kernel shows it: which group the process is in, what is mounted, files with limits."""
    own = root / "proc" / "self"
    own.mkdir(parents=True)
    (own / "cgroup").write_text(f"11:cpu,cpuacct:/elsewhere\n{group}\n")
    (own / "mountinfo").write_text("\n".join([*OTHERS, mount]) + "\n")
    for place, content in limits.items():
        path = root / "sys" / "fs" / "cgroup" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


def test_the_own_group_and_all_that_it_is_within_have_limits(tmp_path: Path) -> None:
    limits = {
        "memory.max": "4000000",
        "jobs/memory.max": "2000000",
        "jobs/one/memory.max": "max",
        "jobs/other/memory.max": "1000",
    }
    root = tree(tmp_path, "0::/jobs/one", V2, limits)
    assert list(group_limits(root)) == [2_000_000, 4_000_000]
    assert memory_limit(root) == 2_000_000


def test_names_of_groups_are_any_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \xc2\x85 x")
    root = tree(tmp_path, "0::/", V2, {f"{name}/memory.max": "3000000"})
    (root / "proc" / "self" / "cgroup").write_bytes(os.fsencode(f"0::/{name}\n"))
    assert list(group_limits(root)) == [3_000_000]


def test_a_container_sees_its_own_group_at_the_top(tmp_path: Path) -> None:
    assert list(group_limits(tree(tmp_path, "0::/", V2, {"memory.max": "3000000"}))) == [3_000_000]


def test_a_process_outside_what_is_mounted_has_the_limit_at_the_top(tmp_path: Path) -> None:
    root = tree(tmp_path, "0::/../outside", V2, {"memory.max": "3000000"})
    assert set(group_limits(root)) == {3_000_000}


@pytest.mark.parametrize("mounted", ["/", "/docker/one"])
def test_groups_of_version_1(tmp_path: Path, mounted: str) -> None:
    """Where a part of the groups is mounted, paths begin at that part."""
    below = "memory/docker/one" if mounted == "/" else "memory"
    limits = {f"{below}/memory.limit_in_bytes": "5000000", f"{below}/memory.max": "7"}
    root = tree(tmp_path, "7:cpu,memory:/docker/one", V1.format(group=mounted), limits)
    assert list(group_limits(root)) == [5_000_000]


def test_no_limit_is_no_limit(tmp_path: Path) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    unlimited = {"memory/memory.limit_in_bytes": "9223372036854771712"}
    assert memory_limit(tree(tmp_path / "v1", "7:memory:/", V1.format(group="/"), unlimited)) == machine
    assert memory_limit(tree(tmp_path / "v2", "0::/", V2, {"memory.max": "max"})) == machine
    assert memory_limit(tmp_path / "another system") == machine


@pytest.mark.parametrize("kind", [resource.RLIMIT_AS, resource.RLIMIT_DATA])
def test_the_limits_of_the_process_itself(tmp_path: Path, kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {kind: (123_456, resource.RLIM_INFINITY)}
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda asked: limits.get(asked, unlimited))
    assert memory_limit(tmp_path) == 123_456
