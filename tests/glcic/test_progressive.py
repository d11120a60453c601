"""Any phase may begin at smaller sizes, its discriminators with it."""

import dataclasses
import json
import random
import shutil

import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from common.pictures.images import write_image
from common.training import driver, spectral
from common.training.runs import Row, RunDirectory
from glcic import METHODS, networks, phases
from glcic.settings import Glcic
from tests import commands, weightless
from tests.glcic.test_phases import HOLES, IMAGES, SMALL, same, step, trained

TWO = dataclasses.replace(SMALL, global_outputs=(6, 7), local_outputs=(5, 6))
STAGES = ("completion:32:2:8", "completion:64:3:4", "discriminator:64:1:4", "joint:64:2:4")


def test_the_plan_is_the_list_and_then_the_full_size():
    told = {"completion_steps": 9, "discriminator_steps": 1, "joint_steps": 5, "batch_size": 2}
    assert phases.plan(Glcic(progressive=STAGES, **told)) == [
        Row("completion", 2, 8, 32, "completion_32"),
        Row("completion", 3, 4, 64, "completion_64"),
        Row("completion", 4, 2),
        Row("discriminator", 1, 4, 64, "discriminator_64"),
        Row("joint", 2, 4, 64, "joint_64"),
        Row("joint", 3, 2),
    ]


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        (("joint:64:2",), "'joint:64:2' is no PHASE:SIZE:STEPS:BATCH"),
        (("warmup:64:2:2",), "'warmup:64:2:2' is no"),
        (("joint:64:-1:2",), "is no PHASE"),
        (("completion:48:2:2",), "completion:48: choose a size of 64, 32, 16"),
        (("completion:128:2:2",), "completion:128: choose"),
        (("completion:0:2:2",), "completion:0: choose"),
        (("joint:8:2:2",), "joint:8: choose a size of 64, 32, 16"),
        (("joint:64:0:2",), "joint:64: need a step"),
        (("joint:64:2:2", "joint:64:9:2"), "more steps than --joint_steps"),
    ],
)
def test_what_cannot_be_trained_is_refused(stages, words):
    with pytest.raises(InputError, match=words):
        Glcic(progressive=stages, joint_steps=10)


def test_one_flag_of_two_and_one_scale_of_discriminators():
    with pytest.raises(InputError, match="give one of both"):
        Glcic(progressive=("completion:64:1:1",), progressive_steps=1)
    with pytest.raises(InputError, match="not with --discriminator_scales=2"):
        Glcic(progressive=("joint:64:1:1",), discriminator_scales=2)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize(
    ("architecture", "more"),
    [("wang2020", {}), ("practice_128", {}), ("wang2020", {"self_attention": True})],
)
def test_a_smaller_discriminator_shares_all_but_its_first_rows(
    architecture, more, scale, monkeypatch
):
    monkeypatch.setattr(spectral, "_FIRST_ITERATIONS", 0)
    tables = Glcic(architecture=architecture, **more).tables
    with weightless.shapes_only():
        network = networks.discriminator(tables, 1 / 16)
        small = networks.smaller_discriminator(network, tables, scale, 1 / 16)
    side = tables.image_size >> scale
    shapes = {name: x.shape[1:3] for name, x in small.input.items()}
    assert shapes["images"] == (side, side)
    if tables.local_outputs:
        assert shapes["patches"] == (tables.patch_size >> scale,) * 2
    assert small.output.shape == (None, 1)
    full, own = {id(v) for v in network.variables}, []
    for variable in small.variables:
        if id(variable) not in full:
            own.append(variable.path.split("/")[-2])
    heads = {
        f"{name}_{2**scale}" for name in ("global", "local")[: 2 if tables.local_outputs else 1]
    }
    assert {name.rpartition("_")[0] for name in own} == heads
    left = {id(v) for v in small.variables}
    unused = {v.path.split("/")[-2] for v in network.variables if id(v) not in left}
    unused = {name for name in unused if "conv" in name or "norm" in name}  # a map may be too small
    assert unused == {
        f"{name}_{part}{n}"
        for name in ("global", "local")[: 2 if tables.local_outputs else 1]
        for part in ("conv", "norm")
        for n in range(1, scale + 2)
        if f"{name}_{part}{n}" in {layer.name for layer in network.layers}
    }  # fmt: skip
    kinds = [type(layer).__name__ for layer in small.layers]
    assert kinds.count("SelfAttention") == ({1: 2, 2: 1}[scale] if tables.self_attention else 0)


def make_trainer(monkeypatch, **told):
    monkeypatch.setitem(networks.ARCHITECTURES, "two", TWO)
    random.seed(1)
    monkeypatch.setattr(Glcic, "check_stages", lambda self: None)
    settings = Glcic(
        architecture="two", progressive=("joint:8:1:4",), alpha=0.5, optimizer="adam",
        learning_rate=0.01, **told,
    )  # fmt: skip
    trainer = phases.build(settings, HOLES, "float32")
    trainer.prepare(lambda count: IMAGES.numpy()[:count])
    return trainer


@pytest.mark.parametrize("phase", ["discriminator", "joint"])
def test_a_step_at_half_the_size_trains_what_is_shared_and_what_is_its_own(monkeypatch, phase):
    trainer = make_trainer(monkeypatch)
    full, small = (trainer.networks[name] for name in ("discriminator", "discriminator_8"))
    before = trained(full), trained(small), trained(trainer.completion)
    # The discriminator's step is a part of the joint one: one graph has both.
    values = step(trainer, phase, size=8, traced=phase == "joint")
    assert all(np.isfinite(value) for value in values.values())
    kernels = [v.ndim > 1 for v in before[1]]
    moved = [not one for one in same(before[1], trained(small))]
    assert all(m for m, kernel in zip(moved, kernels, strict=True) if kernel)
    for variable, one in zip(full.trainable_variables, same(before[0], trained(full)), strict=True):
        layer = variable.path.split("/")[-2]
        if len(variable.shape) > 1:
            assert one == layer.endswith(("conv1", "conv2")), layer
    assert any(same(before[2], trained(trainer.completion))) == (phase == "discriminator")
    # At full size it is the other one's turn.
    before = trained(full), trained(small)
    step(trainer, phase)
    assert not any(same(before[0][:1], trained(full)[:1]))
    assert trainer.discriminator is full
    head = [v.path.endswith("global_2_conv2/kernel") for v in small.trainable_variables]
    assert sum(head) == 1
    stayed = same(before[1], trained(small))
    assert all(one for one, own in zip(stayed, head, strict=True) if own)


def test_a_run_through_all_sizes_may_be_stopped_between_two(tmp_path):
    for n in range(2):
        noise = np.random.default_rng(n).random((16, 16, 3), np.float32)
        write_image(tmp_path / "photos" / f"{n}.png", np.repeat(np.repeat(noise, 8, 0), 8, 1))
    told = (
        "--width=0.03", "--batch_size=2", "--dataset=photos", "--alpha=0.1",
        "--completion_steps=1", "--discriminator_steps=1", "--precision=float32",
        "--progressive=completion:32:1:2,discriminator:64:1:2,joint:64:1:2", "--log_every=1",
        "--sample_every=0", "--optimizer=adam", "--learning_rate=0.01", "--deterministic",
        "--joint_steps=2", "--noexport", "--fill=grey",
    )  # fmt: skip
    result = commands.run("glcic.train", *told, "--run_dir=once", cwd=tmp_path, eager=True)
    assert result.returncode == 0, result.stderr
    shutil.copytree(tmp_path / "once", tmp_path / "parts")
    commands.lose_steps(tmp_path / "parts", 3)
    result = commands.run("glcic.train", *told, "--run_dir=parts", cwd=tmp_path, eager=True)
    assert result.returncode == 0, result.stderr
    assert "going on from step 3" in result.stderr
    logs = []
    for name in ("once", "parts"):
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        logs.append([{k: v for k, v in json.loads(x).items() if k != "seconds"} for x in lines])
    segments = [line["segment"] for line in logs[0]]
    assert segments == ["completion_32", "discriminator_64", "joint_64", "joint"]
    assert logs[0] == logs[1]
    # What an export begins with: the networks of all sizes, with nothing of the run left over.
    restored = driver.restore(METHODS["glcic"], RunDirectory(tmp_path / "once"))
    assert set(restored.networks) == {"completion", "discriminator", "discriminator_64"}
    readers = [
        tf.train.load_checkpoint(str(tmp_path / name / "checkpoints")) for name in ("once", "parts")
    ]
    names = [n for n in readers[0].get_variable_to_shape_map() if n.endswith("VARIABLE_VALUE")]
    names = [n for n in names if "save_counter" not in n]
    assert len(names) > 100
    for name in names:
        one, other = (reader.get_tensor(name) for reader in readers)
        np.testing.assert_array_equal(one, other, name)
