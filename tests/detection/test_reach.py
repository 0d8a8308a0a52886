"""Pairs of faces and priors that are found on the grids, against all pairs."""

from __future__ import annotations

import pytest
import torch

from src.detection.boxes import box_sides, pairwise_iou, to_corners
from src.detection.priors import PriorSpec, make_priors, priors_for
from src.detection.reach import near_pairs, overlapping_pairs, pairs_within

CPU = torch.device("cpu")
SPECS = [PriorSpec(), PriorSpec(sizes=[[8, 16, 24], [32, 48, 64], [96, 160, 256]])]
FACES = torch.tensor([
    [10.0, 12, 22, 25],  # inside
    [0, 0, 200, 120],  # the whole image
    [-300, -40, -290, -30],  # far outside
    [90, 110, 140, 160],  # over the edge
    [50, 50, 50, 50],  # empty
    [20, 60, 24, 64],  # smaller than any prior
    [0, 40, 180, 44],  # a line
    [1e6, 1e6, 1e6 + 9, 1e6 + 9],
])  # fmt: skip


@pytest.fixture(params=SPECS, ids=["two", "three"])
def spec(request):
    return request.param


def faces(count: int = 40) -> torch.Tensor:
    torch.manual_seed(1)
    low = torch.rand(count, 2) * 140 - 20
    side = 3 * 60 ** torch.rand(count, 1) * (0.5 + torch.rand(count, 2))
    return torch.cat([FACES, torch.cat([low, low + side], dim=1)])


def as_matrix(pairs, num_faces: int, num_priors: int) -> torch.Tensor:
    assert (pairs.face.diff() >= 0).all()
    matrix = torch.zeros(num_faces, num_priors, dtype=torch.int)
    matrix.index_put_((pairs.face, pairs.prior), torch.ones((), dtype=torch.int), accumulate=True)
    assert matrix.max() <= 1  # each pair once
    return matrix == 1


def test_grids_are_those_of_the_priors(spec):
    priors = priors_for(spec, (100, 135), CPU)
    found = torch.zeros_like(priors.boxes_cxcywh)
    kinds = zip(*(values.tolist() for values in priors.grids), strict=True)
    for stride, side, rows, columns, first, step in kinds:
        for row in range(rows):
            for column in range(columns):
                cell = [(column + 0.5) * stride, (row + 0.5) * stride, side, side]
                found[first + (row * columns + column) * step] = torch.tensor(cell)
    assert torch.equal(found, make_priors(spec, 100, 135))


@pytest.mark.parametrize("least", [0.02, 0.1, 0.2, 0.35, 0.7])
def test_overlaps(spec, least):
    priors = priors_for(spec, (100, 135), CPU)
    boxes = faces()
    overlaps = pairwise_iou(boxes, to_corners(priors.boxes_cxcywh))
    pairs, found = overlapping_pairs(priors, boxes, least)
    assert torch.equal(as_matrix(pairs, *overlaps.shape), overlaps >= least)
    assert torch.equal(found, overlaps[pairs.face, pairs.prior])  # bit for bit


@pytest.mark.parametrize("inside", [False, True])
def test_near(spec, inside):
    priors = priors_for(spec, (100, 135), CPU)
    boxes = faces()
    sides = box_sides(boxes)
    pairs = near_pairs(priors, boxes, sides, inside=inside)
    found = as_matrix(pairs, len(boxes), len(priors.boxes_cxcywh))
    stride_of = {s: stride for level, stride in zip(spec.sizes, spec.strides, strict=True)
                 for s in level}  # fmt: skip
    for i, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
        for j, (x, y, side, _) in enumerate(priors.boxes_cxcywh.tolist()):
            fits = 1 / 4 <= float(sides[i]) / side <= 4
            close = max(abs(x - cx), abs(y - cy)) <= stride_of[side]
            within = inside and x1 <= x <= x2 and y1 <= y <= y2
            assert bool(found[i, j]) == (fits and (close or within)), (i, j)


def test_kinds_and_no_faces(spec):
    priors = priors_for(spec, (100, 135), CPU)
    kinds = len(priors.grids.first)
    pairs = pairs_within(priors, FACES, torch.full((len(FACES), kinds, 2), 1e4))
    assert torch.equal(priors.boxes_cxcywh[pairs.prior, 2], priors.grids.sides[pairs.kind])
    assert len(pairs_within(priors, FACES, torch.full((len(FACES), kinds, 2), -1.0)).face) == 0
    assert len(overlapping_pairs(priors, FACES[:0], 0.1)[0].face) == 0
