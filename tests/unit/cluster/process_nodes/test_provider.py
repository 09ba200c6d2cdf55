from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from ray.autoscaler.tags import NODE_KIND_HEAD, NODE_KIND_WORKER, TAG_RAY_NODE_KIND

from cluster.cache_folder import project_cache, user_cache
from cluster.process_nodes.marked import marked
from cluster.process_nodes.provider import ProcessNodeProvider

HEAD, WORKER = {TAG_RAY_NODE_KIND: NODE_KIND_HEAD}, {TAG_RAY_NODE_KIND: NODE_KIND_WORKER}


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[ProcessNodeProvider]:
    made = ProcessNodeProvider({"root": str(tmp_path), "environment": {"GREETING": "hello"}}, "c")
    yield made
    made.terminate_nodes(made.non_terminated_nodes({}))


def shell(provider: ProcessNodeProvider, node: str) -> Any:
    return provider.get_command_runner("", node, {}, "c", subprocess, True)


def said(provider: ProcessNodeProvider, node: str, command: str) -> str:
    return str(shell(provider, node).run(command, with_output=True)).strip()


def test_nodes_come_are_tagged_and_go(provider: ProcessNodeProvider) -> None:
    (head,) = provider.create_node({}, HEAD, 1)
    workers = list(provider.create_node({}, WORKER, 2))
    assert provider.non_terminated_nodes({}) == [head, *workers]
    assert provider.non_terminated_nodes(WORKER) == workers
    provider.set_node_tags(head, {"status": "up"})
    assert provider.node_tags(head) == {**HEAD, "status": "up"}
    provider.terminate_nodes(workers)
    assert [provider.is_terminated(node) for node in (head, *workers)] == [False, True, True]
    assert provider.is_running(head)
    provider.terminate_node(head)
    provider.terminate_node(head)
    assert provider.non_terminated_nodes({}) == []


def test_clusters_are_apart(provider: ProcessNodeProvider, tmp_path: Path) -> None:
    other = ProcessNodeProvider({"root": str(tmp_path)}, "other")
    (mine,) = provider.create_node({}, HEAD, 1)
    (its,) = other.create_node({}, HEAD, 1)
    assert provider.internal_ip(mine) != other.external_ip(its)
    assert said(provider, mine, "echo $RAY_TMPDIR") != said(other, its, "echo $RAY_TMPDIR")
    provider.terminate_node(mine)
    assert other.is_running(its)
    other.terminate_node(its)


def test_a_node_s_commands_have_its_home_address_and_the_head_s_port(provider: ProcessNodeProvider) -> None:
    (head,) = provider.create_node({}, HEAD, 1)
    (worker,) = provider.create_node({}, WORKER, 1)
    assert (
        said(provider, worker, "pwd; echo ~").split() == [str(Path(provider.provider_config["root"], "c", worker))] * 2
    )
    assert said(provider, worker, "echo $NODE_ADDRESS") == provider.internal_ip(worker)
    assert said(provider, worker, "echo $NODE_GCS_PORT") == said(provider, head, "echo $NODE_GCS_PORT")
    assert said(provider, worker, "echo $NODE_AGENT_PORT") != said(provider, head, "echo $NODE_AGENT_PORT")
    assert said(provider, worker, "echo $GREETING") == "hello"
    assert len(said(provider, worker, "echo $RAY_TMPDIR")) < 50


def test_a_cluster_that_this_shell_is_in_is_no_node_s(
    provider: ProcessNodeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    (node,) = provider.create_node({}, HEAD, 1)
    assert said(provider, node, "echo $RAY_ADDRESS.") == "."


def test_variables_of_a_command_may_be_objects(provider: ProcessNodeProvider) -> None:
    (node,) = provider.create_node({}, HEAD, 1)
    variables = {"RESOURCES": {"nvidia": 8}, "PLAIN": "x"}
    output = shell(provider, node).run("echo $RESOURCES $PLAIN", with_output=True, environment_variables=variables)
    assert output == '{"nvidia": 8} x\n'


def test_a_command_that_fails_says_so(provider: ProcessNodeProvider) -> None:
    (node,) = provider.create_node({}, HEAD, 1)
    with pytest.raises(click.ClickException, match="`exit 3` failed with 3"):
        shell(provider, node).run("exit 3")


def test_files_go_home_and_back(provider: ProcessNodeProvider, tmp_path: Path) -> None:
    (node,) = provider.create_node({}, HEAD, 1)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("content")
    shell(provider, node).run_rsync_up(f"{tmp_path}/folder/", "~/deep/folder/")
    shell(provider, node).run_rsync_up(f"{tmp_path}/folder/file", "~/.hidden/file")
    assert said(provider, node, "cat ~/deep/folder/file ~/.hidden/file") == "contentcontent"
    shell(provider, node).run_rsync_down("~/.hidden/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "content"


def test_ray_stop_is_for_this_node_alone(provider: ProcessNodeProvider) -> None:
    first, second = provider.create_node({}, HEAD, 2)
    for node in (first, second):
        shell(provider, node).run("setsid sleep 60 > /dev/null 2>&1 &")
    # As Ray itself writes it: behind variables.
    assert said(provider, first, "export RAY_HEAD_IP=127.0.0.1; ray stop; echo went on") == "went on"
    names = {node: str(Path(provider.provider_config["root"], "c", node)) for node in (first, second)}
    assert not marked(names[first])
    assert len(marked(names[second])) == 1
    provider.terminate_nodes([first, second])
    assert not marked(names[second])


def test_a_process_that_changes_its_title_is_still_this_node_s(provider: ProcessNodeProvider) -> None:
    """As Ray's workers and vLLM's cores do: titles are written over the environment, unless it is forbidden."""
    (node,) = provider.create_node({}, HEAD, 1)
    titled = "import setproctitle, time; setproctitle.setproctitle('ray::' + 'x' * 3000); time.sleep(60)"
    shell(provider, node).run(f'{shlex.quote(sys.executable)} -c "{titled}" > /dev/null 2>&1 &')
    name = str(Path(provider.provider_config["root"], "c", node))
    time.sleep(0.5)
    assert len(marked(name)) == 1
    provider.terminate_node(node)
    assert not marked(name)


def test_ray_itself_is_found_behind_it(provider: ProcessNodeProvider) -> None:
    (node,) = provider.create_node({}, HEAD, 1)
    assert "2.60" in said(provider, node, "ray --version")


def test_nothing_is_left_of_a_cluster(provider: ProcessNodeProvider, tmp_path: Path) -> None:
    nodes = list(provider.create_node({}, HEAD, 2))
    temporary = said(provider, nodes[0], "touch $RAY_TMPDIR/x; echo $RAY_TMPDIR")
    provider.terminate_nodes(nodes)
    assert not Path(temporary).exists()
    assert not (tmp_path / "c").exists()


def bootstrapped(**provider: Any) -> dict[str, Any]:
    config = ProcessNodeProvider.bootstrap_config({"provider": {"type": "external", **provider}, "cluster_name": "c"})
    found: dict[str, Any] = config["provider"]
    return found


def test_folders_are_named_in_full() -> None:
    provider = bootstrapped(environment={"XDG_CACHE_HOME": "~/.cache", "PLAIN": "x~y"})
    assert provider["environment"] == {"XDG_CACHE_HOME": str(Path("~/.cache").expanduser()), "PLAIN": "x~y"}
    assert provider["root"] == str(project_cache() / "process-nodes")


def test_all_nodes_share_the_users_cache_folder() -> None:
    assert bootstrapped()["environment"] == {"XDG_CACHE_HOME": str(user_cache())}
