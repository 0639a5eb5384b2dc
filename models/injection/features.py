"""The features of the injection classifier: the same bytes, blocks and hashes as `guard/injection/score.rs`.

A text is folded (compatibility forms without marks, invisible characters away), put in lower case, its white space
squeezed to single spaces and its digits to `0`. Over the UTF-8 bytes of that run four- and six-byte grams, and words,
pairs of words and pairs with one word between. Each is hashed into one of 2**17 places. Features are counted per block
of 128 bytes; a window is two blocks.
"""

import unicodedata

import numpy as np

BITS = 17
BLOCK = 128
LONGEST = 64 * 1024
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
MASK56 = np.uint64((1 << 56) - 1)

DROP = set(
    [0xAD, 0x34F, 0x61C, 0x3164, 0xFEFF, 0xFFA0, 0x115F, 0x1160, 0x17B4, 0x17B5]
    + list(range(0x180B, 0x1810)) + list(range(0x200B, 0x2010)) + list(range(0x202A, 0x202F))
    + list(range(0x2060, 0x2070)) + list(range(0xFE00, 0xFE10))
)
PLAIN = {0x2018: "'", 0x2019: "'", 0x201A: "'", 0x201B: "'", 0x2032: "'", 0x201C: '"', 0x201D: '"', 0x201E: '"',
         0x201F: '"', 0x2033: '"', 0x3002: ".", 0x2212: "-", 0x2028: "\n", 0x2029: "\n", 0x85: "\n"}
PLAIN.update({code: "-" for code in range(0x2010, 0x2016)})
ALIKE = str.maketrans(
    "аАВсСеЕНіІјЈкКМоОрРѕЅтТхХуУ" "αΑΒεΕΗιΙκΚΜΝοΟρΡτΤυνχΧγΥΖωη",
    "aABcCeEHiIjJkKMoOpPsStTxXyY" "aABeEHiIkKMNoOpPtTuvxXyYZwn",
)


def fold(text):
    """Folds a text as the engine does; rare scripts may differ in marks."""
    if text.isascii():
        return text
    out = []
    for c in text:
        code = ord(c)
        if code in DROP or 0xE0000 <= code <= 0xE0FFF:
            continue
        if code in PLAIN:
            out.append(PLAIN[code])
        elif code < 0x80 or 0x4E00 <= code <= 0x9FFF or 0xAC00 <= code <= 0xD7A3:
            out.append(c)
        else:
            parts = unicodedata.normalize("NFKD", c)
            out.append("".join(PLAIN.get(ord(p), p) for p in parts if unicodedata.category(p) != "Mn" or 0x900 <= ord(p) <= 0x109F))
    folded = "".join(out)
    words = []
    for word in folded.split(" "):
        mixed = any("a" <= c.lower() <= "z" for c in word) and any(0x370 <= ord(c) < 0x530 for c in word)
        words.append(word.translate(ALIKE) if mixed else "".join(c if c.isascii() else c.lower()[0] for c in word))
    return " ".join(words)


def squeeze(text):
    """The byte stream that features are taken from."""
    raw = np.frombuffer(fold(text).encode("utf-8", "replace")[:LONGEST], dtype=np.uint8).copy()
    upper = (raw >= 65) & (raw <= 90)
    raw[upper] += 32
    raw[(raw >= 48) & (raw <= 57)] = 48
    raw[(raw == 9) | (raw == 10) | (raw == 13) | (raw == 12) | (raw == 11)] = 32
    raw = np.concatenate([[32], raw, [32]]).astype(np.uint8)
    keep = np.ones(len(raw), dtype=bool)
    keep[1:] = ~((raw[1:] == 32) & (raw[:-1] == 32))
    return raw[keep]


def place(values):
    """Hashes 64-bit values into places."""
    with np.errstate(over="ignore"):
        return ((values * MULTIPLIER) >> np.uint64(64 - BITS)).astype(np.int32)


def features(text):
    """Places and the block of each, in any order."""
    raw = squeeze(text)
    n = len(raw)
    wide = raw.astype(np.uint64)
    at, blocks = [], []
    for size in (4, 6):
        if n >= size:
            packed = np.zeros(n - size + 1, dtype=np.uint64)
            for offset in range(size):
                packed |= wide[offset : n - size + 1 + offset] << np.uint64(8 * offset)
            at.append(place(packed | np.uint64(size << 56)))
            blocks.append((np.arange(n - size + 1) + size - 1) // BLOCK)
    letters = ((raw >= 97) & (raw <= 122)) | (raw == 48) | (raw >= 128) | (raw == 39)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], letters.view(np.int8), [0]])))
    hashes, ends = [], []
    data = raw.tobytes()
    for start, end in zip(edges[::2], edges[1::2]):
        value = 0x811C9DC5
        for byte in data[start:end]:
            value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
        hashes.append(value)
        ends.append((end - 1) // BLOCK)
    if hashes:
        word = np.array(hashes, dtype=np.uint64)
        end = np.array(ends)
        at.append(place(word | np.uint64(1 << 56)))
        blocks.append(end)
        for gap, tag in ((1, 2), (2, 3)):
            if len(word) > gap:
                with np.errstate(over="ignore"):
                    pair = (word[:-gap] * np.uint64(0x85EBCA6B)) ^ word[gap:]
                at.append(place((pair & MASK56) | np.uint64(tag << 56)))
                blocks.append(end[gap:])
    if not at:
        return np.zeros(0, np.int32), np.zeros(0, np.int64)
    return np.concatenate(at), np.concatenate(blocks)
