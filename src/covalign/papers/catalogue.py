"""Which exhibits are there?"""

from covalign.errors import unknown
from covalign.papers.encodings.fig1 import EXHIBIT as ENCODINGS_FIG1
from covalign.papers.encodings.fig2 import EXHIBIT as ENCODINGS_FIG2
from covalign.papers.encodings.fig3 import EXHIBIT as ENCODINGS_FIG3
from covalign.papers.encodings.fig4 import EXHIBIT as ENCODINGS_FIG4
from covalign.papers.encodings.fig5 import EXHIBIT as ENCODINGS_FIG5
from covalign.papers.exhibit import Exhibit
from covalign.papers.first_layer.fig1 import EXHIBIT as FIRST_LAYER_FIG1
from covalign.papers.first_layer.fig2 import EXHIBIT as FIRST_LAYER_FIG2
from covalign.papers.first_layer.fig3 import EXHIBIT as FIRST_LAYER_FIG3
from covalign.papers.first_layer.fig4 import EXHIBIT as FIRST_LAYER_FIG4
from covalign.papers.first_layer.fig5 import EXHIBIT as FIRST_LAYER_FIG5
from covalign.papers.first_layer.fig6 import EXHIBIT as FIRST_LAYER_FIG6
from covalign.papers.first_layer.fig7 import EXHIBIT as FIRST_LAYER_FIG7
from covalign.papers.first_layer.fig8 import EXHIBIT as FIRST_LAYER_FIG8
from covalign.papers.first_layer.table1 import EXHIBIT as FIRST_LAYER_TABLE1
from covalign.papers.first_layer.table2 import EXHIBIT as FIRST_LAYER_TABLE2
from covalign.papers.first_layer.table3 import EXHIBIT as FIRST_LAYER_TABLE3

EXHIBITS = {
    each.name: each
    for each in (
        ENCODINGS_FIG4,
        ENCODINGS_FIG3,
        FIRST_LAYER_TABLE2,
        FIRST_LAYER_TABLE3,
        ENCODINGS_FIG1,
        ENCODINGS_FIG2,
        ENCODINGS_FIG5,
        FIRST_LAYER_TABLE1,
        FIRST_LAYER_FIG1,
        FIRST_LAYER_FIG3,
        FIRST_LAYER_FIG7,
        FIRST_LAYER_FIG4,
        FIRST_LAYER_FIG5,
        FIRST_LAYER_FIG6,
        FIRST_LAYER_FIG2,
        FIRST_LAYER_FIG8,
    )
}
"""In the order in which they are worth having."""

NAMES = tuple(EXHIBITS)


def exhibit(name: str) -> Exhibit:
    """Return an exhibit by its name.

    Raises:
        InputError: no such exhibit.
    """
    if name not in EXHIBITS:
        raise unknown("reproduce", name, EXHIBITS, ", or all")
    return EXHIBITS[name]
