"""The second look: a small head over the vectors of the sentence encoder, and the figures of held-out scores."""

import json
import math
import struct
import subprocess

import numpy as np

DIMS, HIDDEN, EPOCHS, RATE, PRIOR, DROP, BATCH = 384, 64, 12, 2e-3, 1e-4, 0.2, 256
# Texts of one source and label that are encoded; of our own more, since they are all sources' tactics.
MOST, MOST_OWN = 1200, 4000
# Between these shares of harmless held-out texts the classifier is unsure.
UNSURE = (0.90, 0.9995)


def family(source):
    return source.split("/")[0] if source.startswith(("own/", "manuals/")) else source


def weigh(rows, use):
    """Each source counts by its size to the power 0.6; both labels count the same."""
    weight = np.zeros(len(rows))
    name = np.array([family(source) for source in rows.source])
    for source in set(name[use]):
        for which in (0, 1):
            members = np.flatnonzero(use & (name == source) & (rows.label == which))
            if len(members):
                weight[members] = len(members) ** 0.6 / len(members) * (2.0 if source == "own" else 1.0)
    for which in (0, 1):
        mask = use & (rows.label == which)
        weight[mask] /= weight[mask].sum()
    return weight


def interval(hits, count):
    z, share = 1.96, hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return [round(max(middle - half, 0.0), 3), round(min(middle + half, 1.0), 3)]


def told(rows, held):
    """The figures of held-out scores: the line, each source's recall and the harmless texts over the line."""
    names = np.array([family(source) for source in rows.source])
    benign = (rows.label == 0) & (names != "own")
    line = float(np.quantile(held[benign], 0.99))
    figures = {"line": round(line, 3), "recall": {}, "harmless": {}}
    for name in sorted(set(names)):
        for which, part in ((1, "recall"), (0, "harmless")):
            mask = (names == name) & (rows.label == which)
            if mask.any():
                hits = int((held[mask] > line).sum())
                figures[part][name] = {"texts": int(mask.sum()), "share": round(hits / mask.sum(), 4), "interval": interval(hits, int(mask.sum()))}
    figures["macro_recall"] = round(float(np.mean([one["share"] for name, one in figures["recall"].items() if name != "own"])), 3)
    return figures, [round(float(np.quantile(held[benign], share)), 3) for share in (0.95, 0.99, 0.999)]


def sample(rows):
    """Numbers of the texts that are encoded."""
    name, kept = np.array([family(source) for source in rows.source]), []
    for source in sorted(set(name)):
        for label in (0, 1):
            members = np.flatnonzero((name == source) & (rows.label == label))
            kept.append(np.random.default_rng(1).permutation(members)[: MOST_OWN if source == "own" else MOST])
    return np.sort(np.concatenate(kept))


class Part:
    """Some of the rows."""

    def __init__(self, rows, chosen):
        self.label, self.source = rows.label[chosen], [rows.source[number] for number in chosen]
        self.trained, self.fold = rows.trained[chosen], rows.fold[chosen]

    def __len__(self):
        return len(self.label)


def encode(encoder, texts):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    answer = subprocess.run([encoder], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    vectors = [json.loads(line)["vector"] for line in answer.stdout.decode().split("\n")[:-1]]
    return np.array(vectors, np.float32) * np.float32(math.sqrt(DIMS))


def fit(vectors, label, weight):
    """Two layers, by Adam. Gives (first weights, first biases, second weights, second bias)."""
    rnd = np.random.default_rng(0)
    made = [rnd.normal(0, 1 / math.sqrt(DIMS), (DIMS, HIDDEN)).astype(np.float32), np.zeros(HIDDEN, np.float32), rnd.normal(0, 0.1, HIDDEN).astype(np.float32), np.zeros(1, np.float32)]
    first, second, step = [np.zeros_like(one) for one in made], [np.zeros_like(one) for one in made], 0
    weight = np.minimum(weight / weight.mean(), 8)
    for _ in range(EPOCHS):
        order = rnd.permutation(len(label))
        for at in range(0, len(order), BATCH):
            rows = order[at : at + BATCH]
            given = vectors[rows] * (rnd.random((len(rows), DIMS)) > DROP) / (1 - DROP)
            inner = np.maximum(given @ made[0] + made[1], 0)
            margin = inner @ made[2] + made[3][0]
            slope = ((1 / (1 + np.exp(-np.clip(margin, -30, 30))) - label[rows]) * weight[rows] / len(rows)).astype(np.float32)
            back = np.outer(slope, made[2]) * (inner > 0)
            slopes = [given.T @ back + PRIOR * made[0], back.sum(0), inner.T @ slope + PRIOR * made[2], np.array([slope.sum()])]
            step += 1
            for one, wanted, mean, square in zip(made, slopes, first, second):
                mean += 0.1 * (wanted - mean)
                square += 0.001 * (wanted * wanted - square)
                one -= (RATE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)).astype(np.float32)
    return made


def rounded(made, share):
    """The head with its first weights as bytes: (bytes, scales, the rest)."""
    weights, biases, outer, bias = made
    scales = np.abs(weights).max(0) / 127
    return np.round(weights / scales).astype(np.int8), scales, biases, outer * share, float(bias[0]) * share


def says(head, vectors):
    whole, scales, biases, outer, bias = head
    return np.maximum(vectors @ (whole * scales) + biases, 0) @ outer + bias


def look(options, rows, held, shown, groups, share):
    """Trains the head and says what it is worth: its part of the file, and its figures."""
    chosen = sample(rows)
    part, before = Part(rows, chosen), held[chosen]
    vectors = encode(options.encoder, [shown(number) for number in chosen])
    label, after = part.label.astype(np.float32), np.full(len(chosen), np.nan)
    for group in groups:
        out = np.isin(part.fold, group)
        use = ~out & part.trained
        after[out] = says(rounded(fit(vectors[use], label[use], weigh(part, use)[use]), share), vectors[out])
    benign = (part.label == 0) & np.array([family(source) != "own" for source in part.source])
    low, high = (float(np.quantile(before[benign], place)) for place in UNSURE)
    final = np.where(before <= low, before, np.where(before >= high, before + 99, before + after))
    first, _ = told(part, before)
    figures, lines = told(part, final)
    figures |= {"first_look_on_the_same_texts": first["macro_recall"], "asked_of_harmless": round(float(((before > low) & (before < high))[benign].mean()), 3)}
    whole, scales, biases, outer, bias = rounded(fit(vectors[part.trained], label[part.trained], weigh(part, part.trained)[part.trained]), share)
    body = struct.pack("<I6f", HIDDEN, bias, low, high, *lines)
    for unit in range(HIDDEN):
        body += struct.pack("<3f", scales[unit] * math.sqrt(DIMS), biases[unit], outer[unit]) + whole[:, unit].tobytes()
    return body, figures
