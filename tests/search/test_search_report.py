from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from src.report.charts import column_chart
from src.search.choice import choose
from src.search.report.figures import draw_history
from src.search.report.slices import draw_slice, slices
from src.search.report.trials import duration, number, read_search
from src.search.report.writer import importances, write_sweep_report

SPACE = {
    "optimizer.lr": FloatDistribution(1e-4, 1e-1, log=True),
    "model.depth": IntDistribution(1, 4),
    "kd": CategoricalDistribution(["none", "a<b> & $c$"]),
}
HEADINGS = ["Chosen trial", "History", "Settings", "Importance of the settings", "Cost",
            "Widths of the chosen trial", "Trials"]  # fmt: skip


class Page(HTMLParser):
    """What a reader sees: headings, rows of tables, pictures, and tags that are left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.open, self.rows, self.pictures = text, [], [], []
        self.headings: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.pictures.append(dict(attrs)["alt"])
        elif tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "h2":
            self.headings.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        if self.open and self.open[-1] == "h2":
            self.headings[-1] += data

    def row(self, first: str, *others: str) -> list[str]:
        found = [r for r in self.rows if r[: 1 + len(others)] == [first, *others]]
        assert len(found) == 1, (first, self.rows)
        return found[0]


def made(number, *values, state=TrialState.COMPLETE, **attrs):
    """Trial ``number``, at a point of its own."""
    rng = np.random.default_rng(number)
    params = {
        "optimizer.lr": float(10 ** rng.uniform(-4, -1)),
        "model.depth": 1 + number % 4,
        "kd": str(SPACE["kd"].choices[number // 2 % 2]),
    }
    return create_trial(
        state=state, params=params, distributions=SPACE, values=list(values) or None,
        user_attrs=attrs,
    )  # fmt: skip


def study_of(*trials, directions=("minimize",)):
    study = optuna.create_study(study_name="s<1>", directions=list(directions))
    study.add_trials(trials)
    return study


def full(count=12):
    """As a search of pruning rates leaves it: a probe, one failure, one answer from the cache."""
    costs = {"multiply_adds": 950_000_000, "realised_rates": {"depth": 0.40625}}
    costs["widths"] = [{"name": "stem", "group": "early", "before": 16, "after": 9}]
    trials = [
        made(n, 3.0 + 0.25 * n % 1.0, parameters=180_000 + n, seconds=60.0, **costs)
        for n in range(count)
    ]
    trials[0].set_user_attr("design", "probe")
    trials[0].value = 4.5
    trials[3] = made(3, state=TrialState.FAIL, error="box is <nan>; lower lr")
    trials[7] = made(7, trials[6].value, cached_from=6, seconds=60.0)
    trials[8] = made(8, 3.9, state=TrialState.PRUNED)
    return study_of(*trials)


def written(study, tmp_path, *, distributions=SPACE, **options):
    try:
        chosen = choose(study.trials, distributions, direction=study.directions[0])
    except ValueError:
        chosen = None
    path = tmp_path / "new" / "report.html"
    write_sweep_report(
        study, path, distributions=distributions, chosen=chosen, title="A & B",
        what="held-out loss", **options,
    )  # fmt: skip
    return Page(path.read_text(encoding="utf-8")), chosen


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study of all that happens, the page about it, and the choice."""
    study = full()
    return study, *written(study, tmp_path_factory.mktemp("sweep"), probe="uniform plan")


def test_has_every_section_and_is_complete_in_itself(whole):
    _, page, _ = whole
    assert page.headings == HEADINGS
    assert len(page.pictures) == 8
    words = re.sub(r"base64,[^\"]*", "", page.text)
    for loading in ("http", "<script", "<link", "@import", "url("):
        assert loading not in words
    assert set(re.findall(r'src="([^,]*),', page.text)) == {"data:image/svg+xml;base64"}
    assert len(page.text) < 1_500_000


def test_tells_the_choice_from_the_luckiest_and_the_probe(whole):
    study, page, chosen = whole
    own = chosen.trial.number
    mean, deviation = chosen.means[own], chosen.deviations[own]
    row = page.row("chosen")
    assert row[1:3] == [str(own), number(chosen.trial.value)]
    assert float(row[3].split(" ± ")[0]) == pytest.approx(mean, abs=deviation / 10)
    assert float(row[3].split(" ± ")[1]) == pytest.approx(deviation, rel=0.06)
    assert row[4:] == [f"{180_000 + own:,}", "950,000,000"]
    assert page.row("best measured")[1] == str(study.best_trial.number)
    assert page.row("uniform plan")[1:3] == ["0", "4.5"]
    assert f"({1 - mean / chosen.means[0]:.1%}) below the uniform plan, trial 0." in page.text
    assert page.row("model.depth")[2] == "0.4062"  # realised


def test_counts(whole):
    _, page, _ = whole
    for count, name in ((12, "trials"), (10, "complete"), (1, "failed"), (1, "given up"),
                        (1, "from the cache")):  # fmt: skip
        assert f"<li><b>{count}</b>{name}</li>" in page.text
    assert "<li><b>9 min</b>spent in trials</li>" in page.text  # without the cached one


def test_lists_all_trials(whole):
    study, page, _ = whole
    head = page.row("trial", "lr")
    assert head == ["trial", "lr", "depth", "kd", "held-out loss", "posterior mean", "parameters",
                    "multiply-adds", "time", "state"]  # fmt: skip
    for trial in study.trials:
        row = dict(zip(head, page.row(str(trial.number), number(trial.params["optimizer.lr"])),
                       strict=True))  # fmt: skip
        assert row["depth"] == str(trial.params["model.depth"])
        assert row["kd"] == trial.params["kd"]
        assert row["held-out loss"] == ("" if trial.value is None else number(trial.value))
    states = [page.row(str(n), number(study.trials[n].params["optimizer.lr"]))[-1]
              for n in (0, 3, 7, 8)]  # fmt: skip
    assert states == ["complete", "failed: box is <nan>; lower lr", "as trial 6", "given up"]


def test_escapes(whole):
    _, page, _ = whole
    for text in ("s&lt;1&gt;", "a&lt;b&gt; &amp; $c$", "box is &lt;nan&gt;", "<h1>A &amp; B</h1>"):
        assert text in page.text
    assert "<nan>" not in page.text


@pytest.mark.parametrize(
    ("trials", "headings", "says"),
    [
        ([], [], "No trial is complete yet."),
        ([made(0, state=TrialState.FAIL, error="no memory")], ["History", "Trials"],
         "the table says what failed"),
        ([made(0, state=TrialState.RUNNING)], ["History", "Trials"], "<b>1</b>not finished"),
        ([made(0, 3.0)], [*HEADINGS[:4], "Trials"], "has the lowest held-out loss measured."),
        ([made(0, 3.0), made(1, 2.0)], [*HEADINGS[:4], "Trials"], "need at least 4 complete"),
        ([made(n, 3.0) for n in range(6)], [*HEADINGS[:4], "Trials"], "have the same value"),
        ([made(0, float("inf"))], ["History", "Trials"], "No trial is complete yet."),
    ],
)  # fmt: skip
def test_says_what_little_there_is(trials, headings, says, tmp_path):
    page, _ = written(study_of(*trials), tmp_path)
    assert page.headings == headings
    assert says in page.text


def test_two_objectives_have_a_front_and_no_choice(tmp_path):
    study = study_of(
        *(made(n, value, 1e9 - 1e8 * value, multiply_adds=int(1e9 - 1e8 * value))
          for n, value in enumerate((3.0, 2.0, 4.0))),
        made(3, 3.5, 2e9), made(4, state=TrialState.FAIL),
        directions=("minimize", "minimize"),
    )  # fmt: skip
    page, _ = written(study, tmp_path, second="multiply-adds")
    assert page.headings == ["Pareto front", "History", "Settings", *HEADINGS[3:4], "Trials"]
    assert "3 of 4 trials" in page.text
    head, *front = page.rows[:4]
    assert head.count("multiply-adds") == 1  # not as a cost, too
    assert [row[0] for row in front] == ["1", "0", "2"]
    assert front[0][4:6] == ["2", "800,000,000"]
    assert "The two objectives of every trial" in page.pictures
    settings = [name for name in page.pictures if name.startswith("multiply-adds against")]
    assert len(settings) == len(SPACE)


def test_many_trials_are_drawn_in_pixels(tmp_path):
    page, _ = written(study_of(*(made(n, n % 7 + n / 1000) for n in range(201))), tmp_path)
    shown = [base64.b64decode(each) for each in re.findall(r'base64,([^"]*)"', page.text)]
    assert all(b"<image " in each for each in shown if b"measured" in each)
    assert len(page.text) < 1_500_000


def test_text_is_readable_on_a_telephone(whole):
    """Charts fill its 366 pixels; the picture of the widths is 704 wide and scrolls."""
    _, page, _ = whole
    for each in re.findall(r'base64,([^"]*)"', page.text):
        drawing = base64.b64decode(each).decode()
        width = float(re.search(r'<svg [^>]*width="([\d.]+)pt"', drawing)[1])
        sizes = [float(size) for size in re.findall(r"font: ([\d.]+)px", drawing)]
        scales = [100 * float(size) for size in re.findall(r"scale\(([\d.]+) -", drawing)]
        assert min([*sizes, *scales]) * (366 if width < 300 else 704) / width >= 11


def swept(study, *, distributions=SPACE):
    chosen = choose(study.trials, distributions, direction=study.directions[0])
    return read_search(study, distributions, ["loss"], chosen=chosen, probe_name="probe")


def test_curves_follow_the_values_of_a_setting():
    sweep = swept(full())
    curves = slices(sweep)
    assert list(curves) == list(SPACE)
    assert curves["model.depth"].values == [1, 2, 3, 4]
    assert curves["kd"].values == list(SPACE["kd"].choices)
    rates = curves["optimizer.lr"].values
    assert len(rates) == 101
    assert rates[0] == pytest.approx(1e-4)
    assert np.allclose(np.diff(np.log(rates)), np.log(1e3) / 100)
    chosen = sweep.chosen.trial
    at = curves["model.depth"].values.index(chosen.params["model.depth"])
    assert curves["model.depth"].means[at] == pytest.approx(sweep.chosen.means[chosen.number])


def test_a_setting_that_follows_from_the_others_has_no_curve():
    def project(params):
        return {**params, "model.depth": 1 if params["optimizer.lr"] > 1e-2 else 4}

    curves = slices(swept(full()), project=project)
    assert list(curves) == ["optimizer.lr", "kd"]


def test_a_diverged_trial_is_beyond_the_edge():
    trials = [made(n, 1.0 + 0.1 * n) for n in range(8)]
    sweep = swept(study_of(*trials, made(8, 900.0)))
    (axes,) = column_chart(draw_history, sweep, 0).axes
    assert axes.get_ylim()[1] < 3
    assert [text.get_text() for text in axes.texts] == ["900"]
    name, curve = next(iter(slices(sweep).items()))
    (slice_,) = column_chart(draw_slice, sweep, name, curve, 0).axes
    assert slice_.get_ylim() == axes.get_ylim()


def test_history_shows_the_best_so_far():
    values = (0.3, 0.2, 0.7, 0.5)
    sweep = swept(study_of(*(made(n, v) for n, v in enumerate(values)), directions=("maximize",)))
    lines = {line.get_label(): line for line in column_chart(draw_history, sweep, 0).axes[0].lines}
    assert lines["best measured so far"].get_ydata().tolist() == [0.3, 0.3, 0.7, 0.7]


def test_importances_name_the_setting_that_counts():
    trials = [made(n, 0.0) for n in range(40)]
    for trial in trials:
        trial.value = abs(np.log10(trial.params["optimizer.lr"]) + 2.5)
    study = study_of(*trials)
    found = importances(study, swept(study))
    assert not isinstance(found, str)
    assert max(found, key=found.get) == "optimizer.lr"
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (180_000, "180,000"), (3.14159, "3.142"), (1e-5, "1e-05"), (2.5e9, "2,500,000,000"),
     ("none", "none"), (True, "True"), (float("inf"), "inf"), (None, "None")],
)  # fmt: skip
def test_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.34, "2.3 s"), (59.6, "60 s"), (600, "10 min"), (6840, "1 h 54 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
