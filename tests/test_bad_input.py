"""Bad input to a command: one clear line, a non-zero exit code, no traceback, nothing damaged."""

import hashlib
import json

import cv2
import numpy as np
import pytest
import tensorflow as tf

from common import locks
from common.serving import export
from tests import commands
from tests.glcic.test_export import Grey


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with good and bad files of every kind."""
    root = tmp_path_factory.mktemp("bad")
    generator = np.random.default_rng(0)
    (root / "photos").mkdir()
    for n in range(3):
        small = generator.integers(0, 256, (8, 8, 3), np.uint8)
        picture = cv2.resize(small, (128, 128), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(root / "photos" / f"{n}.png"), picture)
    (root / "empty").mkdir()
    (root / "broken").mkdir()
    (root / "broken" / "a.png").write_bytes((root / "photos" / "0.png").read_bytes()[:200])
    (root / "text.txt").write_text("not a picture")
    mask = np.zeros((128, 128), np.uint8)
    cv2.imwrite(str(root / "no_hole.png"), mask)
    cv2.imwrite(str(root / "all_hole.png"), 255 - mask)
    cv2.imwrite(str(root / "small.png"), picture[:48, :48])
    mask[40:80, 40:80] = 255
    cv2.imwrite(str(root / "mask.png"), mask)
    cv2.imwrite(str(root / "small_mask.png"), mask[:64, :64])
    (root / "bad_mask.png").write_bytes(b"no picture at all")
    export.save(Grey(), root / "model", {"hole_size": 64})
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([], tf.float32)])
    tf.saved_model.save(module, str(root / "foreign"), signatures={"serving_default": module.f})
    (root / "not_a_run").mkdir()
    run = root / "other_run"
    run.mkdir()
    (run / "flags.txt").write_text("--architecture=wang2020\n--width=0.5\n")
    return root


TRAIN = ("glcic.train", "--dataset={}/photos", "--run_dir={}/run", "--width=0.03", "--dry_run")
COMPLETE = ("glcic.complete", "--model={}/model", "--output={}/out", "--input={}/photos")
SEARCH_TRAIN = (
    "wgan_inpaint.train", "--dataset={}/photos", "--run_dir={}/search_run", "--image_size=32",
    "--architecture=mlp", "--batch_size=2", "--generator_steps=8", "--log_every=1",
    "--precision=float32",
)  # fmt: skip
SEARCH = ("wgan_inpaint.complete", "--output={}/out", "--input={}/photos", "--iterations=2")
COMPARE = (
    "common.compare", "--methods=a={}/model", "--dataset={}/photos", "--output={}/table",
)  # fmt: skip
DIVERSITY = (
    "wgan_inpaint.studies.diversity", "--methods=a={}/model", "--dataset={}/photos",
    "--output={}/answers",
)  # fmt: skip

EXPORT = ("glcic.export", "--run_dir={}/other_run")

# name: (command, further or overriding flags, what the one line must say)
CASES = {
    "train: no data set": (("glcic.train", "--run_dir={}/run"), (), "--dataset is missing"),
    "train: no run directory": (("glcic.train", "--dataset={}/photos"), (), "--run_dir is missing"),
    "train: empty folder": (TRAIN[:1] + TRAIN[2:4], ("--dataset={}/empty",), "empty"),
    "train: no such folder": (TRAIN[:1] + TRAIN[2:4], ("--dataset={}/nowhere",), "nowhere"),
    "train: corrupt picture": (
        TRAIN[:1] + TRAIN[2:4], ("--dataset={}/broken", "--batch_size=1"), "a.png",
    ),
    "train: run directory is a file": (TRAIN[:2], ("--run_dir={}/text.txt",), "text.txt"),
    "train: no weights for the perceptual loss": (
        TRAIN[:-1], ("--beta=0.1", "--vgg19_weights={}/none.npz"), "none.npz",
    ),
    "train: broken weights": (
        TRAIN[:-1], ("--beta=0.1", "--vgg19_weights={}/text.txt"), "text.txt",
    ),
    "train: sides the wrong way round": (TRAIN, ("--hole_min=70", "--hole_max=60"), "--hole_min"),
    "train: smaller than the network": (TRAIN, ("--resize_min=64",), "--resize_min"),
    "train: unknown kind of hole": (TRAIN, ("--mask_kind=star",), "--mask_kind"),
    "train: mask files without a mask": (TRAIN, ("--mask_kind=files",), "--mask"),
    "train: unknown flag": (TRAIN, ("--batchsize=4",), "batchsize"),
    "train: a flag of another method": (
        TRAIN[:3], ("--method=autoencoder", "--alpha=3"),
        "--alpha: a flag of --method=glcic, not of autoencoder",
    ),
    "train: a flag of other methods": (
        TRAIN[:3], ("--overlap=3",),
        "--overlap: a flag of --method=context_encoder and autoencoder",
    ),
    "train: unknown method": (TRAIN[:3], ("--method=vae",), "--method=vae"),
    "train: a hole that the baseline has not": (
        TRAIN[:3], ("--method=autoencoder", "--mask_kind=half"), "--mask_kind=half",
    ),
    "train: zero batch": (TRAIN, ("--batch_size=0",), "--batch_size"),
    "train: unknown architecture": (TRAIN, ("--architecture=unet",), "--architecture"),
    "train: no flagfile": (TRAIN, ("--flagfile={}/none.flags",), "none.flags"),
    "train: a stray word": (TRAIN, ("photos",), "photos"),
    "train: nothing to begin with": (TRAIN, ("--init_from={}/nowhere",), "--init_from: "),
    "train: begins with another package's": (
        TRAIN, ("--init_from=shipped:wgan_inpaint",), "--init_from: ",
    ),
    "train: begins with no model": (TRAIN, ("--init_from={}/not_a_run",), "--init_from: "),
    "train: begins with another architecture's": (
        TRAIN[:3],
        ("--architecture=iizuka2017_celeba", "--init_from=shipped:glcic", "--width=0.03"),
        "--init_from=",
    ),
    "train: of several folders one is none": (
        TRAIN[:-1], ("--dataset={}/photos,{}/nowhere=2",), "/nowhere: no such file",
    ),
    "train: recolouring by nothing": (TRAIN, ("--recolor=0.5",), "--recolor"),
    "complete: no such input": (COMPLETE, ("--input={}/nowhere.png",), "nowhere.png"),
    "complete: empty folder": (COMPLETE, ("--input={}/empty",), "empty"),
    "complete: corrupt picture": (COMPLETE, ("--input={}/broken",), "a.png"),
    "complete: no such mask": (COMPLETE, ("--mask={}/nomask.png",), "nomask.png"),
    "complete: unreadable mask": (COMPLETE, ("--mask={}/bad_mask.png",), "bad_mask.png"),
    "complete: mask without a hole": (COMPLETE, ("--mask={}/no_hole.png",), "nothing to complete"),
    "complete: mask of another size": (COMPLETE, ("--mask={}/small_mask.png",), "64"),
    "complete: no model": (COMPLETE, ("--model={}/nowhere",), "nowhere"),
    "complete: a folder that is no model": (COMPLETE, ("--model={}/empty",), "SavedModel"),
    "complete: a model of another kind": (COMPLETE, ("--model={}/foreign",), "complete"),
    "complete: unknown shipped model": (COMPLETE, ("--model=shipped:nothing",), "nothing"),
    "complete: onto its own input": (COMPLETE, ("--output={}/photos",), "photos"),
    "complete: output is a file": (COMPLETE, ("--output={}/text.txt",), "text.txt"),
    "complete: unknown blending": (COMPLETE, ("--blend=magic",), "--blend"),
    "export: no run": (("glcic.export",), ("--run_dir={}/not_a_run",), "not_a_run"),
    "export: no checkpoint": (("glcic.export",), ("--run_dir={}/other_run",), "checkpoint"),
    "export: no flag": (("glcic.export",), (), "--run_dir is missing"),
    "search train: NaN": (
        SEARCH_TRAIN, ("--learning_rate=1e9", "--optimizer=adam"), "--learning_rate",
    ),
    "search train: no data set": (("wgan_inpaint.train", "--run_dir={}/run"), (), "--dataset"),
    "search train: unknown objective": (SEARCH_TRAIN, ("--objective=vae",), "--objective"),
    "search train: a size between": (SEARCH_TRAIN, ("--image_size=48",), "--image_size"),
    "complete: nothing known": (COMPLETE, ("--mask={}/all_hole.png",), "no known (black) pixel"),
    "search: nothing known": (SEARCH, ("--mask={}/all_hole.png",), "no known (black) pixel"),
    "search: no hole": (SEARCH, ("--mask={}/no_hole.png",), "nothing to complete"),
    "search: smaller than the generator": (SEARCH, ("--input={}/small.png",), "48x48"),
    "search: a model of another method": (SEARCH, ("--model={}/model",), "not of latent_search"),
    "search: no model": (SEARCH, ("--model={}/nowhere",), "nowhere"),
    "search: an even window": (SEARCH, ("--window=4",), "--window"),
    "search: a snapshot behind the end": (SEARCH, ("--snapshots=5,900",), "is none of the"),
    "search: two kinds of known": (SEARCH, ("--mask_kind=lowres,center",), "stands alone"),
    "search: more restarts than candidates": (SEARCH, ("--restarts=9999",), "--restarts"),
    "search export: no run": (("wgan_inpaint.export",), ("--run_dir={}/not_a_run",), "not_a_run"),
    "search export: another method's run": (
        ("wgan_inpaint.export",), ("--run_dir={}/other_run",), "checkpoint",
    ),
    "starts: no data set": (("wgan_inpaint.starts", "--output={}/starts"), (), "--dataset"),
    "promises: no runs": (("wgan_inpaint.promises", "--output={}/p.png"), (), "--runs"),
    "promises: no such run": (
        ("wgan_inpaint.promises", "--output={}/p.png"), ("--runs=a={}/not_a_run",), "not_a_run",
    ),
    "diversity: no such method": (DIVERSITY, ("--methods=teleaa",), "one of"),
    "diversity: no samples": (DIVERSITY, ("--samples=0",), "--samples"),
    "diversity: a single sample": (DIVERSITY, ("--samples=1",), "--samples"),
    "diversity: no images": (DIVERSITY, ("--dataset={}/empty",), "empty"),
    "diversity: corrupt picture": (DIVERSITY, ("--dataset={}/broken",), "a.png"),
    "diversity: no features": (DIVERSITY, ("--features={}/none.npz",), "none.npz"),
    "compare: no methods": (COMPARE[:1] + COMPARE[2:], (), "--methods is missing"),
    "compare: a name without a source": (COMPARE, ("--methods=a=",), "--methods"),
    "compare: no such method": (COMPARE, ("--methods=teleaa",), "one of"),
    "compare: no such reference": (COMPARE, ("--reference=b",), "--reference=b"),
    "compare: unknown blending": (COMPARE, ("--blend=none,magic",), "--blend"),
    "compare: one name twice": (COMPARE, ("--methods=a={}/model,a={}/model",), "--methods"),
    "compare: too few images": (COMPARE, ("--limit=9",), "--limit"),
    "compare: corrupt picture": (COMPARE, ("--dataset={}/broken",), "a.png"),
    "benchmark: no number": (("glcic.benchmark",), ("--batches=many",), "--batches"),
    "export: onto its own run": (
        EXPORT, ("--output={}/other_run",), "/other_run: holds flags.txt, which no export wrote",
    ),
    "export: around its run": (EXPORT, ("--output={}",), "which no export wrote"),
    "export: onto pictures": (EXPORT, ("--output={}/photos",), "/photos: holds 0.png"),
    "export: onto another's model": (EXPORT, ("--output={}/foreign",), "not an earlier export"),
    "search export: where it runs": (
        ("wgan_inpaint.export", "--run_dir={}/other_run"), ("--output=.",), "--output=.: your home",
    ),
}  # fmt: skip


def state(root):
    """{path: hash} of every file below but for locks, which name who held them last."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != locks.FILE
    }


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_nothing_damaged(place, name):
    (module, *usual), further, expected = CASES[name]
    overridden = {flag.partition("=")[0] for flag in further}
    arguments = [a for a in usual if a.partition("=")[0] not in overridden] + list(further)
    before = state(place)
    result = commands.run(module, *(a.replace("{}", str(place)) for a in arguments), eager=True)
    lines = [
        line
        for line in result.stderr.splitlines()
        if line.startswith(("error: ", "FATAL Flags parsing error"))
    ]
    assert result.returncode not in (0, None), result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    assert any(expected in line for line in lines), result.stderr[-800:]
    assert max(map(len, lines)) < 600
    after = state(place)
    assert {path: after.get(path) for path in before} == before
    assert not [path for path in after if "partial" in path or path.endswith(".tmp")]
    assert "run/flags.txt" not in after, "what was refused is no run"


def test_one_bad_file_does_not_stop_the_others(place, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for source in ("photos/0.png", "photos/1.png"):
        (folder / source[-5:]).write_bytes((place / source).read_bytes())
    (folder / "bad.png").write_bytes(b"")
    result = commands.run(
        "glcic.complete", f"--model={place}/model", f"--input={folder}", f"--output={tmp_path}/out"
    )
    assert result.returncode == 1
    assert "bad.png" in result.stderr and "Traceback" not in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png"]
    assert "2 of 3" in result.stdout


def test_settings_of_a_model_that_are_no_json(place, tmp_path):
    import shutil

    shutil.copytree(place / "model", tmp_path / "model")
    settings = tmp_path / "model" / "assets.extra" / "inpainting.json"
    settings.write_text(json.dumps({"hole_size": 64})[:-3])
    result = commands.run(
        "glcic.complete",
        f"--model={tmp_path}/model",
        f"--input={place}/photos/0.png",
        f"--output={tmp_path}/out",
    )
    assert result.returncode == 1 and "inpainting.json" in result.stderr
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
