import pytest

from covalign.data.images import Images
from samples.pictures import smooth_images


@pytest.fixture(scope="session")
def images() -> Images:
    return smooth_images()
