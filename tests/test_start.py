"""What is mistyped is answered before TensorFlow is imported, which takes seconds."""

import ast
import importlib
import os
import runpy
import subprocess
import sys
import tempfile

import cv2
import numpy as np

from common import locks
from tests import commands

SLOW = ("tensorflow", "keras", "tensorflow_datasets", "matplotlib", "sklearn")

TRAIN = ("--dataset={}/photos", "--run_dir={}/run")
COMPARE = ("--methods=telea", "--dataset={}/photos", "--output={}/tables")
DIVERSITY = ("--methods=telea", "--dataset={}/photos", "--output={}/answers")
STARTS = ("--dataset={}/photos", "--output={}/starts")

# (command, arguments, what the answer must contain); a later flag overrides an earlier one.
CALLS = (
    *((command, ("--help",), f"python -m {command}") for command in commands.COMMANDS),
    *((command, ("--no_such_flag=1",), "no_such_flag") for command in commands.COMMANDS),
    *((command, ("--only_check_args",), "") for command in commands.COMMANDS),
    ("glcic.train", (), "--dataset is missing"),
    ("glcic.train", (*TRAIN, "--architecture=unet"), "--architecture"),
    ("glcic.train", (*TRAIN, "--dataset=./nowhere"), "nowhere"),
    ("glcic.train", (*TRAIN, "--dataset={}/empty"), "empty"),
    ("glcic.train", (*TRAIN, "--dataset=nowhere"), "--dataset=nowhere"),
    ("glcic.train", (*TRAIN, "--run_dir={}/text.txt"), "text.txt"),
    ("glcic.train", (*TRAIN, "--run_dir={}/other_run"), "--alpha=1.0"),
    ("glcic.train", (*TRAIN, "--run_dir={}/taken"), "taken/saved_model: holds notes.txt"),
    ("glcic.train", (*TRAIN, "--resize_min=64"), "--resize_min"),
    ("glcic.train", (*TRAIN, "--mask_kind=files", "--mask={}/nomask"), "nomask"),
    ("glcic.train", (*TRAIN, "--method=autoencoder", "--mask_kind=pixels"), "--mask_kind"),
    ("glcic.complete", ("--input={}/nowhere.png",), "nowhere.png"),
    ("glcic.complete", ("--input={}/empty",), "empty"),
    ("glcic.complete", ("--mask={}/nomask",), "nomask"),
    ("glcic.complete", ("--model={}/nomodel",), "nomodel"),
    ("glcic.complete", ("--model=shipped:nothing",), "shipped:nothing"),
    ("glcic.complete", ("--output={}/text.txt",), "text.txt"),
    ("glcic.export", (), "--run_dir is missing"),
    ("glcic.export", ("--run_dir={}/norun",), "norun"),
    ("glcic.export", ("--run_dir={}/other_run", "--output={}/text.txt"), "text.txt"),
    ("glcic.export", ("--run_dir={}/other_run", "--output={}/photos"), "no export wrote"),
    ("glcic.benchmark", ("--batches=many",), "--batches"),
    ("wgan_inpaint.train", (*TRAIN, "--image_size=48"), "--image_size"),
    ("wgan_inpaint.train", (*TRAIN, "--dataset={}/nowhere"), "nowhere"),
    ("wgan_inpaint.train", (*TRAIN, "--run_dir={}/text.txt"), "text.txt"),
    ("wgan_inpaint.complete", ("--window=4",), "--window"),
    ("wgan_inpaint.complete", ("--mask_kind=lowres,center",), "stands alone"),
    ("wgan_inpaint.complete", ("--snapshots=900",), "--snapshots"),
    ("wgan_inpaint.complete", ("--input={}/nowhere.png",), "nowhere.png"),
    ("wgan_inpaint.complete", ("--mask={}/nomask",), "nomask"),
    ("wgan_inpaint.complete", ("--model={}/nomodel",), "nomodel"),
    ("wgan_inpaint.complete", ("--model=shipped:glcic",), "not of latent_search"),
    ("wgan_inpaint.complete", ("--output={}/text.txt",), "text.txt"),
    ("wgan_inpaint.export", ("--run_dir={}/norun",), "norun"),
    ("wgan_inpaint.export", ("--run_dir={}/other_run", "--window=4"), "--window"),
    ("wgan_inpaint.starts", (*STARTS, "--init=ranked"), "--init"),
    ("wgan_inpaint.starts", (*STARTS, "--dataset={}/nowhere"), "nowhere"),
    ("wgan_inpaint.starts", (*STARTS, "--model={}/nomodel"), "nomodel"),
    ("wgan_inpaint.starts", (*STARTS, "--limit=9"), "--limit"),
    ("wgan_inpaint.promises", ("--runs=a={}/norun", "--output={}/p.png"), "norun"),
    ("wgan_inpaint.studies.diversity", (), "--methods is missing"),
    ("wgan_inpaint.studies.diversity", (*DIVERSITY, "--methods=teleaa"), "teleaa"),
    ("wgan_inpaint.studies.diversity", (*DIVERSITY, "--samples=1"), "--samples"),
    ("wgan_inpaint.studies.diversity", (*DIVERSITY, "--dataset={}/empty"), "empty"),
    ("wgan_inpaint.studies.diversity", (*DIVERSITY, "--output={}/text.txt"), "text.txt"),
    ("wgan_inpaint.benchmark", ("--batches=0",), "--batches"),
    ("common.compare", (), "--methods is missing"),
    ("common.compare", (*COMPARE, "--methods=a={}/nomodel"), "nomodel"),
    ("common.compare", (*COMPARE, "--reference=b"), "--reference"),
    ("common.compare", (*COMPARE, "--blend=magic"), "--blend"),
    ("common.compare", (*COMPARE, "--dataset={}/empty"), "empty"),
    ("common.compare", (*COMPARE, "--mask_kind=files", "--mask={}/nomask"), "nomask"),
    ("common.compare", (*COMPARE, "--limit=9"), "--limit"),
    ("common.compare", (*COMPARE, "--output={}/text.txt"), "text.txt"),
    ("glcic.train", (*TRAIN, "--missing=nan"), "--missing=nan"),
    ("glcic.train", (*TRAIN, "--holes=1000000000"), "--holes=1000000000: need a number from 1"),
    ("glcic.train", (*TRAIN, "--mask_kind=center,"), "--mask_kind=center,: an entry is empty"),
    ("glcic.train", ("--flagfile={}/photos/0.png",), "0.png: no text"),
    ("glcic.train", ("--flagfile={}/circle.flags",), "circle.flags: names itself"),
    ("glcic.train", (*TRAIN, "--run_dir={}/binary_run"), "binary_run/flags.txt: no text"),
    ("glcic.train", (*TRAIN, "--run_dir={}/held"), "is at work there"),
    ("common.compare", (*COMPARE, "--output={}/held"), "is at work there"),
    ("glcic.export", ("--run_dir={}/binary_run",), "binary_run/flags.txt: no text"),
    ("glcic.benchmark", ("--batches=1,,2",), "--batches=1,,2: an entry is empty"),
    ("glcic.benchmark", ("--batches=100000000000",), "--batches=100000000000: need"),
    ("wgan_inpaint.promises", ("--runs=,", "--output={}/p.png"), "--runs=,: an entry is empty"),
    ("wgan_inpaint.studies.diversity", (*DIVERSITY, "--methods=,,,"), "--methods=,,,: no method"),
    (
        "wgan_inpaint.studies.conditions",
        ("--methods=,", "--pictures=a={}/photos", "--output={}/conditions"),
        "--methods=,: no method",
    ),
    (
        "wgan_inpaint.studies.conditions",
        ("--methods=telea", "--pictures=a={}/photos", "--output={}/c", "--mask_kind="),
        "--mask_kind=: an entry is empty",
    ),
    (
        "wgan_inpaint.studies.variants",
        (*TRAIN[:1], "--output={}/v", "--measures=loss", "--variant=a: learning_rate=nan"),
        "--learning_rate=nan",
    ),
    ("common.compare", (*COMPARE, "--methods=,,,"), "--methods=,,,: no method"),
    ("common.compare", (*COMPARE, "--methods=a=shipped:wgan_inpaint/cnnlg?detail=nan"), "finite"),
    ("glcic.complete", ("--input=",), "--input= is empty"),
    ("glcic.complete", ("--input=a.mp4",), "a clip needs --mask"),
    ("glcic.complete", ("--input=a.mp4", "--mask=b.png"), "a.mp4: no such file"),
    ("glcic.complete", ("--input=a.mp4", "--mask=b.png", "--figure"), "--figure: not for a clip"),
    (
        "wgan_inpaint.complete",
        ("--method=conditional", "--input=a.mp4", "--mask=b.png", "--samples=2"),
        "--samples: not for a clip",
    ),
    ("glcic.complete", ("--mask=",), "--mask= is empty"),
    ("wgan_inpaint.complete", ("--model=",), "--model= is empty"),
    ("glcic.train", (*TRAIN, "--dataset="), "--dataset= is empty"),
    ("common.compare", (*COMPARE, "--methods="), "--methods"),
    ("common.compare", (*COMPARE, "--output="), "--output= is empty"),
)


def answer(module, arguments, output):
    """In a process of its own: runs a command, and says behind its answer what was imported."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    leave = os._exit

    def report(code):
        sys.stdout.flush()
        os.write(1, repr([name for name in SLOW if name in sys.modules]).encode())
        leave(code)

    os._exit = report  # a failed command leaves by it
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        report(end.code or 0)
    finally:
        leave(3)


def answer_all(calls):
    """Prints the list of (exit code, answer) of each (command, arguments)."""
    for command in commands.COMMANDS:  # once: what they import, each fork then has and reports
        importlib.import_module(command)
        del sys.modules[command]
    answers = []
    for module, arguments in calls:
        with tempfile.TemporaryFile() as output:
            child = os.fork()
            if not child:
                answer(module, arguments, output.fileno())
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            output.seek(0)
            answers.append((code, output.read().decode()))
        if "'tensorflow'" in answers[-1][1]:
            break  # enough is known, and the others would take as long
    print(repr(answers))


def answers_to(calls):
    """The (exit code, answer) of each (command, arguments), in a Python without TensorFlow."""
    script = "import sys; from tests import test_start; test_start.answer_all(eval(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", script, repr(calls)],
        cwd=commands.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout)


def test_an_answer_needs_no_tensorflow(tmp_path):
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "photos" / "0.png"), noise)
    (tmp_path / "empty").mkdir()
    (tmp_path / "held").mkdir()
    (tmp_path / "circle.flags").write_text(f"--flagfile={tmp_path}/circle.flags\n")
    (tmp_path / "binary_run").mkdir()
    (tmp_path / "binary_run" / "flags.txt").write_bytes(b"\x89PNG\r\n\xff\0")
    (tmp_path / "taken" / "saved_model").mkdir(parents=True)
    (tmp_path / "taken" / "saved_model" / "notes.txt").touch()
    (tmp_path / "text.txt").write_text("neither picture nor folder")
    (tmp_path / "other_run").mkdir()
    (tmp_path / "other_run" / "flags.txt").write_text("--alpha=1.0\n")
    calls = [
        (module, [argument.replace("{}", str(tmp_path)) for argument in arguments])
        for module, arguments, _ in CALLS
    ]
    with locks.hold(tmp_path / "held", "--run_dir"):
        answers = answers_to(calls)
    for (module, arguments, expected), (code, text) in zip(CALLS, answers, strict=False):
        shown = f"{module} {' '.join(arguments)}: {text[-800:]}"
        assert code == (0 if arguments == ("--only_check_args",) else 1), shown
        assert expected in text and "Traceback" not in text, shown
        # Only tfds knows the names of its data sets; it does not need TensorFlow for that.
        named = "--dataset=nowhere" in arguments
        assert text.endswith("['tensorflow_datasets']" if named else "[]"), shown
    assert len(answers) == len(CALLS)
