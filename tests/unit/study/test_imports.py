"""What a stage runs again for when it is edited: the files that it imports, and no others."""

import pytest
from conftest import ROOT

from humwatch.study.imports import imported_files


@pytest.mark.parametrize(
    ("detector", "needed", "strangers"),
    [
        ("mahalanobis", "backends", ["gradient_descent", "networks/", "reconstruction/", "gmm"]),
        ("vae", "networks/vae", ["networks/idnn", "networks/heads", "backends", "id_classifier"]),
        ("id_classifier", "networks/heads", ["networks/vae", "reconstruction/", "gmm"]),
    ],
)
def test_a_training_depends_on_its_own_detector(detector, needed, strangers):
    """Torch's modules are imported inside functions, and count; what is imported for types alone does not."""
    roots = [ROOT / "workflow/scripts/train.py", ROOT / f"src/humwatch/detectors/{detector}.py"]
    files = [path.removeprefix(f"{ROOT}/src/humwatch/") for path in imported_files(roots, ROOT / "src")]
    assert f"detectors/{needed}.py" in files
    assert [path for path in files for name in strangers if f"detectors/{name}" in path] == []
    assert "features/base.py" not in files
