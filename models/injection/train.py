"""Trains the injection classifier and says what it is worth on sources that it has not seen.

    python3 train.py DATA [--out DIR]

DATA is the folder with `injection_prompts.jsonl` and `injection_documents.jsonl`. Needs numpy and nothing else. Writes
`weights.bin`, `golden.jsonl` (texts with their scores, for the engine's test) and `figures.json` into DIR.

Rows under CC-BY-SA-4.0 are left out of training. Evaluation leaves one source out at a time: attacks of the source are
scored by a model that saw none of it; the threshold is the one that a share of 1 % of the harmless texts of OTHER
held-out sources reaches.
"""

import argparse
import json
import math
import pathlib
import struct
import zlib

import numpy as np

import own
from features import BITS, features

SIZE = 1 << BITS

# Sources that share their harmless part with another are left out together: otherwise a model that has seen only the
# attacked copies of some records learns that the records are attacks.
TOGETHER = {"asb-composed": "tau-bench-retail", "cardea-synth-composed": "cardea-synth"}
ALLOWED = ("MIT", "Apache-2.0", "CC0-1.0")


def load(folder):
    rows, seen = [], set()
    for name in ("injection_prompts.jsonl", "injection_documents.jsonl"):
        for line in open(folder / name, encoding="utf-8"):
            row = json.loads(line)
            key = " ".join(row["text"].lower().split())
            if row["licence"].split(" ")[0] not in ALLOWED or key in seen:
                continue
            seen.add(key)
            kind = "document" if "documents" in name else "prompt"
            rows.append((row["text"], int(row["label"]), row["source"], kind))
    for text, label, family in own.rows():
        kind = "document" if family in ("indirect", "records") else "prompt"
        fold = "abc"[zlib.crc32(family.encode()) % 3]
        rows.append((text, label, "own/" + fold, kind))
    return rows


def thin(source, most, seed):
    """Marks at most `most` rows of each source: evaluation trains on fewer rows of the largest sources."""
    rnd = np.random.default_rng(seed)
    keep = np.zeros(len(source), bool)
    for name in set(source):
        members = np.flatnonzero(source == name)
        keep[rnd.permutation(members)[:most]] = True
    return keep


class Windows:
    """All windows of all texts as one sparse matrix: a text's whole, then its windows of two blocks."""

    def __init__(self, rows):
        self.first, index, sizes, owner = [], [], [], []
        for number, row in enumerate(rows):
            place, block = features(row[0])
            self.first.append(len(sizes))
            spans = [place]
            last = int(block.max()) if len(block) else 0
            if last > 1:
                spans += [place[(block == b) | (block == b + 1)] for b in range(last)]
            for span in spans:
                index.append(span)
                sizes.append(len(span))
                owner.append(number)
        self.owner = np.array(owner)
        self.sizes = np.array(sizes)
        self.index = np.concatenate(index)
        self.start = np.concatenate([[0], np.cumsum(self.sizes)])
        self.root = np.sqrt(np.maximum(self.sizes, 1)).astype(np.float32)

    def margins(self, weights, bias):
        sums = np.concatenate([[0.0], np.cumsum(weights[self.index].astype(np.float64))])
        return (sums[self.start[1:]] - sums[self.start[:-1]]) / self.root + bias

    def pick(self, chosen):
        """A smaller matrix with these windows."""
        part = object.__new__(Windows)
        part.owner, part.sizes, part.root = self.owner[chosen], self.sizes[chosen], self.root[chosen]
        part.index = np.concatenate([self.index[self.start[c] : self.start[c + 1]] for c in chosen])
        part.start = np.concatenate([[0], np.cumsum(part.sizes)])
        return part


def top(windows, margins, count):
    best = np.full(count, -1e9)
    np.maximum.at(best, windows.owner, margins)
    return best


def fit(windows, label, weight, rounds=60, decay=2e-4):
    """Logistic regression by Adam on the whole matrix."""
    w, bias = np.zeros(SIZE, np.float32), 0.0
    m, v = np.zeros(SIZE, np.float32), np.zeros(SIZE, np.float32)
    mb = vb = 0.0
    row_of = np.repeat(np.arange(len(windows.sizes)), windows.sizes)
    total = weight.sum()
    for step in range(1, rounds + 1):
        margin = windows.margins(w, bias)
        slope = weight * (1 / (1 + np.exp(-np.clip(margin, -30, 30))) - label) / total
        share = (slope / windows.root).astype(np.float32)
        gradient = np.bincount(windows.index, weights=share[row_of], minlength=SIZE).astype(np.float32) + decay / 100 * w
        m = 0.9 * m + 0.1 * gradient
        v = 0.99 * v + 0.01 * gradient**2
        rate = 0.12 * (1 - step / (rounds + 1)) + 0.01
        w -= rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.99**step)) + 1e-7)
        g = float(slope.sum())
        mb, vb = 0.9 * mb + 0.1 * g, 0.99 * vb + 0.01 * g * g
        bias -= rate * (mb / (1 - 0.9**step)) / (math.sqrt(vb / (1 - 0.99**step)) + 1e-7)
    return w, bias


def train(rows, windows, use):
    """A model from the rows marked in `use`: first on whole texts, then attacks by their strongest window."""
    label = np.array([row[1] for row in rows], np.float32)
    groups = {}
    for number in np.flatnonzero(use):
        groups.setdefault((rows[number][2], rows[number][1]), []).append(number)
    weight = np.zeros(len(rows))
    for (source, which), members in groups.items():
        weight[members] = len(members) ** 0.6 / len(members)
    for which in (0, 1):
        mask = use & (label == which)
        weight[mask] /= weight[mask].sum()
    first = np.array(windows.first)
    chosen = first[use]
    part = windows.pick(chosen)
    w, bias = fit(part, label[part.owner], weight[part.owner] * len(rows), rounds=30)
    margins = windows.margins(w, bias)
    rnd = np.random.default_rng(5)
    more = []
    ends = np.concatenate([first[1:], [len(windows.sizes)]])
    for number in np.flatnonzero(use):
        low, high = first[number] + 1, ends[number]
        if high <= low:
            continue
        if label[number] == 1:
            more.append(low + int(np.argmax(margins[low:high])))
        else:
            more.append(low + int(np.argmax(margins[low:high])))
            more.append(int(rnd.integers(low, high)))
    chosen = np.concatenate([chosen, np.array(more, dtype=int)]) if more else chosen
    part = windows.pick(chosen)
    return fit(part, label[part.owner], weight[part.owner] * len(rows))


def quantise(w):
    scale = float(np.quantile(np.abs(w[w != 0]), 0.9995)) / 127
    return np.clip(np.round(w / scale), -127, 127).astype(np.int8), scale


def interval(hits, count):
    if count == 0:
        return [0.0, 1.0]
    z, share = 1.96, hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return [round(middle - half, 3), round(middle + half, 3)]


def write(rows, windows, lines, out):
    """Trains on everything and writes the weights with the lines of calibration, and golden texts."""
    w, bias = train(rows, windows, np.ones(len(rows), bool))
    q, scale = quantise(w)
    scores = top(windows, windows.margins(q.astype(np.float32) * scale, bias), len(rows))
    body = struct.pack("<4sIff6f", b"CGI1", BITS, scale, bias, *lines) + q.tobytes()
    (out / "weights.bin").write_bytes(body + struct.pack("<I", zlib.crc32(body)))

    rnd = np.random.default_rng(3)
    golden = [n for n in rnd.permutation(len(rows)) if rows[n][2].startswith("own/")][:40]
    with open(out / "golden.jsonl", "w", encoding="utf-8") as file:
        for number in golden:
            file.write(json.dumps({"text": rows[number][0], "margin": round(float(scores[number]), 4)}, ensure_ascii=False) + "\n")



def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--only-train", action="store_true")
    options = parser.parse_args()
    rows = load(options.data)
    windows = Windows(rows)
    label = np.array([row[1] for row in rows])
    source = np.array([row[2] for row in rows])
    kind = np.array([row[3] for row in rows])
    print(len(rows), "rows", len(windows.sizes), "windows", len(windows.index), "features", flush=True)

    held = np.full(len(rows), np.nan)
    few = thin(source, 5000, 11)
    if not options.only_train:
        fold = np.array([TOGETHER.get(name, name) for name in source])
        for name in sorted(set(fold)):
            out = fold == name
            w, bias = train(rows, windows, ~out & few)
            q, scale = quantise(w)
            scores = top(windows, windows.margins(q.astype(np.float32) * scale, bias), len(rows))
            held[out] = scores[out]
            print(name, int(out.sum()), "median", round(float(np.median(held[out])), 2), flush=True)

    if options.only_train:
        lines = json.loads((options.out / "figures.json").read_text())["lines"]
        write(rows, windows, lines, options.out)
        return
    lines = []
    figures = {"rows": len(rows), "by_source": {}}
    for which in ("prompt", "document"):
        benign = (label == 0) & (kind == which)
        line = float(np.quantile(held[benign], 0.99))
        recalls = []
        for name in sorted(set(source[(label == 1) & (kind == which)])):
            mask = (source == name) & (label == 1) & (kind == which)
            hits = int((held[mask] > line).sum())
            recalls.append(hits / mask.sum())
            figures["by_source"][f"{which}/{name}"] = {"attacks": int(mask.sum()), "recall": round(hits / mask.sum(), 3), "interval": interval(hits, int(mask.sum()))}
        for name in sorted(set(source[benign])):
            mask = benign & (source == name)
            hits = int((held[mask] > line).sum())
            figures["by_source"][f"{which}/{name}/harmless"] = {"texts": int(mask.sum()), "flagged": round(hits / mask.sum(), 4), "interval": interval(hits, int(mask.sum()))}
        lines += [round(float(np.quantile(held[benign], share)), 3) for share in (0.95, 0.99, 0.999)]
        figures[which] = {"threshold": round(line, 3), "macro_recall": round(float(np.mean(recalls)), 3)}
    figures["lines"] = lines
    write(rows, windows, lines, options.out)
    (options.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


main()
