import json
import subprocess
import sys
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from covalign.errors import InputError
from covalign.studies.universal.record import load_encoding


def test_what_is_saved_is_loaded_bit_by_bit(encoding, tmp_path):
    found = load_encoding(encoding.save(tmp_path / "one.safetensors"))
    assert found.card == encoding.card
    assert found.rows == encoding.rows or found.table.equals(encoding.table)
    assert found.members == encoding.members
    for one, other in zip(found.layers, encoding.layers, strict=True):
        for name, value in vars(other).items():
            kept = getattr(one, name)
            same = (
                torch.equal(kept.nan_to_num(-7), value.nan_to_num(-7))
                if isinstance(value, torch.Tensor)
                else kept == value
            )
            assert same, name
    assert found.reference.weights.keys() == encoding.reference.weights.keys()


def test_a_notebook_shows_layers_and_how_far_members_agree(encoding):
    shown = encoding._repr_html_()
    assert encoding.rows[0].layer in shown
    assert "<table" in shown
    assert "<svg" in shown
    assert len(shown.encode()) < 200_000


def test_a_fresh_process_initializes_from_the_file_alone(encoding, tmp_path):
    path = encoding.save(tmp_path / "one.safetensors")
    program = (
        "import torch, covalign\n"
        f"e = covalign.load_encoding({str(path)!r})\n"
        "m = covalign.vgg11('factorized', width=0.02, kernel_size=5, in_channels=4, classes=7)\n"
        "x = torch.randint(0, 256, (40, 4, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))\n"
        "done = covalign.init_(m, e, x)\n"
        "print(len(done.rows), done.rows[0].source, tuple(m(torch.zeros(2, 4, 32, 32)).shape))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "8 images (2, 7)"


def test_no_trained_weight_is_in_the_file(encoding, members):
    kept = encoding.reference.weights
    for member in members:
        for name, trained in member.final.items():
            if name.endswith("pointwise.weight"):
                cosine = torch.nn.functional.cosine_similarity(
                    kept[name].float().flatten(), trained.flatten(), dim=0
                )
                assert abs(float(cosine)) < 0.9


def altered(path, change):
    with safe_open(path, "pt") as file:
        text, tensors = file.metadata(), {name: file.get_tensor(name) for name in [*file.keys()]}
    tensors, text = change(tensors, text)
    safetensors.torch.save_file(tensors, path, text)
    return path


def test_what_was_altered_is_refused(encoding, tmp_path):
    path = encoding.save(tmp_path / "one.safetensors")

    def other_number(tensors, text):
        name = next(name for name in tensors if name.endswith("factor"))
        return {**tensors, name: tensors[name] + 1}, text

    def other_card(tensors, text):
        return tensors, {**text, "document": text["document"].replace("CC0", "MIT")}

    for change in (other_number, other_card):
        with pytest.raises(InputError, match="damaged"):
            load_encoding(altered(encoding.save(path), change))


def test_what_does_not_fit_together_is_refused(encoding, tmp_path):
    first = encoding.layers[0]
    short = replace(first, factor=first.factor[:-1], directions=first.directions[:-1])
    broken = replace(first, factor=first.factor * torch.nan)
    for wrong in (short, broken):
        other = replace(encoding, layers=(wrong, *encoding.layers[1:]))
        with pytest.raises(InputError, match="does not fit its reference network"):
            load_encoding(other.save(tmp_path / "wrong.safetensors"))
    fewer = replace(encoding, layers=encoding.layers[1:], rows=encoding.rows[1:])
    with pytest.raises(InputError, match="the reference network has 8 layers"):
        load_encoding(fewer.save(tmp_path / "wrong.safetensors"))
    weights = {name: value[:1] for name, value in encoding.reference.weights.items() if value.ndim}
    other = replace(encoding, reference=replace(encoding.reference, weights=weights))
    with pytest.raises(InputError, match="does not fit together"):
        load_encoding(other.save(tmp_path / "wrong.safetensors"))


def test_what_is_no_encoding_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_encoding(tmp_path / "none.safetensors")
    text = tmp_path / "text.safetensors"
    text.write_text("no tensors")
    with pytest.raises(InputError, match="cannot be read"):
        load_encoding(text)
    safetensors.torch.save_file({"a": torch.zeros(1)}, text, {"document": json.dumps({"kind": "x"})})
    with pytest.raises(InputError, match="expected a universal encoding"):
        load_encoding(text)
