"""A real photograph to try things on, without a download.

Matplotlib brings a portrait of Grace Hopper, an official photograph of the U.S. Navy and as such in
the public domain.
"""

from common.pictures.images import read_image, resize

NAME = "grace_hopper"

# In the 512x600 pixels of the file the pupils lie at (221, 190) and (304, 188). This square puts
# them where CelebA's aligned faces have them: 0.388 and 0.607 of its width, 0.511 of its height.
LEFT, TOP, SIDE = 79, 0, 370


def portrait(size):
    """The face of Grace Hopper, cut like one of CelebA's aligned faces.

    Args:
      size: side of the square, in pixels.

    Returns:
      float32 [size, size, 3], RGB in [0, 1].

    Raises:
      InputError: matplotlib came without its sample data, or the size is not positive.
    """
    import matplotlib.cbook  # for the sample alone

    path = matplotlib.cbook.get_sample_data(f"{NAME}.jpg", asfileobj=False)
    image = read_image(path)
    return resize(image[TOP : TOP + SIDE, LEFT : LEFT + SIDE], size, size)
