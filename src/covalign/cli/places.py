"""Where are trainings kept?"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def _check_folder(_: object, store: Path) -> None:
    if store.exists() and not store.is_dir():
        raise ValueError(f"{store} is a file, expected a folder of trainings (one that is not there is made)")


Store = Annotated[
    Path,
    Parameter(
        help="Folder of stored trainings.",
        env_var="COVALIGN_STORE",
        show_env_var=True,
        validator=_check_folder,
    ),
]
STORE = Path("covalign-runs")
"""Where they are kept unless something else is said."""
