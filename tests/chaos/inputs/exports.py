"""Files of the user where the product writes: they stay, whatever the command says."""

from __future__ import annotations

import random

from chaos.inputs.case import Case, stage
from chaos.kills import References, command
from chaos.project import RUN, Project

OWN = ("LICENSE", "thesis.txt", "notes/day.md", "data/extra.parquet", "photo.png", ".gitattributes")
EXPORT = f"data/07_model_output/{RUN}/dataset"
MODEL = f"data/06_models/{RUN}"


def own_file(rng: random.Random) -> Case:
    """A file of the user in a folder of results, or an edited card, and the command once more."""
    edited = rng.random() < 0.4
    place = rng.choice(("export", "draw", "make"))
    name = rng.choice(OWN)
    if place == "export":
        folder, typed, start = EXPORT, stage("export"), "run"
    elif place == "draw":
        folder, start = "more", "run"
        typed = ("hvrt-diffuser", "draw", MODEL, "-n", "9", "--out", folder)
    else:
        folder, start = rng.choice(("made/images", "made/model", "made")), "make"
        typed = tuple(command("make")[3:])
        typed = ("hvrt-diffuser", *typed)
        edited &= folder == "made/images"
    if edited:
        name = "README.md"

    def prepare(project: Project, references: References) -> None:
        path = project.path / folder / name
        if place == "make":  # the folder knows where its photographs lay
            marker, first = project.path / "made" / "make.json", references.of("make")[0].path
            marker.write_text(marker.read_text().replace(str(first), str(project.path)))
        if place == "draw" and edited:  # the card of an earlier draw
            path.parent.mkdir()
            path.write_bytes((project.path / EXPORT / name).read_bytes())
        path.parent.mkdir(parents=True, exist_ok=True)
        if place == "draw" and not edited:
            card = project.path / EXPORT / "README.md"
            (project.path / folder / "README.md").write_bytes(card.read_bytes())
        if edited:
            path.write_text(path.read_text() + "\nBought from nobody, for my thesis.\n")
        else:
            path.write_text("mine\n")

    what = "an edited card" if edited else f"the user's own {name}"
    own = (f"{folder}/{name}",)
    return Case(f"{what} in {folder}, and {place} again", typed, prepare, start, "either", own=own)
