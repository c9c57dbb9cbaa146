"""Every command once, on a finished tiny experiment."""

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import MUPC, make_plain_folders, mupc, mupc_process, write_spec

import mupc as mupc_package
import pccore
import results
from results.page.conclusion import conclusion


@pytest.fixture(scope="module")
def home(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished experiment, to which these tests write."""
    copy = tmp_path_factory.mktemp("cli") / "home"
    shutil.copytree(home, copy)
    (copy / "out").write_text((home / "out").read_text().replace(str(home), str(copy)))
    return copy


def test_help_loads_nothing_heavy() -> None:
    heavy = ["jax", "ray", "pandas", "optuna", "pyarrow", "numpy", "matplotlib"]
    script = (
        "import sys, jobs.cli.main\n"
        "sys.argv = ['mupc', '--help']\n"
        "try: jobs.cli.main.main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    commands = (
        "run results report dashboard export submit list status logs stop datasets layouts doctor"
    )
    for command in commands.split():
        assert command in done.stdout


def test_version() -> None:
    done = subprocess.run([*MUPC, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"mupc {mupc_package.__version__}\n"


def test_run_prints_verdicts_and_places(home: Path, tmp_path: Path) -> None:
    out = (home / "out").read_text()
    assert "Did the optimum transfer?" in out
    assert "Test accuracy" in out
    for variant in ("mupc", "bp"):
        assert variant in out
    assert "report: report/tiny/index.html" in out
    assert (home / "report" / "tiny" / "index.html").exists()
    assert "ledger: runs" in out
    line = next(line for line in out.splitlines() if line.startswith("python: "))
    asked = f"{line.removeprefix('python: ')}.to_csv({str(home / 'asked.csv')!r})"
    subprocess.run([sys.executable, "-c", asked], cwd=tmp_path, check=True)
    # 6 cells of muPC and 2 of BP at the tuned shape, 2 seeds each; more at the target
    assert len((home / "asked.csv").read_text().splitlines()) > 1 + 16


def test_run_logs_progress(home: Path) -> None:
    last = (home / "err").read_text().strip().splitlines()[-1]
    done, total = last.split(" runs")[0].split("| ")[-1].split("/")
    assert done == total
    assert int(total) > 16
    assert "0 s left" in last
    assert "mupc: optimum" in last


def test_second_run_trains_nothing_and_prints_the_same(home: Path, empty_reports: None) -> None:
    again = mupc(home, "run", "spec.yaml", "--json")
    assert again.returncode == 0, again.stderr
    facts = json.loads(again.stdout)
    assert facts["ledger"] == "runs"
    assert len(facts["verdicts"]) == 2
    words = {row["variant"]: row["verdict"] for row in facts["verdicts"]}
    assert set(words) == {"mupc", "bp"}
    ledger = results.open(str(home / "runs"))
    assert len(ledger.verdicts(latest=False)) == 4
    for options, count in (([], 2), (["--older"], 4)):
        asked = mupc(home, "results", "--table", "verdicts", "--json", *options)
        assert len(json.loads(asked.stdout)["rows"]) == count
    assert len(ledger.runs()) == len((home / "asked.csv").read_text().splitlines()) - 1


def test_results_filters_selects_and_limits(home: Path) -> None:
    arguments = ["results", "--where", "variant=bp", "--where", "depth=2,3", "--csv"]
    done = mupc(home, *arguments, "--columns", "run_id,depth,weight_lr", "--limit", "5")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == 5
    assert set(rows[0]) == {"run_id", "depth", "weight_lr"}
    expected = results.open(str(home / "runs")).runs(variant="bp", depth=[2, 3])
    assert [row["run_id"] for row in rows] == list(expected["run_id"][:5])


def test_results_compares_and_sorts(home: Path) -> None:
    arguments = ["results", "--where", "depth>2", "--where", "variant!=bp", "--csv"]
    done = mupc(home, *arguments, "--sort", "depth,-weight_lr", "--columns", "run_id")
    runs = results.open(str(home / "runs")).runs()
    chosen = runs[(runs["depth"] > 2) & (runs["variant"] != "bp")]
    expected = chosen.sort_values(["depth", "weight_lr"], ascending=[True, False], kind="stable")
    assert done.stdout.split() == ["run_id", *expected["run_id"]]


def test_missing_values_are_dashes_on_the_screen(home: Path) -> None:
    query = (
        "select null::int as a, null::double as b, null::text as c, 2 as d union all "
        "select 1, 0.5, 'x', 3 order by d"
    )
    rows = [line.split() for line in mupc(home, "sql", query).stdout.splitlines()]
    assert rows == [["a", "b", "c", "d"], ["-", "-", "-", "2"], ["1", "0.5", "x", "3"]]


def test_ids_may_be_shortened(home: Path) -> None:
    """The screen shows as much of an id as tells the runs apart, which every question takes."""
    ids = results.open(home / "runs").runs()["run_id"].to_list()
    shown = mupc(home, "results", "--limit", "100").stdout.splitlines()[1:]
    short = [line.split()[0] for line in shown]
    assert {len(each) for each in short} == {8}
    assert sorted(short) == sorted(each[:8] for each in ids)
    for words in (["results"], ["results", "--table", "layers"]):
        done = mupc(home, *words, "--where", f"run_id={short[0]}", "--json")
        found = {row["run_id"] for row in json.loads(done.stdout)["rows"]}
        assert found == {each for each in ids if each.startswith(short[0])}
    beginning = next(one[0] for one in ids if sum(each[0] == one[0] for each in ids) > 1)
    for text, message in (
        (beginning, f"runs have ids that begin with '{beginning}'"),
        ("zz", "no run has the id 'zz', or one that begins like it"),
    ):
        done = mupc(home, "results", "--where", f"run_id={text}")
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr


def test_sql(home: Path) -> None:
    query = "select variant, count(*) as runs from runs group by 1 order by 1"
    rows = json.loads(mupc(home, "sql", query, "--json").stdout)["rows"]
    counts = results.open(str(home / "runs")).runs().groupby("variant").size()
    assert {row["variant"]: row["runs"] for row in rows} == counts.to_dict()
    shown = mupc(home, "sql", "select * from range(60)").stdout.splitlines()
    assert shown[-1] == "50 of 60 rows; --limit N prints more"
    assert len(shown) == 1 + 50 + 1


def test_results_as_json_keep_missing_values_null(home: Path) -> None:
    done = mupc(home, "results", "--json", "--where", "activity_lr=null")
    rows = json.loads(done.stdout)["rows"]
    assert {row["variant"] for row in rows} == {"bp"}
    assert {row["activity_lr"] for row in rows} == {None}


@pytest.mark.parametrize("table", ["runs", "curves", "verdicts", "measurements"])
def test_results_prints_every_table(home: Path, table: str) -> None:
    done = mupc(home, "results", "--table", table)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 2


def test_curves_are_filtered_by_their_runs(home: Path) -> None:
    arguments = ["results", "--table", "curves", "--where", "depth=2", "--where", "step=60"]
    rows = json.loads(mupc(home, *arguments, "--json").stdout)["rows"]
    wanted = results.open(str(home / "runs")).runs(depth=2)
    assert {row["run_id"] for row in rows} == set(wanted["run_id"])
    assert {row["step"] for row in rows} == {60}


def test_environment_variable_names_the_ledger(home: Path, tmp_path: Path) -> None:
    there = str(home / "runs")
    asked = mupc(tmp_path, "results", "--limit", "1", "--json", MUPC_LEDGER=there)
    assert len(json.loads(asked.stdout)["rows"]) == 1


def test_report_needs_only_the_ledger(home: Path) -> None:
    done = mupc(home, "report", "--experiment", "tiny", "--out", "again")
    assert done.stdout.strip() == "again/index.html"
    assert "tiny" in (home / "again" / "index.html").read_text()
    unknown = mupc(home, "report", "--experiment", "tinny")
    assert unknown.returncode == 2
    assert "tinny" in unknown.stderr


def test_datasets_shows_what_is_available(tmp_path: Path) -> None:
    done = mupc(tmp_path, "datasets", "--json", "--data-dir", str(tmp_path))
    facts = {fact["name"]: fact for fact in json.loads(done.stdout)["datasets"]}
    assert set(facts) == set(pccore.data.DATASETS)
    assert facts["digits"]["available"] == "embedded"
    assert facts["mnist"]["available"] == "no"
    assert facts["mnist"]["input_size"] == 28 * 28
    table = mupc(tmp_path, "datasets").stdout
    assert all(name in table for name in facts)


def test_doctor_measures_this_machine(tmp_path: Path) -> None:
    done = mupc(tmp_path, "doctor", "--json")
    facts = json.loads(done.stdout)
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["cores"] >= 1
    assert facts["devices"]
    assert facts["versions"]["jax"] != "missing"
    assert facts["matmul_gflops"] > 0
    assert facts["native_call"].split(":")[0] in ("avx512", "avx2", "neon", "none")
    assert facts["datasets"]["digits"] == "embedded"


@pytest.mark.slow
@pytest.mark.ray
def test_run_on_a_ray_cluster_finds_the_same(home: Path, tmp_path: Path, ray_cluster: None) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    write_spec(tmp_path)
    make_plain_folders(tmp_path)
    done = mupc_process(
        tmp_path, "run", "spec.yaml", "--pool", "ray", "--address", address, "--json"
    )
    assert done.returncode == 0, done.stderr
    assert f"joining the Ray cluster at {address}" in done.stderr
    local = results.open(str(home / "runs")).verdicts()
    ours = results.open(str(tmp_path / "runs")).verdicts()
    for column in ("variant", "depth", "weight_lr", "activity_lr", "verdict"):
        assert ours[column].to_list() == local[column].to_list()
    pids = results.open(str(tmp_path / "runs")).runs()["pid"]
    assert len(set(pids)) == 2  # both workers trained


def test_run_ends_with_its_conclusion_and_leaves_its_progress(home: Path) -> None:
    ledger = results.open(str(home / "runs"))
    verdicts = ledger.verdicts().to_dict("records")
    sentence = conclusion(verdicts).replace("\u00a0", " ")
    assert (home / "out").read_text().splitlines()[-1] == sentence
    left = ledger.announcements.read()["tiny"]
    assert left.ended
    assert left.done == left.total == len(ledger.runs())
    assert left.planned.shapes == ((8, 2), (8, 3))
    assert left.planned.rates["mupc"] == {
        "weight_lr": (0.03, 0.1, 0.3),
        "activity_lr": (1.0, 10.0),
    }
    assert left.planned.rates["bp"] == {"weight_lr": (0.03, 0.1)}


@pytest.mark.parametrize("address", ["127.0.0.1:9", "somewhere"])
def test_missing_cluster_is_one_sentence(tmp_path: Path, address: str) -> None:
    write_spec(tmp_path)
    done = mupc(tmp_path, "run", "spec.yaml", "--pool", "ray", "--address", address)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"mupc: no Ray cluster at {address!r}")
