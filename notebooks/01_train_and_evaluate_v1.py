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
# # 01: train and evaluate FeatherFace V1
#
# A teacher from nothing, on generated faces: what it is made of, a training of a minute and a half
# on one core, the official protocol, and what it finds. Every step is a command of this project;
# what they write lies in `outputs/` beside this notebook.
#
# So short a training shows how things work, not how good the network is. With real images it is
# `data=widerface data.root=...` and the recipe of that data set:
# [training](../docs/training.md), [data](../docs/data.md).

# %%
from pathlib import Path

import cv2
from IPython.display import Image

from src.comparison import draw_training
from src.detector import load_detector
from src.images.drawing import contact_sheet, draw_faces
from src.stages.process import run_command

TRAINED = Path("outputs/train/notebook_01")
EVALUATED = Path("outputs/evaluate/notebook_01")

# %% [markdown]
# ## The network
#
# Parameters, multiply-adds and the shape of what each part gives, for an image of 320 x 320.

# %%
run_command("summary", ["model=featherface_v1", "height=320", "width=320"], print)

# %% [markdown]
# ## Train it
#
# `experiment=demo` draws 256 images and trains on crops of 160 pixels; `trainer=cpu` makes the run
# one that repeats bit for bit.

# %%
options = ["experiment=demo", "trainer=cpu", "recipe.epochs=12", "recipe.validate_every=4"]
run_command("train", [*options, "run=notebook_01", "logger=csv"], print)

# %% [markdown]
# ## Evaluate it
#
# AP of easy, medium and hard faces, by face size, and by the protocol of COCO.

# %%
best = TRAINED / "checkpoints" / "best.ckpt"
run_command("evaluate", [f"checkpoint={best}", "data=demo", f"hydra.run.dir={EVALUATED}"], print)

# %% [markdown]
# ## Look at it
#
# The loss on the labels, and the AP of each validation:

# %%
draw_training({"V1": TRAINED}, TRAINED / "curves.png")
Image(TRAINED / "curves.png")

# %% [markdown]
# Precision over recall. A curve that ends early belongs to faces that no box found:

# %%
Image(EVALUATED / "pr_curves.png")

# %% [markdown]
# What it finds on validation images with a score of at least 0.3: above with the weights just
# trained, below with those of `flagship`, a third of V1 that was trained on real images. The
# numbers are scores.

# %%
files = sorted(Path("outputs/data/demo/val/images").rglob("*.jpg"))[::16]
photos = [cv2.imread(str(file)) for file in files]
drawn = []
for weights in (best, "flagship"):
    detector = load_detector(weights, score_threshold=0.3)
    for photo in photos:
        boxes, scores, landmarks = detector(photo)
        drawn.append(draw_faces(photo, boxes.numpy(), scores=scores.numpy()))
cv2.imwrite(str(EVALUATED / "faces.png"), contact_sheet(drawn, columns=4, tile=300))
Image(EVALUATED / "faces.png")

# %% [markdown]
# The next notebook, 04, makes a small network of a large one.
