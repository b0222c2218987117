"""What a run still rents when it ends is stopped, settled and removed, by the owner and through the one path."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contracts.conftest import real_engine
from tests.live import home_at, http, share_images

COMMAND = ["sleep", "300"]
MANDATE = f"""
[agent]
name = "renter"
command = ["true"]
purpose = "Rent a container."
task = "Rent."
expires = "1h"
[compute]
provider = "local"
images = ["safebox/base"]
commands = {json.dumps([COMMAND])}
budget = "1 USD"
instances = 1
max_minutes = 5
"""


@pytest.mark.bwrap
@pytest.mark.parametrize("killed", [False, True])
def test_no_container_outlives_its_run(short_path: Path, killed: bool) -> None:
    real_engine("bwrap")
    with home_at(short_path / "h") as home, ExitStack() as stack:
        share_images(home.path)
        home.serve(
            *("--engine", "bwrap", "--chain-url", "http://127.0.0.1:9", "--chain-id", "31337"),
            *("--smtp-url", "smtp://127.0.0.1:9", "--model-url", "http://127.0.0.1:9/v1"),
        )
        line = stack.enter_context(home.client())
        run = line.request("start", mandate=MANDATE, source="safebox.toml", folder=None, engine="none")["run"]
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        line.attach(run, listeners)
        url = f"http://127.0.0.1:{listeners[0].getsockname()[1]}/v1/tools/compute.start"
        started = http(url, json.dumps({"image": "safebox/base", "command": COMMAND, "minutes": 5}).encode())
        assert started.status == 200, started
        assert len(list(home.path.glob("sandboxes/*"))) == 1
        if killed:
            line.request("kill", run=run)
        line.request("end", run=run, reason="exited", exit_code=0)
        (stopped,) = [each for each in home.events("decided") if each["tool"] == "compute.stop"]
        assert (stopped["caller"], stopped["answer"]["verdict"]) == ("owner", "allow")
        assert list(home.path.glob("sandboxes/*")) == []
        line.request("stop")
