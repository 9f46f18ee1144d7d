"""What came out of a run, as one record and in a few lines."""

from __future__ import annotations

from typing import Any

__all__ = ["summarise", "verdict"]

FLOORS = {
    "train_floor": "real training images",
    "reconstruction_floor": "test images through the autoencoder",
    "copy_floor": "training images through the autoencoder (a pure copier)",
}


def summarise(
    evaluation: dict[str, Any] | None,
    tstr: dict[str, Any] | None,
    *,
    command: str,
    seconds: float,
    node_seconds: dict[str, float],
    machine: dict[str, Any],
) -> dict[str, Any]:
    """One record of a run: what was run, how long it took, and what was measured.

    Args:
        evaluation: the metrics of ``evaluation``, if there are any.
        tstr: the metrics of ``tstr``, if there are any.
        command: as typed.
        seconds: wall time of the nodes, their loading and saving included.
        node_seconds: of each node that ran.
        machine: processor and versions.
    """
    summary: dict[str, Any] = {
        "command": command,
        "seconds": round(seconds, 1),
        "node_seconds": {name: round(value, 1) for name, value in node_seconds.items()},
        "machine": machine,
    }
    if evaluation:
        summary |= {
            "leaves_unconditional": evaluation["leaves_unconditional"],
            "leaves_per_class": evaluation["leaves_per_class"],
            "judge_accuracy": evaluation["judge_accuracy"],
            "latent_ks": evaluation["latent_ks"]["hvrt"],
            "latent_ks_train_floor": evaluation["latent_ks"]["train_floor"],
            "fd": {
                "extractor": "classifier",
                "n": evaluation["n"]["hvrt"],
                "n_reference": evaluation["n"]["test"],
                **evaluation["fd_classifier"],
            },
            "inception_score_classifier": evaluation["inception_score_classifier"],
        }
    if tstr:
        summary["tstr"] = tstr
    return summary


def verdict(summary: dict[str, Any], *, images: str, grid: str, see_more: str) -> str:
    """A few lines for the terminal.

    Args:
        summary: what :func:`summarise` gave.
        images: where the synthetic images lie.
        grid: where their picture lies.
        see_more: the command that shows the rest.
    """
    lines = ["", f"Synthetic images  {images}", f"A look at them    {grid}"]
    if "fd" in summary:
        lines += _fidelity(summary["fd"])
    if "tstr" in summary:
        lines += _utility(summary["tstr"])
    slowest = sorted(summary["node_seconds"].items(), key=lambda item: -item[1])[:4]
    spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in slowest)
    lines += [f"Time              {summary['seconds']:.0f} s, most of it: {spent}"]
    lines += [f"See more          {see_more}", ""]
    return "\n".join(lines)


def _fidelity(fd: dict[str, Any]) -> list[str]:
    vae = next(name for name in fd if name.startswith("vae_"))
    beta = vae.removeprefix("vae_beta_").replace("_", ".")
    rows = {
        "hvrt": f"the {fd['n']:,} synthetic images",
        **FLOORS,
        vae: f"a VAE with beta {beta}, its prior decoded",
    }
    head = (
        f"Fidelity          Fréchet distance in the classifier's features to "
        f"{fd['n_reference']:,} real test images (not FID):"
    )
    lines = [head] + [f"    {fd[name]:10.2f}    {text}" for name, text in rows.items()]
    excess = fd["hvrt"] - fd["copy_floor"]
    lines.append(f"    {excess:10.2f}    what the synthetic images have over the copy floor")
    return lines


def _utility(tstr: dict[str, Any]) -> list[str]:
    texts = {
        "real_all": f"all {tstr['n_all']:,} real training images",
        "real_equal_n": f"{tstr['n']:,} real training images",
        "hvrt_conditional": f"{tstr['n']:,} synthetic images",
        "random_decoded": "random latents decoded",
    }
    head = (
        f"Utility           accuracy on {tstr['n_test']:,} real test images of a classifier "
        f"trained on ({tstr['seeds']} seeds):"
    )
    lines = [head]
    for name, row in tstr.items():
        if isinstance(row, dict):
            beta = name.removeprefix("vae_beta_").replace("_", ".")
            text = texts.get(name, f"posteriors of a VAE with beta {beta}")
            lines.append(f"    {row['mean']:8.2f}% ± {row['std']:.2f}    {text}")
    gap = tstr["real_equal_n"]["mean"] - tstr["hvrt_conditional"]["mean"]
    side = "below" if gap >= 0 else "above"
    lines.append(f"    Synthetic images are {abs(gap):.2f} points {side} as many real ones.")
    return lines
