"""The content of a checkpoint file: a safetensors file, or a pickle that torch wrote. No code in a file is executed."""

import json
import pickletools
import re
import tarfile
import warnings
import zipfile
import zlib
from argparse import Namespace
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PosixPath
from typing import Any

from mvsearch.errors import CheckpointError, EnvironmentFault
from mvsearch.utils.text import plural

_HEAD = 64
"""Bytes that are read to recognise a kind of file."""

_KINDS = (
    (rb"\x89HDF", "an HDF5 file; convert it to PyTorch"),
    (rb"GGUF", "a GGUF file; convert it to PyTorch"),
    (rb"\x93NUMPY", "a NumPy array; save a state_dict"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|\x28\xb5\x2f\xfd", "a compressed file; unpack it first"),
    (rb"version https://git-lfs", "a pointer of Git LFS; run `git lfs pull`"),
    (rb"\s*<(!DOCTYPE|!doctype|html|HTML|\?xml)", "a web page, perhaps of a failed download; download the file again"),
    (rb'\s*\{\s*"', "a JSON file; use a file with the weights themselves"),
    (rb"\x08.[\x12\x1a\x22\x2a\x32\x3a\x42]", "an ONNX file; use the checkpoint that it was made from"),
    (rb".{4}(TFL3|ET\d\d)", "a compiled network; use the checkpoint that it was made from"),
)
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
_NUMPY = {"scalar": "a NumPy number", "_reconstruct": "a NumPy array", "ndarray": "a NumPy array"}


def load_content(path: Path) -> tuple[Any, Mapping[str, str]]:
    """What a file stores, on the CPU, and the metadata of a safetensors file.

    Raises EnvironmentFault for a file that is missing or cannot be read, CheckpointError for one of another kind, a
    damaged one, and one with objects that only code in the file can build.
    """
    try:
        if path.is_dir():
            raise EnvironmentFault(f"is a folder {_describe_files(path)}.", at=path)
        if not path.is_file():
            raise EnvironmentFault("there is no such file; use a .safetensors or .pt checkpoint.", at=path)
        if (part := re.search(r"-\d{5}-of-(\d{5})\b", path.name)) and int(part[1]) > 1:
            raise CheckpointError(f"is one of {int(part[1])} parts; save all weights in one file.", at=path)
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if not head:
            raise CheckpointError("is empty; use another copy of the file.", at=path)
        length = int.from_bytes(head[:8], "little")
        if head[8:9] == b"{" and length < 1 << 32:
            return _load_safetensors(path)
        _refuse_other_kinds(path, head)
        return _load_pickle(path), {}
    except OSError as error:
        raise EnvironmentFault(f"cannot be read ({error.strerror}); use a file that you may read.", at=path) from None


def _describe_files(folder: Path) -> str:
    """Which checkpoint a folder contains, and what would do."""
    names = sorted(file.name for file in folder.iterdir() if file.suffix in {".safetensors", ".pt", ".pth", ".bin"})
    if names:
        return f"with {plural(len(names), 'checkpoint')}; use a file, such as {folder / names[0]}"
    return "without .safetensors or .pt files; use a checkpoint, or weights.safetensors of a finished training"


def _load_safetensors(path: Path) -> tuple[Any, Mapping[str, str]]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = path.read_bytes()  # safetensors itself opens no name that is not UTF-8
    try:
        weights = load(content)
    except (SafetensorError, KeyError) as error:  # KeyError: of a type that torch does not have
        raise CheckpointError(f"is damaged or incomplete ({error}); use another copy of the file.", at=path) from None
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return weights, header.get("__metadata__", {})


def _refuse_other_kinds(path: Path, head: bytes) -> None:
    for pattern, kind in _KINDS:
        if re.match(pattern, head, re.DOTALL):
            raise CheckpointError(f"is {kind}.", at=path)
    if tarfile.is_tarfile(path):
        raise CheckpointError("is a tar archive; unpack it and use the checkpoint in it.", at=path)
    if head.startswith(b"PK"):
        try:
            archive = zipfile.ZipFile(path)
        except _ZIP_ERRORS:
            raise CheckpointError("is damaged or incomplete; use another copy of the file.", at=path) from None
        with archive:
            _refuse_other_archives(path, archive)


def _refuse_other_archives(path: Path, archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in names):
        raise CheckpointError(
            "is a TorchScript archive; save its weights: torch.save(torch.jit.load(file).state_dict(), 'weights.pt').",
            at=path,
        )
    if not any(name.endswith("/data.pkl") for name in names):
        example = f", such as {names[0]}" if names else ""
        raise CheckpointError(f"is a ZIP archive without a checkpoint of torch{example}; use a checkpoint.", at=path)
    # torch itself does not compare checksums, so a damaged file would give other weights without an error.
    for entry in archive.infolist():
        if entry.CRC:  # torch can be told to write none
            try:
                with archive.open(entry) as file:
                    while file.read(1 << 20):
                        pass
            except _ZIP_ERRORS:
                raise CheckpointError(
                    f"is damaged: {entry.filename} does not have its checksum; use another copy of the file.", at=path
                ) from None


def _load_pickle(path: Path) -> Any:
    import torch

    allowed: list[Any] = [Namespace, PosixPath]  # of arguments that scripts store; both hold only values
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that torch did not write
            with path.open("rb") as file:  # by its name, torch would read a file as safetensors
                return torch.load(file, "cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises any type; torch's message advises to run the code in it
        with torch.serialization.safe_globals(allowed):
            found = _forbidden(path, str(error))
        if found:
            raise CheckpointError(
                f"contains {found}, which code in the file would have to build, and no code in a file is run; save the "
                "weights alone where it was written: torch.save(model.state_dict(), 'weights.pt').",
                at=path,
            ) from None
        raise CheckpointError(
            "is damaged, or not a checkpoint of plain tensors; save `model.state_dict()`.", at=path
        ) from None


def _forbidden(path: Path, message: str) -> str:
    """The first object of a pickle that is not a plain value, in words, and the name that it is stored under."""
    named = re.search(
        r"Unsupported (?:global: GLOBAL|class) (\S+)|Trying to (?:call reduce for|instantiate) .* (\S+)", message
    )
    if not named:
        return ""
    name, key = named[1] or named[2], ""
    with suppress(Exception):  # a pickle without a ZIP archive around it, or a damaged one: its keys are not known
        name, key = _locate(path)
    module, _, cls = name.rpartition(".")
    kind = f"{_NUMPY[cls]} ({name})" if module.startswith("numpy") and cls in _NUMPY else f"an object of {name}"
    return f"{kind} under {key!r}" if key else kind


def _locate(path: Path) -> tuple[str, str]:
    """The name of the first object that torch does not allow, and the last text before it, which is its key."""
    from torch.serialization import get_unsafe_globals_in_checkpoint

    unsafe, key = set(get_unsafe_globals_in_checkpoint(str(path))), ""
    with zipfile.ZipFile(path) as archive:
        pickled = archive.read(next(entry for entry in archive.namelist() if entry.endswith("/data.pkl")))
    for code, argument, _ in pickletools.genops(pickled):
        if "UNICODE" in code.name:
            key = str(argument)
        elif code.name == "GLOBAL" and (name := str(argument).replace(" ", ".")) in unsafe:
            return name, key
    raise LookupError
