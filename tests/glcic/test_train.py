"""Flags of GLCIC's loss are its own."""

import pytest

from tests import commands


@pytest.mark.parametrize("flag", ["reconstruction=missing", "perceptual_on=output", "fill=black"])
def test_readings_of_glcics_loss_are_refused_where_there_is_no_such_loss(flag):
    for method in ("autoencoder", "context_encoder"):
        done = commands.run("glcic.train", f"--method={method}", f"--{flag}")
        name = flag.partition("=")[0]
        assert done.returncode == 1
        assert f"--{name}: a flag of --method=glcic, not of {method}" in done.stderr


def test_readings_that_are_none_are_refused():
    for flag in ("reconstruction=sum", "perceptual_on=patch", "fill=white"):
        done = commands.run("glcic.train", f"--{flag}", "--dataset=d", "--run_dir=r")
        assert done.returncode != 0 and flag.partition("=")[0] in done.stderr
