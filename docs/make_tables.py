"""Write the docs pages that are generated from cards: ``make docs``."""

from pathlib import Path

from channelbench import registry
from channelbench.contracts import Metric, Task
from channelbench.costs import COSTS
from channelbench.families import FAMILIES
from channelbench.generation import make_spec
from channelbench.generator import Generator
from channelbench.models.networks.reconstruction import MATRIX_GAIN
from channelbench.models.networks.sensing import POWER_RANGE_DB
from channelbench.presets import PUBLIC_PRESETS, preset_of, training_words
from channelbench.room import sample_bytes
from channelbench.sources import makers
from channelbench.systems import SYSTEMS

HEADER = "<!-- Generated from the cards by `make docs`; do not edit. -->\n\n"


_LISTED = (
    ("generators", "Scenarios"),
    ("suites", "Suites"),
    ("experiments", "Experiments"),
    ("exhibits", "Exhibits"),
)


def methods() -> str:
    """The table of methods, by family."""
    text = HEADER + "# Methods\n\nWhat `channelbench list methods` knows. "
    text += "[Adding a method](extending.md) takes one file.\n"
    text += _shared()
    found = [registry.find("methods", name) for name in registry.names("methods")]
    for family in FAMILIES.values():
        members = [method for method in found if method.card.family == family.name]
        if not members:
            continue
        text += f"\n## {family.heading}\n\n| name | | tasks | source |\n|---|---|---|---|\n"
        for method in members:
            card = method.card
            description = f"**{card.label}**. {card.description}" + (f" *{card.notes}*" if card.notes else "")
            if method.variants:
                description += f" Options after `{card.name}`: {', '.join(f'`+{name}`' for name in method.variants)}."
            tasks = " ".join(registry.tasks_of(method))
            text += f"| `{card.name}` | {_cell(description)} | {tasks} | {_cell(card.reference)} |\n"
    return text


def _shared() -> str:
    """What the cards of learned methods need not say twelve times."""
    presets = "".join(f"| `{name}` | {_cell(training_words(name))} |\n" for name in PUBLIC_PRESETS)
    return f"""
## What all learned methods share, and the papers do not have

Cards say what is a method's own; this holds for every row below that is trained.

| preset | training |
|---|---|
{presets}
- LLM4WM trains with Adam; its text states neither weight decay nor clipping.
- A network corrects a *start* that needs no learning, and its last layer begins at zero: untrained, it answers the
  start. In CE, CP and PF that is a linear resampling of the channel without its mean angle, Doppler and phase; it is
  trained along, by matrices stored divided by {MATRIX_GAIN:g}, so that Adam moves them {MATRIX_GAIN:g} times as fast as
  the layers. In BF it is the spectrum of the strongest path, beams being counted from it; in DE and PE a
  least-squares curve in the received power and the strongest path's share. `+raw` rows have no start.
- Features made by hand: shares of power by delay and by angle, down to −{POWER_RANGE_DB:g} dB, the noise share, the
  received power (DE, PE) and, where a card says so, the spatial covariance (BF).
"""


def tasks_and_metrics() -> str:
    """The tables of tasks, metrics, costs, scenarios and suites."""
    text = (
        HEADER
        + "# Tasks, metrics, costs, scenarios, suites\n\nThe [protocol](protocol.md) says what they mean, exactly.\n"
    )
    text += "\n## Tasks\n\n| name | | metrics, the first is primary | ceiling | source |\n|---|---|---|---|---|\n"
    for name in registry.names("tasks"):
        task = registry.create("tasks", name)
        metrics = ", ".join(f"`{metric.card.name}`" for metric in _metrics(task))
        card = task.card
        text += f"| `{name}` | {_cell(card.description)} | {metrics} | {task.ceiling_note} | {card.reference} |\n"
    text += "\n## Metrics\n\n| name | | unit | better | source |\n|---|---|---|---|---|\n"
    for name in registry.names("metrics"):
        metric = registry.find("metrics", name)
        better = "higher" if metric.higher_is_better else "lower"
        card = metric.card
        text += (
            f"| `{name}` | {_cell(card.description)} | {metric.unit or '1'} | {better} | {_cell(card.reference)} |\n"
        )
    text += "\n## Costs\n\nWhat cells state beside scores, where it was measured.\n\n| name | | unit |\n|---|---|---|\n"
    for cost in COSTS.values():
        text += f"| `{cost.key}` | {_cell(cost.description)} | {cost.unit} |\n"
    for kind, heading in _LISTED:
        text += f"\n## {heading}\n\n| name | | source |\n|---|---|---|\n"
        for name in registry.names(kind):
            card = registry.find(kind, name).card
            text += f"| `{name}` | {_cell(card.description)} | {_cell(card.reference)} |\n"
    return text


def gallery() -> str:
    """The page of what datasets there are: scenario by scenario, source by source."""
    text = HEADER + "# Datasets that one command makes\n\nWhat is in them is on [the page of datasets](dataset.md). "
    text += "`--seed`, `--samples` and every field of the spec can be set; spec and seed decide every byte.\n\n"
    text += "## How large\n\n| system | bytes of a sample |"
    text += "".join(f" `{name}` |" for name in PUBLIC_PRESETS) + "\n|---|---|" + "---|" * len(PUBLIC_PRESETS) + "\n"
    for system in SYSTEMS:
        each = sample_bytes(make_spec(system=system))
        cells = "".join(f" {_size(each, preset_of(name).sizes_of(system))} |" for name in PUBLIC_PRESETS)
        text += f"| `{system}` | {each:,} |{cells}\n"
    for scenario in registry.names("generators"):
        for name, maker in sorted(makers(scenario).items(), key=lambda item: item[0] != "stochastic"):
            text += _entry(scenario, name, maker) if scenario != "imported" else ""
    text += f"\n## Channels from elsewhere\n\n{registry.find('generators', 'imported').card.description}\n\n"
    text += "<!-- picture: imported -->\n\n```console\n"
    text += "$ channelbench import measured.npy --settings measured.toml --out measured.zarr\n```\n\n"
    text += "Licence and citation are what file or settings state. [Formats, scales, splits](importing.md).\n"
    text += "\n## Side by side\n\n![Spreads of stochastic, traced and rural channels](compared.png)\n\n"
    return text + "What these distributions say is on [a page of its own](raytracing-compared.md).\n"


def _entry(scenario: str, source: str, maker: type[Generator]) -> str:
    """A scenario from a source; the comment is where the site puts a picture."""
    spec, traced = make_spec(scenario, source=source), source == "raytraced"
    text = f"\n## {maker.card.label}, {'ray-traced' if traced else source}\n\n{maker.card.description}\n\n"
    text += "" if traced else f"<!-- picture: {scenario} -->\n\n"
    flag = f" --source {source}" if traced else ""
    text += f"```console\n$ channelbench generate --scenario {scenario}{flag}\n```\n\n"
    text += f"Base station at {spec.bs_height_m:g} m, users {spec.min_distance_m:g} to {spec.max_distance_m:g} m away; "
    text += f"{spec.source.label}. Licence: {spec.source.licence}."
    return text + (" [Scenes, and what can be set](raytracing.md).\n" if traced else "\n")


def _size(each: int, sizes: tuple[int, ...]) -> str:
    return f"{sum(sizes):,} samples, {each * sum(sizes) / 1e9:.2g} GB"


def _metrics(task: Task) -> tuple[Metric, ...]:
    """Its metrics on the default system under its own conditions."""
    spec = make_spec()
    return task.metrics_for(spec, task.default_conditions(spec))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def render() -> dict[str, str]:
    """All generated pages ``{file name: text}``."""
    return {"methods.md": methods(), "tasks.md": tasks_and_metrics(), "gallery.md": gallery()}


if __name__ == "__main__":
    for file_name, page in render().items():
        (Path(__file__).parent / file_name).write_text(page)
        print(f"docs/{file_name}")
