"""What stands in the blocks of the pages is run as it stands there: commands, Python, scripts.

A page's blocks run in their order, in one folder, and each page goes on where those before it ended. What is not run is
in NOT_RUN, with the reason.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.example_programs import mlp
from support.paths import CIRCUITS, ROOT
from typer.testing import CliRunner

pytest.importorskip("onnx")
pytest.importorskip("torch")
pytest.importorskip("pyarrow")
pytest.importorskip("ezkl")

import onnx
import pyarrow
import pyarrow.parquet
import torch

import zkinfer as zk
from zkinfer import jobs
from zkinfer.cli import app, parameters
from zkinfer.errors import AccuracyWarning
from zkinfer.ezkl.srs import forgeable_srs

PAGES = sorted(
    str(path.relative_to(ROOT))
    for folder in (".", "docs", "docs/protocol", "docs/benchmarks", "examples", "benchmarks", "circuits")
    for path in (ROOT / folder).glob("*.md")
)
TESTED_HERE = {
    "docs/accuracy.md",
    "docs/audit.md",
    "docs/batch.md",
    "docs/choosing.md",
    "docs/ezkl-backend.md",
    "docs/guide.md",
    "docs/rotation.md",
    "docs/scripts.md",
}

DRAWING = "it is a drawing, of what is run elsewhere"
NOT_RUN = (
    (r"README.md", r"make demo", "it makes environments; tests/demo/ runs the demonstration"),
    (r"README.md", r"import numpy", "tests/test_examples.py runs it in a process of its own"),
    (r"README.md|docs/architecture.md", r"torch|def run_sumcheck| 0  errors", DRAWING),
    (r"docs/development.md", r"make ", "CI runs make test, and the others make environments or run for long"),
    (r"docs/development.md", r"NUMBA_CACHE_DIR", "it needs an emulator of processors, qemu"),
    (r".*", r"python benchmarks/|NUMBA_CPU_NAME", "it measures for minutes; its script and options have to exist"),
    (r".*", r"python examples/", "tests/test_examples.py and tests/jobs/test_example.py run it"),
    (r"docs/api.md", r".*", "they are signatures; tests/cli/test_reference.py compares the page with the code"),
    (r"docs/guide.md", r"pip install", "it installs packages; `make test-bare` installs the base"),
    (r"docs/accuracy.md", r"held-out", "it is what a command prints"),
)
"""Page, beginning of the block, and why it is not run."""

INSTALLED = f'exec {shlex.quote(sys.executable)} -P -m zkinfer "$@"'
"""What `zkinfer` does where it is installed."""

EXITS = {"batch run night": 7, "batch resume night": 7}
"""Codes other than 0: in this job a line holds two numbers, and is a dead letter."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language as the page gives it, and its text."""

    language: str
    text: str


def all_blocks(page: str) -> list[Block]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    return [Block(*block) for block in found]


def reason(page: str, block: Block) -> str | None:
    """Why a block is not run, or None for one that is."""
    matches = (why for where, start, why in NOT_RUN if re.fullmatch(where, page) and re.match(start, block.text))
    return next(matches, None)


def blocks(page: str) -> list[Block]:
    """The blocks of a page that are run."""
    return [block for block in all_blocks(page) if reason(page, block) is None]


def commands(block: Block) -> list[list[str]]:
    """The arguments of the command lines of a block. What is in a store is in the memory of this process."""
    lines = block.text.replace("s3://", "memory://").splitlines()
    assert all(line.startswith("zkinfer ") for line in lines), block.text
    return [shlex.split(line)[1:] for line in lines]


def run(words: list[str]) -> str:
    """Run a command in this process; returns what it printed."""
    ended = CliRunner().invoke(app, words)
    expected = EXITS.get(" ".join(words[:3]), 0)
    assert ended.exit_code == expected, (words, ended.output)
    return ended.stdout


def run_all(block: Block) -> list[str]:
    return [run(words) for words in commands(block)]


def run_python(block: Block, **names: Any) -> dict[str, Any]:
    """Run a program of a page; returns its names."""
    exec(compile(block.text, "block", "exec"), names)
    return names


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which the pages are read. Its keys are secret files, of which the commands do not ask twice."""
    folder = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(parameters, "PASSING", frozenset())
        yield folder


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_has_a_reason(page: str) -> None:
    left = [block.text.splitlines()[0] for block in blocks(page)]
    assert bool(left) == (page in TESTED_HERE), left


@pytest.mark.parametrize(("where", "start", "why"), NOT_RUN)
def test_every_reason_is_that_of_a_block(where: str, start: str, why: str) -> None:
    assert any(
        re.fullmatch(where, page) and re.match(start, block.text) for page in PAGES for block in all_blocks(page)
    ), why


def test_benchmarks_have_the_options_that_pages_show() -> None:
    lines = [line for page in PAGES for block in all_blocks(page) for line in block.text.splitlines()]
    shown = [re.search(r"python (benchmarks/\w+\.py)(.*)", line) for line in lines]
    options = [(found[1], option) for found in shown if found for option in re.findall(r"--[\w-]+", found[2])]
    assert len(options) > 3
    assert [named for named in options if f'"{named[1]}"' not in (ROOT / named[0]).read_text()] == []


def model_of_file_types() -> bytes:
    """In the place of the model that the guide downloads: it takes the same inputs, and is no good."""
    text = """<ir_version: 8, opset_import: ["" : 17]> types (int32[n, 2048] bytes) => (float[n, 3] scores)
    { real = Cast<to = 1>(bytes) small = Mul(real, scale) mixed = MatMul(small, w)
      scores = Softmax<axis = -1>(mixed) }"""
    model = onnx.parser.parse_model(text)
    values = {"scale": np.float32(1 / 256), "w": np.random.default_rng(1).normal(0, 0.05, (2048, 3))}
    for name, value in values.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value, np.float32), name))
    return bytes(model.SerializeToString())


def model_of_a_voice() -> bytes:
    """In the place of a voice detector: a free batch and length, a state, a sampling rate on which it branches."""
    text = """<ir_version: 8, opset_import: ["" : 17]>
    voice (float[n, length] input, float[n, 1] state, int64 sr) => (float[n, 1] output, float[n, 1] stateN)
    { rate = Constant<value_int = 16000>() low = Less(sr, rate)
      x = If(low) <then_branch = slow () => (float[n, length] a) { a = Add(input, input) },
                   else_branch = fast () => (float[n, length] b) { b = Identity(input) }>
      axes = Constant<value_ints = [1]>() loud = ReduceMean<axes = [1]>(x) both = Add(loud, state)
      stateN = Tanh(both) output = Sigmoid(stateN) }"""
    return bytes(onnx.parser.parse_model(text).SerializeToString())


class Scorer(torch.nn.Module):  # type: ignore[misc]
    """In the place of a module of transformers, which no extra installs: it takes and gives tensors by name."""

    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(20, 4)
        self.score = torch.nn.Linear(4, 2)

    @classmethod
    def from_pretrained(cls, folder: str) -> "Scorer":
        return cls()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = self.words(input_ids) * attention_mask[..., None]
        return {"hidden": hidden, "logits": self.score(hidden.mean(1))}


@pytest.fixture(scope="module")
def guide(folder: Path) -> str:
    """What the commands of the guide print: other pages go on with its files, in whichever process they are tested."""
    torch.manual_seed(1)
    magika = folder / "downloads" / "magika" / "models" / "standard_v3_3"
    magika.mkdir(parents=True)
    (magika / "model.onnx").write_bytes(model_of_file_types())
    (magika / "config.min.json").write_text('{"target_labels_space": ["python", "text", "zip"]}')
    (folder / "zkinfer").mkdir()
    for path in sorted((ROOT / "zkinfer" / "protocol" / "lookup").glob("*.py")):
        (folder / "zkinfer" / path.name).write_bytes(path.read_bytes())
    (folder / "silero_vad.onnx").write_bytes(model_of_a_voice())
    random = np.random.default_rng(1)
    module = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    names = {
        "zk": zk,
        "module": module,
        "samples": random.uniform(-1, 1, (102, 6)).astype(np.float32),
        "BertForSequenceClassification": Scorer,
        "folder": "downloads",
        "tokens": {"input_ids": random.integers(0, 20, (32, 5)), "attention_mask": np.ones((32, 5), np.int64)},
        "frames": random.normal(0, 0.3, (64, 32)).astype(np.float32),
    }
    said = ""
    for block in blocks("docs/guide.md"):
        if not block.text.startswith("zkinfer"):
            with warnings.catch_warnings():  # of models with random weights
                warnings.simplefilter("ignore", AccuracyWarning)
                run_python(block, **names)
            continue
        for words in commands(block):
            said += run(words)
            if words[0] == "estimate":
                (rows,) = re.findall(r"reference string has to be for k = (\d+)", said)
                Path("ceremony-k14.srs").write_bytes(forgeable_srs(int(rows)).read_bytes())
    return said


@pytest.fixture
def desk(folder: Path, guide: str) -> Path:
    """The folder after the guide was followed."""
    return folder


def test_guide(guide: str) -> None:
    assert guide.count("VALID") == 2
    assert "exactly the published commitment" in guide


def test_ezkl_page(desk: Path) -> None:
    np.save("one-input.npy", np.load("input.npy")[:1])
    (block,) = blocks("docs/ezkl-backend.md")
    said = run_all(block)
    assert "VALID" in said[1]
    assert "settings, verifying key and verifier are those that follow" in said[2]
    assert "exactly the published commitment" in said[4]


def test_rotation_page(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python, shell = blocks("docs/rotation.md")
    assert "VALID" in run_all(shell)[-1]
    (desk / "in-python").mkdir()
    monkeypatch.chdir("in-python")
    keys = zk.setup(zk.Circuit.load("../model.zkcircuit"), folder="keys", proofs=4)
    keys.commitment.save("model.zkc")
    names = run_python(python, keys=keys, x=np.load("../input.npy"), request=b"request 2")
    assert names["fresh"].commitment.fingerprint != keys.commitment.fingerprint


def test_choosing_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example = mlp()
    zk.Circuit(example.program, example.weights, (), b"").save("model.zkcircuit")
    (block,) = blocks("docs/choosing.md")
    estimated, _, inspected = run_all(block)
    assert re.search(r"with proof size small +\d", estimated)
    assert re.search(r"proof size +small", inspected)


def test_audit_page(desk: Path) -> None:
    logged = np.load("typical-inputs.npy")
    np.save("inputs.npy", logged)
    np.save("outputs.npy", np.asarray(zk.Circuit.load("model.zkcircuit").run(logged)))
    python, shell = blocks("docs/audit.md")
    assert run_python(python)["report"].ok
    assert "AGREES" in run_all(shell)[0]


def test_accuracy_page() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> sums (float[n, 64] x) => (float[n, 1] y)
    { axes = Constant<value_ints = [1]>() total = ReduceSum(x, axes) y = Relu(total) }"""
    (block,) = blocks("docs/accuracy.md")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as the page says: no warning
        names = run_python(block, zk=zk, np=np, model=onnx.parser.parse_model(text).SerializeToString())
    assert names["report"].saturated


@pytest.fixture(scope="module")
def night(folder: Path, guide: str) -> list[str]:
    """What the first commands of the page of batch jobs print: that of scripts goes on with their job."""
    place = folder / "batch"
    place.mkdir()
    (place / "circuits").symlink_to(CIRCUITS)
    job, program, first, *_ = blocks("docs/batch.md")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        run_python(program)
        run_all(first)
        return run_all(job)


def test_batch_page(desk: Path, night: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk / "batch")
    _, _, _, settings, item, check, commit, prove, verify, sampled, report, *later = blocks("docs/batch.md")
    (receipt,) = re.findall(r"receipt +(\w{64})", night[-1].replace("\n", ""))
    Path("night.toml").write_text(settings.text.replace('output = "night"', 'output = "night-2"'))
    (command,) = re.findall(r"for: zkinfer (.*)", settings.text)
    EXITS[command] = 7
    run(command.split())
    run_all(item)
    shown = {"e7ac...": receipt, "5f0c...": "5f0c" * 16}
    assert "VALID: this model gives this output for this item" in run_all(replaced(check, shown))[0]
    shown["26d5..."] = re.findall(r"\b(\w{64})\b", run_all(commit)[0].replace("\n", ""))[0]
    run_all(replaced(prove, shown))
    run_all(replaced(verify, shown))
    assert run_python(sampled)["verified"].miss_probability <= 0.1
    run_all(report)
    check_schedulers(*later)


def replaced(block: Block, values: dict[str, str]) -> Block:
    """The block with digests in the place of their first digits."""
    text = block.text
    for short, value in values.items():
        text = text.replace(short, value)
    return Block(block.language, text)


def check_schedulers(cron: Block, airflow: Block, slurm: Block) -> None:
    """Run what schedulers are given, on files that have the names of their days."""
    Path("in").mkdir()
    today = time.strftime("%Y-%m-%d")
    table = pyarrow.table({"x": list(np.load("typical.npy")[:20])})
    for name in (f"in/{today}.parquet", "night.parquet"):
        pyarrow.parquet.write_table(table, name)
    put("bin/zkinfer", INSTALLED)
    shell(cron.text.split(maxsplit=5)[5].replace(r"\%", "%").replace("/srv/proofs", str(Path.cwd())))
    assert (jobs.status(today).complete, jobs.status(today).counts.done) == (True, 20)

    given: dict[str, Any] = {}
    run_python(airflow, BashOperator=lambda **options: given.update(options), timedelta=timedelta)
    run(shlex.split(given["bash_command"].replace("{{ ds }}", today))[1:])

    (line,) = (line for line in slurm.text.splitlines() if line.startswith("zkinfer"))
    # An option that does not exist is refused here too; the jobs of cron and Airflow show what they do.
    run([*shlex.split(line.removesuffix("&").replace("run night", "run slurm"))[1:], "--help"])
    put("bin/zkinfer", "trap 'exit 6' TERM\ntouch started\nwhile true; do sleep 0.05; done")
    put("bin/scontrol", 'echo "$@" > requeued')
    Path("job.sh").write_text(slurm.text)
    job = subprocess.Popen(["bash", "job.sh"], env=os.environ | with_commands() | {"SLURM_JOB_ID": "17"})
    while not Path("started").exists():
        time.sleep(0.01)
    job.terminate()
    assert job.wait() == 6
    assert Path("requeued").read_text() == "requeue 17\n"


def put(name: str, text: str) -> None:
    """A command of the folder's own."""
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def with_commands() -> dict[str, str]:
    return {"PATH": f"{Path('bin').absolute()}:{Path(sys.executable).parent}:{os.environ['PATH']}"}


def shell(text: str) -> str:
    """Run a script of a page; returns what it printed."""
    done = subprocess.run(["bash", "-c", text], env=os.environ | with_commands(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_scripts_page(desk: Path, night: list[str]) -> None:
    lines, script = blocks("docs/scripts.md")
    (desk / "night").symlink_to(desk / "batch" / "night")
    proven, verified, status = map(json.loads, run_all(lines))
    assert proven["fingerprint"] == verified["fingerprint"]
    assert status["proven"] == 427
    put("bin/zkinfer", INSTALLED)
    assert shell(script.text).strip() == str(verified["outputs"])
