"""Where may a command have its work done, beside this process?"""

from typing import Annotated

from cyclopts import Parameter

Workers = Annotated[
    int,
    Parameter(
        help="processes that pairs of networks are dealt to, each with its share of the cores and its own --memory "
        "(one that is ended from outside is replaced)."
    ),
]
Scheduler = Annotated[
    str | None,
    Parameter(
        help="Dask scheduler whose workers do the work: tcp://HOST:PORT, the .json file that it wrote, or local for "
        "one that is started here."
    ),
]
