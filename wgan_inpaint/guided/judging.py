"""What each step of CNNLG has learnt, on pictures that it is not trained on: numbers and a grid."""

import math

import numpy as np
import tensorflow as tf

from common import figures
from common.evaluation import metrics
from common.pictures import images as image_files
from wgan_inpaint.guided import likelihood, losses, prediction, robustness
from wgan_inpaint.guided.settings import GUIDANCE

JUDGED = 64  # pictures
SHOWN = 8  # of them, in a grid
AT_A_TIME = 16
SAMPLES = 3


class Judge:
    """Judges the phases of a ``wgan_inpaint.guided.room.GuidedTrainer``."""

    def __init__(self, trainer, images, holes):
        """Keeps what is judged.

        Args:
          trainer: the trainer; its networks are read at every call.
          images: float32 [N, S, S, 3] in [0, 1].
          holes: float32 [N, S, S, 1].
        """
        self._networks, self._settings = trainer.networks, trainer.settings
        self._parts, self._loss = trainer.parts, trainer.decoder_loss
        self._log_likelihood, self._guide_losses = trainer.log_likelihood, trainer.guide_losses
        self._images, self._holes = images, holes
        self._graphs = {}

    def __call__(self, phase, path):
        """Writes the grid of a phase to ``path``; returns {measure: number}."""
        columns, judged = getattr(self, f"_{phase}")()
        count = min(SHOWN, len(self._images))
        rows = [[column[n] for column in columns] for n in range(count)]
        image_files.write_image(path, figures.compose_grid(rows))
        return judged

    def _run(self, graph):
        """What ``graph`` makes of all pictures, traced once: a list, a batch each."""
        call = self._graphs.setdefault(graph.__name__, tf.function(graph, autograph=False))
        return [
            tf.nest.map_structure(
                lambda x: x.numpy(),
                call(tf.constant(self._images[n : n + AT_A_TIME]),
                     tf.constant(self._holes[n : n + AT_A_TIME])),
            )
            for n in range(0, len(self._images), AT_A_TIME)
        ]  # fmt: skip

    def _psnr(self, pictures):
        pairs = zip(self._images, np.clip(pictures, 0, 1), strict=True)
        return float(np.mean([metrics.psnr(*pair) for pair in pairs]))

    def _encoded(self, images):
        return self._networks["codebook"].nearest(self._networks["encoder"](images))

    def _generate(self, images, holes):
        del holes
        decoder = self._networks["decoder"]
        labels = self._encoded(images)
        vectors = self._networks["codebook"].vectors(labels)
        parameters = decoder({"field": vectors, "context": prediction.nothing(images)})
        with tf.GradientTape() as tape:
            nats = self._loss(vectors, images)
        return {
            "logs": self._log_likelihood(parameters, images),
            "means": likelihood.mean(parameters, self._settings.mixtures),
            "labels": labels,
            "gradient": tape.gradient(nats, decoder.trainable_variables),
        }

    def _generation(self):
        """Bits/dim, PSNR of the mean, codes in use and their perplexity, J and its noise."""
        found = self._run(self._generate)
        logs, means, labels = (
            np.concatenate([one[name] for one in found]) for name in ("logs", "means", "labels")
        )
        counts = np.bincount(labels.ravel(), minlength=self._settings.codes)
        shares = counts[counts > 0] / counts.sum()
        judged = {
            "validation_bits": float(likelihood.bits_per_dimension(logs)),
            "psnr": self._psnr(means),
            "codes": int((counts > 0).sum()),
            "perplexity": float(np.exp(-np.sum(shares * np.log(shares)))),
        }
        if len(found) > 1:
            strength = robustness.strength([one["gradient"] for one in found])
            judged |= {f"validation_{name}": value for name, value in strength.items()}
        return [self._images, np.clip(means, 0, 1)], judged

    def _guess(self, images, holes):
        parts = self._parts._replace(decoder=self._networks["decoder"])
        truth, codebook = self._encoded(images), self._networks["codebook"]
        guides = prediction.guess(parts, images, holes)
        q = prediction.marginals(guides)
        fields = {
            "expected": prediction.expected(parts, q),
            "drawn": codebook.vectors(prediction.draw(guides, q, tf.constant(0))),
            "true": codebook.vectors(truth),
        }
        pictures = {
            name: prediction.decode(parts, vectors, prediction.nothing(images))
            for name, vectors in fields.items()
        }
        return (
            self._guide_losses(images, holes, truth, prediction.FIELD_ITERATIONS),
            {name: tf.where(holes > 0.5, x, images) for name, x in pictures.items()},
        )

    def _guides(self):
        """Cross entropies, accuracy; PSNR with expected, drawn and true codes in the hole."""
        found = self._run(self._guess)
        judged = {
            f"validation_{name}": float(np.mean([one[0][name] for one in found]))
            for name in found[0][0]
        }
        pictures = {n: np.concatenate([one[1][n] for one in found]) for n in found[0][1]}
        judged |= {f"psnr_{name}": self._psnr(x) for name, x in pictures.items()}
        return [self._shown(), *pictures.values(), self._images], judged

    def _shown(self):
        return figures.show_hole(self._images, self._holes)

    def _integrate(self, images, holes):
        predicted = prediction.guide_gradients(self._parts, images, holes)
        middle = tf.zeros_like(images) + 0.5
        results = {}
        for name, detail in (("gradient", 1.0), ("membrane", 0.0)):
            g = prediction.amplify(predicted, holes, detail)
            picture = prediction.integrate(images, holes, g, middle, 0.0)
            results[name] = losses.gradient_squares(g, images, holes), picture
        return results

    def _gradients(self):
        """PSNR of the gradients and of the picture that they add up to, beside g = 0."""
        found = self._run(self._integrate)
        judged, pictures = {}, []
        for name, of_gradient in (("gradient", "psnr_gradient"), ("membrane", "psnr_zero")):
            squares = np.mean([one[name][0] for one in found])
            pictures.append(np.concatenate([one[name][1] for one in found]))
            judged[of_gradient] = -10 * math.log10(max(float(squares), 1e-12))
            judged["psnr" if name == "gradient" else "psnr_membrane"] = self._psnr(pictures[-1])
        return [self._shown(), *pictures, self._images], judged

    def _complete(self, images, holes):
        parts = self._parts
        gradients = prediction.guide_gradients(parts, images, holes)
        guides = prediction.guess(parts, images, holes)
        q = prediction.marginals(guides)
        done, expected = {}, prediction.expected(parts, q)
        for name, values in GUIDANCE.items():
            done[name] = prediction.finish(parts, images, holes, expected, gradients, *values)
        for n in range(SAMPLES):
            drawn = parts.codebook.vectors(prediction.draw(guides, q, tf.constant(n)))
            done[f"sample{n}"] = prediction.finish(
                parts, images, holes, drawn, gradients, *GUIDANCE["both"]
            )
        return done

    def _refinement(self):
        """PSNR with neither guide, with either and with both, and of a sample."""
        found = self._run(self._complete)
        pictures = {n: np.concatenate([one[n] for one in found]) for n in found[0]}
        judged = {f"psnr_{n}": self._psnr(pictures[n]) for n in (*GUIDANCE, "sample0")}
        return [self._shown(), *pictures.values(), self._images], judged
