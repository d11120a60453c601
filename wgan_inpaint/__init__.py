"""Completion with a latent vector: latent search, the conditional GAN G(m, z), and CNNLG."""

import common  # noqa: F401  before anything imports TensorFlow, whose environment it sets
from common.methods import Method, table
from wgan_inpaint import settings
from wgan_inpaint.conditional import settings as conditional_settings
from wgan_inpaint.guided import settings as guided_settings
from wgan_inpaint.search import settings as search_settings

SHIPPED = "faces"  # what `shipped:wgan_inpaint` stands for
METHODS = table(
    Method(
        "latent_search",
        "wgan_inpaint.adversarial",
        training=settings.Adversarial,
        completing=search_settings.Settings,
        writing=search_settings.Writing,
        model="shipped:wgan_inpaint",
        formerly=("wgan_inpaint",),
    ),
    Method(
        "conditional",
        "wgan_inpaint.conditional.room",
        training=conditional_settings.Conditional,
        completing=conditional_settings.Completing,
        writing=settings.Samples,
        model="shipped:wgan_inpaint/conditional",
    ),
    Method(
        "cnnlg",
        "wgan_inpaint.guided.room",
        training=guided_settings.Guided,
        completing=guided_settings.Completing,
        writing=settings.Samples,
        model="shipped:wgan_inpaint/cnnlg",
    ),
)
