"""The features of the injection classifier: the same bytes, pieces and hashes as `guard/injection/score.rs`.

The engine folds the text (`guard clues`); here it is put in lower case, its white space squeezed to single spaces and its
digits to `0`. Over the bytes of that run four- and six-byte grams, and words, pairs of words and pairs with one word
between. Each is hashed into one of 2**BITS places.

Beside these stand the features of `concepts.py`. Both are given for each window: (letters and words, concepts).

What a user writes is read as a whole and in windows of two blocks of 128 bytes. What a tool returns is read in sentences:
an order in a record is one sentence among many. A window there is one, two or three sentences, and the first byte of a
sentence is 1 in the place of a space.
"""

import re

import numpy as np

from concepts import kind_of

BITS = 17
BLOCK = 128
LONGEST = 64 * 1024
SHORTEST, LONG = 16, 200
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
MASK56 = np.uint64((1 << 56) - 1)
LOWER = bytes(c + 32 if 65 <= c <= 90 else 48 if 48 <= c <= 57 else 32 if c in b"\t\n\r\x0b\x0c" else c for c in range(256))
# A sentence ends after these signs and after a written-out line break, after . ! ? ; : before white space, and before a tag.
ENDS = re.compile(rb"(?<=[\n\r\"|>}])|(?<=\\n)|(?<=[.!?;:])(?=[ \t\n\r])|(?=<)")


def place(values):
    """Hashes 64-bit values into places."""
    with np.errstate(over="ignore"):
        return ((values * MULTIPLIER) >> np.uint64(64 - BITS)).astype(np.int32)


def squeeze(raw, first=32):
    """Lower case, zeros for digits, single spaces, with one before and one after."""
    text = b" ".join(part for part in raw.translate(LOWER).split(b" ") if part)
    return bytes([first]) + text + b" "


def grams(data):
    """(place, offset of the last byte) of all features of squeezed bytes."""
    raw = np.frombuffer(data, np.uint8)
    n, wide = len(raw), raw.astype(np.uint64)
    at, end = [], []
    for size in (4, 6):
        if n >= size:
            packed = np.zeros(n - size + 1, dtype=np.uint64)
            for offset in range(size):
                packed |= wide[offset : n - size + 1 + offset] << np.uint64(8 * offset)
            at.append(place(packed | np.uint64(size << 56)))
            end.append(np.arange(n - size + 1) + size - 1)
    letters = ((raw >= 97) & (raw <= 122)) | (raw == 48) | (raw >= 128) | (raw == 39)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], letters.view(np.int8), [0]])))
    hashes = []
    for start, stop in zip(edges[::2], edges[1::2]):
        value = 0x811C9DC5
        for byte in data[start:stop]:
            value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
        hashes.append(value)
    if hashes:
        word, last = np.array(hashes, dtype=np.uint64), edges[1::2] - 1
        at.append(place(word | np.uint64(1 << 56)))
        end.append(last)
        for gap, tag in ((1, 2), (2, 3)):
            if len(word) > gap:
                with np.errstate(over="ignore"):
                    pair = (word[:-gap] * np.uint64(0x85EBCA6B)) ^ word[gap:]
                at.append(place((pair & MASK56) | np.uint64(tag << 56)))
                end.append(last[gap:])
    if not at:
        return np.zeros(0, np.int32), np.zeros(0, np.int64)
    return np.concatenate(at), np.concatenate(end)


def prompt(text, lexicon):
    """Windows of what a user writes: the whole, then pairs of blocks."""
    data = squeeze(text.encode("utf-8", "replace")[:LONGEST])
    both = [grams(data), lexicon.features(data)]
    last = max(int(end.max()) // BLOCK if len(end) else 0 for _, end in both)
    yield [at for at, _ in both]
    if last > 1:
        parts = []
        for at, end in both:
            block = end // BLOCK
            order = np.argsort(block, kind="stable")
            parts.append((at[order], np.searchsorted(block[order], np.arange(last + 2))))
        for number in range(last):
            yield [at[edges[number] : edges[number + 2]] for at, edges in parts]


def has_words(part):
    """False for the bracket that closes a record, for lines, numbers and the fence around code."""
    part = part.strip(b" \t\n\r\x0c")
    return bool(re.search(rb"[A-Za-z\x80-\xff]", part)) and not re.fullmatch(rb"```[A-Za-z0-9]*", part)


def cuts(raw):
    """(start, end) of the sentences of a record: short ones go on with the next, long ones are cut, and what has no words is none."""
    ends = [match.start() for match in ENDS.finditer(raw)] + [len(raw)]
    start = 0
    for cut in ends:
        while cut - start >= SHORTEST or cut == len(raw):
            blank = raw.find(b" ", start + LONG, cut)
            end = cut if blank < 0 else blank
            if end > start and has_words(raw[start:end]):
                yield start, end
            start = end
            if end == cut:
                break


def sentences(text):
    """The sentences themselves."""
    raw = text.encode("utf-8", "replace")[:LONGEST]
    return (raw[start:end] for start, end in cuts(raw))


def record(text, lexicon):
    """Windows of what a tool returns: one, two and three sentences."""
    kind = kind_of(text.encode("utf-8", "replace"))
    parts = []
    for part in sentences(text):
        data = squeeze(part, 1)
        parts.append((grams(data)[0] >> 1, lexicon.features(data, kind)[0]))
    for number, count in spans(len(parts)):
        yield [np.concatenate(one) for one in zip(*parts[number : number + count])]


def spans(sentences):
    """(first sentence, how many) of each window of a record, in their order."""
    return [(number, count) for number in range(sentences) for count in (1, 2, 3) if number + count <= sentences]
