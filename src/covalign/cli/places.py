"""Where are trainings kept?"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Store = Annotated[
    Path, Parameter(help="Folder of stored trainings.", env_var="COVALIGN_STORE", show_env_var=True)
]
STORE = Path("covalign-runs")
"""Where they are kept unless something else is said."""
