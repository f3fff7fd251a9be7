"""The safetensors format: a header in JSON, then the bytes of the tensors.

Read and written here with torch alone, so that adapters need no other library.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
}


def write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors, in the order of their names, to a file.

    Args:
        path: The file; one that is there is replaced.
        tensors: Dense tensors by name.

    Raises:
        TypeError: If a dtype is not among `DTYPES`. Nothing is written then.
    """
    names = {dtype: name for name, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    parts: list[bytes] = []
    end = 0
    for key in sorted(tensors):
        tensor = tensors[key].detach().to("cpu").contiguous()
        if tensor.dtype not in names:
            raise TypeError(f"{key} has dtype {tensor.dtype}: accepted are {[*names]}")
        raw = tensor.flatten().view(torch.uint8).numpy().tobytes()
        header[key] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [end, end + len(raw)],
        }
        parts.append(raw)
        end += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file.

    Args:
        path: A file in the safetensors format.

    Returns:
        Tensors on the CPU, by name.

    Raises:
        ValueError: If the file is cut off, not in the format, or holds a dtype not in `DTYPES`.
    """
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        return {key: _tensor(entry, data[8 + length :]) for key, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{path} is cut off, or no safetensors file: {error}") from None


def _tensor(entry: Mapping[str, Any], data: bytes) -> Tensor:
    if entry["dtype"] not in DTYPES:
        raise ValueError(f"dtype {entry['dtype']} is not among those read here, {[*DTYPES]}")
    dtype, shape = DTYPES[entry["dtype"]], entry["shape"]
    start, end = entry["data_offsets"]
    if not 0 <= start <= end <= len(data) or end - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{end - start} bytes for shape {shape} of {dtype}")
    if start == end:
        return torch.empty(shape, dtype=dtype, device="cpu")
    raw = torch.frombuffer(bytearray(data[start:end]), dtype=torch.uint8)
    return raw.view(dtype).reshape(shape)
