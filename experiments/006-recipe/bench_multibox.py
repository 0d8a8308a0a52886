"""Time of assignment, MultiBox loss and its gradient: the published loop, ours before, ours now.

    OMP_NUM_THREADS=1 python experiments/006-recipe/bench_multibox.py

The published form is one image at a time with a matrix of all priors and faces, cross entropy of
all rows twice and two full sorts (Pytorch_Retinaface, ``layers/modules/multibox_loss.py``; written
again from its description, in pixels, with smooth L1 of positives only). "Before" is revision
55f33b0: one matrix for all faces of the batch, cross entropy of all rows, one full sort. All three
get the same outputs and faces, in turn; gradients stop at the outputs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from src.detection.assignment import MaxIoUAssigner, gather_positives
from src.detection.boxes import pairwise_iou, to_corners
from src.detection.coding import encode_boxes, encode_landmarks
from src.detection.losses import (
    HardNegativeCrossEntropy,
    SmoothL1Boxes,
    SmoothL1Landmarks,
    WeightedTerms,
)
from src.detection.priors import Priors, PriorSpec, priors_for
from src.types import Assignment, Matched, Outputs, Targets

WEIGHTS = {"box": 2.0, "class": 1.0, "landmark": 1.0}
Result = tuple[Tensor, Tensor]
"""Loss and labels."""
Variant = Callable[[Priors, Outputs, Targets], Result]


def published(priors: Priors, outputs: Outputs, targets: Targets) -> Result:
    """One image after the other."""
    corners = to_corners(priors.boxes_cxcywh)
    images, rows = outputs.logits.shape[:2]
    labels = torch.zeros(images, rows, dtype=torch.long)
    boxes = torch.zeros(images, rows, 4)
    points = torch.zeros(images, rows, 10)
    pointed = torch.zeros(images, rows, dtype=torch.bool)
    for image in range(images):
        mine = targets.image_index == image
        faces = targets.boxes[mine]
        if not len(faces):
            continue
        overlaps = pairwise_iou(faces, corners)
        best_overlap, best_prior = overlaps.max(dim=1)
        valid = best_overlap >= 0.2
        if not valid.any():
            continue
        overlap, face = overlaps.max(dim=0)
        overlap.index_fill_(0, best_prior[valid], 2)
        for index in range(len(best_prior)):
            if valid[index]:
                face[best_prior[index]] = index
        labels[image] = overlap >= 0.35
        boxes[image] = encode_boxes(faces[face], priors.boxes_cxcywh, priors.variances)
        points[image] = encode_landmarks(
            targets.landmarks[mine][face], priors.boxes_cxcywh, priors.variances
        )
        pointed[image] = targets.has_landmarks[mine][face]

    positive = labels > 0
    known = (positive & pointed)[..., None].expand_as(points)
    landmark = F.smooth_l1_loss(outputs.landmarks[known], points[known], reduction="sum")
    place = positive[..., None].expand_as(boxes)
    box = F.smooth_l1_loss(outputs.deltas[place], boxes[place], reduction="sum")

    flat = outputs.logits.view(-1, 2)
    largest = flat.detach().max()
    hardness = torch.log((flat - largest).exp().sum(1, keepdim=True)) + largest
    hardness = (hardness - flat.gather(1, labels.view(-1, 1))).view(images, rows)
    hardness = hardness.masked_fill(positive, 0)
    _, order = hardness.sort(1, descending=True)
    _, rank = order.sort(1)
    count = positive.long().sum(1, keepdim=True)
    negative = rank < (7 * count).clamp(max=rows - 1)
    chosen = positive | negative
    entropy = F.cross_entropy(
        outputs.logits[chosen[..., None].expand_as(outputs.logits)].view(-1, 2),
        labels[chosen],
        reduction="sum",
    )
    num = max(int(positive.sum()), 1)
    num_points = max(int((positive & pointed).sum()), 1)
    return 2 * box / num + entropy / num + landmark / num_points, labels


def assign_before(priors: Priors, outputs: Outputs, targets: Targets) -> Assignment:
    """:class:`MaxIoUAssigner` of revision 55f33b0."""
    shape = outputs.logits.shape[:2]
    overlaps = pairwise_iou(targets.boxes, to_corners(priors.boxes_cxcywh))
    usable = ~targets.ignore
    best, face_index = best_face(overlaps.where(usable[:, None], -1.0), targets, shape)
    labels = (best >= 0.35).to(torch.int8)
    ignored, _ = best_face(overlaps.where(targets.ignore[:, None], -1.0), targets, shape)
    labels.masked_fill_((ignored >= 0.35) & (labels == 0), -1)
    best_overlap, best_prior = overlaps.max(dim=1)
    forced = usable & (best_overlap >= 0.2)
    claim = torch.full(shape, -1).flatten()
    claim = claim.scatter_reduce(
        0,
        targets.image_index * shape[1] + best_prior,
        torch.arange(len(overlaps)).where(forced, -1),
        "amax",
    ).view(shape)
    claimed = claim >= 0
    return Assignment(claim.where(claimed, face_index), labels.masked_fill(claimed, 1))


def best_face(overlaps: Tensor, targets: Targets, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Of the same revision."""
    rows = targets.image_index[:, None].expand_as(overlaps)
    best = overlaps.new_full(shape, -1.0).scatter_reduce(0, rows, overlaps, "amax")
    faces = torch.arange(len(overlaps))[:, None].expand_as(overlaps)
    candidates = faces.where(overlaps == best[targets.image_index], len(overlaps))
    index = torch.full(shape, len(overlaps)).scatter_reduce(0, rows, candidates, "amin")
    return best, index.where(best >= 0, 0)


def cross_entropy_before(outputs: Outputs, matched: Matched) -> Tensor:
    """:class:`HardNegativeCrossEntropy` of the same revision."""
    positive, negative = matched.positive, matched.negative
    loss = F.cross_entropy(
        outputs.logits.float().flatten(0, 1), positive.long().flatten(), reduction="none"
    ).view(positive.shape)
    wanted = (positive.sum(dim=1) * 7).clamp(min=7)
    order = loss.detach().where(negative, -torch.inf).argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(loss.shape[1]).expand_as(order))
    chosen = positive | (negative & (rank < wanted[:, None]))
    return loss.where(chosen, 0).sum() / positive.sum().clamp(min=1)


def ours(
    assign: Callable[..., Assignment], entropy: Callable[..., Tensor]
) -> Callable[..., Result]:
    """Assignment and loss in this repository's form."""
    loss = WeightedTerms(
        {"box": SmoothL1Boxes(), "class": entropy, "landmark": SmoothL1Landmarks()}, WEIGHTS
    )

    def run(priors: Priors, outputs: Outputs, targets: Targets) -> Result:
        with torch.no_grad():
            assignment = assign(priors, outputs, targets)
            matched = gather_positives(assignment, priors, targets)
        return loss(outputs, matched).total, assignment.labels

    return run


def random_faces(images: int, side: int, per_image: int) -> Targets:
    """Faces of 6 px to half of the image, most of them small, none flagged."""
    num = images * per_image
    size = 6 * (side / 12) ** torch.rand(num, 1).square() * (0.8 + 0.4 * torch.rand(num, 2))
    low = torch.rand(num, 2) * (side - size)
    return Targets(
        torch.cat([low, low + size], dim=1),
        low[:, None] + torch.rand(num, 5, 2) * size[:, None],
        torch.rand(num) < 0.6,
        torch.zeros(num, dtype=torch.bool),
        torch.arange(num) // per_image,
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--images", type=int, default=32)
    arguments.add_argument("--faces", type=int, default=12, help="of each image")
    arguments.add_argument("--rounds", type=int, default=7)
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    variants = {
        "published": published,
        "before": ours(assign_before, cross_entropy_before),
        "now": ours(MaxIoUAssigner(), HardNegativeCrossEntropy()),
    }
    print(f"{chosen.images} images with {chosen.faces} faces, {chosen.rounds} rounds, one thread")
    for side in (320, 640):
        torch.manual_seed(0)
        priors = priors_for(PriorSpec(), (side, side), torch.device("cpu"))
        targets = random_faces(chosen.images, side, chosen.faces)
        times: dict[str, list[float]] = {name: [] for name in variants}
        results: dict[str, Result] = {}
        for turn in range(chosen.rounds + 1):  # the first warms up
            values = [torch.randn(chosen.images, len(priors.boxes_cxcywh), k) for k in (4, 2, 10)]
            for name, run in variants.items():
                outputs = Outputs(*(each.clone().requires_grad_() for each in values))
                start = time.process_time()
                results[name] = run(priors, outputs, targets)
                results[name][0].backward()
                if turn:
                    times[name].append(time.process_time() - start)
        base = statistics.median(times["published"])
        for name, of_name in times.items():
            loss, labels = results[name]
            same = (labels.long() == results["published"][1]).float().mean().item()
            apart = abs(loss.item() / results["published"][0].item() - 1)
            median = statistics.median(of_name)
            print(
                f"{side} px {name:10} {median * 1e3:7.1f} ms  x{base / median:5.2f}  "
                f"labels equal {same:.6f}  loss apart {apart:.1e}"
            )


if __name__ == "__main__":
    main()
