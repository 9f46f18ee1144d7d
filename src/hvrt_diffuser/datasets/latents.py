"""Latents as a table: its form, and the way in and out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
import torch
from torch import Tensor

from hvrt_diffuser.errors import InputError

__all__ = ["LATENTS", "check_latents_table", "latents_to_table", "table_to_latents"]

LATENTS = pa.DataFrameSchema(
    {
        r"z_\d{3,}": pa.Column(
            np.float32,
            pa.Check(np.isfinite, name="finite"),
            regex=True,
        ),
        "label": pa.Column(np.int64, pa.Check.ge(0)),
    },
    strict=True,
)


def check_latents_table(table: pd.DataFrame) -> pd.DataFrame:
    """Check a table of latents: ``z_000`` ... finite float32, ``label`` int64, nothing else.

    Raises:
        InputError: another form; names the first column and row that is wrong.
    """
    try:
        return LATENTS.validate(table)
    except pa.errors.SchemaError as error:
        cases = error.failure_cases
        where = ""
        if isinstance(cases, pd.DataFrame) and "index" in cases and cases["index"].notna().any():
            where = f" in row {cases['index'].dropna().iloc[0]}"
        column = getattr(error.schema, "name", None) or "the table"
        raise InputError(
            f"a table of latents fails the check '{error.check or error.reason_code}' in "
            f"{column}{where}, expected finite float32 columns z_000 ... and an int64 label: "
            "train the autoencoder again with a lower learning rate, and encode again"
        ) from error


def latents_to_table(latents: Tensor, labels: Tensor) -> pd.DataFrame:
    """Latents (n, d) and labels (n,) as columns ``z_000`` ... and ``label``."""
    columns = [f"z_{i:03d}" for i in range(latents.shape[1])]
    return pd.DataFrame(latents.numpy(), columns=columns).assign(label=labels.numpy())


def table_to_latents(table: pd.DataFrame) -> tuple[Tensor, Tensor]:
    """Latents float32 (n, d) and labels int64 (n,) of a table."""
    latents = table.drop(columns="label").to_numpy(np.float32, copy=True)
    return torch.from_numpy(latents), torch.from_numpy(table["label"].to_numpy(np.int64, copy=True))
