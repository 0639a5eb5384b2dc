#!/usr/bin/env python3
"""Makes `relations.bin`: which English words mean the same, the opposite, or another thing of the same kind.

    apt-get download wordnet-base && dpkg-deb -x wordnet-base_*.deb .
    python3 models/relations/make.py usr/share/wordnet models/relations/relations.bin

Of WordNet 3.0 only the graph is kept: the usual meanings of each word as numbers, what each meaning is a kind of, and
which meanings are opposites. Needs nothing but Python.

Form, all numbers little-endian: magic, eight u32 (words, senses, meanings, opposites, bytes of
text, the first meaning of a verb, an adjective, an adverb); for each word
in order of its bytes: u24 where its text begins, u24 where its senses begin; for each sense: u24 meaning; for each meaning: u24 what it is a kind of (itself if nothing); pairs of u24 of
opposites, in order; the text.
"""

import collections
import hashlib
import re
import struct
import sys
from pathlib import Path

MAGIC = b"CARDEWR1"
PARTS = ("noun", "verb", "adj", "adv")
# The most meanings of a word in one part of speech; beside the first, only those that are a tenth of its uses.
MOST, SHARE = 4, 0.1
WORD = re.compile(r"[a-z][a-z'-]{1,23}")
TEXTS = "latin1"


def meanings(folder):
    """Each meaning with its words, what it is a kind of, and its opposites (by word)."""
    found = {}
    for part in PARTS:
        for line in (folder / f"data.{part}").read_text(TEXTS).splitlines():
            if line.startswith("  "):
                continue
            fields = line.partition("|")[0].split()
            count = int(fields[3], 16)
            at = 4 + 2 * count
            links = [fields[at + 1 + 4 * i: at + 5 + 4 * i] for i in range(int(fields[at]))]
            parents, opposites = [], []
            for sign, target, kind, _ in links:
                other = ("adj" if kind in "as" else {"n": "noun", "v": "verb", "r": "adv"}[kind], target)
                if sign in ("@", "@i") or (sign == "&" and fields[2] == "s"):
                    parents.append(other)
                elif sign == "!":
                    opposites.append(other)
            found[part, fields[0]] = (parents, opposites)
    return found


def counts(folder):
    table = collections.Counter()
    for line in (folder / "cntlist.rev").read_text().splitlines():
        key, number, count = line.split()
        word, _, rest = key.partition("%")
        table[word, (*PARTS, "adj")[int(rest[0]) - 1], int(number)] = int(count)
    return table


def lexicon(folder):
    """Word to its usual meanings in each part of speech."""
    known = counts(folder)
    words = collections.defaultdict(lambda: collections.defaultdict(list))
    for part in PARTS:
        for line in (folder / f"index.{part}").read_text(TEXTS).splitlines():
            fields = line.split()
            if line.startswith("  ") or not WORD.fullmatch(fields[0]):
                continue
            senses = fields[6 + int(fields[3]):]
            met = [known[fields[0], part, at + 1] for at in range(len(senses))]
            kept = [s for at, s in enumerate(senses[:MOST]) if at == 0 or met[at] >= SHARE * sum(met)]
            words[fields[0]][part] = [(part, sense) for sense in kept]
    for part in PARTS:
        for line in (folder / f"{part}.exc").read_text().splitlines():
            form, *bases = line.split()
            for base in bases:
                if WORD.fullmatch(form) and part in words.get(base, ()):
                    kept = words[form][part]
                    kept += [sense for sense in words[base][part] if sense not in kept]
    return words


def main():
    folder = Path(sys.argv[1])
    graph = meanings(folder)
    words = lexicon(folder)
    needed, todo = set(), [s for parts in words.values() for senses in parts.values() for s in senses]
    while todo:
        sense = todo.pop()
        if sense not in needed:
            needed.add(sense)
            todo += graph[sense][0][:1]
    order = sorted(needed, key=lambda sense: (PARTS.index(sense[0]), sense[1]))
    number = {sense: at for at, sense in enumerate(order)}
    starts = [sum(PARTS.index(s[0]) < part for s in order) for part in range(1, 4)]
    opposites = sorted({(number[s], number[o]) for s in order for o in graph[s][1] if o in number})
    u24 = lambda value: struct.pack("<I", value)[:3]  # noqa: E731
    table, senses, text = bytearray(), bytearray(), bytearray()
    for word in sorted(words, key=lambda word: word.encode()):
        table += u24(len(text)) + u24(len(senses) // 3)
        text += word.encode()
        for part in PARTS:
            senses += b"".join(u24(number[sense]) for sense in words[word].get(part, ()))
    parents = b"".join(u24(number[(graph[s][0] or [s])[0]]) for s in order)
    pairs = b"".join(u24(one) + u24(other) for one, other in opposites)
    head = struct.pack("<8I", len(words), len(senses) // 3, len(order), len(opposites), len(text), *starts)
    data = MAGIC + head + bytes(table) + bytes(senses) + parents + pairs + bytes(text)
    Path(sys.argv[2]).write_bytes(data)
    print(f"{len(words)} words, {len(order)} meanings, {len(opposites)} opposites, {len(data)} bytes, "
          f"sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
