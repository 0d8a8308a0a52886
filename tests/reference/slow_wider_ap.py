"""The WIDER FACE protocol written down a second time, as plain loops, to check the fast one.

It shares no code with src/evaluation and follows the published steps one at a time: every
threshold of every image is looked at on its own. Minutes on a full validation set; meant for
small cases.
"""

from __future__ import annotations

import math

NUM_THRESHOLDS = 1000
BUCKETS = {
    "size_0_16": (0, 16),
    "size_16_32": (16, 32),
    "size_32_96": (32, 96),
    "size_96_inf": (96, math.inf),
}


def slow_wider_ap(predictions, truth) -> dict[str, float]:
    """AP of every setting. Takes what ``src.evaluation.wider_ap`` takes, arrays or nested lists."""
    scaled = scale_scores({name: [list(row) for row in rows] for name, rows in predictions.items()})
    metrics = {}
    for setting in ("easy", "medium", "hard", *BUCKETS):
        curve = [[0, 0] for _ in range(NUM_THRESHOLDS)]
        num_faces = 0
        for name, image in truth.items():
            faces = [[float(v) for v in box] for box in image.boxes_xywh]
            counted = counted_faces(setting, image, faces)
            num_faces += sum(counted)
            rows = scaled.get(name, [])
            if not faces or not rows:
                continue
            proposals, found = match(rows, faces, counted, BUCKETS.get(setting))
            for t in range(NUM_THRESHOLDS):
                threshold = 1 - (t + 1) / NUM_THRESHOLDS
                reaching = [h for h, row in enumerate(rows) if row[4] >= threshold]
                if reaching:
                    last = reaching[-1]
                    curve[t][0] += sum(proposals[: last + 1])
                    curve[t][1] += found[last]
        metrics[f"ap_{setting}"] = area(curve, num_faces)
    metrics["ap"] = (metrics["ap_easy"] + metrics["ap_medium"] + metrics["ap_hard"]) / 3
    return metrics


def scale_scores(predictions):
    low, high = 1, 0
    for rows in predictions.values():
        for row in rows:
            low, high = min(low, row[4]), max(high, row[4])
    for rows in predictions.values():
        for row in rows:
            row[4] = (row[4] - low) / (high - low) if high > low else 1.0
    return predictions


def counted_faces(setting, image, faces):
    if setting not in BUCKETS:
        return [bool(flag) for flag in getattr(image, setting)]
    return [
        bool(hard) and in_bucket(face, BUCKETS[setting])
        for hard, face in zip(image.hard, faces, strict=True)
    ]


def in_bucket(box, bucket):
    area_of_box = max(box[2], 0) * max(box[3], 0)
    return bucket[0] ** 2 <= area_of_box < bucket[1] ** 2


def match(rows, faces, counted, bucket):
    """For each detection: is it a proposal, and how many counted faces are found so far."""
    is_found = [False] * len(faces)
    proposals, found = [], []
    for row in rows:
        best, best_iou = 0, -1.0
        for k, face in enumerate(faces):
            overlap = iou(row, face)
            if overlap > best_iou:
                best, best_iou = k, overlap
        proposal = 1
        if best_iou >= 0.5:
            if not counted[best]:
                proposal = 0
            else:
                is_found[best] = True
        elif bucket is not None and not in_bucket(row, bucket):
            proposal = 0
        proposals.append(proposal)
        found.append(sum(is_found))
    return proposals, found


def iou(a, b):
    ax2, ay2, bx2, by2 = a[0] + a[2], a[1] + a[3], b[0] + b[2], b[1] + b[3]
    width = min(ax2, bx2) - max(a[0], b[0]) + 1
    height = min(ay2, by2) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    area_a = (ax2 - a[0] + 1) * (ay2 - a[1] + 1)
    area_b = (bx2 - b[0] + 1) * (by2 - b[1] + 1)
    return width * height / (area_a + area_b - width * height)


def area(curve, num_faces):
    if num_faces == 0:
        return math.nan
    recall = [0.0] + [found / num_faces for _, found in curve] + [1.0]
    precision = [0.0] + [found / seen if seen else 0.0 for seen, found in curve] + [0.0]
    total = 0.0
    for i in range(len(recall) - 1, 0, -1):
        precision[i - 1] = max(precision[i - 1], precision[i])
        total += (recall[i] - recall[i - 1]) * precision[i]
    return total
