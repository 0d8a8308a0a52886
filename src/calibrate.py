"""Move the scores of a network to where a threshold of 0.5 makes sense.

``python -m src.calibrate checkpoint=... data=widerface data.root=...``; ``--help`` lists the
options.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from src import checkpoint
from src.cli import command
from src.cli.targets import instantiate
from src.data.datamodule import FaceDataModule
from src.evaluation.calibration import Operation, even_logit, judge, operate, raised
from src.evaluation.curves import draw_operation
from src.report.tables import text_table
from src.runs.files import write_json
from src.runs.processes import check_one_device
from src.runs.record import record
from src.training.detections import BestDetections
from src.training.evaluator import score

log = logging.getLogger(__name__)

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)


def calibrate(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Calibrate what ``config`` names; writes ``calibrated.ckpt`` and ``calibration.json``.

    Returns:
        The content of ``calibration.json``: ``even_score``, the score from 0 to 1 at which a box
        was as likely right as wrong; ``raised``, what was added to the logit of every score; for
        ``before`` and ``after`` what :func:`src.evaluation.calibration.operate` gives for each of
        :data:`THRESHOLDS`; ``images`` and ``faces`` it was measured on.
    """
    instead = f"python -m src.calibrate checkpoint={config.checkpoint} trainer.devices=1 works"
    check_one_device(config.trainer, "to calibrate a network", instead)
    model, facts = checkpoint.load(config.checkpoint)
    record(folder, config)
    datamodule: FaceDataModule = instantiate(config.data, _convert_="all")
    found = BestDetections(config.decoder.top_k)
    result = score(
        model, datamodule, decoder=instantiate(config.decoder),
        views=instantiate(config.views, _convert_="all"), trainer=config.trainer, callbacks=[found],
    )  # fmt: skip
    judged = judge(found.rows, datamodule.truth())
    even = even_logit(judged)
    model.raise_scores(-even)
    file = folder / "calibrated.ckpt"
    # The AP there was is that of the new scores, too, and so are the revision and the versions.
    kept = {name: facts[name] for name in ("metrics", "revision", "versions") if name in facts}
    checkpoint.save(file, model, **kept, calibration={"raised": -even})
    moved = raised(judged, -even)
    before, after = ([operate(each, at) for at in THRESHOLDS] for each in (judged, moved))
    draw_operation({"before": judged, "after": moved}, folder / "calibration.png")
    results = {
        "even_score": 1 / (1 + math.exp(-even)), "raised": -even,
        "before": [each._asdict() for each in before], "after": [each._asdict() for each in after],
        "images": result.num_images, "faces": judged.num_faces,
    }  # fmt: skip
    write_json(folder / "calibration.json", results)
    log.info(
        "as likely right as wrong is a box of score %.3f, which becomes 0.5; on %d images:\n%s",
        results["even_score"], result.num_images, operations_table(before, after),
    )  # fmt: skip
    log.info("calibrated network: %s", file)
    return results


def operations_table(before: list[Operation], after: list[Operation]) -> str:
    """Precision, recall and boxes beside faces at each threshold, before and after."""
    rows = [
        [f"{one.threshold:g}", *(f"{100 * value:.1f}" for value in (one.precision, one.recall)),
         f"{one.wrong:,}", *(f"{100 * value:.1f}" for value in (two.precision, two.recall)),
         f"{two.wrong:,}"]
        for one, two in zip(before, after, strict=True)
    ]  # fmt: skip
    columns = ["precision", "recall", "wrong"]
    return text_table(["threshold", *columns, *(f"{name} after" for name in columns)], rows)


main = command("calibrate", calibrate)


if __name__ == "__main__":
    main()
