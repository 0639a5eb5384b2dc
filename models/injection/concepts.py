"""Concepts of words and the features that they make: the same as `guard/injection/concept.rs`."""

import re

import numpy as np

BITS = 14
NEAR = 7
HEAD = 4096
MOST_SIGNS = 256
MULTIPLIER = 0x9E3779B97F4A7C15
WORD = re.compile(rb"[a-z0'\x80-\xff]+|[.!?:]")
DIGITS = str.maketrans("123456789", "000000000")


def place(value):
    return ((value * MULTIPLIER) & 0xFFFFFFFFFFFFFFFF) >> (64 - BITS)


def kind_of(raw):
    """What a sentence of a record begins in: prose, JSON, a table, markup, code or fields."""
    head = raw[:HEAD]
    size = max(len(head), 1)
    if head.strip()[:1] in (b"{", b"["):
        return 201
    if head.count(b"|") * 60 >= size:
        return 202
    if head.count(b"</") >= 2:
        return 203
    if b"```" in head or sum(head.count(sign) for sign in (b";", b"{", b"}", b"(", b")", b"=")) * 25 >= size:
        return 204
    return 205 if head.count(b": ") * 50 >= size else 0


class Lexicon:
    """Words and beginnings of words with their concepts, from the folded list."""

    def __init__(self, folded):
        names, self.whole, self.heads, self.signs, self.known = ["start"], {}, {}, {}, {}
        for line in folded.split("\n"):
            name, *words = line.split() or [""]
            if not name or name.startswith("#"):
                continue
            if name not in names:
                names.append(name)
            for word in words:
                body = word.removesuffix("-").translate(DIGITS).encode()
                if any(byte >= 0xE3 for byte in body) and len(body) >= 6 and not word.endswith("-"):
                    self.signs.setdefault(body[:6], names.index(name))
                else:
                    (self.heads if word.endswith("-") else self.whole).setdefault(body, names.index(name))
        self.lengths = sorted({len(head) for head in self.heads}, reverse=True)

    def of(self, word):
        """The concepts of a word; more than one only inside a run of signs."""
        found = self.known.get(word)
        if found is None:
            found = self.known[word] = self.look(word)
        return found

    def look(self, word):
        if word in self.whole:
            return [self.whole[word]]
        for length in self.lengths:
            if length <= len(word) and word[:length] in self.heads:
                return [self.heads[word[:length]]]
        pairs = (word[at : at + 6] for at in range(len(word) - 5) if word[at] >= 0xE3)
        return [self.signs[pair] for pair in pairs if pair in self.signs][:MOST_SIGNS]

    def features(self, data, start=0):
        """(place, offset of the last byte) of all concept features of squeezed bytes."""
        at, end, last, words = [place(start + 1)], [0], [(start, 0)], 0
        for match in WORD.finditer(data):
            word = match.group()
            if word in b".!?:":
                if last[-1][0] != start:
                    last.append((start, words))
                continue
            words += 1
            for concept in self.of(word):
                last = [one for one in last[-3:] if words - one[1] <= NEAR]
                made = [concept + 1]
                made += [((1 if back == 0 else 2) << 32) | ((one[0] + 1) << 8) | (concept + 1) for back, one in enumerate(reversed(last))]
                if len(last) >= 2:
                    made.append((3 << 32) | ((last[-2][0] + 1) << 16) | ((last[-1][0] + 1) << 8) | (concept + 1))
                at += [place(value) for value in made]
                end += [match.end() - 1] * len(made)
                last.append((concept, words))
        return np.array(at, np.int32), np.array(end, np.int64)
