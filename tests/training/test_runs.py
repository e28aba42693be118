"""Whole runs, small: every recipe learns, and a run that was stopped goes on as if it had not been."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from terminal import Terminal, in_this_process
from tiny_training import Record, equal, prepared, tiny, tiny_recipe, trained

from upscale_cli import Upscaler
from upscale_cli.cli import train
from upscale_cli.errors import UpscaleError, UsageError, WeightsError
from upscale_cli.notices import Notice, ignore
from upscale_cli.training import loop, setup
from upscale_cli.training.distributed import Team
from upscale_cli.training.log import RunLog
from upscale_cli.training.patches import Batch
from upscale_cli.training.recipe import Recipe
from upscale_cli.training.recipe_file import load_recipe, names
from upscale_cli.training.state import TrainingState, open_checkpoint
from upscale_cli.training.step import Tools, content_losses, train_step


@torch.no_grad()
def content_loss(training: setup.Training) -> float:
    """All losses but the discriminator's on batches that the run does not see."""
    batches = training.patches.from_step(10**6, 10**6 + 4)
    tools, recipe = training.tools, training.recipe
    terms = [content_losses(tools.generator(batch.lr), batch, recipe, tools) for batch in batches]
    return sum(float(value) for losses in terms for value in losses.values())


def moved(before: dict[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> bool:
    return all(not torch.equal(before[key], after[key]) for key in before if key.endswith("weight"))


@pytest.mark.parametrize("name", names())
def test_every_recipe_learns_and_its_checkpoint_enlarges(name: str, photos: Path, tmp_path: Path) -> None:
    training = prepared(tiny_recipe(name, photos, 20, "optimizer.rate=3e-3"), tmp_path)
    state, before = training.state, content_loss(training)
    generator = {key: value.clone() for key, value in state.generator.state_dict().items()}
    critic = {k: v.clone() for k, v in state.critic.network.named_parameters()} if state.critic else {}
    record = Record()
    assert record.run(training)
    assert len(record.losses) == 20
    assert all(np.isfinite(list(losses.values())).all() for losses in record.losses)
    assert content_loss(training) < 0.97 * before
    assert moved(generator, state.generator.state_dict())
    assert state.critic is None or moved(critic, dict(state.critic.network.named_parameters()))
    image = np.random.default_rng(0).random((9, 11, 3), np.float32)
    weights, checkpoint = (
        Upscaler(tmp_path / file, device="cpu").upscale(image) for file in ("last.safetensors", "last.pt")
    )
    assert weights.shape == (9 * state.spec.scale, 11 * state.spec.scale, 3)
    assert np.array_equal(weights, checkpoint)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["compact", "esrgan", "realesrgan", "enhancenet-pat"])
def test_recipes_learn_from_real_photographs(name: str, shared: Path, tmp_path: Path) -> None:
    training = prepared(tiny_recipe(name, shared / "data" / "bsds400", 20, "optimizer.rate=3e-3"), tmp_path)
    before = content_loss(training)
    Record().run(training)
    assert content_loss(training) < 0.97 * before


def test_training_approaches_the_pictures(photos: Path, tmp_path: Path) -> None:
    record = trained(tiny_recipe("compact", photos, 120, "optimizer.rate=3e-3"), tmp_path)
    losses = [values["pixel"] for values in record.losses]
    assert np.mean(losses[-20:]) < 0.7 * np.mean(losses[:5])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("compact", ["run.precision=bf16"]),
        ("compact", ["run.precision=fp16", "optimizer.clip=0.5"]),
        ("compact", ["optimizer.kind=muon", "network.blocks=3", "optimizer.weight_decay=0.1"]),
        ("compact", ["optimizer.kind=muon", "network.blocks=3", "run.precision=fp16"]),
        ("compact", ["data.on_device=true"]),
        ("span", ["network.branches=false", "optimizer.kind=muon"]),
        ("compact", ["network.branches=true", "optimizer.kind=muon"]),
        ("srgan", []),
        ("realesrgan", []),
        ("enhancenet-pat", []),
    ],
)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(
    name: str, settings: list[str], photos: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(name, photos, 9, "run.log_every=2", *settings)
    trained(recipe, tmp_path / "whole")
    trained(recipe, tmp_path / "parts", Record(stop_after=4))
    assert open_checkpoint(tmp_path / "parts" / "last.pt").content["step"] == 4
    trained(recipe, tmp_path / "parts")
    whole, parts = (open_checkpoint(tmp_path / run / "last.pt").content for run in ("whole", "parts"))
    assert set(whole) == set(parts)
    for key in set(whole) - {"seconds"}:
        assert equal(whole[key], parts[key]), key


def test_a_seed_decides_everything(photos: Path, tmp_path: Path) -> None:
    first, same, other = (
        trained(tiny_recipe("esrgan", photos, 3, f"run.seed={seed}"), tmp_path / name).losses
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == same
    assert first != other


def test_the_log_goes_on_where_it_was(photos: Path, tmp_path: Path) -> None:
    settings = ["run.log_every=2", "validation.every=4", f'validation.hr="{photos}"']
    recipe = tiny_recipe("compact", photos, 8, *settings)
    trained(recipe, tmp_path, Record(stop_after=5))
    record = trained(recipe, tmp_path)
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4", "6", "8"]
    assert [bool(row["psnr_y"]) for row in rows] == [False, True, False, True]
    assert float(rows[-1]["psnr_y"]) == pytest.approx(record.figures[-1].psnr_y, abs=1e-3)
    files = ("best.safetensors", "curve.png", "recipe.toml", "samples/0000004.png", "samples/0000008.png")
    assert all((tmp_path / name).stat().st_size > 0 for name in files)
    assert load_recipe(tmp_path / "recipe.toml") == recipe


def test_the_best_network_is_kept_beside_the_last(photos: Path, tmp_path: Path) -> None:
    """At this rate the second half of the run only makes the network worse."""
    settings = ["validation.every=5", f'validation.hr="{photos}"', "run.ema=0", "optimizer.rate=0.3"]
    record = trained(tiny_recipe("compact", photos, 20, *settings), tmp_path)
    figures = [figure.psnr_y for figure in record.figures]
    assert figures[-1] < max(figures)
    best = open_checkpoint(tmp_path / "last.pt").content["best"]
    assert best == max(figures)
    assert (tmp_path / "best.safetensors").read_bytes() != (tmp_path / "last.safetensors").read_bytes()


def test_the_weights_a_run_starts_from_are_the_first_to_be_the_best(photos: Path, tmp_path: Path) -> None:
    trained(tiny_recipe("compact", photos, 60, "optimizer.rate=3e-3"), tmp_path / "start")
    start = tmp_path / "start" / "last.safetensors"
    settings = [f'start="{start}"', f'validation.hr="{photos}"', "validation.every=2", "run.ema=0"]
    record = trained(tiny_recipe("compact", photos, 4, *settings, "optimizer.rate=0.3"), tmp_path / "run")
    assert record.validated == [(0, True), (2, False), (4, False)]
    one, other = (Upscaler(path, device="cpu") for path in (start, tmp_path / "run" / "best.safetensors"))
    image = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    assert np.array_equal(one.upscale(image), other.upscale(image))
    with (tmp_path / "run" / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file) if row["psnr_y"]] == ["0", "2", "4"]


def test_a_run_from_scratch_has_no_figures_before_its_first_iteration(photos: Path, tmp_path: Path) -> None:
    settings = [f'validation.hr="{photos}"', "validation.every=2"]
    assert trained(tiny_recipe("compact", photos, 2, *settings), tmp_path).validated == [(2, True)]


def test_a_diverging_run_stops_and_keeps_the_last_good_checkpoint(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe("compact", photos, 6, "run.checkpoint_minutes=1e-9")

    def failing(state: TrainingState, recipe: Recipe, tools: Tools, batch: Batch) -> dict[str, float]:
        if state.step == 3:
            with torch.no_grad():
                next(state.generator.parameters()).fill_(float("nan"))
        return train_step(state, recipe, tools, batch)

    monkeypatch.setattr(loop, "train_step", failing)
    with pytest.raises(UpscaleError, match="pixel loss is not finite in iteration 4: the last good checkpoint is kept"):
        trained(recipe, tmp_path)
    content = open_checkpoint(tmp_path / "last.pt").content
    assert content["step"] == 3
    assert all(tensor.isfinite().all() for tensor in content["params"].values())


def test_the_log_is_closed_when_a_run_raises(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    def failing(*_: object) -> dict[str, float]:
        raise UpscaleError("The loss became nan.")

    monkeypatch.setattr(RunLog, "close", lambda log: closed.append(True))
    training = prepared(tiny_recipe("compact", photos, 2), tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(loop, "train_step", failing)
        with pytest.raises(UpscaleError, match="became nan"):
            Record().run(training)
    assert closed == [True]
    Record().run(training)
    assert closed == [True, True]


def test_the_enhancenet_discriminator_rests_while_it_is_right(photos: Path, tmp_path: Path) -> None:
    training = prepared(tiny_recipe("enhancenet-pa", photos, 2), tmp_path)
    critic = training.state.critic
    assert critic is not None
    critic.accuracy = (0.9, 0.9)
    before = [parameter.clone() for parameter in critic.network.parameters()]
    (batch,) = training.patches.from_step(0, 1)
    train_step(training.state, training.recipe, training.tools, batch)
    assert all(map(torch.equal, before, critic.network.parameters()))
    critic.accuracy = (0.9, 0.79)
    train_step(training.state, training.recipe, training.tools, batch)
    assert not any(map(torch.equal, before, critic.network.parameters()))


def test_a_gan_stage_starts_from_the_weights_it_is_given(photos: Path, tmp_path: Path) -> None:
    trained(tiny_recipe("esrgan-psnr", photos, 2), tmp_path / "psnr")
    start = tmp_path / "psnr" / "last.safetensors"
    training = prepared(tiny_recipe("esrgan", photos, 2, f'start="{start}"'), tmp_path / "gan")
    stage = open_checkpoint(tmp_path / "psnr" / "last.pt").content["params"]
    assert equal(stage, dict(training.state.generator.state_dict()))
    with pytest.raises(UsageError, match="starts from a network that esrgan-psnr trained"):
        prepared(tiny_recipe("esrgan", photos, 2, "start=''"), tmp_path / "none")


def test_fine_tuning_takes_the_structure_of_the_weights(photos: Path, tmp_path: Path, network: str) -> None:
    notices: list[Notice] = []
    settings = [f'start="{network}"', "network.scale=2"]
    training = prepared(tiny_recipe("esrgan", photos, 2, *settings), tmp_path, notices)
    assert training.state.spec.architecture == "compact"
    assert any("not the recipe's: compact" in notice.text for notice in notices)
    with pytest.raises(UsageError, match="enlarges 2 times, the recipe 4 times, and of"):
        prepared(tiny_recipe("esrgan", photos, 2, f'start="{network}"'), tmp_path / "other")


def test_another_recipe_in_the_same_folder_is_refused(photos: Path, tmp_path: Path) -> None:
    trained(tiny_recipe("compact", photos, 2), tmp_path)
    with pytest.raises(UsageError, match=r"data\.batch = 2, and now it is 3.*--overwrite"):
        prepared(tiny_recipe("compact", photos, 2, "data.batch=3"), tmp_path)
    with pytest.raises(UsageError, match=r"run\.seed"):
        prepared(tiny_recipe("compact", photos, 2, "run.seed=9"), tmp_path)
    prepared(tiny_recipe("compact", photos, 2, "run.log_every=7"), tmp_path)
    with pytest.raises(UsageError, match=r"perceptual\.layers\.conv1_2 = None, and now it is 1"):
        prepared(tiny_recipe("compact", photos, 2, "perceptual.layers={conv1_2=1}"), tmp_path)


def test_a_run_that_cannot_fit_is_refused_before_it_reads_anything(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs about [\d.]+ GiB.*data\.batch"):
        prepared(tiny_recipe("compact", photos, 2, "data.batch=100000000"), tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_a_compiled_network_learns_the_same(photos: Path, tmp_path: Path) -> None:
    plain = trained(tiny_recipe("compact", photos, 2), tmp_path / "plain").losses
    compiled = trained(tiny_recipe("compact", photos, 2, "run.compile=true"), tmp_path / "compiled").losses
    assert [loss["pixel"] for loss in compiled] == pytest.approx([loss["pixel"] for loss in plain], rel=1e-4)


@pytest.mark.parametrize("colors", ["own", "hr"])
def test_a_teacher_is_followed(photos: Path, tmp_path: Path, colors: str) -> None:
    settings = ["teacher.weights=lite-x4", f"teacher.colors={colors}", "pixel.weight=0", "optimizer.rate=3e-3"]
    losses = [values["teacher"] for values in trained(tiny_recipe("compact", photos, 60, *settings), tmp_path).losses]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:3])


def test_the_teachers_mean_over_eight_orientations_is_not_what_it_makes_of_one(photos: Path, tmp_path: Path) -> None:
    settings = ["start=lite-x4", "network.features=64", "network.blocks=8", "teacher.weights=lite-x4"]
    first = {}
    for kind, tta in (("l1", "false"), ("l1", "true"), ("mse", "true")):
        recipe = tiny_recipe("compact", photos, 1, *settings, f"teacher.kind={kind}", f"teacher.tta={tta}")
        first[kind, tta] = trained(recipe, tmp_path / (kind + tta)).losses[0]["teacher"]
    assert first["l1", "false"] < 1e-6  # the teacher itself
    assert 1e-5 < first["mse", "true"] < first["l1", "true"] < 0.1


def test_weights_that_do_not_fit_are_refused(photos: Path, tmp_path: Path, network: str) -> None:
    with pytest.raises(UsageError, match=r"The teacher lite-x2 enlarges 2 times\."):
        prepared(tiny_recipe("compact", photos, 2, "teacher.weights=lite-x2"), tmp_path)
    with pytest.raises(WeightsError, match="does not fit the discriminator unet"):
        prepared(tiny_recipe("realesrgan", photos, 2, f'adversarial.weights="{network}"'), tmp_path)
    with pytest.raises(WeightsError, match="lite-x4 is a generator network, not one for discriminator"):
        prepared(tiny_recipe("realesrgan", photos, 2, "adversarial.weights=lite-x4"), tmp_path)
    assert not list(tmp_path.iterdir())


def arguments(photos: Path, iterations: int) -> list[str]:
    settings = [f"--set={setting}" for setting in tiny("compact")]
    return ["compact", "--hr", str(photos), f"--iterations={iterations}", "--threads=1", "--device=cpu", *settings]


def waiting_for(path: Path, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert path.exists()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_loses_nothing_and_kill_only_what_came_after_the_checkpoint(
    photos: Path, tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, stopped, report = tmp_path / "run", 5, train._Progress.step
    common = ["train", *arguments(photos, 10**6), "-o", str(run)]

    def interrupted(self: train._Progress, step: int, losses: Mapping[str, float]) -> None:
        report(self, step, losses)
        if step == stopped:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as disturbed:
        disturbed.setattr(train._Progress, "step", interrupted)
        said = terminal(*common)
    assert (said.code, open_checkpoint(run / "last.pt").content["step"]) == (130, stopped)
    assert f"Stopped after iteration {stopped}" in said.err
    (run / "last.safetensors").unlink()
    command = [sys.executable, "-m", "upscale_cli", *common, "--set=run.checkpoint_minutes=1e-9"]
    onward = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    waiting_for(run / "last.safetensors")
    onward.kill()
    onward.wait()
    assert open_checkpoint(run / "last.pt").content["step"] > stopped


@pytest.mark.parametrize("name", ["compact", "esrgan"])
def test_two_processes_have_the_losses_of_one_with_the_doubled_batch(name: str, photos: Path, tmp_path: Path) -> None:
    settings = [*tiny(name), "run.log_every=1", "start=scratch"]
    # BatchNorm sees each process's own samples, so the discriminator is the one without it.
    settings += ["adversarial.discriminator=unet"] if name == "esrgan" else []
    options = [name, "--hr", str(photos), "--iterations=3", "--threads=1", "--device=cpu"]

    def command(batch: int, run: Path) -> list[str]:
        changed = [f"--set={setting}" for setting in (*settings, f"data.batch={batch}")]
        return ["train", *options, *changed, "-o", str(run)]

    def losses(run: Path) -> list[dict[str, str]]:
        with (run / "log.csv").open() as file:
            return list(csv.DictReader(file))

    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    done = subprocess.run(
        [*torchrun, "upscale_cli", *command(2, tmp_path / "team")],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert in_this_process(*command(4, tmp_path / "single")) == 0
    team, single = losses(tmp_path / "team"), losses(tmp_path / "single")
    assert [row["step"] for row in team] == ["1", "2", "3"]
    for ours, theirs in zip(team, single, strict=True):
        for column in set(ours) - {"step", "seconds", "psnr_y", "ssim_y"}:
            assert float(ours[column]) == pytest.approx(float(theirs[column]), rel=2e-4), column


def test_span_is_trained_without_its_branches_too(photos: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe("span", photos, 2, "network.branches=false")
    trained(recipe, tmp_path / "first")
    state = open_checkpoint(tmp_path / "first" / "last.pt").content["params"]
    assert state["conv_1.weight"].shape == (8, 3, 3, 3)
    start = f'start="{tmp_path / "first" / "last.safetensors"}"'
    for branches in ("false", "true"):
        later = tiny_recipe("span", photos, 2, start, f"network.branches={branches}")
        trained(later, tmp_path / branches)


def test_cuda_graphs_are_refused_elsewhere(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs one CUDA device"):
        prepared(tiny_recipe("compact", photos, 2, "run.cuda_graphs=true"), tmp_path)


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["compact", "span", "esrgan", "lite-x4-conditioned"])
def test_recorded_passes_are_those_that_python_makes(name: str, photos: Path, tmp_path: Path) -> None:
    def losses(*settings: str) -> NDArray[np.float64]:
        recipe = tiny_recipe(name, photos, 6, "data.on_device=true", *settings)
        folder, record = tmp_path / str(settings), Record()
        record.run(setup.prepare(recipe, folder, torch.device("cuda"), Team(), lambda n, d, t: None, ignore))
        return np.array([list(values.values()) for values in record.losses])

    assert np.allclose(losses(), losses("run.cuda_graphs=true"), rtol=1e-2)
