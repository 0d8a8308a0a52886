# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04: distil, search and prune Nano-B
#
# The three phases of the method on generated faces, in a few minutes: a student learns from a
# teacher, a search finds how much of each of its parts can go, and what is left is trained on. What
# the commands write lies in `outputs/` beside this notebook.
#
# The teacher is `flagship`, the trained network that comes with the project, so this notebook
# stands alone; the `best.ckpt` of notebook 01 could take its place. Budgets are tiny: this shows
# how the phases fit together, not what they reach. `python -m src.pipeline` runs all of it in one
# command: [the whole in one command](../docs/pipeline.md).

# %%
import json
from pathlib import Path

import cv2
from IPython.display import Image

from src.comparison import draw_training
from src.detector import load_detector
from src.images.drawing import contact_sheet, draw_faces
from src.report.charts import COLORS, new_chart, save_chart
from src.stages.process import run_command

TEACHER = "flagship"
STUDENT = Path("outputs/train/notebook_04_student/checkpoints/best.ckpt")
SEARCH = Path("outputs/sweeps/notebook_04")
PRUNED = Path("outputs/train/notebook_04_pruned/checkpoints/best.ckpt")
MEASURED = Path("outputs/measure/notebook_04")

# %% [markdown]
# ## Phase 1: distil
#
# `kd=weighted`, which the experiment sets, minimises 0.7 of what differs from the teacher and 0.3
# of what differs from the labels: [distillation](../docs/distillation.md).

# %%
student = [
    "experiment=demo_student",
    "model=nano_b",
    "init.backbone=null",
    "run=notebook_04_student",
]
budget = ["trainer=cpu", "logger=csv", "recipe.epochs=8", "recipe.validate_every=4"]
run_command("train", [*student, *budget, f"kd.teacher={TEACHER}"], print)

# %% [markdown]
# ## Phase 2: search
#
# Six trials, each of which prunes the student to 180,000 parameters, trains it for 24 steps and
# measures the loss on images set aside. The first prunes all groups alike; the last two are what
# a Gaussian process of the others proposes. A search for use has 25: [search](../docs/search.md).

# %%
search = ["search=demo", f"study={SEARCH.name}", f"checkpoint={STUDENT}"]
run_command(
    "sweep_pruning", [*search, "pruning.parameters=180000", "hydra.sweeper.n_trials=6"], print
)

# %%
trials = [
    json.loads((SEARCH / str(number) / "objective.json").read_text())["values"][0]
    for number in range(6)
]
chosen = json.loads((SEARCH / "results.json").read_text())["best"]
chart = new_chart(6, 3.2)
axes = chart.subplots()
axes.plot(range(6), trials, "o", color=COLORS[0], label="trial")
axes.plot(chosen, trials[chosen], "o", color=COLORS[1], label="chosen")
axes.set(xlabel="trial; the first prunes all groups alike", ylabel="loss on images set aside")
axes.legend(frameon=False)
save_chart(chart, SEARCH / "trials.png")
Image(SEARCH / "trials.png")

# %% [markdown]
# ## Phase 3: prune and fine-tune
#
# Filters go as the search found, in widths that are multiples of 8; the teacher helps what is left.

# %%
pruning = ["experiment=demo_pruned", f"pruning={SEARCH}/best", f"init.model={STUDENT}"]
run_command(
    "train",
    [*pruning, f"kd.teacher={TEACHER}", "trainer=cpu", "logger=csv", "run=notebook_04_pruned"],
    print,
)
Image("outputs/train/notebook_04_pruned/pictures/widths.png")

# %% [markdown]
# ## What came of it
#
# Size, work, AP and the time of one image, side by side:

# %%
checkpoints = f"checkpoints=[{TEACHER},{STUDENT},{PRUNED}]"
run_command("measure", [checkpoints, "data=demo", "rounds=3", f"hydra.run.dir={MEASURED}"], print)

# %%
runs = {"student": STUDENT.parents[1], "pruned": PRUNED.parents[1]}
draw_training(runs, MEASURED / "training.png")
Image(MEASURED / "training.png")

# %% [markdown]
# What teacher, student and pruned student find on the same images, from above, with a score of at
# least 0.3:

# %%
files = sorted(Path("outputs/data/demo/val/images").rglob("*.jpg"))[::16]
photos = [cv2.imread(str(file)) for file in files]
drawn = []
for weights in (TEACHER, STUDENT, PRUNED):
    detector = load_detector(weights, score_threshold=0.3)
    for photo in photos:
        boxes, scores, landmarks = detector(photo)
        drawn.append(draw_faces(photo, boxes.numpy(), scores=scores.numpy()))
cv2.imwrite(str(MEASURED / "faces.png"), contact_sheet(drawn, columns=4, tile=300))
Image(MEASURED / "faces.png")
