"""LocalPool has one thread per accelerator; two host devices stand for two GPUs."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, sys
from pathlib import Path
import jobs.pools.local, pool_trainers as trainers
from jobs.pools.devices import Device, default_device

jobs.pools.local.describe = lambda device: Device("gpu", "pretended", 16 * 2**30)

def train(group, **_):
    met = trainers.meets_another(group)
    facts = [met.outcomes[0].status, default_device().id]
    return trainers.result(group, lambda lane: trainers.outcome_with(facts))

with jobs.LocalPool(train=train) as pool:
    for name in "ab":
        pool.submit(trainers.group(name, scratch=Path(sys.argv[1])))
    facts = []
    while len(facts) < 2:
        facts += [trainers.facts_of(result.outcomes[0]) for result in pool.collect()]
    print(json.dumps({"slots": pool.slots, "lanes": pool.lanes(trainers.SMALL), "facts": facts}))
"""


def test_every_device_has_its_own_thread(tmp_path: Path) -> None:
    variables = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parent),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["slots"] == 2
    assert answer["lanes"] == 132
    assert sorted(answer["facts"]) == [["trained", 0], ["trained", 1]]
