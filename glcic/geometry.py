"""Where the baselines' hole is and what they predict of it. No TensorFlow.

[1] D. Pathak et al. Context Encoders: Feature Learning by Inpainting. CVPR 2016; Figure 9.
"""

import dataclasses

from common.errors import InputError
from common.pictures import mask_spec

SIZE = 128  # side of the pictures ([1] Figure 9)
CONTENT = 64  # side of what the discriminator sees
# [1] Figure 9(a), each of stride 2; the first one's map is ``Geometry.start`` pixels wide.
DECODER = (512, 256, 128, 64, 3)

_GROWTH = 2 ** (len(DECODER) - 1)  # of the decoder's first map


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Where the hole is and what is predicted, around the middle of a 128 px picture.

    Attributes:
      hole: side of the missing square in pixels, even.
      overlap: width of the known band around it that is predicted too.
    """

    hole: int = CONTENT
    overlap: int = 4

    def __post_init__(self):
        if self.hole % 2 or not CONTENT <= self.window <= SIZE or self.hole < 2:
            raise InputError(
                f"--hole_size={self.hole} and --overlap={self.overlap}: the hole must be even, and "
                f"with the overlap on both sides {CONTENT} to {SIZE} pixels wide"
            )

    @property
    def window(self):
        """Side of the predicted square."""
        return self.hole + 2 * self.overlap

    @property
    def start(self):
        """Side of the decoder's first map: 4 for a window of 64 px ([1])."""
        return -(-self.window // _GROWTH)

    @property
    def holes(self):
        """The hole as a ``common.pictures.mask_spec.MaskSpec``."""
        return mask_spec.MaskSpec(kinds=("center",), hole_size=self.hole)


def geometry(mask_kind, hole_size, overlap):
    """The ``Geometry`` of ``--mask_kind``, ``--hole_size`` (0: 64) and ``--overlap``.

    Raises:
      InputError: another hole than the centre square, or lengths that do not fit.
    """
    if list(mask_kind) != ["center"]:
        raise InputError(
            f"--mask_kind={','.join(mask_kind)}: the baselines complete the middle alone; give "
            "--mask_kind=center, or one of their flagfiles (flags/papers/pathak2016.flags)"
        )
    return Geometry(hole_size or CONTENT, overlap)
