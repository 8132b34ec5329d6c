"""What is a file that is not read, and what makes of it one that is?

A file is known by how it begins and by the name it has; the beginning decides, since files carry wrong endings
(a page that says "not found", a pointer to large storage). What is read by an extra is named with its install
line.
"""

import zipfile
from pathlib import Path

from covalign.errors import InputError

HEAD = 512
"""Bytes by which a file is known."""

OLDER = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file begins that torch.save wrote before it wrote archives: a pickle of one number that only it has."""

TO_SAFETENSORS = "save its weights with safetensors.torch.save_file"
TO_ONNX = "convert it to ONNX"
TENSORFLOW = "convert it to ONNX with tf2onnx, or save the Keras model as .keras or .h5"

BEGINNINGS: tuple[tuple[int, bytes, str, str], ...] = (
    (
        0,
        b"version https://git-lfs",
        "a pointer of Git LFS and not the file itself",
        "get the file with: git lfs pull",
    ),
    (0, b"<!DOCTYPE", "a web page", "get the file again; the address may want a login"),
    (0, b"<!doctype", "a web page", "get the file again; the address may want a login"),
    (0, b"<html", "a web page", "get the file again; the address may want a login"),
    (
        0,
        b"GGUF",
        "a GGUF file (llama.cpp)",
        "use the weights that it was converted from, or gguf-py to dequantize it",
    ),
    (0, b"lmgg", "a GGML file (llama.cpp)", "use the weights that it was converted from"),
    (0, b"tjgg", "a GGML file (llama.cpp)", "use the weights that it was converted from"),
    (
        4,
        b"TFL3",
        "a TensorFlow Lite model",
        "convert it with: python -m tf2onnx.convert --tflite FILE --output net.onnx",
    ),
    (0, b"ptrt", "a TensorRT engine", "use the network that it was built from"),
    (0, b"<?xml", "an XML text", "get the file again; it may be a server's answer that there is none"),
    (0, b'{"', "a JSON text", "get the file again; it may be a server's answer that there is none"),
    (257, b"ustar", "a tar archive", "unpack it first, and give the weight file inside"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it first"),
    (0, b"\xfd7zXZ", "an xz archive", "unpack it first"),
    (0, b"BZh", "a bzip2 archive", "unpack it first"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (0, b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (0, b"Rar!", "a RAR archive", "unpack it first"),
)

TEXTS = (".xml", ".json")
"""Endings of files that are texts by right."""

ENDINGS: dict[str, tuple[str, str]] = {
    ".tflite": (
        "a TensorFlow Lite model",
        "convert it with: python -m tf2onnx.convert --tflite FILE --output net.onnx",
    ),
    ".pb": ("a TensorFlow graph", TENSORFLOW),
    ".index": (
        "the index of a TensorFlow checkpoint",
        "load it into its Keras model and save that as .keras or .h5",
    ),
    ".meta": ("the graph of a TensorFlow checkpoint", TENSORFLOW),
    ".gguf": ("a GGUF file (llama.cpp)", "use the weights that it was converted from"),
    ".ggml": ("a GGML file (llama.cpp)", "use the weights that it was converted from"),
    ".pdparams": (
        "PaddlePaddle weights, a pickle",
        "save {k: v.numpy()} of paddle.load(FILE) with numpy.savez",
    ),
    ".pdiparams": ("PaddlePaddle weights", "convert the model with paddle2onnx"),
    ".pdmodel": ("a PaddlePaddle model", "convert it with paddle2onnx"),
    ".msgpack": (
        "Flax weights",
        "save flax.serialization.msgpack_restore of it, flattened, with numpy.savez",
    ),
    ".orbax": ("an Orbax checkpoint", "restore it and save its arrays with numpy.savez"),
    ".mlmodel": ("a Core ML model", "use the network that it was converted from"),
    ".caffemodel": ("a Caffe model", "convert it to ONNX with caffe2onnx"),
    ".params": ("MXNet parameters", "export the network with mx2onnx"),
    ".param": (
        "the graph of an ncnn model",
        "convert it with pnnx, or use the network it was converted from",
    ),
    ".mnn": ("an MNN model", "use the network that it was converted from"),
    ".engine": ("a TensorRT engine", "use the network that it was built from"),
    ".plan": ("a TensorRT engine", "use the network that it was built from"),
    ".trt": ("a TensorRT engine", "use the network that it was built from"),
    ".xml": ("the graph of an OpenVINO model", "use the network that it was converted from"),
    ".pkl": ("a pickle, which may run code", "load it where you trust it, and " + TO_SAFETENSORS),
    ".pickle": ("a pickle, which may run code", "load it where you trust it, and " + TO_SAFETENSORS),
    ".joblib": ("a pickle, which may run code", "load it where you trust it, and " + TO_SAFETENSORS),
    ".mat": ("a MATLAB file", "load it with scipy.io.loadmat, and save its arrays with numpy.savez"),
    ".t7": ("a file of Lua Torch", "convert it with torchfile, and " + TO_SAFETENSORS),
    ".npy": ("a single array", "save the arrays of a network by name with numpy.savez"),
    ".ptl": ("a TorchScript archive for mobile devices, which contains code", "save model.state_dict()"),
    ".pte": ("an ExecuTorch program", "use the network that it was exported from"),
    ".ot": ("weights of tch-rs", "save them with VarStore.save as .safetensors"),
    ".ort": ("an ONNX Runtime model in its own format", "use the ONNX file that it was made from"),
    ".distcp": (
        "a piece of a distributed PyTorch checkpoint",
        "join its folder with: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER net.pt",
    ),
    ".weights": ("weights of Darknet", "convert them to ONNX"),
    ".nemo": ("an archive of NeMo", "unpack it (tar), and give the .ckpt file inside"),
    ".rknn": ("a model for Rockchip chips", "use the network that it was converted from"),
    ".om": ("a model for Ascend chips", "use the network that it was converted from"),
    ".dlc": ("a model for Qualcomm chips", "use the network that it was converted from"),
    ".hef": ("a model for Hailo chips", "use the network that it was converted from"),
    ".uff": ("a TensorRT graph", "use the network that it was converted from"),
    ".tmfile": ("a Tengine model", "use the network that it was converted from"),
    ".nb": ("a Paddle Lite model", "use the network that it was converted from"),
    ".mge": ("a MegEngine model", "convert it with mgeconvert to ONNX"),
    ".eqx": ("leaves of an Equinox model, without their names", "save its arrays by name with numpy.savez"),
    ".prototxt": ("the graph of a Caffe model", "convert it to ONNX with caffe2onnx"),
    ".mar": ("an archive of TorchServe", "unpack it first, and give the weight file inside"),
    ".zip": ("a zip archive", "unpack it first"),
}

FOLDERS: tuple[tuple[str, str, str], ...] = (
    (
        "saved_model.pb",
        "a TensorFlow SavedModel",
        "convert it with: python -m tf2onnx.convert --saved-model FOLDER",
    ),
    ("keras_metadata.pb", "a TensorFlow SavedModel", TENSORFLOW),
    (
        "model.json",
        "a TensorFlow.js model",
        "convert it with tensorflowjs_converter to Keras, and give the .h5 file",
    ),
    (
        ".metadata",
        "a distributed PyTorch checkpoint",
        "join it with: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER net.pt",
    ),
    ("_METADATA", "an Orbax checkpoint", "restore it and save its arrays with numpy.savez"),
    ("manifest.ocdbt", "an Orbax checkpoint", "restore it and save its arrays with numpy.savez"),
    (".zgroup", "a Zarr store", "save its arrays with numpy.savez"),
    ("zarr.json", "a Zarr store", "save its arrays with numpy.savez"),
    (
        "latest",
        "a checkpoint of DeepSpeed",
        "join it with its zero_to_fp32.py, and give the file that this writes",
    ),
    ("coremldata.bin", "a Core ML model", "use the network that it was converted from"),
    ("Data/com.apple.CoreML", "a Core ML model", "use the network that it was converted from"),
    ("_CHECKPOINT_METADATA", "an Orbax checkpoint", "restore it and save its arrays with numpy.savez"),
    ("checkpoint", "a TensorFlow checkpoint", "load it into its Keras model and save that as .keras or .h5"),
)
"""Folders, by a file that they hold."""


def refuse_foreign(path: Path) -> None:
    """Refuse a file of a format that is not read, with what it is and what to do.

    Raises:
        InputError: such a file.
    """
    what, advice = _known(path)
    if what:
        raise InputError(f"{path}: {what}, expected a weight file or an ONNX graph; {advice}")


def refuse_folder(path: Path) -> None:
    """Refuse a folder of a format that is not read.

    Raises:
        InputError: such a folder.
    """
    for name, what, advice in FOLDERS:
        if (path / name).exists():
            raise InputError(f"{path}: {what}, expected weight files, their index, or a run; {advice}")


def archive_kind(names: list[str]) -> tuple[str, str]:
    """Return what a zip archive is by the names of its entries, and what to do; ("", "") if it may hold weights."""
    plain = [name.partition("/")[2] or name for name in names]
    if any(
        name in ("archive_format", "serialized_exported_program.json") for name in (*plain, *names)
    ) or any(name.startswith("models/") and name.endswith(".json") for name in plain):
        return "a torch.export archive, which contains a program", (
            "save torch.export.load(FILE).state_dict with torch.save, or export the network to ONNX"
        )
    if any(name.startswith("code/") or name == "constants.pkl" for name in plain):
        return (
            "a TorchScript archive, which contains code",
            "save model.state_dict(), or export the network to ONNX",
        )
    if "config.json" in names and any(name.endswith(".h5") for name in names):
        return "a Keras archive", "give it the ending .keras"
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of NumPy arrays", "give it the ending .npz"
    if not any(name.endswith("data.pkl") for name in names):
        return "a zip archive without PyTorch weights", "unpack it first"
    return "", ""


def _archive(path: Path) -> tuple[str, str]:
    """Return what a zip archive is, whatever its ending, and what to do; ("", "") if it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile):
        names = []
    found = archive_kind(names) if names else ("", "")
    return found if found[0] or not names else ("PyTorch weights", "give it the ending .pt")


def _known(path: Path) -> tuple[str, str]:
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return "an empty file", "get it again"
    for start, magic, what, advice in BEGINNINGS if path.suffix not in TEXTS else ():
        if head[start : start + len(magic)] == magic:
            return what, advice
    if head[8:10] == b'{"' and path.suffix != ".safetensors":
        return "a safetensors file", "give it the ending .safetensors"
    if head.startswith(b"PK\x03\x04") and path.suffix in (".npz", ".safetensors", ".onnx", ".h5"):
        what, advice = _archive(path)
        return ("", "") if "NumPy" in what and path.suffix == ".npz" else (what, advice)
    if head.startswith(OLDER) and path.suffix in (".npz", ".safetensors", ".onnx", ".h5", ".hdf5", ".keras"):
        return "PyTorch weights", "give it the ending .pt"
    if head.startswith(b"\x89HDF\r\n\x1a\n") and path.suffix not in (".h5", ".hdf5", ".keras"):
        return "an HDF5 file", "give it the ending .h5"
    if ".data-" in path.name or path.with_name(f"{path.name}.index").is_file():
        return "a TensorFlow checkpoint", "load it into its Keras model and save that as .keras or .h5"
    if path.suffix == ".bin" and (path.parent / "model.json").is_file():
        return "weights of a TensorFlow.js model", FOLDERS[2][2]
    if path.suffix == ".bin" and path.with_suffix(".param").is_file():
        return "weights of an ncnn model", ENDINGS[".param"][1]
    if path.suffix == ".bin" and path.with_suffix(".xml").is_file():
        return "weights of an OpenVINO model", ENDINGS[".xml"][1]
    if path.suffix == ".pt2":
        found = _archive(path)
        exported = "torch" in found[0] and "weights" not in found[0]
        return found if exported else ("not a torch.export archive, whatever its ending", "get it again")
    return ENDINGS.get(path.suffix.lower(), ("", ""))
