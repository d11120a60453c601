"""The command completes what it is given, and what it returns is what the search promises."""

import functools
import random

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from common.completion import blending
from common.completion import files as completion_files
from common.evaluation.metrics import psnr
from common.pictures.images import read_image, resize, write_image
from common.training import folding
from tests import commands
from tests.wgan_inpaint import models
from wgan_inpaint import networks
from wgan_inpaint.search import completing, latent_search
from wgan_inpaint.search.settings import Settings

SHIPPED = commands.ROOT / "wgan_inpaint" / "shipped" / "faces"
ARCHITECTURE = networks.Architecture(size=32, width=4)


def folded(network, seed):
    """A network with weights large enough that its pictures differ."""
    generator = np.random.default_rng(seed)
    network.set_weights(
        [
            weight
            if "variance" in variable.path
            else weight + generator.normal(0, 0.2, weight.shape)
            for variable, weight in zip(network.weights, network.get_weights(), strict=True)
        ]
    )
    return folding.FoldedNetwork(network)


@pytest.fixture(scope="module")
def tiny():
    random.seed(0)
    return latent_search.Networks(
        generator=folded(networks.generator(ARCHITECTURE), 0),
        critic=folded(networks.critic(ARCHITECTURE), 1),
        encoder=folded(networks.encoder(ARCHITECTURE), 2),
        objective="wgan",
        architecture=ARCHITECTURE,
    )


@pytest.fixture(scope="module")
def model(tiny, tmp_path_factory):
    """A SavedModel of the tiny networks, and one of another kind beside it."""
    root = tmp_path_factory.mktemp("models")
    models.save(tiny, Settings(init="random", iterations=1), root / "tiny", runs=False)
    other = tf.Module()
    other.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([], tf.float32)])
    tf.saved_model.save(other, str(root / "other"), signatures={"serving_default": other.f})
    return root / "tiny"


def picture(seed, height=48, width=40):
    small = np.random.default_rng(seed).random((6, 5, 3), np.float32)
    return resize(small, height, width)


def hole(height, width, top=12, left=10, side=14):
    mask = np.zeros((height, width, 1), np.float32)
    mask[top : top + side, left : left + side] = 1
    return mask


def run(folder, *arguments):
    return commands.run("wgan_inpaint.complete", "--precision=float32", *arguments, cwd=folder)


traced_once = functools.cache(latent_search.LatentSearch)


def complete(tiny, folder, images, masks, extras=None, batch_size=0, method="none", **settings):
    """Completes in this process; returns the results by name."""
    for name, image in images.items():
        write_image(folder / "in" / name, image)
    extras = extras or completing.Extras(history=False)
    pictures = completion_files.find_pictures(folder / "in")
    outputs = completion_files.plan_outputs(pictures, folder / "out", endings=extras.endings())
    chosen = {"iterations": 10, "restarts": 2, "init": "ranked", "candidates": 8}
    chosen["learning_rate"] = 0.05
    search = traced_once(tiny, Settings(**{**chosen, **settings}))
    work = completing.Files(search, method, extras, batch_size)
    assert completion_files.complete(pictures, lambda n, *_: masks[n], outputs, work) == 0
    return {path.name: read_image(path) for path in sorted((folder / "out").glob("*.png"))}


def test_known_pixels_are_exact_and_hidden_ones_do_not_matter(tiny, tmp_path):
    shapes = {"a.png": (48, 40), "b.png": (32, 32), "c.png": (90, 130)}
    images = {name: picture(n, *shape) for n, (name, shape) in enumerate(shapes.items())}
    masks = [hole(*shape) for shape in shapes.values()]
    masks[2][60:75, 90:100] = 1  # the crop is larger than the generator's pictures
    other = {
        name: np.where(mask == 1, 1 - image, image)
        for (name, image), mask in zip(images.items(), masks, strict=True)
    }
    for method in ("none", "poisson"):
        first = complete(tiny, tmp_path / f"1{method}", images, masks, method=method)
        second = complete(tiny, tmp_path / f"2{method}", other, masks, method=method)
        for name, mask in zip(images, masks, strict=True):
            given = read_image(tmp_path / f"1{method}" / "in" / name)
            known = mask[..., 0] == 0
            np.testing.assert_array_equal(first[name][known], given[known])
            np.testing.assert_array_equal(first[name], second[name])
            assert (first[name] != given)[~known].mean() > 0.5


def test_a_picture_is_completed_the_same_alone_and_among_others(tiny, tmp_path):
    images = {f"{n}.png": picture(n, 32 + 7 * n, 50) for n in range(3)}
    masks = [hole(32 + 7 * n, 50, left=5 * n) for n in range(3)]
    together = complete(tiny, tmp_path / "all", images, masks)
    for batch_size in (1, 2):
        again = complete(tiny, tmp_path / str(batch_size), images, masks, batch_size=batch_size)
        for name, result in together.items():
            np.testing.assert_allclose(again[name], result, atol=1.01 / 255)


@pytest.mark.usefixtures("eagerly")
def test_every_batch_of_files_has_the_same_size(tiny, tmp_path, monkeypatch):
    sizes, advance = [], latent_search.LatentSearch.advance
    monkeypatch.setattr(
        latent_search.LatentSearch,
        "advance",
        lambda self, images, *more: sizes.append(len(images)) or advance(self, images, *more),
    )
    images = {f"{n}.png": picture(n, 32, 32) for n in range(3)}
    masks = [hole(32, 32)] * 3
    for batch_size, restarts, expected in ((2, 2, 2), (0, 5, 3), (0, 2, 8), (0, 30, 1)):
        sizes.clear()
        complete(
            tiny, tmp_path / f"{batch_size}{restarts}", images, masks,
            batch_size=batch_size, restarts=restarts, init="random", iterations=1,
        )  # fmt: skip
        assert set(sizes) == {expected}


def test_a_long_search_ends_the_same_to_the_bit_in_any_company_and_place(tiny):
    """Many iterations make grey levels of the rounding of a batch of another size."""
    images = np.stack([picture(n, 32, 32) for n in range(20)])
    masks = np.stack([hole(32, 32, left=n % 15) for n in range(20)])
    settings = Settings(init="random", iterations=100, learning_rate=0.05)
    search = traced_once(tiny, settings)

    def found(*chosen):
        chosen = list(chosen)
        results = completing.find(
            search, images[chosen], masks[chosen], completing.Extras(), batch_size=16
        )
        return dict(zip(chosen, results, strict=True))

    together = found(*range(16))
    others = [found(5), found(19, 3, 5), found(*range(19, 3, -1)), found(7, 5, 18, *range(13))]
    for company in others:
        for n in company.keys() & together.keys():
            for name in ("pictures", "losses", "history"):
                np.testing.assert_array_equal(getattr(company[n], name), getattr(together[n], name))


@pytest.mark.usefixtures("eagerly")
def test_samples_differ_and_come_from_the_least_loss_to_the_greatest(tiny):
    images = np.stack([picture(n, 32, 32) for n in range(2)])
    masks = np.stack([hole(32, 32)] * 2)
    settings = Settings(iterations=9, restarts=6, init="random")
    search = latent_search.LatentSearch(tiny, settings)
    extras = completing.Extras(samples=3, snapshots=(0, 4, 9))
    state = search.start(images, masks)
    start = search.pictures(state.z).numpy()
    state, history = search.advance(images, masks, state, 9)
    for b, found in enumerate(completing.find(search, images, masks, extras)):
        assert (np.diff(found.losses) > 0).all()
        gaps = np.abs(found.pictures[0] - found.pictures[1:]).mean(axis=(1, 2, 3))
        assert (gaps > 0.01).all()
        # In pairs of restarts, the better one of each; what is told of the search is the winner's.
        result = search.finish(images, masks, state)
        np.testing.assert_allclose(found.pictures[0], result.pictures[b], atol=1e-5)
        winner = 6 * b + int(result.restart[b])
        np.testing.assert_allclose(found.history[:9], history[..., winner], rtol=1e-4, atol=1e-4)
        final = [result.context[b], result.prior[b]]
        np.testing.assert_allclose(found.history[9], final, rtol=1e-4, atol=1e-4)
        assert len(found.snapshots) == 3
        np.testing.assert_allclose(found.snapshots[0], start[winner], atol=1e-5)
        np.testing.assert_allclose(found.snapshots[2], found.pictures[0], atol=1e-5)
        assert np.abs(found.snapshots[1] - found.snapshots[0]).max() > 0.01


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_what_is_written_of_a_picture_is_the_loss_of_that_picture(tiny, optimizer):
    images = np.stack([picture(n, 32, 32) for n in range(3)])
    masks = np.stack([hole(32, 32)] * 3)
    settings = Settings(init="random", iterations=10, restarts=4, optimizer=optimizer, context="l1")
    search = traced_once(tiny, settings)
    extras = completing.Extras(samples=2, snapshots=(0, 10))
    for image, mask, found in zip(
        images, masks, completing.find(search, images, masks, extras), strict=True
    ):
        context = 2 * np.abs((1 - mask) * (found.pictures - image)).sum(axis=(1, 2, 3))
        scores = tiny.critic.at(tf.float32)(found.pictures)
        prior = latent_search.prior_loss(scores, "wgan").numpy()
        np.testing.assert_allclose(found.losses, context + 0.003 * prior, rtol=1e-4)
        np.testing.assert_allclose(found.history[-1], [context[0], prior[0]], rtol=1e-4)
        assert found.losses[0] <= found.losses[1] and len(found.history) == 11


@pytest.mark.usefixtures("eagerly")
def test_a_search_that_overflows_is_reported_and_writes_nothing(tiny, tmp_path, capsys):
    write_image(tmp_path / "a.png", picture(0))
    pictures = completion_files.find_pictures(tmp_path / "a.png")
    outputs = completion_files.plan_outputs(pictures, tmp_path / "out", endings=("_loss.csv",))
    # The networks themselves may hide it: a fused ReLU makes 0 of what is not a number.
    settings = Settings(init="random", iterations=3, prior_weight=np.inf)
    search = latent_search.LatentSearch(tiny, settings)
    work = completing.Files(search, "none", completing.Extras())
    assert completion_files.complete(pictures, lambda *_: hole(48, 40), outputs, work) == 1
    assert (
        "a.png: the loss is not a finite number: lower --learning_rate" in capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


def test_bad_pictures_have_a_line_each_and_the_others_all_their_files(model, tmp_path):
    shapes = {"a.png": (48, 40), "b.png": (70, 90), "full.png": (48, 40), "none.png": (48, 40)}
    shapes["small.png"] = (31, 60)
    for n, (name, shape) in enumerate(shapes.items()):
        write_image(tmp_path / "photos" / name, picture(n, *shape))
        write_image(tmp_path / "holes" / name, hole(*shape))
    write_image(tmp_path / "holes" / "full.png", np.ones((48, 40, 1)))
    write_image(tmp_path / "holes" / "none.png", np.zeros((48, 40, 1)))
    (tmp_path / "photos" / "broken.png").write_bytes(b"\x89PNG")
    done = run(
        tmp_path, f"--model={model}", "--input=photos", "--mask=holes", "--output=out", "--figure",
        "--iterations=12", "--samples=3", "--restarts=2", "--snapshots=0,5,12", "--animation=gif",
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert done.stdout == "2 of 6 completed: out\n"
    errors = sorted(line for line in done.stderr.splitlines() if line.startswith("error"))
    reasons = ("corrupt", "its mask has no known", "nothing to complete", "the image is 60x31")
    names = ("broken", "full", "none", "small")
    assert len(errors) == 4
    for line, name, reason in zip(errors, names, reasons, strict=True):
        assert line.startswith(f"error: photos/{name}.png: {reason}"), line
    endings = (".png", "_figure.png", "_loss.csv", "_strip.png", "_search.gif", "_samples.png")
    endings += ("_sample1.png", "_sample2.png", "_sample3.png")
    wanted = sorted(f"{name}{ending}" for name in "ab" for ending in endings)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == wanted
    lines = (tmp_path / "out" / "a_loss.csv").read_text().splitlines()
    assert lines[0] == "iteration,total,context,prior" and len(lines) == 1 + 13
    rows = np.array([[float(value) for value in line.split(",")] for line in lines[1:]])
    np.testing.assert_array_equal(rows[:, 0], np.arange(13))
    np.testing.assert_allclose(rows[:, 1], rows[:, 2] + 0.003 * rows[:, 3], rtol=1e-5)
    assert rows[-1, 1] < rows[0, 1]
    with PIL.Image.open(tmp_path / "out" / "b_search.gif") as animation:
        assert animation.n_frames == 3
    best, second = (read_image(tmp_path / "out" / f"b_sample{n}.png") for n in (1, 2))
    np.testing.assert_array_equal(best, read_image(tmp_path / "out" / "b.png"))
    assert (best != second).any()


def test_low_resolution_comes_back_at_the_generators_size(model, tiny, tmp_path):
    truth = tiny.generator.at(tf.float32)(networks.random_latents(1, 100, [3, 4]))[0].numpy()
    write_image(tmp_path / "in" / "whole.png", resize(truth, 64, 64))
    write_image(tmp_path / "in" / "low.png", resize(truth, 8, 8))
    write_image(tmp_path / "in" / "odd.png", resize(truth, 9, 9))
    done = run(
        tmp_path, f"--model={model}", "--input=in", "--output=out", "--mask_kind=lowres",
        "--lowres=4", "--iterations=150", "--learning_rate=0.05", "--figure",
    )  # fmt: skip
    assert done.returncode == 1 and done.stdout == "2 of 3 completed: out\n", done.stderr
    assert "odd.png: the image is 9x9 pixels" in done.stderr
    for name in ("whole", "low"):
        result = read_image(tmp_path / "out" / f"{name}.png")
        assert result.shape == (32, 32, 3)
        error = np.abs(resize(result, 8, 8) - resize(truth, 8, 8)).mean()
        assert error < 0.5 * np.abs(resize(truth, 8, 8) - truth.mean((0, 1))).mean()
        assert (tmp_path / "out" / f"{name}_figure.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--model={}/../other"], "not of latent_search"),
        (["--samples=300", "--restarts=4", "--init=ranked"], "--samples=300: with 4 restarts each"),
        (["--animation=gif"], "--animation=gif: of what?"),
        (["--mask_kind=lowres", "--init=encoder"], "--init=encoder: no encoder of low"),
    ],
)
def test_mistakes_end_in_one_line(model, tmp_path, arguments, reason):
    write_image(tmp_path / "a.png", picture(0))
    arguments = [argument.replace("{}", str(model)) for argument in arguments]
    if not any(argument.startswith("--model") for argument in arguments):
        arguments.append(f"--model={model}")
    done = run(tmp_path, "--input=a.png", *arguments)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ") and reason in last, done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_the_models_own_search_is_obeyed_unless_a_flag_says_otherwise(tiny, tmp_path):
    settings = Settings(iterations=3, prior_weight=0.5, init="ranked", candidates=9)
    models.save(tiny, settings, tmp_path / "model", runs=False)
    write_image(tmp_path / "a.png", picture(0))
    (tmp_path / "five.flags").write_text("--iterations=5\n")
    for name, arguments, count, weight in (
        ("own", [], 3, 0.5),
        ("flags", ["--prior_weight=0.25", "--flagfile=five.flags"], 5, 0.25),
    ):
        done = run(tmp_path, "--model=model", "--input=a.png", f"--output={name}", *arguments)
        assert done.returncode == 0, done.stderr
        (path,) = tmp_path.glob(f"{name}/**/*_loss.csv")
        lines = path.read_text().splitlines()[1:]
        rows = np.array([[float(value) for value in line.split(",")] for line in lines])
        assert len(rows) == count + 1
        np.testing.assert_allclose(rows[:, 1], rows[:, 2] + weight * rows[:, 3], rtol=1e-5)


@pytest.mark.parametrize("name", ["yeh2017", "amos2016", "ha_wgan"])
def test_the_papers_settings_complete_the_portrait(model, tmp_path, name):
    flagfile = commands.ROOT / "flags" / "papers" / f"{name}.flags"
    done = run(tmp_path, f"--model={model}", f"--flagfile={flagfile}", "--iterations=50")
    assert done.returncode == 0, done.stderr
    written = {path.name for path in (tmp_path / "completed").iterdir()}
    wanted = {"grace_hopper.png", "grace_hopper_figure.png", "grace_hopper_loss.csv"}
    assert written == wanted | ({"grace_hopper_strip.png"} if name == "amos2016" else set())
    height, width, _ = read_image(tmp_path / "completed" / "grace_hopper_figure.png").shape
    assert width > 2.5 * height


@pytest.mark.skipif(
    not SHIPPED.is_dir(), reason="wgan_inpaint/shipped/faces holds no trained model"
)
def test_the_shipped_model_completes_the_portrait(tmp_path):
    from common.pictures.samples import portrait

    done = run(tmp_path, "--iterations=10")
    assert done.returncode == 0, done.stderr
    result = read_image(tmp_path / "completed" / "grace_hopper.png")
    side = len(result)
    truth = portrait(side)
    hidden = hole(side, side, side // 4, side // 4, side // 2)[..., 0] == 1
    np.testing.assert_allclose(result[~hidden], truth[~hidden], atol=0.51 / 255)
    assert result[hidden].std() > 0.05, "no flat fill"


def test_the_shipped_model_is_better_than_telea_on_faces(shared_data, tmp_path):
    faces = sorted((shared_data / "celeba128" / "validation").glob("*.jpg"))[:4]
    for path in faces:
        write_image(tmp_path / f"{path.stem}.png", resize(read_image(path), 64, 64))
    done = run(tmp_path, f"--input={tmp_path}/*.png", "--iterations=30", "--batch_size=4")
    assert done.returncode == 0, done.stderr
    mask = hole(64, 64, 16, 16, 32)
    ours, telea = [], []
    for path in faces:
        truth = read_image(tmp_path / f"{path.stem}.png")
        ours.append(psnr(truth, read_image(tmp_path / "completed" / f"{path.stem}.png")))
        telea.append(psnr(truth, blending.telea(truth, mask)))
    assert np.mean(ours) > np.mean(telea) + 1
