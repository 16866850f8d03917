import pytest
from small_detector import make_detector


@pytest.fixture(scope="session")
def fan(tmp_path_factory):
    """The file of a detector of one fan."""
    return make_detector(tmp_path_factory.mktemp("fan") / "fan.humwatch")
