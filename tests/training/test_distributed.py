"""Two processes that train together: the gradient of the whole batch, and one set of files."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
import two_ranks
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.autoencoders import Autoencoder, TrainingOptions, train_autoencoder
from hvrt_diffuser.classifiers import Classifier, classify, train_judge, train_judge_together
from hvrt_diffuser.common import launch
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.training import Checkpoint
from hvrt_diffuser.training.distributed import ALONE, Ranks, together

CPU = torch.device("cpu")
Done = tuple[Path, list[tuple[int, str, str]]]  # a folder, exit codes and what was printed
PATIENCE = 300  # seconds until processes that are to end have ended


def begin(do: str, folder: Path, size: int = 2) -> list[subprocess.Popen[str]]:
    """Start processes as torchrun does, each in a folder of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(size):
        (folder / f"of_rank_{rank}").mkdir(exist_ok=True)
        told = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "TORCHELASTIC_RUN_ID": "none",
            "WORLD_SIZE": size,
            "LOCAL_WORLD_SIZE": size,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "OMP_NUM_THREADS": 1,
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, two_ranks.__file__, do, str(folder)],
                cwd=folder / f"of_rank_{rank}",
                env={**os.environ, **{name: str(value) for name, value in told.items()}},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return processes


def end(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit codes and what was printed; none of them outlives the test."""
    try:
        said = [process.communicate(timeout=PATIENCE) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *each) for process, each in zip(processes, said, strict=True)]


@pytest.fixture(scope="module")
def images(digits: LabelledImages) -> LabelledImages:
    return digits[:1000]


@pytest.fixture(scope="module")
def trained(images: LabelledImages, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """What two processes left that compared their gradients, and trained twice."""
    folder = tmp_path_factory.mktemp("trained")
    images.save(folder / "images.safetensors")
    return folder, end(begin("everything", folder))


# ---- gradients


@pytest.fixture(scope="module")
def gradients(trained: Done) -> list[dict[str, Tensor]]:
    """Of each process, by kind of training, way and parameter."""
    folder, ended = trained
    assert [code for code, *_ in ended] == [0, 0], ended
    return [load_file(folder / f"gradients_{rank}") for rank in range(2)]


def of(gradients: dict[str, Tensor], kind: str, way: str) -> dict[str, Tensor]:
    prefix = f"{kind}/{way}/"
    found = {k.removeprefix(prefix): v for k, v in gradients.items() if k.startswith(prefix)}
    assert found
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", (*two_ranks.OPTIONS, two_ranks.JUDGE))
def test_each_process_has_the_gradient_of_the_whole_batch(
    gradients: list[dict[str, Tensor]], kind: str
) -> None:
    one, other = (of(each, kind, "module") for each in gradients)
    parts = [of(each, kind, "alone") for each in gradients]
    for name, gradient in one.items():
        alone = [part[name] for part in parts]
        expected = (13 * alone[0] + 12 * alone[1]) / 25
        assert torch.equal(gradient, other[name]), name
        assert (gradient - expected).norm() <= 1e-4 * expected.norm(), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", (*two_ranks.OPTIONS, two_ranks.JUDGE))
def test_what_passes_by_forward_is_not_synchronised(
    gradients: list[dict[str, Tensor]], kind: str
) -> None:
    """Why the loss is a module: a wrapped network by itself leaves each process with its own."""
    one, other = (of(each, kind, "plain") for each in gradients)
    assert not any(torch.equal(one[name], other[name]) for name in one if one[name].any())


# ---- training


@pytest.mark.slow
def test_two_processes_learn_as_much_as_one_of_as_many_images(
    trained: tuple[Path, object], images: LabelledImages
) -> None:
    options = TrainingOptions(**two_ranks.TRAINED)
    _, alone = train_autoencoder(images.images, options, seed=0, device=CPU)
    together = pd.read_parquet(trained[0] / "trained.parquet")
    assert together["step"].tolist() == [row["step"] for row in alone]
    for name in ("train_loss", "validation_loss"):
        assert together[name].iloc[-1] == pytest.approx(alone[-1][name], rel=0.02)
        assert together[name].iloc[-1] < 0.9 * together[name].iloc[0]


@pytest.mark.slow
def test_a_judge_of_two_processes_has_learnt_as_much(
    trained: Done, images: LabelledImages, digits: LabelledImages
) -> None:
    assert [code for code, *_ in trained[1]] == [0, 0], trained[1]
    one = train_judge(images.images, images.labels, 10, two_ranks.LEARNT, seed=0, device=CPU)
    fresh = digits[torch.arange(1000, 5000)]
    losses = []
    for judge in (Classifier.load(trained[0] / two_ranks.JUDGE), one):
        _, probabilities = classify(judge, fresh.images, CPU)
        losses.append(F.nll_loss(probabilities.log(), fresh.labels).item())
    assert losses[0] < 0.5 < torch.tensor(10.0).log()  # of who knows nothing
    assert losses[0] == pytest.approx(losses[1], rel=0.1)  # each normalises its part of a batch


@pytest.mark.slow
def test_the_first_process_alone_writes_and_speaks(
    trained: Done,
) -> None:
    folder, ended = trained
    assert [code for code, *_ in ended] == [0, 0], ended
    assert ended[1][1:] == ("", "")
    names = {"trained", "kept"}
    expected = {"images.safetensors", "of_rank_0", "of_rank_1"}
    expected |= {"gradients_0", "gradients_1"}  # of this test
    expected |= {two_ranks.JUDGE}
    expected |= {name + end for name in names for end in ("", ".checkpoint", ".parquet")}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*")} == expected


@pytest.mark.slow
def test_another_number_of_processes_does_not_go_on(
    trained: tuple[Path, object], images: LabelledImages
) -> None:
    options = TrainingOptions(**two_ranks.KEPT)
    checkpoint = Checkpoint(trained[0] / "kept.checkpoint")
    before = checkpoint.path.read_bytes()
    expected = "from a training with processes 2, while this one has processes 1: set it back"
    with pytest.raises(InputError, match=expected):
        train_autoencoder(images.images, options, seed=0, device=CPU, checkpoint=checkpoint)
    assert checkpoint.path.read_bytes() == before


@pytest.mark.slow
def test_names_of_weights_are_those_of_one_process(
    trained: tuple[Path, object], images: LabelledImages
) -> None:
    model = Autoencoder.load(trained[0] / "trained")  # refuses other names
    with torch.inference_mode():
        assert model.encode(images.images[:5].float() / 255)[0].isfinite().all()


# ---- killed


@pytest.fixture
def slowly(images: LabelledImages, tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes that have written a state of their training, and have more to do."""
    images.save(tmp_path / "images.safetensors")
    processes = begin("slowly", tmp_path)
    last = time.monotonic() + PATIENCE
    try:
        while not (tmp_path / "kept.checkpoint").exists():
            assert time.monotonic() < last
            assert all(process.poll() is None for process in processes), end(processes)
            time.sleep(0.01)
        yield processes
    finally:
        for process in processes:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_training_one_of_whose_processes_was_killed_goes_on_to_the_same_bytes(
    trained: tuple[Path, object],
    slowly: list[subprocess.Popen[str]],
    tmp_path: Path,
    killed: int,
) -> None:
    slowly[killed].send_signal(signal.SIGKILL)
    code, out, err = end(slowly)[1 - killed]
    if killed == 0:  # the other one has nothing to say
        assert (code, out, err) == (0, "", "")
    else:
        assert code == 1
        assert "ConnectionError: one of the 2 processes of this training has ended" in err
    assert not (tmp_path / "kept").exists()
    assert [code for code, *_ in end(begin("again", tmp_path))] == [0, 0]
    for name in ("kept", "kept.parquet", "kept.checkpoint"):
        assert (tmp_path / name).read_bytes() == (trained[0] / name).read_bytes(), name


# ---- alone, and what is refused


def test_alone_nothing_is_shared(images: LabelledImages) -> None:
    values = torch.rand(3)
    assert ALONE.shared(values) is values
    assert ALONE.mean(values) is values
    assert ALONE.synchronised(torch.nn.Linear(1, 1), len) is len


def test_a_step_of_too_few_images_for_so_many(
    images: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hvrt_diffuser.training.distributed._joined", Ranks(0, 40))
    options = TrainingOptions(**two_ranks.TRAINED)
    with pytest.raises(InputError, match="batch_size is 64 for 40 processes, expected at least 2"):
        options.fit_together(images.images, seed=0, device=CPU)
    judge = "evaluation.judge.batch_size is 65 for 40 processes"
    with pytest.raises(InputError, match=judge):
        train_judge_together(images.images, images.labels, 10, two_ranks.LEARNT, seed=0, device=CPU)


def test_a_device_that_they_cannot_all_have(
    images: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hvrt_diffuser.training.distributed._joined", Ranks(0, 2))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for device, said in (
        ("cuda:0", "started 2 processes on a machine with 1 GPUs .*: lower --nproc-per-node"),
        ("mps", "expected one for each where device is mps"),
    ):
        with pytest.raises(InputError, match=said):
            together(
                train_autoencoder,
                images.images,
                {},
                device=torch.device(device),
                checkpoint=None,
            )


def test_what_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")  # as of a cluster, for what is no torchrun
    monkeypatch.setenv("RANK", "3")
    assert launch.program("kedro", "kedro") == "kedro"
    assert launch.world_size() == 1
    assert launch.is_first()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert not launch.is_first()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert launch.program("kedro", "kedro") == "torchrun --nproc-per-node 4 -m kedro"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert launch.program("x", "y") == "torchrun --nnodes 2 --nproc-per-node 2 -m y"
