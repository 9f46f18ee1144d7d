"""Latents as a table: its form, and the way in and out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.parquet
import torch
from torch import Tensor

from hvrt_diffuser.catalog.reports import TableDataset
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import whole_file
from hvrt_diffuser.common.scratch import scratch_numbers
from hvrt_diffuser.common.sealed import seal

__all__ = [
    "LATENTS",
    "LatentsDataset",
    "check_latents_table",
    "latents_to_table",
    "table_to_latents",
    "table_to_versions",
    "versions_to_table",
]

ROWS_AT_ONCE = 65_536
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
        return LATENTS.validate(table, inplace=True)  # nothing is changed, and nothing copied
    except (pa.errors.SchemaError, pa.errors.SchemaErrors) as error:
        raise InputError(
            f"a table of latents fails at {_first_failure(error)}, expected finite float32 columns "
            "z_000 ... and an int64 label of 0 or more: train the autoencoder again with a lower "
            "learning rate, and encode again"
        ) from error


def _first_failure(error: pa.errors.SchemaError | pa.errors.SchemaErrors) -> str:
    """The column, row and value that a check of pandera failed at first."""
    first = error.schema_errors[0] if isinstance(error, pa.errors.SchemaErrors) else error
    cases = first.failure_cases
    if not isinstance(cases, pd.DataFrame) or cases.empty:
        return str(first).splitlines()[0]
    case = cases.iloc[0]
    column = getattr(first.schema, "name", None)
    if column is None:  # a check of the whole table: its cases are columns
        return f"column {case['failure_case']} ({first.reason_code.name.lower()})"
    where = f" in row {case['index']}" if pd.notna(case.get("index")) else ""
    return f"column {column}{where}: found {case['failure_case']}"


def latents_to_table(latents: Tensor, labels: Tensor) -> pd.DataFrame:
    """Latents (n, d) and labels (n,) as columns ``z_000`` ... and ``label``."""
    columns = [f"z_{i:03d}" for i in range(latents.shape[1])]
    table = pd.DataFrame(latents.numpy(), columns=columns, copy=False)
    table["label"] = labels.numpy()  # assign would copy the latents
    return table


def table_to_latents(table: pd.DataFrame) -> tuple[Tensor, Tensor]:
    """Latents float32 (n, d) and labels int64 (n,) of a table."""
    latents = scratch_numbers(len(table), table.shape[1] - 1)
    latents.numpy()[:] = table.drop(columns="label").to_numpy(np.float32)
    return latents, torch.from_numpy(table["label"].to_numpy(np.int64, copy=True))


def versions_to_table(versions: Tensor | None, labels: Tensor, latent_dim: int) -> pd.DataFrame:
    """Latents (c, n, d) of images with labels (n,) as c times n rows; None as a table of none."""
    if versions is None:
        return latents_to_table(torch.empty(0, latent_dim), labels[:0])
    return latents_to_table(versions.flatten(0, 1), labels.repeat(len(versions)))


def table_to_versions(table: pd.DataFrame, labels: Tensor) -> Tensor | None:
    """The opposite of :func:`versions_to_table`: latents (c, n, d), None for a table without rows.

    Args:
        table: of latents.
        labels: int64 (n,), of the images that they are versions of.

    Raises:
        InputError: the table is not of versions of these images.
    """
    latents, found = table_to_latents(table)
    if not len(found):
        return None
    copies = len(found) // len(labels)
    if not torch.equal(found, labels.repeat(copies)):
        raise InputError(
            f"{len(found)} latents of augmented images do not belong to the {len(labels)} latents "
            "of the training images, expected the same labels in the same order: run "
            "latent_encoding again"
        )
    return latents.view(copies, len(labels), -1)


class LatentsDataset(TableDataset):
    """A table of latents as parquet, some rows at a time; many lie in a mapped file once loaded.

    Args:
        arguments: of :class:`TableDataset`.
    """

    def save(self, data: pd.DataFrame) -> None:
        """Write the table, whole or not at all."""
        data = self._told(data)
        with whole_file(str(self._filepath)) as temporary:
            schema = pyarrow.Schema.from_pandas(data, preserve_index=False)
            with pyarrow.parquet.ParquetWriter(temporary, schema) as writer:
                for start in range(0, len(data), ROWS_AT_ONCE):
                    some = data.iloc[start : start + ROWS_AT_ONCE]
                    writer.write_table(pyarrow.Table.from_pandas(some, schema))
            seal(temporary)

    def _read(self) -> pd.DataFrame:
        path = Path(str(self._filepath))
        with pyarrow.parquet.ParquetFile(path) as file:
            schema, n = file.schema_arrow, file.metadata.num_rows
            kinds = [*(len(schema) - 1) * [pyarrow.float32()], pyarrow.int64()]
            if schema.types != kinds or schema.names[-1] != "label":
                return super()._read()  # another table, as the check of its columns will say
            latents, labels = scratch_numbers(n, len(schema) - 1), torch.empty(n, dtype=torch.long)
            start = 0
            for group in range(file.num_row_groups):  # iter_batches would hold all that it has read
                *columns, own = (x.to_numpy() for x in file.read_row_group(group).columns)
                stop = start + len(own)
                for i, column in enumerate(columns):
                    latents.numpy()[start:stop, i] = column
                labels.numpy()[start:stop] = own
                start = stop
        table = latents_to_table(latents, labels)
        table.columns = pd.Index(schema.names)
        table.attrs = json.loads(schema.metadata[b"pandas"])["attributes"]
        return table
