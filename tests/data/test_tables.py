"""Tables whose columns are of unequal length are refused: no image gets the label of another."""

import pyarrow as pa
import pytest

from covalign.data.tables import Part, listing
from covalign.errors import InputError


def part(name: str, labels: int, images: int) -> Part:
    columns = {
        "label": pa.array([0] * labels, pa.int64()),
        "image": pa.array([f"{name} {i}".encode() for i in range(images)], pa.binary()),
    }
    return Part(
        name, {"image": {}, "label": {}}, lambda column: iter([columns[column][:2], columns[column][2:]])
    )


def test_rows_are_counted_through_all_tables():
    found = listing([part("a", 3, 3), part("b", 4, 4)], None)
    assert [data for _, data in found.read([1, 2, 3, 6])] == [b"a 1", b"a 2", b"b 0", b"b 3"]


@pytest.mark.parametrize("images", [0, 2, 4])
@pytest.mark.parametrize("rows", [[0], [0, 1, 2], [0, 1, 2, 3, 4]])
def test_a_column_that_is_shorter_or_longer_than_the_labels_is_refused(images, rows):
    found = listing([part("a", 3, images), part("b", 4, 4)], None)
    with pytest.raises(InputError, match=r"a: column 'image' holds .* rows where there are 3 labels"):
        list(found.read(rows))
