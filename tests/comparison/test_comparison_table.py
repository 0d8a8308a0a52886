from __future__ import annotations

import re

from fabricated_runs import fabricate, finish

from src.comparison import compare_settings, group_runs, markdown, read_runs

GOLDEN = """\
| setting | seeds | parameters | AP easy | AP medium | AP hard | AP mean | difference (mean) |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| `kd=none` | 2 | 489,015 | 80.00 ± 1.41 | 70.00 ± 0.00 | 30.00 ± 0.00 | 60.00 ± 0.47 | base |
| `kd=weighted` | 2 | 489,015 | 83.00 ± 2.83 | 70.00 ± 0.00 | 30.00 ± 0.00 | 61.00 ± 0.94 | \
+1.00 ± 4.24 |
| `kd=fixed` | 1 | 489,015 | 81.00 | n/a | 30.00 | n/a | n/a |

| difference to `kd=none` | AP easy | AP medium | AP hard |
| --- | ---: | ---: | ---: |
| `kd=weighted` | +3.00 ± 12.71 | +0.00 ± 0.00 | +0.00 ± 0.00 |
| `kd=fixed` | +1.00 ± n/a | n/a | +0.00 ± n/a |

| teacher beside | AP easy | AP medium | AP hard | AP mean | gap easy | gap medium | gap hard | \
gap mean |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| `kd=weighted` | 90.00 | 75.00 | 45.00 | 70.00 | +7.00 | +5.00 | +15.00 | +9.00 |

![AP of each setting, differences and learning curves](picture.png)

- Runs: `python -m src.train recipe.epochs=3`, with the settings above; seeds see the settings.
  - `kd=none`: seeds 0, 1.
  - `kd=weighted`: seeds 0, 1.
  - `kd=fixed`: seeds 0.
- Revision abc123; torch 2.8.
- Data faces, validation images: 40; optimizer steps: 20.

- AP in per cent, of each run's best checkpoint, chosen on the same validation images. ± of an AP \
is the standard deviation over seeds; one seed has none.
- ± of a difference is half of the 95 % t-interval of the mean difference, paired by seed.
- n/a: one seed tells nothing about the uncertainty of a difference.
- Each interval stands for itself: it is not widened for the number of settings.
- Gap: AP of the teacher minus that of its student, on the same images.

Beware:

- the settings were not run with the same seeds: such differences are not paired

Left out:

- `m/5`, unfinished: it has no metrics.json
"""


def report(folder) -> str:
    runs, left_out = read_runs([folder])
    text = markdown(compare_settings(group_runs(runs), left_out=left_out), picture="picture.png")
    # Columns are aligned in the file; what is in them is the same without.
    aligned = [line for line in text.splitlines() if line.startswith("|")]
    for line in aligned:
        text = text.replace(line, re.sub(r"-{3,}", "---", re.sub(" +", " ", line)))
    return text


def test_golden(tmp_path):
    folder, common = tmp_path / "m", "recipe.epochs=3"
    for seed, (plain, distilled) in enumerate([(0.79, 0.81), (0.81, 0.85)]):
        fabricate(folder / f"{2 * seed}", common, "kd=none", f"seed={seed}", ap=(plain, 0.7, 0.3))
        fabricate(
            folder / f"{2 * seed + 1}", common, "kd=weighted", f"seed={seed}",
            ap=(distilled, 0.7, 0.3), teacher_ap=(0.9, 0.75, 0.45),
        )  # fmt: skip
    last = fabricate(folder / "4", common, "kd=fixed", config={"kd": {"weight": 1}})
    finish(last, {"ap_easy": 0.81, "ap_medium": None, "ap_hard": 0.3, "ap": None})
    fabricate(folder / "5", common, ap=None)
    assert report(folder) == GOLDEN


def test_unpaired_differences_are_marked(tmp_path):
    for number, seed in enumerate((0, 1, 1, 2)):
        kd = "none" if number < 2 else "weighted"
        fabricate(tmp_path / str(number), f"kd={kd}", f"seed={seed}", ap=(0.1 * number, 0.5, 0.5))
    text = report(tmp_path)
    # Variances 0.005 each: the error is 0.0707 with 2 degrees of freedom, t = 4.302653.
    assert "| `kd=weighted` | +20.00 ± 30.42 † | +0.00 ± 0.00 † | +0.00 ± 0.00 † |" in text
    assert "- †: not the same seeds, so half of the 95 % interval of Welch's t-test" in text
    assert "paired by seed" not in text


def test_one_setting_needs_no_differences(tmp_path):
    text = report(fabricate(tmp_path / "a", parameters=None))
    assert "| `all runs` | 1 | n/a | 90.00 | 80.00 | 40.00 | 70.00 | base |" in text
    assert "difference to" not in text
    assert "Left out" not in text


def test_a_pipe_does_not_break_the_table(tmp_path):
    for number, name in enumerate(("a|b", "c")):
        fabricate(tmp_path / str(number), f"model.name='{name}'")
    assert r"| `model.name=a\|b` | 1 |" in report(tmp_path)
