"""Tables, metrics and pictures, each written whole or not at all, and previewed by kedro-viz."""

from __future__ import annotations

import copy
import html
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet
from kedro.utils import load_obj
from kedro_datasets.json import JSONDataset
from kedro_datasets.matplotlib import MatplotlibDataset
from kedro_datasets.pandas import ParquetDataset
from kedro_datasets.text import TextDataset
from matplotlib.figure import Figure
from PIL import Image

from hvrt_diffuser.common.contents import read_content
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import MADE_BY_KEY, whole_file
from hvrt_diffuser.common.sealed import SEAL, SEAL_KEY, check_seal, seal

__all__ = ["FigureDataset", "MetricsDataset", "PageDataset", "TableDataset"]

PAGE_META = f'<meta name="{MADE_BY_KEY}" content="'
PNG_END = b"IEND\xaeB`\x82"  # the last chunk and its checksum


class _WholeFile:
    """Makes a dataset of kedro-datasets save to a temporary file that then takes its place."""

    _filepath: PurePosixPath

    def save(self, data: Any) -> None:
        """Write the file, whole or not at all."""
        with whole_file(str(self._filepath)) as temporary:
            twin = copy.copy(self)
            twin._filepath = PurePosixPath(temporary)
            # Kedro wraps the save methods of its classes for logging; the twin needs none of it.
            method = super().save  # type: ignore[misc]
            getattr(method, "__wrapped__", method.__func__)(twin, data)
            self._finish(temporary)

    def _finish(self, path: Path) -> None:
        """What is left to do to the file before it takes its place."""


def _said(error: Exception) -> str:
    """The first line of it, of the system without its number."""
    told = error.strerror if isinstance(error, OSError) else None
    return told or (str(error).splitlines() or [""])[0]


def _broken(path: PurePosixPath, error: Exception) -> InputError:
    if Path(path).is_dir():
        return InputError(
            f"{path} is a folder, expected a file: move it away, and run the pipeline that writes "
            "it"
        )
    return InputError(
        f"{path} is missing or cut short ({_said(error)}), expected a whole file: "
        "run the pipeline that writes it"
    )


class TableDataset(_WholeFile, ParquetDataset):
    """A pandas table as parquet, with what it was made with and a checksum in its metadata.

    Args:
        needs: columns that it has to have, in at least one row.
        timed: as of :class:`MetricsDataset`.
        arguments: of ``kedro_datasets.pandas.ParquetDataset``.
    """

    made_by: dict[str, Any] | None = None

    def __init__(self, *, needs: Sequence[str] = (), timed: bool = False, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._needs, self.timed = needs, timed

    def save(self, data: pd.DataFrame) -> None:
        """Write the table, whole or not at all."""
        super().save(self._told(data))

    def _told(self, data: pd.DataFrame) -> pd.DataFrame:
        """The table with what it was made with, and room for the checksum."""
        data = data.copy(deep=False)
        data.attrs = {**data.attrs, MADE_BY_KEY: self.made_by, SEAL_KEY: SEAL}
        return data

    def _finish(self, path: Path) -> None:
        seal(path)

    def read_made_by(self) -> dict[str, Any] | None:
        """The parameters that the file says it was made with."""
        try:
            metadata = pyarrow.parquet.read_schema(str(self._filepath)).pandas_metadata
        except (OSError, pyarrow.ArrowException):
            return None
        found: dict[str, Any] | None = (metadata or {}).get("attributes", {}).get(MADE_BY_KEY)
        return found

    def load(self) -> Any:
        """Read the table.

        Raises:
            InputError: the file is missing, cut short or damaged, or is another table.
        """
        try:
            if Path(self._filepath).is_dir():  # which pyarrow would take for parts of a table
                raise IsADirectoryError
            check_seal(str(self._filepath))
            table = self._read()
        except InputError:
            raise
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise _broken(self._filepath, error) from error
        table.attrs.pop(SEAL_KEY)
        missing = [name for name in self._needs if name not in table]
        if missing or (self._needs and not len(table)):
            raise InputError(
                f"{self._filepath} has {len(table)} rows and no column "
                f"{missing[0] if missing else 'with a value'}, expected rows with "
                f"{', '.join(self._needs)}: run the pipeline that writes it"
            )
        return table

    def _read(self) -> pd.DataFrame:
        """The table, whoever made it."""
        table: pd.DataFrame = ParquetDataset.load.__wrapped__(self)
        return table

    def _exists(self) -> bool:
        try:
            pyarrow.parquet.read_metadata(str(self._filepath))
        except (OSError, pyarrow.ArrowInvalid):
            return False
        return True


class FigureDataset(_WholeFile, MatplotlibDataset):
    """A matplotlib figure as PNG, with what it was made with and of as a text of it."""

    DEFAULT_SAVE_ARGS = {"format": "png", "dpi": 150}  # noqa: RUF012

    made_by: dict[str, Any] | None = None

    def save(self, data: Figure) -> None:
        """Write the figure, whole or not at all."""
        said = {} if self.made_by is None else {MADE_BY_KEY: json.dumps(self.made_by)}
        self._save_args["metadata"] = {"Software": None, **said}
        super().save(data)

    def read_made_by(self) -> dict[str, Any] | None:
        """What the file says that it was made with and of."""
        try:
            with Image.open(str(self._filepath)) as picture:
                found: dict[str, Any] = json.loads(picture.info[MADE_BY_KEY])
        except (OSError, KeyError, ValueError):
            return None
        return found

    def _exists(self) -> bool:
        try:
            return Path(str(self._filepath)).read_bytes().endswith(PNG_END)
        except OSError:
            return False


class PageDataset(_WholeFile, TextDataset):
    """A page of HTML, with what it was made with and of in its head."""

    made_by: dict[str, Any] | None = None

    def save(self, data: str) -> None:
        """Write the page, whole or not at all."""
        if self.made_by is not None:
            held = html.escape(json.dumps(self.made_by))
            data = data.replace("</head>", f'{PAGE_META}{held}">\n</head>', 1)
        super().save(data)

    def read_made_by(self) -> dict[str, Any] | None:
        """What the file says that it was made with and of."""
        try:
            held = Path(str(self._filepath)).read_text().split(PAGE_META, 1)[1]
            found: dict[str, Any] = json.loads(html.unescape(held.split('"', 1)[0]))
        except (OSError, IndexError, ValueError):
            return None
        return found


class MetricsDataset(_WholeFile, JSONDataset):
    """Finite numbers, texts and lists of them as JSON.

    Args:
        optional: load None where there is no file, for nodes that can do without.
        supersedes: name of a file beside this one that led to it and is removed once it is whole.
        timed: that it holds times, and so is never the same twice: no other file names its digest.
        content: path of the model of :mod:`hvrt_diffuser.common.contents` that the file fits.
        arguments: of ``kedro_datasets.json.JSONDataset``.

    The parameters that they were made with stand in the file as ``made_by``, and are not loaded.
    """

    made_by: dict[str, Any] | None = None

    def __init__(
        self,
        *,
        optional: bool = False,
        supersedes: str | None = None,
        timed: bool = False,
        content: str = "hvrt_diffuser.common.contents.Content",
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._content = content
        self._optional = optional
        self._supersedes = supersedes
        self.timed = timed

    def save(self, data: dict[str, Any]) -> None:
        """Write the metrics, whole or not at all.

        Raises:
            InputError: a number is NaN or infinite.
        """
        if self.made_by is not None:
            data = {**data, MADE_BY_KEY: self.made_by}
        try:
            json.dumps(data, allow_nan=False)
        except ValueError as error:
            raise InputError(
                f"a metric for {self._filepath} is NaN or infinite, expected finite numbers: "
                "look at the images that it was measured on"
            ) from error
        super().save(data)
        if self._supersedes:
            Path(str(self._filepath)).with_name(self._supersedes).unlink(missing_ok=True)

    def load(self) -> Any:
        """Read the metrics; None where there are none and they are optional.

        Raises:
            InputError: the file is missing or cut short, or holds something else.
        """
        if self._optional and not Path(str(self._filepath)).exists():
            return None
        found = self._read()
        found.pop(MADE_BY_KEY, None)
        return found

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = read_content(Path(str(self._filepath)), load_obj(self._content))
        return found

    def read_made_by(self) -> dict[str, Any] | None:
        """The parameters that the file says it was made with."""
        try:
            found = json.loads(Path(str(self._filepath)).read_text())
        except (OSError, ValueError, RecursionError):
            return None
        made_by = found.get(MADE_BY_KEY) if isinstance(found, dict) else None
        return made_by if isinstance(made_by, dict) else None

    def _exists(self) -> bool:
        try:
            self._read()
        except InputError:
            return False
        return True
