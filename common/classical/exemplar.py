"""Exemplar-based completion: the hole is put together from patches of the known part.

[1] Barnes, Shechtman, Finkelstein, Goldman: PatchMatch: A Randomized Correspondence Algorithm for
    Structural Image Editing, SIGGRAPH 2009.
[2] Wexler, Shechtman, Irani: Space-Time Completion of Video, PAMI 2007.
"""

import numpy as np

from common.classical import shared
from common.classical.diffusion import fill_telea
from common.errors import InputError

# Patches compared at a time: 20 MB at 7x7 pixels.
CHUNK = 1 << 14
# A patch size with fewer patches to copy from would repeat a single one.
MIN_SOURCES = 16
# How much less a patch counts for each pixel that it lies deeper in the hole [2].
DEPTH_BASE = 1.3


def fill_exemplar(image, hole, patch=7, iterations=6, seed=0):
    """Patches of the known part [2], found by PatchMatch [1].

    From coarse to fine, two steps alternate: every patch that touches the hole looks for the known
    patch most like it, and every missing pixel becomes the mean of what these say of it. A patch
    weighs more the nearer it is to known pixels and to its likeness. Barnes's sweeps, each step of
    which waits for the last, are replaced by steps in which all patches ask their neighbours at
    once, as he suggests for parallel machines.

    Args:
      image, hole: as for `fill_telea`.
      patch: side of a patch in pixels, odd; smaller ones are taken where hardly any is known.
      iterations: at each level; the smallest one gets three times as many.
      seed: of the random search.

    Returns:
      float32 [H, W, 3].
    """
    if patch < 1 or not patch % 2:
        raise InputError(f"exemplar: the patch must be an odd number of pixels, not {patch}")
    rng = np.random.default_rng(seed)
    levels = shared.pyramid(image, hole, depth=2)
    estimate = fill_telea(*levels[0])
    search = None
    for number, (picture, missing) in enumerate(levels):
        coarser, search = search, _PatchMatch(picture, missing, patch, rng)
        if coarser:
            search.start_from(coarser)
            # Copies of this level's patches are sharper than anything enlarged.
            estimate = search.vote(search.depth_weights)
        for _ in range(iterations if number else 3 * iterations):
            distances = search.improve(estimate)
            previous, estimate = estimate, search.vote(search.weights(distances))
            if np.abs(estimate - previous)[missing].mean() < 1e-3:
                break
    return estimate


class _PatchMatch:
    """The field of nearest patches at one level.

    A patch is named by its top left pixel (y, x).

    Attributes:
      size: side of a patch.
      is_source: bool [H - size + 1, W - size + 1], the patches without a missing pixel.
      targets: int [N, 2], all others.
      field: int [N, 2], the source that each target holds for its nearest.
      depth_weights: float32 [N], for `vote`.
    """

    def __init__(self, picture, hole, patch, rng):
        """Starts with a random field; float32 [H, W, 3], bool [H, W], an odd size, a generator."""
        self.picture, self.hole, self.rng = picture, hole, rng
        self.size = patch
        while self.size > 1 and (
            self.size > min(hole.shape) or self._find_sources().sum() < MIN_SOURCES
        ):
            self.size -= 2
        self.is_source = self._find_sources()
        self.targets = np.argwhere(~self.is_source)
        self.number = np.full(self.is_source.shape, -1)
        self.number[~self.is_source] = np.arange(len(self.targets))
        self.sources = np.argwhere(self.is_source)
        self.field = self._random(len(self.targets))
        pixels = np.arange(self.size)
        self.offsets = (pixels[:, None] * hole.shape[1] + pixels).ravel()
        depth = shared.depth_of(hole)[tuple((self.targets + self.size // 2).T)]
        self.depth_weights = (DEPTH_BASE**-depth).astype(np.float32)

    def _find_sources(self):
        return ~shared.windows_of(self.hole, self.size).any(axis=(-2, -1))

    def _random(self, count):
        return self.sources[self.rng.integers(len(self.sources), size=count)]

    def start_from(self, coarser):
        """Takes the field of the picture half as large, doubled, where it has one."""
        middle = (self.targets + self.size // 2) // 2
        parents = coarser._number_of(middle - coarser.size // 2)
        moves = 2 * (coarser.field - coarser.targets)[parents]
        taken = (parents >= 0) & self._allows(self.targets + moves)
        self.field[taken] = (self.targets + moves)[taken]

    def improve(self, estimate):
        """One round of propagation and random search.

        Args:
          estimate: float32 [H, W, 3].

        Returns:
          float32 [N], the squared distance of each target to its source.
        """
        best = self._distances(estimate, np.arange(len(self.targets)), self.field)
        for step in (4, 2, 1):
            for move in ((0, step), (0, -step), (step, 0), (-step, 0)):
                neighbours = self._number_of(self.targets + move)
                self._offer(estimate, best, self.field[neighbours] - move, neighbours >= 0)
        radius = max(self.is_source.shape)
        while radius >= 1:
            moves = np.rint(self.rng.uniform(-radius, radius, self.targets.shape)).astype(int)
            self._offer(estimate, best, self.field + moves, True)
            radius /= 2
        return best

    def _offer(self, estimate, best, candidates, offered):
        """Takes those of the candidates [N, 2] that are nearer than the field, in place."""
        which = np.flatnonzero(offered & self._allows(candidates))
        distances = self._distances(estimate, which, candidates[which])
        nearer = distances < best[which]
        which = which[nearer]
        self.field[which], best[which] = candidates[which], distances[nearer]

    def _inside(self, patches):
        """Which [N, 2] lie in the picture, and all of them moved into it."""
        limit = np.array(self.is_source.shape) - 1
        moved = np.clip(patches, 0, limit)
        return (moved == patches).all(axis=1), tuple(moved.T)

    def _allows(self, patches):
        inside, places = self._inside(patches)
        return inside & self.is_source[places]

    def _number_of(self, patches):
        """The place of patches [N, 2] among the targets, or -1."""
        inside, places = self._inside(patches)
        return np.where(inside, self.number[places], -1)

    def _distances(self, estimate, which, sources):
        """Between targets, by their numbers [M], and sources [M, 2]: float32 [M]."""
        distances = np.empty(len(which), np.float32)
        for start in range(0, len(which), CHUNK):
            chunk = slice(start, start + CHUNK)
            difference = self._pixels(estimate, self.targets[which[chunk]])
            difference -= self._pixels(self.picture, sources[chunk])
            distances[chunk] = np.einsum("npc,npc->n", difference, difference)
        return distances

    def _pixels(self, picture, patches):
        """The pixels of patches [M, 2]: float32 [M, size * size, 3]."""
        first = patches[:, 0] * self.hole.shape[1] + patches[:, 1]
        return picture.reshape(-1, 3)[first[:, None] + self.offsets]

    def weights(self, distances):
        """Wexler's weights, float32 [N]: near to known pixels, near to the source [2]."""
        spread = 2 * max(np.percentile(distances, 75), 1e-6)
        return self.depth_weights * np.exp(-distances / spread)

    def vote(self, weights):
        """Every missing pixel as the weighted mean of the sources that cover it.

        Args:
          weights: float32 [N].

        Returns:
          float32 [H, W, 3], the picture itself outside the hole.
        """
        weights = np.maximum(weights, np.float32(1e-20))[:, None]
        total = np.zeros((*self.hole.shape, 4), np.float32)  # colours and weights
        for offset in np.ndindex(self.size, self.size):
            to, source = tuple((self.targets + offset).T), tuple((self.field + offset).T)
            total[to] += weights * np.insert(self.picture[source], 3, 1, axis=1)
        mean = total[..., :3] / np.maximum(total[..., 3:], np.float32(1e-30))
        return np.where(self.hole[..., None], mean, self.picture)
