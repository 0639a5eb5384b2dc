"""The second look: a small head over the states of the sentence encoder, and the figures of held-out scores."""

import hashlib
import json
import math
import struct
import subprocess

import numpy as np

# The vector, and the means of the token states after these layers.
DIMS, LAYERS = 384, (2, 4)
WIDE = DIMS * (2 + LAYERS[1] - LAYERS[0])
RATE, PRIOR, DROP, BATCH = 2e-3, 1e-4, 0.5, 256
# The mean of so many heads, each from another seed, with so many hidden units, after so many epochs.
HEADS, HIDDEN, EPOCHS = {"prompt": 3, "document": 1}, {"prompt": 64, "document": 192}, {"prompt": 5, "document": 8}
# Between these shares of harmless held-out texts the classifier is unsure.
UNSURE = {"prompt": (0.90, 0.9995), "document": (0.50, 0.9999)}
# What the look adds, as a share of what its head says.
SHARE = {"prompt": 0.75, "document": 1.5}
# A source of harmless texts counts by its size to this power for the lines that the engine is given, of prompts each alike.
# Three quarters of those are of two sources, and what people ask on any day is in the small ones; of the records two thirds
# are manuals, but of one source there are three texts only.
LINED = {"prompt": 0.0, "document": 0.3}
# What the harmless records of every day count beside others, for the first look: chosen by leaving sources out. The head reads
# them at full weight, with which its false alarms among them are fewer.
WORK = 0.2
# What our own texts count beside a source of their size, and what they count for the head. In the first look, hand-written
# records at a higher weight hide the bare orders that other sources have.
OWN = {"prompt": {"own": 2.0, "written": 1.0}, "document": {"own": 2.0, "written": 1.0}}
HEAD_OWN = {"prompt": {"own": 2.0, "written": 1.0}, "document": {"own": 2.0, "written": 2.0}}


# Texts of our own: filled by grammars, and written one by one. They count for no line and no mean.
OURS = ("own/", "written/")


def family(source):
    return source.split("/")[0] if source.startswith((*OURS, "manuals/")) else source


def weigh(rows, use, work=WORK, own=OWN):
    """Each source counts by its size to the power 0.6; both labels count the same."""
    weight = np.zeros(len(rows))
    name = np.array([family(source) for source in rows.source])
    for source in sorted(set(name[use])):
        for which in (0, 1):
            members = np.flatnonzero(use & (name == source) & (rows.label == which))
            if len(members):
                weight[members] = len(members) ** 0.6 / len(members) * own[rows.surface].get(source, 1.0)
    for which in (0, 1):
        mask = use & (rows.label == which)
        weight[mask] /= weight[mask].sum()
    # WHY: people's mails are full of bare imperatives; at full weight a bare order in a record is no longer known.
    weight[[source.endswith("/work") for source in rows.source]] *= work
    return weight


def interval(hits, count):
    z, share = 1.96, hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return [round(max(middle - half, 0.0), 3), round(min(middle + half, 1.0), 3)]


def quantile(values, weight, share):
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(total, share * total[-1])])


def told(rows, held, surface):
    """The figures of held-out scores: the line that 1 % of harmless texts reach, each source's recall and the harmless texts
    over the line; and the lines for the engine, with what is over the second of these."""
    names = np.array([family(source) for source in rows.source])
    ours = ("own", "written")
    benign = (rows.label == 0) & ~np.isin(names, ours)
    line = float(np.quantile(held[benign], 0.99))
    figures = {"line": round(line, 3), "recall": {}, "harmless": {}}
    for name in sorted(set(names)):
        for which, part in ((1, "recall"), (0, "harmless")):
            mask = (names == name) & (rows.label == which) & ~np.isnan(held)
            if mask.any():
                hits = int((held[mask] > line).sum())
                figures[part][name] = {"texts": int(mask.sum()), "share": round(hits / mask.sum(), 4), "interval": interval(hits, int(mask.sum()))}
    mean = lambda line, which: round(float(np.mean([(held[(names == name) & (rows.label == which)] > line).mean() for name in sorted(set(names[rows.label == which]) - set(ours))])), 3)
    figures["macro_recall"] = mean(line, 1)
    # WHY: harmless texts that were written one by one are nearer to what people send than most sources are.
    lined = (rows.label == 0) & (names != "own") & ~np.isnan(held)
    size = np.array([(lined & (names == name)).sum() for name in names[lined]])
    lines = [round(quantile(held[lined], size ** (LINED[surface] - 1), share), 3) for share in (0.95, 0.99, 0.999)]
    figures["engine"] = {"line": lines[1], "macro_recall": mean(lines[1], 1), "harmless": round(float((held[benign] > lines[1]).mean()), 4), "macro_harmless": mean(lines[1], 0), "macro_harmless_at_line": mean(line, 0)}
    return figures, lines


def encode(encoder, texts):
    """What the encoder sees of each text, in half precision: further digits are another processor's. Equal texts are read once."""
    each = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    lines = "".join(json.dumps(text) + "\n" for text in each)
    answer = subprocess.run([encoder, "layers", *map(str, LAYERS)], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    seen = np.frombuffer(answer.stdout, "<f4").reshape(len(each), WIDE).astype(np.float16)
    return seen[[each[text] for text in texts]].astype(np.float32)


def fit(seen, label, weight, surface):
    """The mean of heads as one. Gives what is usual and its scale, first weights and biases, second weights and bias."""
    usual, scale = seen.mean(0), 1 / (seen.std(0) + 1e-3)
    inner, biases, outer, bias = zip(*(one_head((seen - usual) * scale, label, weight, seed, surface) for seed in range(HEADS[surface])))
    return usual, scale, np.concatenate(inner, axis=1), np.concatenate(biases), np.concatenate(outer) / len(outer), np.mean(bias, axis=0)


def one_head(given, label, weight, seed, surface):
    """Two layers, by Adam: first weights and biases, second weights and bias."""
    rnd, hidden, epochs = np.random.default_rng(seed), HIDDEN[surface], EPOCHS[surface]
    made = [rnd.normal(0, 1 / math.sqrt(WIDE), (WIDE, hidden)).astype(np.float32), np.zeros(hidden, np.float32), rnd.normal(0, 0.1, hidden).astype(np.float32), np.zeros(1, np.float32)]
    first, second, step = [np.zeros_like(one) for one in made], [np.zeros_like(one) for one in made], 0
    weight = np.minimum(weight / weight.mean(), 8)
    for epoch in range(epochs):
        order, rate = rnd.permutation(len(label)), RATE * (1 - 0.8 * epoch / epochs)
        for at in range(0, len(order), BATCH):
            rows = order[at : at + BATCH]
            part = given[rows] * (rnd.random((len(rows), WIDE), dtype=np.float32) > DROP) / np.float32(1 - DROP)
            inner = np.maximum(part @ made[0] + made[1], 0)
            margin = inner @ made[2] + made[3][0]
            slope = ((1 / (1 + np.exp(-np.clip(margin, -30, 30))) - label[rows]) * weight[rows] / len(rows)).astype(np.float32)
            back = np.outer(slope, made[2]) * (inner > 0)
            slopes = [part.T @ back + PRIOR * made[0], back.sum(0), inner.T @ slope + PRIOR * made[2], np.array([slope.sum()])]
            step += 1
            for one, wanted, mean, square in zip(made, slopes, first, second):
                mean += 0.1 * (wanted - mean)
                square += 0.001 * (wanted * wanted - square)
                one -= (rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)).astype(np.float32)
    return made


def rounded(made, share):
    """The head with its first weights as bytes: (usual, its scale, bytes, scales, the rest)."""
    usual, scale, weights, biases, outer, bias = made
    scales = np.abs(weights).max(0) / 127
    return usual, scale, np.round(weights / scales).astype(np.int8), scales, biases, outer * share, float(bias[0]) * share


def says(head, seen):
    usual, scale, whole, scales, biases, outer, bias = head
    return np.maximum((seen - usual) * scale @ (whole * scales).astype(np.float32) + biases, 0) @ outer + bias


def look(options, rows, windows, said, held, groups):
    """Trains the head on the strongest windows and says what it is worth: its part of the file, and its figures.

    `said` is what held-out models say of each window, `held` what they say of each text.
    """
    surface = windows.surface
    text, window = (np.array(part) for part in zip(*windows.strong(said)))
    first = np.append(True, text[1:] != text[:-1])
    seen = encode(options.encoder, [windows.shown(*one) for one in zip(text, window)])
    # Windows of an attack beside its order are harmless. Where the order is not known, the strongest is taken for it.
    known = np.array([order is not None for order in rows.order])
    taught = first | (rows.label == 0)[text] | known[text]
    label = ((rows.label == 1)[text] & windows.order[window]).astype(np.float32)

    def made(use):
        chosen = use[text] & taught
        count = np.maximum(np.bincount(text[chosen], minlength=len(rows)), 1)
        return rounded(fit(seen[chosen], label[chosen], (weigh(rows, use, 1.0, HEAD_OWN) / count)[text][chosen], surface), SHARE[surface])

    after = np.full(len(text), np.nan)
    for group in groups:
        out = np.isin(rows.fold, group)
        after[out[text]] = says(made(~out & rows.trained), seen[out[text]])
    looked = np.maximum.reduceat(said[window] + windows.boost[text] + after, np.flatnonzero(first))
    benign = (rows.label == 0) & np.array([not source.startswith(OURS) for source in rows.source])
    low, high = (float(np.quantile(held[benign], place)) for place in UNSURE[surface])
    final = np.where(held <= low, held, np.where(held >= high, held + 99, looked))
    figures, lines = told(rows, final, surface)
    figures["states"] = hashlib.sha256(seen.tobytes()).hexdigest()[:16]
    figures["asked_of_harmless"] = round(float(((held > low) & (held < high))[benign].mean()), 3)
    usual, scale, whole, scales, biases, outer, bias = made(rows.trained)
    body = struct.pack("<I6f", len(scales), bias, low, high, *lines) + np.stack([usual, scale], 1).astype("<f4").tobytes()
    for unit in range(len(scales)):
        body += struct.pack("<3f", scales[unit], biases[unit], outer[unit]) + whole[:, unit].tobytes()
    return body, figures
